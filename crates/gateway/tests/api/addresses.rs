//! Having another address: two letters, one token, and what is left of the address before.

use jiff::SignedDuration;
use picket_domain::Letter;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, PASSWORD, TestApp},
    registration::visible,
};

const PATH: &str = "/api/v1/account/email";
const CONFIRM: &str = "/api/v1/account/confirm-email";
const ADA: &str = "ada@example.com";
const NEW: &str = "ada@example.org";

async fn frozen() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

async fn ask(app: &TestApp, token: &str, email: &str) -> Answer {
    let body = json!({"email": email, "password": PASSWORD});
    app.request("PUT", PATH, Some(token), |request| request.json(&body)).await
}

async fn confirm(app: &TestApp, token: &str) -> Answer {
    app.post(CONFIRM, None, &json!({"token": token})).await
}

async fn login(app: &TestApp, email: &str) -> u16 {
    app.post("/api/v1/auth/login", None, &json!({"email": email, "password": PASSWORD})).await.status
}

async fn me(app: &TestApp, token: &str) -> Value {
    app.get("/api/v1/auth/me", Some(token)).await.json()
}

/// To whom letters went since the first `skipped`, by template.
async fn letters(app: &TestApp, skipped: usize) -> Vec<(String, &'static str)> {
    app.letters().await.into_iter().skip(skipped).map(|(to, letter)| (to, letter.template())).collect()
}

async fn audited(app: &TestApp, action: &str) -> i64 {
    let client = app.database.connect().await;
    client.query_one("SELECT count(*) FROM audit_log WHERE action = $1", &[&action]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_address_changes_when_its_letter_is_answered_and_sessions_stay() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let bob = app.member("bob@example.com").await;
    app.join(&member, &bob.organization_id, "viewer").await;
    assert_eq!(app.post("/api/v1/account/forgot-password", None, &json!({"email": ADA})).await.status, 202);
    let (verify, reset) =
        (app.mailed_token(ADA, "verify_address").await, app.mailed_token(ADA, "reset_password").await);
    let before = app.letters().await.len();
    let asked = ask(&app, &member.token, NEW).await;
    assert_eq!((asked.status, asked.json()), (202, json!({"status": "accepted"})));
    let expected = [(NEW.to_owned(), "confirm_new_address"), (ADA.to_owned(), "address_change_asked")];
    assert_eq!(letters(&app, before).await, expected);
    assert_eq!(me(&app, &member.token).await["email"], ADA, "nothing changed yet");
    assert_eq!((login(&app, ADA).await, login(&app, NEW).await), (200, 401));

    let token = app.mailed_token(NEW, "confirm_new_address").await;
    let page =
        app.request("GET", &format!("{CONFIRM}?token={token}"), None, |one| one.header("accept", "text/html")).await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    assert_eq!(me(&app, &member.token).await["email"], ADA, "a link that is opened changes nothing");
    let changed = confirm(&app, &token).await;
    assert_eq!((changed.status, changed.json()), (200, json!({"email": NEW})));
    let now = me(&app, &member.token).await;
    assert_eq!((&now["email"], &now["email_verified"]), (&json!(NEW), &json!(true)), "the session goes on");
    assert_eq!((login(&app, ADA).await, login(&app, NEW).await), (401, 200));
    assert_eq!(letters(&app, before + 2).await, [(ADA.to_owned(), "address_changed")]);
    for action in ["user.email_change_requested", "user.email_changed"] {
        assert_eq!(audited(&app, action).await, 2, "{action} in both organizations");
    }
    confirm(&app, &token).await.assert_field("token", "invalid_token");
    // What was mailed to the address before is worth nothing.
    let body = json!({"token": verify, "password": PASSWORD});
    app.post("/api/v1/auth/verify-email", None, &body).await.assert_field("token", "invalid_token");
    let body = json!({"token": reset, "password": "vT7q-kz4RmeX"});
    app.post("/api/v1/account/reset-password", None, &body).await.assert_field("token", "invalid_token");
    // And free for somebody else.
    app.member(ADA).await;
}

#[tokio::test]
async fn a_wish_needs_the_password_and_another_address() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let before = app.letters().await.len();
    let put = async |body: Value| app.request("PUT", PATH, Some(&member.token), |request| request.json(&body)).await;
    put(json!({"email": NEW})).await.assert_field("password", "missing_field");
    put(json!({"email": NEW, "password": "x"})).await.assert_problem(401, "wrong_credentials");
    put(json!({"email": "nobody", "password": PASSWORD})).await.assert_field("email", "invalid_email");
    put(json!({"email": ADA, "password": PASSWORD})).await.assert_field("email", "same_address");
    put(json!({"email": NEW, "password": PASSWORD, "user_id": "x"})).await.assert_problem(400, "invalid_request");
    assert_eq!(app.letters().await.len(), before);
    // Another spelling of one's own is another address to show, and nobody else's.
    assert_eq!(put(json!({"email": "Ada@Example.com", "password": PASSWORD})).await.status, 202);
    let token = app.mailed_token("Ada@Example.com", "confirm_new_address").await;
    assert_eq!(confirm(&app, &token).await.status, 200);
    assert_eq!(me(&app, &member.token).await["email"], "Ada@Example.com");
}

