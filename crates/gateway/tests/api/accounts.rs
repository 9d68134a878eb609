//! `/auth`.

use jiff::SignedDuration;
use picket_kit::Clock;
use serde_json::json;

use crate::harness::{PASSWORD, TestApp};

#[tokio::test]
async fn somebody_registers_signs_in_and_sees_who_it_is() {
    let app = TestApp::spawn().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada", "organization": "Engines"});
    let registered = app.post("/api/v1/auth/register", None, &body).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    let account = registered.json();
    assert!(account["id"].as_str().unwrap().starts_with("usr_"));
    assert_eq!(account["organization"]["name"], "Engines");
    assert_eq!(account["organization"]["plan"], "trial");
    assert!(!registered.text.contains("argon2") && !registered.text.contains(PASSWORD));

    let signed_in =
        app.post("/api/v1/auth/login", None, &json!({"email": "ADA@example.com", "password": PASSWORD})).await;
    assert_eq!(signed_in.status, 200);
    let token = signed_in.json();
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["expires_in"], 900);

    let me = app.get("/api/v1/auth/me", token["access_token"].as_str()).await;
    assert_eq!(me.status, 200, "{}", me.text);
    assert_eq!(me.json()["email"], "ada@example.com");
    assert_eq!(me.json()["role"], "owner");
    let me = me.json();
    assert_eq!(me["id"], account["id"]);
    assert_eq!((&me["locale"], &me["time_zone"]), (&json!("en"), &json!("UTC")));
    assert_eq!((&me["email_verified"], &me["mfa_enabled"]), (&json!(false), &json!(false)));
    assert!(me["avatar_url"].is_null() && me["permissions"].as_array().unwrap().len() > 5);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let app = TestApp::spawn().await;
    app.member("ada@example.com").await;
    let login = async |email: &str, password: &str| {
        let answer = app.post("/api/v1/auth/login", None, &json!({"email": email, "password": password})).await;
        let mut body = answer.assert_problem(401, "wrong_credentials");
        body["request_id"].take();
        (body, answer.headers.len())
    };
    let wrong = login("ada@example.com", "not the password").await;
    assert_eq!(wrong, login("nobody@example.com", PASSWORD).await);
    assert_eq!(wrong, login("", "").await);
    assert_eq!(wrong, login("ada@example.com", &"x".repeat(100_000)).await);
}

#[tokio::test]
async fn whoever_may_not_sign_in_gets_the_answer_of_a_wrong_password() {
    let app = TestApp::spawn().await;
    let client = app.database.connect().await;
    let login = async |email: &str| {
        crate::registration::visible(
            &app.post("/api/v1/auth/login", None, &json!({"email": email, "password": PASSWORD})).await,
        )
    };
    let nobody = login("nobody@example.com").await;
    assert_eq!(nobody.0, 401);
    for (name, change) in [
        ("disabled", "UPDATE users SET disabled_at = now() WHERE id = $1"),
        ("provider", "UPDATE users SET password_hash = NULL WHERE id = $1"),
        ("left", "DELETE FROM memberships WHERE user_id = $1"),
        (
            "suspended",
            "UPDATE organizations SET suspended_at = now(), suspended_reason = 'unpaid'
             WHERE id = (SELECT organization_id FROM memberships WHERE user_id = $1)",
        ),
    ] {
        let email = format!("{name}@example.com");
        let user: picket_domain::UserId = app.member(&email).await.user_id.parse().unwrap();
        assert_eq!(client.execute(change, &[&user.uuid()]).await.unwrap(), 1);
        assert_eq!(login(&email).await, nobody, "{name}");
    }
}

#[tokio::test]
async fn a_registration_names_every_fault() {
    let app = TestApp::spawn().await;
    let faulty = json!({"email": "ada", "password": "short", "name": "", "organization": "a\nb"});
    let answer = app.post("/api/v1/auth/register", None, &faulty).await;
    answer.assert_field("email", "invalid_email");
    answer.assert_field("password", "invalid_length");
    answer.assert_field("name", "invalid_name");
    answer.assert_field("organization", "invalid_name");
    let long = json!({"email": "ada@example.com", "password": "x".repeat(129)});
    app.post("/api/v1/auth/register", None, &long).await.assert_field("password", "invalid_length");
}

#[tokio::test]
async fn nobody_assigns_rights_in_a_registration() {
    let app = TestApp::spawn().await;
    for field in ["role", "tenant_id", "is_admin", "email_verified", "plan", "created_at", "status", "id"] {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
        body[field] = json!("owner");
        app.post("/api/v1/auth/register", None, &body).await.assert_field(field, "unknown_field");
    }
}

#[tokio::test]
async fn a_token_ends_after_fifteen_minutes() {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |_| {}).await;
    let member = app.member("ada@example.com").await;
    app.clock.advance(SignedDuration::from_secs(899));
    assert_eq!(app.get("/api/v1/auth/me", Some(&member.token)).await.status, 200);
    app.clock.advance(SignedDuration::from_secs(1));
    app.get("/api/v1/auth/me", Some(&member.token)).await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn who_left_the_organization_is_refused_with_a_token_that_is_still_valid() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let client = app.database.connect().await;
    client.execute("DELETE FROM memberships", &[]).await.unwrap();
    app.get("/api/v1/auth/me", Some(&member.token)).await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn credentials_that_are_none_are_refused() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    for token in ["", "x", "pk_0", "pk_00000000000000000000000000000000aaaaaaa", "a.b.c"] {
        app.get("/api/v1/auth/me", Some(token)).await.assert_problem(401, "unauthenticated");
    }
    for (name, value) in
        [("authorization", format!("Basic {key}")), ("authorization", key.clone()), ("x-api-key", member.token.clone())]
    {
        let answer = app.request("GET", "/api/v1/auth/me", None, |request| request.header(name, value)).await;
        let problem = answer.assert_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{problem}");
    }
    let both =
        app.request("GET", "/api/v1/tools", Some(&member.token), |request| request.header("x-api-key", &key)).await;
    both.assert_problem(401, "unauthenticated");
    let twice = app
        .request("GET", "/api/v1/tools", Some(&member.token), |request| request.header("authorization", "Bearer x"))
        .await;
    twice.assert_problem(401, "unauthenticated");
}
