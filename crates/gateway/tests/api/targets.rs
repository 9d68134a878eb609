//! `/targets`.

use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_target_is_kept_in_its_canonical_form_and_once() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let body = json!({"target": "Example.COM", "tags": ["prod"]});
    let kept = app.post("/api/v1/targets", Some(&member.token), &body).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    let kept = kept.json();
    assert_eq!(
        (&kept["target"], &kept["kind"], &kept["tags"]),
        (&json!("example.com"), &json!("host"), &json!(["prod"]))
    );
    assert!(kept["id"].as_str().unwrap().starts_with("tgt_"));
    app.post("/api/v2/targets", Some(&member.token), &json!({"target": "example.com"}))
        .await
        .assert_problem(409, "already_exists");
    let other = app.member("bob@example.com").await;
    assert_eq!(app.post("/api/v1/targets", Some(&other.token), &body).await.status, 201);
}

#[tokio::test]
async fn lists_have_the_shape_of_their_version() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    for target in ["a.example.com", "192.0.2.1", "192.0.2.0/24"] {
        let kept = app.post("/api/v1/targets", Some(&member.token), &json!({"target": target})).await;
        assert_eq!(kept.status, 201, "{}", kept.text);
    }
    let first = app.get("/api/v1/targets?page=1&per_page=2", Some(&member.token)).await.json();
    assert_eq!(first["pagination"], json!({"page": 1, "per_page": 2, "total": 3, "total_pages": 2}));
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    let second = app.get("/api/v2/targets?page=2&limit=2", Some(&member.token)).await.json();
    assert_eq!(second["meta"], json!({"current_page": 2, "total_pages": 2, "total_items": 3}));
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    let past = app.get("/api/v1/targets?page=9", Some(&member.token)).await;
    assert_eq!((past.status, past.json()["data"].as_array().unwrap().len()), (200, 0));
}

#[tokio::test]
async fn a_page_out_of_range_names_its_field() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    for (path, field, code) in [
        ("/api/v1/targets?page=0", "page", "out_of_range"),
        ("/api/v1/targets?per_page=101", "per_page", "out_of_range"),
        ("/api/v1/targets?per_page=0", "per_page", "out_of_range"),
        ("/api/v2/targets?limit=101", "limit", "out_of_range"),
        ("/api/v1/targets?limit=1", "limit", "unknown_field"),
        ("/api/v1/targets?page=x", "page", "invalid_value"),
        ("/api/v1/targets?page=1&page=2", "page", "duplicate_field"),
        ("/api/v1/targets?pages=1", "pages", "unknown_field"),
        ("/api/v1/targets?page=99999999999", "page", "invalid_value"),
    ] {
        app.get(path, Some(&member.token)).await.assert_field(field, code);
    }
}

#[tokio::test]
async fn what_is_no_target_is_refused_and_not_stored() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    for target in
        ["", "http://example.com", "-oN/tmp/x", "a b", "127.1", "0x7f.1", "example.com;id", "10.0.0.0/8", "com"]
    {
        app.post("/api/v1/targets", Some(&member.token), &json!({"target": target}))
            .await
            .assert_field("target", "invalid_target");
    }
    let tags = json!({"target": "example.com", "tags": ["", "\u{1b}[31m"]});
    let answer = app.post("/api/v1/targets", Some(&member.token), &tags).await;
    answer.assert_field("tags[0]", "invalid_value");
    answer.assert_field("tags[1]", "invalid_value");
    assert_eq!(app.get("/api/v1/targets", Some(&member.token)).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn nobody_sees_the_targets_of_another_organization() {
    let app = TestApp::spawn().await;
    let (ada, bob) = (app.member("ada@example.com").await, app.member("bob@example.com").await);
    assert_eq!(app.post("/api/v1/targets", Some(&ada.token), &json!({"target": "example.com"})).await.status, 201);
    assert_eq!(app.get("/api/v1/targets", Some(&bob.token)).await.json()["pagination"]["total"], 0);
}
