//! Second factors. The app of a person is a secret and the test's clock.

mod enrolment;
mod login;
mod management;
mod races;
mod secrets;

use jiff::{SignedDuration, Timestamp};
use picket_domain::{OrganizationId, UserId};
use picket_kit::Clock;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::harness::{Answer, Member, PASSWORD, TestApp};

const ADA: &str = "ada@example.com";
const SETUP: &str = "/api/v1/auth/mfa/setup";
const VERIFY_SETUP: &str = "/api/v1/auth/mfa/verify-setup";
const VERIFY: &str = "/api/v1/auth/mfa/verify";
const STATUS: &str = "/api/v1/auth/mfa/status";
const DISABLE: &str = "/api/v1/auth/mfa/disable";
const REGENERATE: &str = "/api/v1/auth/mfa/regenerate-backup";
const ME: &str = "/api/v1/auth/me";

/// Somebody whose second factor is on.
struct Enrolled {
    member: Member,
    secret: String,
    backup_codes: Vec<String>,
}

async fn fixed() -> TestApp {
    // Many at once is what is tested here; the throttle of passwords has tests of its own.
    let many = |settings: &mut picket_gateway::GatewaySettings| {
        (settings.login_tries_per_account, settings.login_tries_per_address) = (1_000, 1_000);
    };
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), many).await
}

/// What an app with this secret shows at a time.
fn code_at(secret: &str, at: Timestamp) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let app = Builder::new().with_secret(secret).build().unwrap();
    app.generate(at.as_second().try_into().unwrap()).to_string()
}

/// What it shows so many steps from now.
fn code(app: &TestApp, secret: &str, steps: i64) -> String {
    code_at(secret, app.clock.now() + SignedDuration::from_secs(30 * steps))
}

/// A code that is none of now or of the neighbours.
fn wrong_code(app: &TestApp, secret: &str) -> String {
    let near: Vec<String> = (-1..=1).map(|step| code(app, secret, step)).collect();
    (0..).map(|number| format!("{number:06}")).find(|code| !near.contains(code)).unwrap()
}

/// The next step: a code that was used lies behind.
fn next_step(app: &TestApp) {
    app.clock.advance(SignedDuration::from_secs(30));
}

async fn set_up(app: &TestApp, token: &str) -> String {
    let answer = app.post(SETUP, Some(token), &json!({"password": PASSWORD})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["secret"].as_str().unwrap().to_owned()
}

fn codes_of(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["backup_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// Registers somebody with a second factor; the clock is past the step that put it on.
async fn enrolled(app: &TestApp, email: &str) -> Enrolled {
    let member = app.member(email).await;
    let secret = set_up(app, &member.token).await;
    let answer = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(app, &secret, 0)})).await;
    let backup_codes = codes_of(&answer);
    next_step(app);
    Enrolled { member, secret, backup_codes }
}

/// A login that waits for its second factor.
async fn challenge(app: &TestApp, email: &str) -> String {
    let answer = app.post("/api/v1/auth/login", None, &json!({"email": email, "password": PASSWORD})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    assert_eq!((body["mfa_required"].as_bool(), body["expires_in"].as_i64()), (Some(true), Some(300)), "{body}");
    assert!(body.get("access_token").is_none() && body.get("refresh_token").is_none(), "{body}");
    body["mfa_token"].as_str().unwrap().to_owned()
}

async fn verify(app: &TestApp, token: &str, code: &str) -> Answer {
    app.post(VERIFY, None, &json!({"mfa_token": token, "code": code})).await
}

/// Logs in with both factors.
async fn session(app: &TestApp, enrolled: &Enrolled) -> String {
    let waiting = challenge(app, ADA).await;
    let answer = verify(app, &waiting, &code(app, &enrolled.secret, 0)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    next_step(app);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn status(app: &TestApp, token: &str) -> Value {
    let answer = app.get(STATUS, Some(token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// A number that the database counts.
async fn count(app: &TestApp, sql: &str) -> i64 {
    app.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
}

async fn audited(app: &TestApp, member: &Member, action: &str) -> i64 {
    let organization: OrganizationId = member.organization_id.parse().unwrap();
    let sql = "SELECT count(*) FROM audit_log WHERE organization_id = $1 AND action = $2 AND actor = $3";
    let client = app.database.connect().await;
    client.query_one(sql, &[&organization.uuid(), &action, &member.user_id]).await.unwrap().get(0)
}

/// Takes the password away, as from somebody who signs in through a provider.
async fn forget_password(app: &TestApp, member: &Member) {
    let user: UserId = member.user_id.parse().unwrap();
    let client = app.database.connect().await;
    let changed = client.execute("UPDATE users SET password_hash = NULL WHERE id = $1", &[&user.uuid()]).await;
    assert_eq!(changed.unwrap(), 1);
}

async fn demand_factor(app: &TestApp) {
    app.database.connect().await.execute("UPDATE organizations SET require_mfa = true", &[]).await.unwrap();
}
