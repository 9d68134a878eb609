//! `/api-keys`.

use jiff::SignedDuration;
use picket_kit::Clock;
use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_key_is_shown_once_and_works_in_both_headers_and_versions() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let body = json!({"name": "ci", "scopes": ["tools:read", "tools:read"]});
    let made = app.post("/api/v1/api-keys", Some(&member.token), &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("pk_") && key.starts_with(made["prefix"].as_str().unwrap()));
    assert!(made["id"].as_str().unwrap().starts_with("key_"));
    assert_eq!(made["scopes"], json!(["tools:read"]));

    for path in ["/api/v1/tools", "/api/v2/tools", "/v1/tools", "/v2/tools/"] {
        assert_eq!(app.get(path, Some(key)).await.status, 200, "{path}");
        let answer = app.request("GET", path, None, |request| request.header("x-api-key", key)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let listed = app.get("/api/v1/api-keys", Some(&member.token)).await;
    assert_eq!(listed.json()["data"][0]["id"], made["id"]);
    assert!(listed.json()["data"][0]["last_used_at"].is_string());
    assert!(!listed.text.contains(key));
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_from_the_next_request_on() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    assert_eq!(app.get("/api/v1/tools", Some(&key)).await.status, 200);
    let id = app.get("/api/v1/api-keys", Some(&member.token)).await.json()["data"][0]["id"].clone();
    let path = format!("/api/v1/api-keys/{}", id.as_str().unwrap());
    assert_eq!(app.delete(&path, Some(&member.token)).await.status, 204);
    app.get("/api/v1/tools", Some(&key)).await.assert_problem(401, "unauthenticated");
    app.delete(&path, Some(&member.token)).await.assert_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/api-keys", Some(&member.token)).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn a_key_grants_nothing_that_its_maker_lacks() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["api_keys:write", "tools:read"]).await;
    let more = app.post("/api/v1/api-keys", Some(&key), &json!({"name": "more", "scopes": ["scans:write"]})).await;
    more.assert_problem(403, "forbidden");
    let same = app.post("/api/v1/api-keys", Some(&key), &json!({"name": "same", "scopes": ["tools:read"]})).await;
    assert_eq!(same.status, 201);
}

#[tokio::test]
async fn a_key_shrinks_with_its_maker() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["api_keys:read", "tools:read"]).await;
    app.set_role(&member, "viewer").await;
    app.get("/api/v1/api-keys", Some(&key)).await.assert_problem(403, "forbidden");
    assert_eq!(app.get("/api/v1/tools", Some(&key)).await.status, 200);
}

#[tokio::test]
async fn a_key_ends_when_it_was_told_to() {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |_| {}).await;
    let member = app.member("ada@example.com").await;
    let body = json!({"name": "short", "scopes": ["tools:read"], "expires_at": "2026-01-15T14:31:00Z"});
    let key = app.post("/api/v1/api-keys", Some(&member.token), &body).await.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(app.get("/api/v1/tools", Some(&key)).await.status, 200);
    app.clock.advance(SignedDuration::from_secs(60));
    app.get("/api/v1/tools", Some(&key)).await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_wrong_key_request_names_its_fields() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let post = async |body| app.post("/api/v1/api-keys", Some(&member.token), &body).await;
    post(json!({"name": "", "scopes": ["tools:read"]})).await.assert_field("name", "invalid_name");
    post(json!({"name": "x", "scopes": []})).await.assert_field("scopes", "missing_field");
    post(json!({"name": "x", "scopes": ["tools:read", "root"]})).await.assert_field("scopes[1]", "unknown_value");
    post(json!({"name": "x", "scopes": ["tools:read"], "expires_at": "2001-01-01T00:00:00Z"}))
        .await
        .assert_field("expires_at", "out_of_range");
    post(json!({"name": "x", "scopes": "tools:read"})).await.assert_field("scopes", "invalid_type");
    app.delete("/api/v1/api-keys/scan_1", Some(&member.token)).await.assert_field("id", "invalid_id");
}
