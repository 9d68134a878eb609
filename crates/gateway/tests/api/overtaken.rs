//! Logins that something overtakes: the password is checked, and before there is a session the person loses what the login
//! rests on.

use std::time::{Duration, Instant};

use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, PASSWORD, TestApp};

const ADA: &str = "ada@example.com";
const PUT_ON: &str = "UPDATE users SET totp_secret = '\\x01', totp_enabled_at = now()";

/// Waits until a statement waits for a lock in this database.
pub(crate) async fn until_somebody_waits(app: &TestApp) {
    let client = app.database.connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = Instant::now();
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the login never came to the lock");
        tokio::task::yield_now().await;
    }
}

/// A login of Ada's whose password is found right, and which goes on after `sql` alone.
async fn login_overtaken_by(app: &TestApp, sql: &str) -> Answer {
    let mut client = app.database.connect().await;
    let overtaking = client.transaction().await.unwrap();
    overtaking.execute("SELECT FROM organization_counters FOR UPDATE", &[]).await.unwrap();
    let body = json!({"email": ADA, "password": PASSWORD});
    let login = app.post("/api/v1/auth/login", None, &body);
    let overtake = async {
        until_somebody_waits(app).await;
        assert!(overtaking.execute(sql, &[]).await.unwrap() > 0, "{sql}");
        overtaking.commit().await.unwrap();
    };
    tokio::join!(login, overtake).0
}

async fn frozen() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

async fn count(app: &TestApp, table: &str) -> i64 {
    app.database.connect().await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_login_opens_nothing_after_its_password_person_or_membership_is_gone() {
    for sql in [
        "UPDATE users SET password_hash = 'another', password_changed_at = now()",
        "UPDATE users SET password_hash = NULL",
        "UPDATE users SET disabled_at = now()",
        "DELETE FROM memberships",
        "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'",
    ] {
        for has_factor in [false, true] {
            let app = frozen().await;
            app.member(ADA).await;
            if has_factor {
                app.database.connect().await.execute(PUT_ON, &[]).await.unwrap();
            }
            login_overtaken_by(&app, sql).await.assert_problem(401, "wrong_credentials");
            assert_eq!((count(&app, "sessions").await, count(&app, "mfa_challenges").await), (1, 0), "{sql}");
        }
    }
}

#[tokio::test]
async fn a_login_that_a_second_factor_overtakes_waits_for_its_code() {
    let app = frozen().await;
    app.member(ADA).await;
    let answer = login_overtaken_by(&app, PUT_ON).await;
    assert_eq!((answer.status, &answer.json()["mfa_required"]), (200, &Value::Bool(true)), "{}", answer.text);
    assert_eq!(count(&app, "sessions").await, 1);
}
