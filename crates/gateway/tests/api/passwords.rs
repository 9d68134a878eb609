//! Changing a password, and setting a forgotten one anew.

use jiff::SignedDuration;
use picket_domain::Letter;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, PASSWORD, TestApp},
    registration::visible,
};

const ADA: &str = "ada@example.com";
const NEW: &str = "vT7q-kz4RmeX";
const RESET: &str = "/api/v1/account/reset-password";

async fn frozen() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

async fn forgotten(app: &TestApp, email: &str) -> Answer {
    app.post("/api/v1/account/forgot-password", None, &json!({"email": email})).await
}

async fn reset(app: &TestApp, token: &str, password: &str) -> Answer {
    app.post(RESET, None, &json!({"token": token, "password": password})).await
}

async fn login(app: &TestApp, password: &str) -> u16 {
    app.post("/api/v1/auth/login", None, &json!({"email": ADA, "password": password})).await.status
}

async fn change(app: &TestApp, member: &Member, body: &Value) -> Answer {
    app.request("PUT", "/api/v1/auth/change-password", Some(&member.token), |request| request.json(body)).await
}

async fn me(app: &TestApp, credential: &str) -> Answer {
    app.get("/api/v1/auth/me", Some(credential)).await
}

async fn entries(app: &TestApp, action: &str) -> Vec<Value> {
    let sql = "SELECT entry FROM audit_log WHERE action = $1 ORDER BY sequence";
    let rows = app.database.connect().await.query(sql, &[&action]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
}

#[tokio::test]
async fn a_change_of_the_password_ends_every_other_session_and_no_key() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let second = app.member("bob@example.com").await;
    app.join(&member, &second.organization_id, "viewer").await;
    let other = app.sign_in(ADA).await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    assert_eq!(me(&app, &other).await.status, 200);
    assert_eq!(forgotten(&app, ADA).await.status, 202);
    let mailed = app.mailed_token(ADA, "reset_password").await;

    let changed = change(&app, &member, &json!({"current_password": PASSWORD, "new_password": NEW})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json(), json!({"sessions_revoked": 1, "api_keys_revoked": 0}));
    assert_eq!((me(&app, &other).await.status, me(&app, &member.token).await.status), (401, 200));
    assert_eq!(me(&app, &key).await.status, 200);
    assert_eq!((login(&app, PASSWORD).await, login(&app, NEW).await), (401, 200));
    reset(&app, &mailed, "qN5w-pb8TzsK").await.assert_field("token", "invalid_token");

    let written = entries(&app, "user.password_changed").await;
    assert_eq!((written.len(), &written[0]["object"]), (2, &json!(member.user_id)), "in both organizations");
    assert!(
        app.letters().await.iter().any(|(to, letter)| to == ADA
            && matches!(letter, Letter::PasswordChanged { address, .. } if address == "127.0.0.1"))
    );

    let body = json!({"current_password": NEW, "new_password": "qN5w-pb8TzsK", "revoke_api_keys": true});
    let again = change(&app, &member, &body).await;
    assert_eq!(again.json()["api_keys_revoked"], 1, "{}", again.text);
    assert_eq!(me(&app, &key).await.status, 401);
}

#[tokio::test]
async fn only_who_knows_the_password_changes_it_and_a_weak_one_is_refused() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let body = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    change(&app, &member, &body(PASSWORD, "short")).await.assert_field("new_password", "invalid_length");
    change(&app, &member, &body(PASSWORD, "password1234")).await.assert_field("new_password", "weak_password");
    for _ in 0..5 {
        change(&app, &member, &body("wrong", NEW)).await.assert_field("current_password", "wrong_password");
    }
    // Counted with the logins of the same account.
    let throttled = change(&app, &member, &body(PASSWORD, NEW)).await;
    throttled.assert_problem(429, "rate_limited");
    assert!(throttled.header("retry-after").is_some());
    assert_eq!(login(&app, PASSWORD).await, 429);
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_told_to_look_again() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let bodies = [NEW, "qN5w-pb8TzsK"].map(|new| json!({"current_password": PASSWORD, "new_password": new}));
    let (one, two) = tokio::join!(change(&app, &member, &bodies[0]), change(&app, &member, &bodies[1]));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    // The later one finds another password: before it looks (400), or when it stores (409).
    assert!(statuses[0] == 200 && [400, 409].contains(&statuses[1]), "{} {}", one.text, two.text);
    assert_eq!(entries(&app, "user.password_changed").await.len(), 1);
}

