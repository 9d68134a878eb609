//! Proving an address: the link, the button, the token.

use jiff::SignedDuration;
use picket_kit::Clock;
use serde_json::json;

use crate::{
    harness::{Answer, PASSWORD, TestApp},
    registration::visible,
};

const PATH: &str = "/api/v1/auth/verify-email";
const ADA: &str = "ada@example.com";

async fn frozen() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

async fn open(app: &TestApp, token: &str, accept: &'static str) -> Answer {
    app.request("GET", &format!("{PATH}?token={token}"), None, |request| request.header("accept", accept)).await
}

async fn verify(app: &TestApp, token: &str) -> Answer {
    app.post(PATH, None, &json!({"token": token, "password": PASSWORD})).await
}

async fn is_verified(app: &TestApp, token: &str) -> bool {
    app.get("/api/v1/auth/me", Some(token)).await.json()["email_verified"].as_bool().unwrap()
}

#[tokio::test]
async fn a_link_shows_a_button_and_only_the_button_proves_the_address() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let token = app.mailed_token(ADA, "verify_address").await;
    for accept in ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "*/*"] {
        let page = open(&app, &token, accept).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("form-action 'self'") && policy.contains("default-src 'none'"), "{policy}");
        assert!(!page.text.contains("<script") && page.text.contains(&format!("value=\"{token}\"")));
        assert!(page.text.contains("method=\"post\"") && page.text.contains(&format!("action=\"{PATH}\"")));
    }
    assert!(!is_verified(&app, &member.token).await, "programs that follow links change nothing");
    let pressed = app.submit(PATH, &[("token", &token), ("password", PASSWORD)]).await;
    assert_eq!(pressed.status, 200, "{}", pressed.text);
    assert!(pressed.text.contains("confirmed"));
    assert!(is_verified(&app, &member.token).await);
    let again = app.submit(PATH, &[("token", &token), ("password", PASSWORD)]).await;
    assert_eq!((again.status, again.header("content-type")), (400, Some("text/html; charset=utf-8")));
    let entries: i64 = app
        .database
        .connect()
        .await
        .query_one("SELECT count(*) FROM audit_log WHERE action = 'user.email_verified'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn a_program_that_asks_for_json_proves_the_address_by_opening_the_link() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let token = app.mailed_token(ADA, "verify_address").await;
    let opened = open(&app, &token, "application/json").await;
    assert_eq!((opened.status, opened.json()), (200, json!({"status": "verified"})));
    assert!(is_verified(&app, &member.token).await);
    open(&app, &token, "application/json").await.assert_field("token", "invalid_token");
    for path in [PATH.to_owned(), format!("{PATH}?token=a&token=b"), format!("{PATH}?token={token}&email=x")] {
        app.get(&path, None).await.assert_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn of_fifty_who_use_a_token_at_once_one_does() {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |settings| {
        (settings.login_tries_per_account, settings.login_tries_per_address) = (100, 100);
    })
    .await;
    app.member(ADA).await;
    let token = app.mailed_token(ADA, "verify_address").await;
    let answers = futures_util::future::join_all((0..50).map(|_| verify(&app, &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_field("token", "invalid_token");
    }
}

#[tokio::test]
async fn a_token_ends_after_a_day_with_the_next_letter_and_with_the_address() {
    let app = frozen().await;
    app.member(ADA).await;
    let first = app.mailed_token(ADA, "verify_address").await;
    app.clock.advance(SignedDuration::from_secs(1));
    let resent = app.post("/api/v1/auth/resend-verification", None, &json!({"email": "ADA@example.com"})).await;
    assert_eq!((resent.status, resent.json()), (202, json!({"status": "accepted"})));
    let second = app.mailed_token(ADA, "verify_address").await;
    assert_ne!(first, second);
    verify(&app, &first).await.assert_field("token", "invalid_token");

    let client = app.database.connect().await;
    client.execute("UPDATE users SET email = 'ada@new.example'", &[]).await.unwrap();
    verify(&app, &second).await.assert_field("token", "invalid_token");
    // The address is somebody else's by now.
    app.member(ADA).await;
    verify(&app, &second).await.assert_field("token", "invalid_token");
    let third = app.mailed_token(ADA, "verify_address").await;
    app.clock.advance(SignedDuration::from_hours(24));
    verify(&app, &third).await.assert_field("token", "invalid_token");
}

#[tokio::test]
async fn a_token_of_another_purpose_proves_nothing() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    assert_eq!(app.post("/api/v1/account/forgot-password", None, &json!({"email": ADA})).await.status, 202);
    let reset = app.mailed_token(ADA, "reset_password").await;
    let verification = app.mailed_token(ADA, "verify_address").await;
    let disguised = reset.replacen("pr_", "vt_", 1);
    for wrong in [reset.as_str(), &disguised, &member.token, "", "vt_", &verification.to_uppercase()] {
        verify(&app, wrong).await.assert_field("token", "invalid_token");
    }
    let body = json!({"token": verification, "password": "vT7q-kz4RmeX"});
    app.post("/api/v1/account/reset-password", None, &body).await.assert_field("token", "invalid_token");
    app.get("/api/v1/auth/me", Some(&verification)).await.assert_problem(401, "unauthenticated");
    assert_eq!(verify(&app, &verification).await.status, 200, "it was good all the time");
}

#[tokio::test]
async fn who_asks_for_another_letter_learns_nothing() {
    let app = frozen().await;
    app.member(ADA).await;
    app.member("bob@example.com").await;
    let bobs = app.mailed_token("bob@example.com", "verify_address").await;
    assert_eq!(verify(&app, &bobs).await.status, 200);
    let before = app.letters().await.len();
    let resend = async |email: &str| {
        visible(&app.post("/api/v1/auth/resend-verification", None, &json!({"email": email})).await)
    };
    let unverified = resend(ADA).await;
    assert_eq!(unverified.0, 202);
    assert_eq!(unverified, resend("bob@example.com").await);
    assert_eq!(unverified, resend("nobody@example.com").await);
    assert_eq!(app.letters().await.len(), before + 1);
    let bad = json!({"email": "nobody"});
    app.post("/api/v1/auth/resend-verification", None, &bad).await.assert_field("email", "invalid_email");
}

#[tokio::test]
async fn where_the_operator_demands_it_only_proven_people_sign_in() {
    let app = TestApp::spawn_with(|settings| settings.require_verified_email = true).await;
    let body = json!({"email": ADA, "password": PASSWORD});
    assert_eq!(app.post("/api/v1/auth/register", None, &body).await.status, 201);
    let unproven = app.post("/api/v1/auth/login", None, &body).await;
    unproven.assert_problem(401, "wrong_credentials");
    assert_eq!(app.letters().await.len(), 2, "another letter is on its way");
    // Neither does a wrong password tell.
    let wrong = json!({"email": ADA, "password": "not the password"});
    let wrong = app.post("/api/v1/auth/login", None, &wrong).await;
    assert_eq!(visible(&unproven), visible(&wrong));
    assert_eq!(app.letters().await.len(), 2);
    let token = app.mailed_token(ADA, "verify_address").await;
    assert_eq!(verify(&app, &token).await.status, 200);
    assert_eq!(app.post("/api/v1/auth/login", None, &body).await.status, 200);
}

#[tokio::test]
async fn registering_and_signing_in_tells_nobody_who_has_an_account_where_addresses_are_proven() {
    // Of a fixed clock, since a time ends in a zero now and then, and is printed a character shorter.
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |settings| settings.require_verified_email = true).await;
    let of = |email: &str, password: &str| json!({"email": email, "password": password});
    let proven = of("bob@example.com", PASSWORD);
    assert_eq!(app.post("/api/v1/auth/register", None, &proven).await.status, 201);
    app.verify("bob@example.com").await;
    let mut seen = Vec::new();
    for email in ["bob@example.com", ADA] {
        let guess = of(email, "vT7q-kz4RmeX");
        let mut answers = vec![visible(&app.post("/api/v1/auth/register", None, &guess).await)];
        // The throttle counts both alike.
        for _ in 0..7 {
            let answer = app.post("/api/v1/auth/login", None, &guess).await;
            answers.push((answer.status, vec![], 0));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].iter().map(|answer| answer.0).collect::<Vec<_>>(), [201, 401, 401, 401, 401, 401, 429, 429]);
    let letters = app.letters().await;
    let reminders = letters.iter().filter(|(to, letter)| to == ADA && letter.template() == "verify_address").count();
    assert_eq!(reminders, 5, "the first, and as many as an address gets");
}

#[tokio::test]
async fn who_gets_the_letter_of_a_stranger_confirms_nothing_and_takes_the_account_over() {
    let app = frozen().await;
    // Somebody registers with Ada's address, and waits.
    let stranger = app.member(ADA).await;
    let key = app.api_key(&stranger.token, &["tools:read"]).await;
    let token = app.mailed_token(ADA, "verify_address").await;
    let page = open(&app, &token, "text/html").await;
    assert!(page.text.contains("name=\"password\"") && page.text.contains("/account/reset-password"), "{}", page.text);
    // Ada presses the button.
    for fields in [vec![("token", token.as_str())], vec![("token", token.as_str()), ("password", "of Ada, not of Eve")]]
    {
        let pressed = app.submit(PATH, &fields).await;
        assert_eq!((pressed.status, pressed.header("content-type")), (400, Some("text/html; charset=utf-8")));
        assert!(pressed.text.contains("role=\"alert\"") && !pressed.text.contains("not of Eve"), "{}", pressed.text);
    }
    let body = json!({"token": token, "password": "of Ada, not of Eve"});
    app.post(PATH, None, &body).await.assert_field("password", "wrong_password");
    app.post(PATH, None, &json!({"token": token})).await.assert_field("password", "missing_field");
    assert!(!is_verified(&app, &stranger.token).await);
    // She takes the account over instead: nothing of the stranger's is left.
    assert_eq!(app.post("/api/v1/account/forgot-password", None, &json!({"email": ADA})).await.status, 202);
    let reset = json!({"token": app.mailed_token(ADA, "reset_password").await, "password": "vT7q-kz4RmeX"});
    assert_eq!(app.post("/api/v1/account/reset-password", None, &reset).await.status, 200);
    let login = json!({"email": ADA, "password": PASSWORD});
    app.post("/api/v1/auth/login", None, &login).await.assert_problem(401, "wrong_credentials");
    for credentials in [&stranger.token, &key] {
        assert_eq!(app.get("/api/v1/auth/me", Some(credentials)).await.status, 401);
    }
}

#[tokio::test]
async fn guesses_at_the_password_of_a_letter_are_counted_as_those_of_a_login() {
    let app = TestApp::spawn().await;
    app.member(ADA).await;
    let token = app.mailed_token(ADA, "verify_address").await;
    let guess = async || app.post(PATH, None, &json!({"token": token, "password": "not the password"})).await.status;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(guess().await);
    }
    assert_eq!(statuses, [400, 400, 400, 400, 400, 429, 429]);
}
