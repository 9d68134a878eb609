//! Who gets an account by signing in with a provider, and who does not.

use serde_json::{Value, json};

use super::{Stage, stand_in::IdToken};
use crate::harness::{Answer, PASSWORD};

/// The problem without what differs between any two requests.
fn blind(answer: &Answer) -> Value {
    let mut body = answer.json();
    body["request_id"].take();
    body
}

#[tokio::test]
async fn an_address_that_the_provider_does_not_vouch_for_makes_nobody() {
    let stage = Stage::new().await;
    stage.provider.state().verified = json!(false);
    for provider in ["github", "google"] {
        stage.sign_in(provider).await.assert_problem(403, "email_unverified");
    }
    // A text is no truth value.
    stage.provider.state().forge = |token| token.claims["email_verified"] = json!("true");
    stage.sign_in("google").await.assert_problem(403, "email_unverified");
    stage.provider.state().forge = |token| token.claims["email"] = json!({"a": 1});
    stage.sign_in("google").await.assert_problem(403, "email_unverified");
    stage.provider.state().verified = json!(true);
    stage.provider.state().forge = |_| {};
    for email in ["", "ada", "a b@example.com", "ada@example.com\r\nBcc: x@example.com", &"x".repeat(300)] {
        stage.provider.state().email = email.to_owned();
        for provider in ["github", "google"] {
            stage.sign_in(provider).await.assert_problem(403, "email_unverified");
        }
    }
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn who_registers_a_strangers_address_gains_nothing_by_it() {
    let stage = Stage::new().await;
    // The attacker is first, with a password of the attacker's; the address is never proven.
    let attacker = stage.app.member("ada@example.com").await;
    let unproven = stage.sign_in("google").await;
    unproven.assert_problem(409, "account_exists");
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 0);
    assert_eq!(stage.count("SELECT count(*) FROM sessions").await, 1);
    let me = stage.app.get("/api/v1/auth/me", Some(&attacker.token)).await;
    assert_eq!(me.json()["id"], attacker.user_id.as_str());
    // Nor does the answer tell whether the address was proven here.
    let client = stage.app.database.connect().await;
    client.execute("UPDATE users SET email_verified_at = now()", &[]).await.unwrap();
    for provider in ["google", "github"] {
        let proven = stage.sign_in(provider).await;
        assert_eq!((proven.status, blind(&proven)), (unproven.status, blind(&unproven)));
    }
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 0);
}

#[tokio::test]
async fn an_account_of_a_provider_has_no_password() {
    let stage = Stage::new().await;
    assert_eq!(stage.sign_in("github").await.status, 200);
    for password in ["", PASSWORD] {
        let body = json!({"email": "ada@example.com", "password": password});
        stage.app.post("/api/v1/auth/login", None, &body).await.assert_problem(401, "wrong_credentials");
    }
}

#[tokio::test]
async fn one_of_many_first_sign_ins_at_once_makes_the_account() {
    let stage = Stage::new().await;
    let tries = (0..12).map(|_| stage.sign_in("github"));
    let answers = futures_util::future::join_all(tries).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(stage.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM organizations").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM sessions").await, 12);
}

#[tokio::test]
async fn who_may_not_sign_in_may_not_with_a_provider_either() {
    let stage = Stage::new().await;
    stage.sign_in("github").await;
    let client = stage.app.database.connect().await;
    for (off, on) in [
        ("UPDATE users SET disabled_at = now()", "UPDATE users SET disabled_at = NULL"),
        (
            "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'",
            "UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL",
        ),
    ] {
        client.execute(off, &[]).await.unwrap();
        stage.sign_in("github").await.assert_problem(400, "sign_in_refused");
        client.execute(on, &[]).await.unwrap();
        assert_eq!(stage.sign_in("github").await.status, 200);
    }
    assert_eq!(stage.count("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn a_name_from_a_provider_that_nobody_may_have_gives_way_to_the_address() {
    let stage = Stage::new().await;
    let names = async || {
        let sql = "SELECT u.name, o.name FROM users AS u JOIN memberships AS m ON m.user_id = u.id
                   JOIN organizations AS o ON o.id = m.organization_id ORDER BY u.created_at DESC, u.id DESC LIMIT 1";
        let row = stage.app.database.connect().await.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), row.get::<_, String>(1));
        row.get::<_, String>(0)
    };
    type Forgery = (fn(&mut IdToken), &'static str);
    let forgeries: [Forgery; 4] = [
        (|token| token.claims["name"] = json!(" A\u{0}d\u{1b}[31ma\r\nBcc: x \u{7f}"), "p0@example.com"),
        (|token| token.claims["name"] = json!("\u{0}\n \u{85}"), "p1@example.com"),
        (|token| token.claims["name"] = json!("\u{5bc6}".repeat(500)), "p2@example.com"),
        (|token| token.claims["name"] = json!(" Ada "), "Ada"),
    ];
    for (number, (forge, wanted)) in forgeries.into_iter().enumerate() {
        {
            let mut state = stage.provider.state();
            (state.forge, state.subject) = (forge, 100 + u64::try_from(number).unwrap());
            state.email = format!("p{number}@example.com");
        }
        let signed_in = stage.sign_in("google").await;
        assert_eq!(signed_in.status, 200, "{wanted}: {}", signed_in.text);
        assert_eq!(names().await, wanted);
        stage.app.clock.advance(jiff::SignedDuration::from_secs(1));
    }
}