#[tokio::test]
async fn who_has_no_password_is_told_how_to_get_one_and_gets_it() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let client = app.database.connect().await;
    client.execute("UPDATE users SET password_hash = NULL", &[]).await.unwrap();
    assert_eq!(login(&app, PASSWORD).await, 401);
    let refused = change(&app, &member, &json!({"current_password": PASSWORD, "new_password": NEW})).await;
    refused.assert_field("current_password", "no_password");
    assert!(refused.text.contains("forgot-password"));
    assert_eq!(forgotten(&app, ADA).await.status, 202);
    let token = app.mailed_token(ADA, "reset_password").await;
    assert_eq!(reset(&app, &token, NEW).await.status, 200);
    assert_eq!(login(&app, NEW).await, 200);
}

#[tokio::test]
async fn who_asks_for_a_new_password_learns_nothing() {
    let app = frozen().await;
    app.member(ADA).await;
    app.member("gone@example.com").await;
    let client = app.database.connect().await;
    client.execute("UPDATE users SET disabled_at = now() WHERE email LIKE 'gone@%'", &[]).await.unwrap();
    let before = app.letters().await.len();
    let known = visible(&forgotten(&app, "ADA@example.com").await);
    assert_eq!(known.0, 202);
    for email in ["nobody@example.com", "gone@example.com"] {
        assert_eq!(known, visible(&forgotten(&app, email).await), "{email}");
    }
    let letters = app.letters().await;
    assert_eq!(letters.len(), before + 1);
    assert_eq!(letters[before].0, ADA);
    forgotten(&app, "nobody").await.assert_field("email", "invalid_email");
}

#[tokio::test]
async fn a_reset_ends_every_session_and_leaves_the_second_factor_on() {
    let app = frozen().await;
    let member = app.member(ADA).await;
    let verification = app.mailed_token(ADA, "verify_address").await;
    let verified =
        app.post("/api/v1/auth/verify-email", None, &json!({"token": verification, "password": PASSWORD})).await;
    assert_eq!(verified.status, 200);
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let client = app.database.connect().await;
    let enable = "UPDATE users SET totp_secret = '\\x01', totp_enabled_at = now()";
    client.execute(enable, &[]).await.unwrap();
    app.member("bob@example.com").await;
    let join = "INSERT INTO memberships (organization_id, user_id, role, created_at)
                SELECT m.organization_id, u.id, 'viewer', now() FROM memberships AS m, users AS u
                WHERE u.email = $1 AND m.user_id <> u.id";
    assert_eq!(client.execute(join, &[&ADA]).await.unwrap(), 1);
    assert_eq!(forgotten(&app, ADA).await.status, 202);
    let token = app.mailed_token(ADA, "reset_password").await;

    reset(&app, &token, "short").await.assert_field("password", "invalid_length");
    reset(&app, &token, "ada@example.com").await.assert_field("password", "weak_password");
    let done = reset(&app, &token, NEW).await;
    assert_eq!((done.status, done.json()), (200, json!({"sessions_revoked": 1, "api_keys_revoked": 0})));
    assert_eq!(me(&app, &member.token).await.status, 401);
    assert_eq!(me(&app, &key).await.status, 200, "a key of somebody whose address was proven goes on");
    assert_eq!(login(&app, PASSWORD).await, 401);
    let challenged = app.post("/api/v1/auth/login", None, &json!({"email": ADA, "password": NEW})).await;
    assert_eq!((challenged.status, &challenged.json()["mfa_required"]), (200, &json!(true)));
    reset(&app, &token, NEW).await.assert_field("token", "invalid_token");
    let written = entries(&app, "user.password_reset").await;
    assert_eq!((written.len(), &written[0]["actor"]), (2, &json!(member.user_id)), "in both organizations");
    let last = app.letters().await.pop().unwrap();
    assert!(last.0 == ADA && matches!(last.1, Letter::PasswordChanged { .. }), "{last:?}");
}

