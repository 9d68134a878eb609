//! Seed 1: signing in. Both seeds: `Authorization: Bearer` with what they call a token or an API key.

use serde_json::json;

use crate::{client::Client, stack::Stack};

#[tokio::test]
async fn login_answers_as_printed_and_its_token_opens_the_api() {
    let stack = Stack::start().await;
    let client = Client::anonymous(&stack);
    let password = "correct horse battery staple";
    client.post("/api/v1/auth/register", &json!({"email": "ada@example.com", "password": password})).await.expect(201);
    let login =
        client.post("/api/v1/auth/login", &json!({"email": "ada@example.com", "password": password})).await.expect(200);
    // Printed: { "access_token": "eyJ...", "token_type": "Bearer" }
    assert_eq!(login["token_type"], "Bearer");
    let token = login["access_token"].as_str().unwrap();
    assert!(token.starts_with("eyJ"), "a JWT");
    let me = client.with_token(token).get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me["email"], "ada@example.com");

    let wrong = client.post("/api/v1/auth/login", &json!({"email": "ada@example.com", "password": "x"})).await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test]
async fn an_api_key_opens_both_versions() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let body = json!({"name": "ci", "scopes": ["scans:read"]});
    let created = client.post("/api/v1/api-keys", &body).await.expect(201);
    let key = created["key"].as_str().unwrap_or_else(|| panic!("{created}"));
    assert!(key.starts_with("pk_"));
    let program = client.with_token(key);
    for path in ["/api/v1/scans", "/api/v2/scans"] {
        assert_eq!(program.get(path).await.status, 200, "{path}");
        let anonymous = Client::anonymous(&stack);
        let by_header = anonymous.request(reqwest::Method::GET, path).header("x-api-key", key);
        assert_eq!(anonymous.send(by_header).await.status, 200, "{path}");
    }
    let refused = program.post_text("/api/v1/scans/create", crate::printed::V1_CREATE).await.expect(403);
    assert_eq!(refused["code"], "forbidden");
}