#[tokio::test]
async fn who_wishes_for_a_foreign_address_learns_nothing_and_writes_to_nobody() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    app.member("bob@example.com").await;
    let before = app.letters().await.len();
    let (free, taken) = (ask(&app, &member.token, NEW).await, ask(&app, &member.token, "BOB@example.com").await);
    assert_eq!(visible(&free), visible(&taken));
    let to: Vec<_> = letters(&app, before).await.into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [NEW, ADA, ADA]);
    // The wish before is void, whatever became of the next.
    let token = app.mailed_token(NEW, "confirm_new_address").await;
    confirm(&app, &token).await.assert_field("token", "invalid_token");
}

#[tokio::test]
async fn a_wish_ends_after_an_hour_with_the_next_one_and_with_the_password() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let wish = async || {
        // Of letters of the same moment, nobody could say which is the last.
        app.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(ask(&app, &member.token, NEW).await.status, 202);
        app.mailed_token(NEW, "confirm_new_address").await
    };
    let (first, second) = (wish().await, wish().await);
    confirm(&app, &first).await.assert_field("token", "invalid_token");
    app.clock.advance(SignedDuration::from_hours(1));
    confirm(&app, &second).await.assert_field("token", "invalid_token");
    let token = app.sign_in(ADA).await;
    assert_eq!(ask(&app, &token, NEW).await.status, 202);
    let third = app.mailed_token(NEW, "confirm_new_address").await;
    let body = json!({"current_password": PASSWORD, "new_password": "vT7q-kz4RmeX"});
    let changed = app.request("PUT", "/api/v1/auth/change-password", Some(&token), |request| request.json(&body)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    confirm(&app, &third).await.assert_field("token", "invalid_token");
    for other in ["", "ec_", "vt_x", &third.replacen("ec_", "pr_", 1)] {
        confirm(&app, other).await.assert_field("token", "invalid_token");
    }
}

#[tokio::test]
async fn an_address_that_somebody_took_meanwhile_is_not_given_twice() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    assert_eq!(ask(&app, &member.token, NEW).await.status, 202);
    let token = app.mailed_token(NEW, "confirm_new_address").await;
    app.member(NEW).await;
    confirm(&app, &token).await.assert_problem(409, "already_exists");
    let page = app.submit(CONFIRM, &[("token", &token)]).await;
    assert_eq!((page.status, page.header("content-type")), (400, Some("text/html; charset=utf-8")));
    assert_eq!(me(&app, &member.token).await["email"], ADA);
    assert_eq!(audited(&app, "user.email_changed").await, 0);
}

#[tokio::test]
async fn of_many_who_want_one_address_at_once_one_has_it_and_a_token_is_good_once() {
    let app = frozen().await;
    let mut tokens = Vec::new();
    for number in 0..4 {
        let member = app.member(&format!("p{number}@example.com")).await;
        app.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(ask(&app, &member.token, NEW).await.status, 202);
        tokens.push(app.mailed_token(NEW, "confirm_new_address").await);
    }
    let tries = tokens.iter().flat_map(|token| (0..5).map(|_| confirm(&app, token)));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert!([400, 409].contains(&refused.status), "{}", refused.text);
    }
    assert_eq!(audited(&app, "user.email_changed").await, 1);
}

#[tokio::test]
async fn nobody_fills_mailboxes_with_wishes() {
    let app = TestApp::spawn().await;
    let member = app.member(ADA).await;
    for number in 0..5 {
        assert_eq!(ask(&app, &member.token, &format!("p{number}@example.org")).await.status, 202);
    }
    let before = app.letters().await.len();
    let refused = ask(&app, &member.token, "p5@example.org").await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert_eq!(app.letters().await.len(), before);
    // Five people who want the same address write there five times as well.
    for number in 0..6 {
        let one = app.member(&format!("q{number}@example.com")).await;
        assert_eq!(ask(&app, &one.token, "victim@example.org").await.status, 202);
    }
    let at_victim =
        |(to, letter): &&(String, Letter)| to == "victim@example.org" && letter.template() == "confirm_new_address";
    assert_eq!(app.letters().await.iter().filter(at_victim).count(), 5);
}
