//! Who guesses passwords waits.

use picket_kit::Clock;
use picket_live::{Live, LiveSettings};
use picket_testkit::{Namespace, required};
use serde_json::json;

use crate::{
    harness::{Answer, PASSWORD, TestApp, dead_redis},
    registration::visible,
};

const ADA: &str = "ada@example.com";

async fn behind_proxy() -> TestApp {
    TestApp::spawn_with(|settings| settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await
}

/// A login from an address that the proxy tells of.
async fn login_from(app: &TestApp, address: &str, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    app.request("POST", "/api/v1/auth/login", None, |request| request.header("x-forwarded-for", address).json(&body))
        .await
}

#[tokio::test]
async fn after_five_wrong_passwords_the_right_one_waits_and_a_stranger_elsewhere_locks_nobody_out() {
    let app = behind_proxy().await;
    app.member(ADA).await;
    for _ in 0..5 {
        let answer = login_from(&app, "192.0.2.7", ADA, "wrong").await;
        answer.assert_problem(401, "wrong_credentials");
    }
    let refused = login_from(&app, "192.0.2.7", ADA, PASSWORD).await;
    refused.assert_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((880..=900).contains(&wait), "{wait}");
    let neighbor = login_from(&app, "192.0.2.250", "ADA@example.com ", PASSWORD).await;
    neighbor.assert_problem(429, "rate_limited");
    // The person at home, and another person at the stranger's address.
    assert_eq!(login_from(&app, "198.51.100.1", ADA, PASSWORD).await.status, 200);
    app.member("bob@example.com").await;
    assert_eq!(login_from(&app, "192.0.2.7", "bob@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn unknown_people_are_counted_and_answered_as_known_ones() {
    let app = behind_proxy().await;
    app.member(ADA).await;
    let attempts = async |address: &str, email: &str| {
        let mut seen = Vec::new();
        for _ in 0..7 {
            let mut one = visible(&login_from(&app, address, email, "wrong").await);
            one.1.retain(|(name, _)| name != "retry-after");
            seen.push(one);
        }
        seen
    };
    let known = attempts("192.0.2.7", ADA).await;
    assert_eq!(known.iter().map(|one| one.0).collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(known, attempts("192.0.2.7", "nobody@example.com").await);
}

#[tokio::test]
async fn an_address_guesses_at_twenty_accounts_and_no_more() {
    let app = behind_proxy().await;
    app.member(ADA).await;
    let from = "2001:db8:1:1::7";
    for number in 0..20 {
        let email = format!("person{number}@example.com");
        assert_eq!(login_from(&app, from, &email, "wrong").await.status, 401, "{number}");
    }
    assert_eq!(login_from(&app, from, ADA, PASSWORD).await.status, 429);
    assert_eq!(login_from(&app, "2001:db8:1:1:ffff::1", ADA, PASSWORD).await.status, 429, "the same subscriber");
    assert_eq!(login_from(&app, "2001:db8:1:2::1", ADA, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_success_forgets_the_failures_of_its_account() {
    let app = behind_proxy().await;
    app.member(ADA).await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(login_from(&app, "192.0.2.7", ADA, "wrong").await.status, 401);
        }
        assert_eq!(login_from(&app, "192.0.2.7", ADA, PASSWORD).await.status, 200);
    }
}

#[tokio::test]
async fn fifty_guesses_at_once_are_five_guesses() {
    let app = TestApp::spawn().await;
    app.member(ADA).await;
    let body = json!({"email": ADA, "password": "wrong"});
    let guesses = (0..50).map(|_| app.post("/api/v1/auth/login", None, &body));
    let answers = futures_util::future::join_all(guesses).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (5, 45));
}

#[tokio::test]
async fn a_made_up_x_forwarded_for_gives_no_new_tries() {
    let app = TestApp::spawn().await;
    app.member(ADA).await;
    for number in 0..5 {
        assert_eq!(login_from(&app, &format!("198.51.{number}.1"), ADA, "wrong").await.status, 401);
    }
    for header in ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip"] {
        let body = json!({"email": ADA, "password": PASSWORD});
        let answer = app
            .request("POST", "/api/v1/auth/login", None, |request| request.header(header, "203.0.113.9").json(&body))
            .await;
        answer.assert_problem(429, "rate_limited");
    }
}

#[tokio::test]
async fn two_gateways_count_together_and_one_without_its_redis_lets_nobody_in() {
    let settings =
        LiveSettings { url: required("REDIS_URL").into(), key_prefix: Namespace::new().prefix, timeout_ms: 2_000 };
    let live = || Live::new(&settings).unwrap();
    let one = TestApp::start(Clock::system(), live(), |_| {}).await;
    let two = one.beside(live(), |_| {});
    one.member(ADA).await;
    let login = async |app: &TestApp, password: &str| {
        app.post("/api/v1/auth/login", None, &json!({"email": ADA, "password": password})).await
    };
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(login(&one, "wrong").await.status);
        statuses.push(login(&two, "wrong").await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);

    let away = one.beside(dead_redis(), |_| {});
    for password in [PASSWORD, "wrong"] {
        let refused = login(&away, password).await;
        refused.assert_problem(503, "unavailable");
        assert!(refused.header("retry-after").is_some());
    }
}
