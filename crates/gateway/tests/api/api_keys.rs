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

#[tokio::test]
async fn a_person_makes_a_key_within_an_hour_of_signing_in() {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |settings| settings.access_token_minutes = 120).await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["api_keys:write", "tools:read"]).await;
    app.clock.advance(SignedDuration::from_mins(61));
    let body = json!({"name": "late", "scopes": ["tools:read"]});
    app.post("/api/v1/api-keys", Some(&member.token), &body).await.assert_problem(403, "login_required");
    let id = app.get("/api/v1/api-keys", Some(&member.token)).await.json()["data"][0]["id"].clone();
    let rotate = format!("/api/v1/api-keys/{}/rotate", id.as_str().unwrap());
    app.post(&rotate, Some(&member.token), &json!({})).await.assert_problem(403, "login_required");
    assert_eq!(app.post("/api/v1/api-keys", Some(&key), &body).await.status, 201);
    let fresh = app.sign_in("ada@example.com").await;
    assert_eq!(app.post("/api/v1/api-keys", Some(&fresh), &body).await.status, 201);
}

#[tokio::test]
async fn a_key_makes_none_that_lives_longer_or_is_used_from_elsewhere() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await;
    let member = app.member("ada@example.com").await;
    let scopes = json!(["api_keys:write", "api_keys:read", "tools:read"]);
    let body = json!({"name": "maker", "scopes": scopes, "expires_at": "2026-01-15T15:30:00Z",
                      "allowed_ranges": ["127.0.0.0/8"]});
    let maker = app.post("/api/v1/api-keys", Some(&member.token), &body).await.json();
    let key = maker["key"].as_str().unwrap();
    let make = async |more: serde_json::Value| {
        let mut body = json!({"name": "made", "scopes": ["tools:read"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.post("/api/v1/api-keys", Some(key), &body).await
    };
    let made = make(json!({})).await.json();
    assert_eq!((&made["expires_at"], &made["allowed_ranges"]), (&maker["expires_at"], &maker["allowed_ranges"]));
    assert_eq!(make(json!({"allowed_ranges": ["127.0.0.1"], "expires_at": "2026-01-15T15:00:00Z"})).await.status, 201);
    make(json!({"expires_at": "2026-01-15T15:30:01Z"})).await.assert_field("expires_at", "out_of_range");
    make(json!({"allowed_ranges": ["0.0.0.0/0"]})).await.assert_field("allowed_ranges", "out_of_range");
    make(json!({"allowed_ranges": ["x"]})).await.assert_field("allowed_ranges[0]", "invalid_range");
    make(json!({"expires_at": "2126-01-15T15:30:01Z"})).await.assert_field("expires_at", "out_of_range");
    // Nor by taking over another one.
    let wide = json!({"name": "wide", "scopes": ["tools:read"]});
    let wide = app.post("/api/v1/api-keys", Some(&member.token), &wide).await.json();
    let rotate = format!("/api/v1/api-keys/{}/rotate", wide["id"].as_str().unwrap());
    app.post(&rotate, Some(key), &json!({})).await.assert_problem(403, "forbidden");
    let strong = json!({"name": "strong", "scopes": ["scans:write"], "expires_at": "2026-01-15T15:00:00Z",
                        "allowed_ranges": ["127.0.0.1"]});
    let strong = app.post("/api/v1/api-keys", Some(&member.token), &strong).await.json();
    let rotate = format!("/api/v1/api-keys/{}/rotate", strong["id"].as_str().unwrap());
    app.post(&rotate, Some(key), &json!({})).await.assert_problem(403, "forbidden");
    // It may replace itself.
    let rotate = format!("/api/v1/api-keys/{}/rotate", maker["id"].as_str().unwrap());
    assert_eq!(app.post(&rotate, Some(key), &json!({"grace_hours": 0})).await.status, 201);
    app.get("/api/v1/tools", Some(key)).await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_key_and_its_successor_are_good_until_the_grace_ends() {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |settings| settings.access_token_minutes = 300).await;
    let member = app.member("ada@example.com").await;
    let first = app.api_key(&member.token, &["tools:read"]).await;
    let id = app.get("/api/v1/api-keys", Some(&member.token)).await.json()["data"][0]["id"].clone();
    let rotate = |id: &serde_json::Value| format!("/api/v1/api-keys/{}/rotate", id.as_str().unwrap());
    let twice = futures_util::future::join_all(
        (0..10).map(async |_| app.post(&rotate(&id), Some(&member.token), &json!({"grace_hours": 2})).await),
    )
    .await;
    let made: Vec<_> = twice.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1, "of ten at once one replaces it");
    twice.iter().filter(|answer| answer.status != 201).for_each(|answer| {
        answer.assert_problem(409, "already_exists");
    });
    let second = made[0].json();
    assert_eq!((&second["name"], &second["scopes"]), (&json!("test"), &json!(["tools:read"])));
    let second_key = second["key"].as_str().unwrap();
    let listed = app.get("/api/v1/api-keys", Some(&member.token)).await.json();
    let replaced = listed["data"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(replaced["rotated_to"], second["id"]);
    assert_eq!(replaced["expires_at"], "2026-01-15T16:30:00Z");
    let third = app.post(&rotate(&second["id"]), Some(&member.token), &json!({})).await;
    assert_eq!(third.status, 201, "{}", third.text);
    for key in [&first, second_key, third.json()["key"].as_str().unwrap()] {
        assert_eq!(app.get("/api/v1/tools", Some(key)).await.status, 200);
    }
    app.clock.advance(SignedDuration::from_hours(2));
    app.get("/api/v1/tools", Some(&first)).await.assert_problem(401, "unauthenticated");
    assert_eq!(app.get("/api/v1/tools", Some(second_key)).await.status, 200);
    let listed = app.get("/api/v1/api-keys", Some(&member.token)).await.json();
    assert_eq!(listed["pagination"]["total"], 2, "what was replaced is gone from the list");
    let fresh = app.sign_in("ada@example.com").await;
    let answer = app.post(&rotate(&id), Some(&fresh), &json!({})).await;
    answer.assert_problem(404, "not_found");
    let wrong = app.post(&rotate(&third.json()["id"]), Some(&fresh), &json!({"grace_hours": 169})).await;
    wrong.assert_field("grace_hours", "out_of_range");
    let client = app.database.connect().await;
    let sql = "SELECT string_agg(entry, '') FROM audit_log WHERE action LIKE 'api_key.%'";
    let log: String = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(log.contains("api_key.rotated") && !log.contains(&first) && !log.contains(second_key));
}

#[tokio::test]
async fn a_key_in_a_url_is_none() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    for parameter in ["api_key", "key", "access_token", "token", "X-API-Key"] {
        let answer = app.get(&format!("/api/v1/tools?{parameter}={key}"), None).await;
        answer.assert_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_suspended_organization_and_a_disabled_maker_have_no_keys() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let client = app.database.connect().await;
    let get = async || app.get("/api/v1/tools", Some(&key)).await;
    for (end, begin) in [
        ("UPDATE users SET disabled_at = now()", "UPDATE users SET disabled_at = NULL"),
        (
            "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'",
            "UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL",
        ),
    ] {
        assert_eq!(app.eventually(get, 200).await.status, 200);
        client.execute(end, &[]).await.unwrap();
        app.eventually(get, 401).await.assert_problem(401, "unauthenticated");
        client.execute(begin, &[]).await.unwrap();
    }
}
