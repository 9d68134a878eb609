//! Bodies that nobody sends by mistake: 400, 413 or 415 with a problem, never 500, and no row written.

use serde_json::json;

use crate::harness::{PASSWORD, TestApp};

#[tokio::test]
async fn a_body_is_bounded_deep_and_wide_only_so_far_and_free_of_tricks() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let token = Some(member.token.as_str());
    let post = async |body: String| app.post_raw("/api/v1/targets", token, body).await;

    let large = format!("{{\"target\": \"{}\"}}", "x".repeat(1024 * 1024));
    post(large.clone()).await.assert_problem(413, "too_large");
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(large)]));
    app.post_raw("/api/v1/targets", token, stream).await.assert_problem(413, "too_large");

    post("[".repeat(10_000)).await.assert_problem(400, "invalid_request");
    post("{\"target\":".repeat(10_000)).await.assert_problem(400, "invalid_request");
    post(format!("{{\"target\": \"example.com\", \"tags\": [{}]}}", vec!["\"x\""; 2_000].join(",")))
        .await
        .assert_field("tags", "too_many");
    post("{\"target\": \"example.com\", \"target\": \"example.org\"}".to_owned())
        .await
        .assert_field("target", "duplicate_field");
    post("{\"target\": \"example.com\\u0000\"}".to_owned()).await.assert_field("target", "invalid_value");
    post("{\"target\": \"example.com\", \"tags\": [\"a\\u0000\"]}".to_owned())
        .await
        .assert_field("tags[0]", "invalid_value");
    post("{\"target\": 1}".to_owned()).await.assert_field("target", "invalid_type");
    post("{\"target\": null}".to_owned()).await.assert_field("target", "invalid_type");
    post("{\"target\": {\"$ne\": null}}".to_owned()).await.assert_field("target", "invalid_type");
    post("{\"tags\": []}".to_owned()).await.assert_field("target", "missing_field");
    post("{\"target\": \"example.com\", \"__proto__\": {}}".to_owned())
        .await
        .assert_field("__proto__", "unknown_field");
    for text in
        ["", "null", "[]", "1e999", "{", "{\"target\": \"x", "\u{feff}{}", "{} {}", "{\"a\": NaN}", "\"\\ud800\""]
    {
        let answer = post(text.to_owned()).await;
        assert_eq!(answer.status, 400, "{text}: {}", answer.text);
    }
    let not_utf8 = app.post_raw("/api/v1/targets", token, b"{\"target\": \"\xff\xfe\"}".to_vec()).await;
    not_utf8.assert_problem(400, "malformed_request");

    let listed = app.get("/api/v1/targets", token).await.json();
    assert_eq!(listed["pagination"]["total"], 0, "{listed}");
}

#[tokio::test]
async fn nul_in_any_text_is_400() {
    let app = TestApp::spawn().await;
    for body in [
        json!({"email": "a\u{0}@example.com", "password": PASSWORD}),
        json!({"email": "a@example.com", "password": format!("{PASSWORD}\u{0}")}),
        json!({"email": "a@example.com", "password": PASSWORD, "name": "\u{0}"}),
    ] {
        app.post("/api/v1/auth/register", None, &body).await.assert_problem(400, "invalid_request");
    }
    app.post("/api/v1/auth/login", None, &json!({"email": "\u{0}", "password": ""}))
        .await
        .assert_field("email", "invalid_value");
}

#[tokio::test]
async fn another_media_type_is_415() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    for media_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let answer = app
            .request("POST", "/api/v1/targets", Some(&member.token), |request| {
                request.header("content-type", media_type).body("{\"target\": \"example.com\"}")
            })
            .await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    let compressed = app
        .request("POST", "/api/v1/targets", Some(&member.token), |request| {
            request.header("content-type", "application/json").header("content-encoding", "gzip").body("x")
        })
        .await;
    compressed.assert_problem(415, "unsupported_media_type");
    let usual = app
        .request("POST", "/api/v1/targets", Some(&member.token), |request| {
            request.header("content-type", "Application/JSON; charset=utf-8").body("{\"target\": \"example.com\"}")
        })
        .await;
    assert_eq!(usual.status, 201, "{}", usual.text);
}

#[tokio::test]
async fn an_unreadable_query_or_id_is_400() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    for path in [
        "/api/v1/targets?page=%00".to_owned(),
        "/api/v1/targets?page=%ff".to_owned(),
        "/api/v1/targets?%00=1".to_owned(),
        "/api/v1/targets?page=-1".to_owned(),
        format!("/api/v1/targets?page={}", "1".repeat(5_000)),
    ] {
        let answer = app.get(&path, Some(&member.token)).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
    }
    for id in ["key_", "key_zzzzzzzzzzzzzzzzzzzzzzzzzz", "%00", "%ff", "..%2f..", "key_01jh%27%20OR%201=1"] {
        let answer = app.delete(&format!("/api/v1/api-keys/{id}"), Some(&member.token)).await;
        assert_eq!(answer.status, 400, "{id}: {}", answer.text);
    }
}