#[tokio::test]
async fn a_reset_takes_an_account_away_from_who_registered_with_a_foreign_address() {
    let app = frozen().await;
    let thief = app.member(ADA).await;
    let key = app.api_key(&thief.token, &["tools:read"]).await;
    // A provider's account, a second factor, one more that waits, and a login that waits: all of the thief's.
    let client = app.database.connect().await;
    for sql in [
        "INSERT INTO identities SELECT p, 'thief', id, 'x@example.com', now(), now() FROM users, unnest('{github,google}'::text[]) AS p",
        "UPDATE users SET totp_secret = '\\x01', totp_pending = '\\x02', totp_enabled_at = now(), totp_step = 5, totp_failures = ARRAY[now()]",
        "INSERT INTO mfa_backup_codes SELECT id, sha256(n::text::bytea), NULL FROM users, generate_series(1, 3) AS n",
    ] {
        client.execute(sql, &[]).await.unwrap();
    }
    let waiting = app.post("/api/v1/auth/login", None, &json!({"email": ADA, "password": PASSWORD})).await;
    assert_eq!(waiting.json()["mfa_required"], true, "{}", waiting.text);
    assert_eq!(forgotten(&app, ADA).await.status, 202);
    let token = app.mailed_token(ADA, "reset_password").await;
    assert_eq!(reset(&app, &token, NEW).await.json()["api_keys_revoked"], 1);
    assert_eq!((me(&app, &thief.token).await.status, me(&app, &key).await.status), (401, 401));
    assert_eq!(login(&app, PASSWORD).await, 401);
    let left = "SELECT (SELECT count(*) FROM identities) + (SELECT count(*) FROM mfa_backup_codes)
                     + (SELECT count(*) FROM mfa_challenges WHERE used_at IS NULL)
                     + (SELECT count(*) FROM users WHERE totp_secret IS NOT NULL OR totp_pending IS NOT NULL
                        OR totp_enabled_at IS NOT NULL OR totp_step IS NOT NULL OR totp_failures <> '{}')";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0, "of what the thief put there");
    let after = &entries(&app, "user.password_reset").await[0]["after"];
    let counts = ["identities_unlinked", "factors_removed", "backup_codes_removed"].map(|name| after[name].as_i64());
    assert_eq!(counts, [Some(2), Some(1), Some(3)]);
    // Without a second factor again.
    let owner = app.post("/api/v1/auth/login", None, &json!({"email": ADA, "password": NEW})).await.json();
    let profile = me(&app, owner["access_token"].as_str().unwrap()).await.json();
    assert_eq!(profile["email_verified"], true, "the letter arrived");
}

#[tokio::test]
async fn what_a_person_proved_before_stays_through_a_reset() {
    let app = frozen().await;
    app.member(ADA).await;
    app.verify(ADA).await;
    let client = app.database.connect().await;
    let link = "INSERT INTO identities SELECT 'github', 'ada', id, email, now(), now() FROM users";
    client.execute(link, &[]).await.unwrap();
    assert_eq!(forgotten(&app, ADA).await.status, 202);
    let token = app.mailed_token(ADA, "reset_password").await;
    assert_eq!(reset(&app, &token, NEW).await.status, 200);
    let count = client.query_one("SELECT count(*) FROM identities", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 1);
    assert_eq!(entries(&app, "user.password_reset").await[0]["after"]["identities_unlinked"], 0);
}

