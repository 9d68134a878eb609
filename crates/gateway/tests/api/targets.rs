//! `/targets`.

use serde_json::{Value, json};

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
    for target in ["a.example.com", "192.0.2.1", "192.0.2.0/28"] {
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
    for target in [
        "",
        "ftp://example.com",
        "http://127.1/",
        "https://a@example.com",
        "-oN/tmp/x",
        "a b",
        "127.1",
        "0x7f.1",
        "example.com;id",
        "10.0.0.0/8",
        "com",
    ] {
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

#[tokio::test]
async fn a_url_is_kept_as_its_host_and_a_network_no_wider_than_the_plan() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let body = json!({"target": "https://Example.com:8443/login?x", "criticality": "high", "owner": "web team"});
    let kept = app.post("/api/v1/targets", Some(&member.token), &body).await.json();
    assert_eq!((&kept["target"], &kept["criticality"]), (&json!("example.com"), &json!("high")));
    assert_eq!(kept["verification"], json!({"state": "unverified", "verified_until": null}));
    // A trial scans 16 addresses at a time.
    let post = async |target: &str| app.post("/api/v1/targets", Some(&member.token), &json!({"target": target})).await;
    assert_eq!(post("192.0.2.0/28").await.status, 201);
    post("192.0.2.0/27").await.assert_field("target", "too_many_addresses");
}

#[tokio::test]
async fn lists_are_filtered_by_tag_kind_and_verification() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let post = async |path: &str, body| app.post(path, Some(&member.token), &body).await.json();
    let kept = post("/api/v1/targets", json!({"target": "a.example.com", "tags": ["prod"]})).await;
    post("/api/v1/targets", json!({"target": "192.0.2.1", "tags": ["prod", "db"]})).await;
    post("/api/v1/targets", json!({"target": "192.0.2.0/28"})).await;
    let id = kept["id"].as_str().unwrap();
    post(&format!("/api/v1/targets/{id}/verification"), json!({"method": "dns_txt"})).await;
    for (query, found) in [
        ("tag=prod", 2),
        ("tag=db&kind=address", 1),
        ("tag=db&kind=host", 0),
        ("kind=network", 1),
        ("verification=pending", 1),
        ("verification=unverified", 2),
        ("verification=verified", 0),
        ("per_page=1", 3),
    ] {
        let list = app.get(&format!("/api/v1/targets?{query}"), Some(&member.token)).await.json();
        assert_eq!(list["pagination"]["total"], found, "{query}");
    }
    for query in ["kind=url", "verification=maybe"] {
        let field = query.split('=').next().unwrap();
        app.get(&format!("/api/v1/targets?{query}"), Some(&member.token)).await.assert_field(field, "unknown_value");
    }
}

#[tokio::test]
async fn a_target_is_changed_and_removed_and_the_log_says_so() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let body = json!({"target": "example.com", "tags": ["old"], "owner": "bob"});
    let kept = app.post("/api/v1/targets", Some(&member.token), &body).await;
    let path = kept.header("location").unwrap().to_owned();
    let patch = async |body| app.request("PATCH", &path, Some(&member.token), |request| request.json(&body)).await;
    let changed = patch(json!({"criticality": "critical", "owner": null})).await.json();
    assert_eq!((&changed["criticality"], &changed["owner"]), (&json!("critical"), &json!(null)));
    assert_eq!(changed["tags"], json!(["old"]));
    patch(json!({"target": "evil.com"})).await.assert_field("target", "unknown_field");
    patch(json!({"owner": ""})).await.assert_field("owner", "invalid_value");
    patch(json!({"criticality": "huge"})).await.assert_field("criticality", "unknown_value");
    assert_eq!(app.delete(&path, Some(&member.token)).await.status, 204);
    app.get(&path, Some(&member.token)).await.assert_problem(404, "not_found");
    app.delete(&path, Some(&member.token)).await.assert_problem(404, "not_found");
    let log = app.get("/api/v1/audit-logs?limit=2", Some(&member.token)).await.json();
    assert_eq!(
        (&log["data"][0]["action"], &log["data"][1]["action"]),
        (&json!("target.deleted"), &json!("target.updated"))
    );
    assert_eq!(log["data"][1]["before"]["owner"], "bob");
}

#[tokio::test]
async fn each_row_of_many_has_a_result_of_its_own() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let bulk =
        async |rows: Value| app.post("/api/v1/targets/bulk", Some(&member.token), &json!({"targets": rows})).await;
    app.post(
        "/api/v1/targets",
        Some(&member.token),
        &json!({"target": "b.example.com", "tags": ["old"], "owner": "x"}),
    )
    .await;
    let answer = bulk(json!([
        {"target": "https://A.example.com/", "tags": ["new"]},
        {"target": "127.1"},
        {"target": "b.example.com", "criticality": "low"},
        {"target": "a.example.com"},
        {"target": "192.0.2.0/24"},
        {"target": "c.example.com", "tags": [""]},
    ]))
    .await
    .json();
    assert_eq!((&answer["created"], &answer["updated"], &answer["refused"]), (&json!(1), &json!(1), &json!(4)));
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["created", "refused", "updated", "refused", "refused", "refused"]);
    let code = |row: usize| results[row]["errors"][0]["code"].as_str().unwrap();
    assert_eq!(
        [code(1), code(3), code(4), code(5)],
        ["invalid_target", "duplicate", "too_many_addresses", "invalid_value"]
    );
    let updated =
        app.get(&format!("/api/v1/targets/{}", results[2]["id"].as_str().unwrap()), Some(&member.token)).await;
    let updated = updated.json();
    assert_eq!((&updated["tags"], &updated["owner"]), (&json!(["old"]), &json!("x")), "what is absent stays");
    assert_eq!(updated["criticality"], "low");
    bulk(json!([])).await.assert_field("targets", "out_of_range");
    bulk(json!([{"target": "x.example.com", "id": 1}])).await.assert_field("targets[0].id", "unknown_field");
    let many: Vec<Value> = (0..1_001).map(|n| json!({"target": format!("t{n}.example.com")})).collect();
    bulk(json!(many)).await.assert_field("targets", "too_many");
}

#[tokio::test]
async fn many_at_once_never_exceed_the_plan() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    // A trial keeps 100.
    let bulk = async |from: usize| {
        let rows: Vec<Value> = (from..from + 60).map(|n| json!({"target": format!("t{n}.example.com")})).collect();
        app.post("/api/v1/targets/bulk", Some(&member.token), &json!({"targets": rows})).await.json()
    };
    let (one, other) = tokio::join!(bulk(0), bulk(1_000));
    let created = one["created"].as_u64().unwrap() + other["created"].as_u64().unwrap();
    assert_eq!(created, 100);
    let refused = [&one, &other].into_iter().find(|answer| answer["refused"] != 0).unwrap();
    assert_eq!(refused["results"][59]["errors"][0]["code"], "limit_reached");
    assert_eq!(app.get("/api/v1/targets", Some(&member.token)).await.json()["pagination"]["total"], 100);
    // Those that are there can still be changed.
    assert_eq!(bulk(0).await["updated"], one["created"]);
}

#[tokio::test]
async fn how_gently_a_target_is_examined_lies_below_the_plan_and_the_log_says_so() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let kept = app.post("/api/v1/targets", Some(&member.token), &json!({"target": "example.com"})).await;
    assert_eq!(kept.json()["politeness"], json!(null));
    let path = kept.header("location").unwrap().to_owned();
    let patch = async |body| app.request("PATCH", &path, Some(&member.token), |request| request.json(&body)).await;
    for (politeness, field) in [
        (json!({"max_tasks": 0}), "politeness.max_tasks"),
        // A trial has two tasks at once.
        (json!({"max_tasks": 3}), "politeness.max_tasks"),
        (json!({"max_rate": 0}), "politeness.max_rate"),
        (json!({"max_rate": 1_001}), "politeness.max_rate"),
    ] {
        patch(json!({"politeness": politeness})).await.assert_field(field, "out_of_range");
    }
    patch(json!({"politeness": {"most": 1}})).await.assert_field("politeness.most", "unknown_field");
    let gentle = json!({"max_tasks": 1, "max_rate": 20});
    let changed = patch(json!({"politeness": gentle})).await;
    assert_eq!((changed.status, &changed.json()["politeness"]), (200, &gentle), "{}", changed.text);
    // Another change leaves it, and another one replaces it as a whole.
    assert_eq!(patch(json!({"owner": "bob"})).await.json()["politeness"], gentle);
    let slow = json!({"max_tasks": null, "max_rate": 5});
    assert_eq!(patch(json!({"politeness": {"max_rate": 5}})).await.json()["politeness"], slow);
    assert_eq!(app.get(&path, Some(&member.token)).await.json()["politeness"], slow);
    assert_eq!(patch(json!({"politeness": null})).await.json()["politeness"], json!(null));
    let log = app.get("/api/v1/audit-logs?action=target.updated&limit=1", Some(&member.token)).await.json();
    assert_eq!(log["data"][0]["before"]["politeness"], slow);
}