#[tokio::test]
async fn of_fifty_who_reset_with_one_token_at_once_one_does() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |settings| {
        settings.threads = 2;
        settings.password_threads = 4;
    })
    .await;
    app.member(ADA).await;
    assert_eq!(forgotten(&app, ADA).await.status, 202);
    let token = app.mailed_token(ADA, "reset_password").await;
    let password = |number: usize| format!("{NEW}-{number}");
    let resets = (0..50).map(|number| {
        let (app, token) = (&app, &token);
        async move { reset(app, token, &password(number)).await }
    });
    let answers = futures_util::future::join_all(resets).await;
    let won: Vec<usize> = answers.iter().enumerate().filter(|(_, one)| one.status == 200).map(|(at, _)| at).collect();
    assert_eq!(won.len(), 1, "{won:?}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_field("token", "invalid_token");
    }
    assert_eq!(login(&app, &password(won[0])).await, 200);
    assert_eq!(entries(&app, "user.password_reset").await.len(), 1);
}

#[tokio::test]
async fn a_link_ends_after_an_hour_with_the_next_letter_and_with_the_address() {
    let app = frozen().await;
    app.member(ADA).await;
    let link = async || {
        assert_eq!(forgotten(&app, ADA).await.status, 202);
        app.clock.advance(SignedDuration::from_secs(1));
        app.mailed_token(ADA, "reset_password").await
    };
    let (first, second) = (link().await, link().await);
    reset(&app, &first, NEW).await.assert_field("token", "invalid_token");
    app.clock.advance(SignedDuration::from_mins(60));
    reset(&app, &second, NEW).await.assert_field("token", "invalid_token");
    let third = link().await;
    let client = app.database.connect().await;
    client.execute("UPDATE users SET email = 'ada@new.example'", &[]).await.unwrap();
    reset(&app, &third, NEW).await.assert_field("token", "invalid_token");
    assert_eq!(entries(&app, "user.password_reset").await.len(), 0);
}

#[tokio::test]
async fn a_browser_resets_by_forms_alone() {
    let app = frozen().await;
    app.member(ADA).await;
    let page = app.request("GET", RESET, None, |request| request.header("accept", "text/html")).await;
    assert!(page.status == 200 && page.text.contains("action=\"/api/v1/account/forgot-password\""), "{}", page.text);
    let sent = app.submit("/api/v1/account/forgot-password", &[("email", ADA)]).await;
    assert_eq!((sent.status, sent.header("content-type")), (202, Some("text/html; charset=utf-8")));
    let token = app.mailed_token(ADA, "reset_password").await;
    let page = app.get(&format!("{RESET}?token={token}"), None).await;
    assert!(page.status == 200 && page.text.contains(&format!("value=\"{token}\"")), "{}", page.text);
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"));
    let hostile = app.get(&format!("{RESET}?token=%22%3E%3Cscript%3E"), None).await;
    assert!(hostile.status == 400 && !hostile.text.contains("<script"), "{}", hostile.text);

    let weak = app.submit(RESET, &[("token", &token), ("password", "password1234")]).await;
    assert!(weak.status == 400 && weak.text.contains("role=\"alert\"") && weak.text.contains(&token), "{}", weak.text);
    let twice = app.submit(RESET, &[("token", &token), ("password", NEW), ("password", PASSWORD)]).await;
    assert_eq!(twice.status, 400);
    let done = app.submit(RESET, &[("token", &token), ("password", NEW)]).await;
    assert!(done.status == 200 && done.text.contains("Your password is set"), "{}", done.text);
    let again = app.submit(RESET, &[("token", &token), ("password", NEW)]).await;
    assert!(again.status == 400 && again.text.contains("Ask for another letter"), "{}", again.text);
    assert_eq!(login(&app, NEW).await, 200);
}
