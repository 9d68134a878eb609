//! Idempotency keys as `docs/contract.md` §9 prints them.

use futures_util::future::join_all;
use jiff::SignedDuration;
use picket_domain::Subscription;
use picket_gateway::GatewaySettings;
use picket_kit::Clock;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::harness::{Answer, Member, TestApp};

const SCANS_V1: &str = "/api/v1/scans/create";
const SCANS_V2: &str = "/api/v2/scans";
const KEYS: &str = "/api/v1/api-keys";

fn allow_loopback(settings: &mut GatewaySettings) {
    settings.allow_targets = vec!["127.0.0.0/8".to_owned()];
    settings.registration_plan = Subscription::Professional;
}

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), allow_loopback).await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

/// A POST under a key.
async fn post(app: &TestApp, path: &str, token: &str, key: &str, body: &Value) -> Answer {
    app.request("POST", path, Some(token), |request| request.header("Idempotency-Key", key).json(body)).await
}

fn scan(port: u16) -> Value {
    json!({"target": "127.0.0.1", "tool": "nmap", "parameters": {"ports": port.to_string()}})
}

async fn rows(app: &TestApp, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    app.database.connect().await.query_one(&sql, &[]).await.unwrap().get(0)
}

#[track_caller]
fn assert_replay(first: &Answer, replay: &Answer) {
    assert_eq!((first.status, &first.text), (replay.status, &replay.text));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    for name in ["content-type", "location"] {
        assert_eq!(first.header(name), replay.header(name), "{name}");
    }
}

#[tokio::test]
async fn fifty_at_once_under_one_key_make_one_scan() {
    let (app, member) = start().await;
    let other = app.replica(|_| {});
    let at = |number: usize| if number.is_multiple_of(2) { &app } else { &other };
    let body = scan(80);
    let answers = join_all((0..50).map(|number| post(at(number), SCANS_V1, &member.token, "same", &body))).await;
    let created: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    let fresh = created.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count();
    assert_eq!(fresh, 1);
    assert!(created.iter().all(|answer| answer.text == created[0].text));
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.assert_problem(409, "idempotency_in_flight");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!((rows(&app, "scans").await, rows(&app, "idempotency_keys").await), (1, 1));
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_before_in_both_dialects() {
    let (app, member) = start().await;
    for (path, body) in [
        (SCANS_V1, scan(80)),
        (SCANS_V2, json!({"target": "127.0.0.1"})),
        ("/api/v1/targets", json!({"target": "example.com"})),
        ("/api/v2/webhooks", json!({"url": "https://93.184.215.14/hook"})),
    ] {
        let first = post(&app, path, &member.token, "once", &body).await;
        assert_eq!(first.status, 201, "{path}: {}", first.text);
        assert_replay(&first, &post(&app, path, &member.token, "once", &body).await);
        let without = app.post(path, Some(&member.token), &body).await;
        assert!(without.header("idempotent-replayed").is_none() && without.text != first.text, "{path}");
    }
    let order = json!({"scan_ids": [1]});
    let first = post(&app, "/api/v2/reports", &member.token, "once", &order).await;
    assert_eq!(first.status, 202, "{}", first.text);
    assert_replay(&first, &post(&app, "/api/v2/reports", &member.token, "once", &order).await);
    assert_eq!(rows(&app, "reports").await, 1);
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let (app, member) = start().await;
    let first = post(&app, SCANS_V1, &member.token, "one", &scan(80)).await;
    assert_eq!(first.status, 201);
    let other = post(&app, SCANS_V1, &member.token, "one", &scan(81)).await;
    other.assert_problem(409, "idempotency_mismatch");
    let other = post(&app, &format!("{SCANS_V1}?x=1"), &member.token, "one", &scan(80)).await;
    other.assert_problem(409, "idempotency_mismatch");
    assert_eq!(rows(&app, "scans").await, 1);
}

#[tokio::test]
async fn a_replay_shows_a_key_only_to_somebody_who_signed_in_lately() {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, |settings| settings.access_token_minutes = 120).await;
    let member = app.member("ada@example.com").await;
    let (made, target) = (json!({"name": "ci", "scopes": ["tools:read"]}), json!({"target": "example.com"}));
    let first = post(&app, KEYS, &member.token, "once", &made).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let other = post(&app, "/api/v1/targets", &member.token, "once", &target).await;
    assert_replay(&first, &post(&app, KEYS, &member.token, "once", &made).await);
    app.clock.advance(SignedDuration::from_mins(61));
    post(&app, KEYS, &member.token, "once", &made).await.assert_problem(403, "login_required");
    // What needed no fresh login is replayed without one.
    assert_replay(&other, &post(&app, "/api/v1/targets", &member.token, "once", &target).await);
    let fresh = app.sign_in("ada@example.com").await;
    assert_replay(&first, &post(&app, KEYS, &fresh, "once", &made).await);
}

#[tokio::test]
async fn others_have_keys_of_their_own() {
    let (app, ada) = start().await;
    let bob = app.member("bob@example.com").await;
    let key = app.api_key(&ada.token, &["scans:write"]).await;
    let mut scans = Vec::new();
    for token in [&ada.token, &bob.token, &key] {
        let answer = post(&app, SCANS_V1, token, "mine", &scan(80)).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, None));
        scans.push(answer.json()["id"].clone());
    }
    let answer = post(&app, SCANS_V2, &ada.token, "mine", &json!({"target": "127.0.0.1"})).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, None), "another route");
    assert_eq!(rows(&app, "scans").await, 4);
    for (token, id) in [&ada.token, &bob.token, &key].into_iter().zip(scans) {
        assert_eq!(post(&app, SCANS_V1, token, "mine", &scan(80)).await.json()["id"], id);
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused_by_name() {
    let (app, member) = start().await;
    for key in ["", "two words", "tab\there", "x".repeat(256).as_str()] {
        post(&app, SCANS_V1, &member.token, key, &scan(80)).await.assert_field("Idempotency-Key", "invalid_value");
    }
    let twice = app
        .request("POST", SCANS_V1, Some(&member.token), |request| {
            request.header("Idempotency-Key", "a").header("Idempotency-Key", "b").json(&scan(80))
        })
        .await;
    twice.assert_field("Idempotency-Key", "invalid_value");
    let bytes = reqwest::header::HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap();
    let foreign = app
        .request("POST", SCANS_V1, Some(&member.token), |request| {
            request.header("Idempotency-Key", bytes).json(&scan(80))
        })
        .await;
    foreign.assert_field("Idempotency-Key", "invalid_value");
    assert_eq!((rows(&app, "scans").await, rows(&app, "idempotency_keys").await), (0, 0));
    assert_eq!(post(&app, SCANS_V1, &member.token, &"~".repeat(255), &scan(80)).await.status, 201);
    // Where nothing is created the header says nothing.
    let answer = app.request("GET", "/api/v1/scans", Some(&member.token), |r| r.header("Idempotency-Key", "")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_created_nothing_gives_its_key_back() {
    let (app, member) = start().await;
    post(&app, SCANS_V1, &member.token, "again", &json!({"target": "127.0.0.1"}))
        .await
        .assert_problem(400, "invalid_request");
    let viewer = app.api_key(&member.token, &["scans:read"]).await;
    post(&app, SCANS_V1, &viewer, "again", &scan(80)).await.assert_problem(403, "forbidden");
    app.post_raw_keyed(SCANS_V1, &member.token, "again", "{").await.assert_problem(400, "malformed_request");
    assert_eq!(rows(&app, "idempotency_keys").await, 0);
    let answer = post(&app, SCANS_V1, &member.token, "again", &scan(80)).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, None));
    let large = app.post_raw_keyed(SCANS_V1, &member.token, "large", vec![b' '; 1024 * 1024 + 1]).await;
    large.assert_problem(413, "too_large");
}

#[tokio::test]
async fn a_key_whose_gateway_died_is_taken_over_by_the_same_request_alone() {
    let (app, member) = start().await;
    let client = app.database.connect().await;
    let die = async |lease: &str| {
        let sql = format!("UPDATE idempotency_keys SET status = NULL, answer = NULL, lease_until = now() {lease}");
        assert_eq!(client.execute(&sql, &[]).await.unwrap(), 1);
    };
    let first = post(&app, SCANS_V1, &member.token, "dead", &scan(80)).await.json();
    die("+ interval '1 minute'").await;
    post(&app, SCANS_V1, &member.token, "dead", &scan(80)).await.assert_problem(409, "idempotency_in_flight");
    post(&app, SCANS_V1, &member.token, "dead", &scan(81)).await.assert_problem(409, "idempotency_mismatch");
    die("- interval '1 second'").await;
    post(&app, SCANS_V1, &member.token, "dead", &scan(81)).await.assert_problem(409, "idempotency_mismatch");
    let body = scan(80);
    let answers = join_all((0..10).map(|_| post(&app, SCANS_V1, &member.token, "dead", &body))).await;
    assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)));
    assert_eq!(rows(&app, "scans").await, 2, "one of ten took it over");
    let second = post(&app, SCANS_V1, &member.token, "dead", &scan(80)).await;
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_ne!(second.json()["id"], first["id"]);
}

#[tokio::test]
async fn a_secret_is_shown_again_to_its_maker_alone_and_stored_sealed() {
    let (app, member) = start().await;
    let body = json!({"name": "ci", "scopes": ["tools:read"]});
    let first = post(&app, KEYS, &member.token, "k", &body).await;
    assert_eq!(first.status, 201);
    assert_replay(&first, &post(&app, KEYS, &member.token, "k", &body).await);
    let secret = first.json()["key"].as_str().unwrap().to_owned();
    let row = app.database.connect().await.query_one("SELECT answer, key FROM idempotency_keys", &[]).await.unwrap();
    let answer: Vec<u8> = row.get(0);
    assert!(!answer.windows(8).any(|part| secret.as_bytes().windows(8).any(|one| one == part)));

    // Moved to another key, it stays shut.
    let client = app.database.connect().await;
    client.execute("UPDATE idempotency_keys SET key = 'moved'", &[]).await.unwrap();
    post(&app, KEYS, &member.token, "moved", &body).await.assert_problem(500, "internal");
    client.execute("UPDATE idempotency_keys SET key = 'k'", &[]).await.unwrap();

    // Whoever may make no keys any more is shown none.
    app.set_role(&member, "analyst").await;
    let refused = app.eventually(async || post(&app, KEYS, &member.token, "k", &body).await, 403).await;
    refused.assert_problem(403, "forbidden");
    assert!(!refused.text.contains(&secret));
}

#[tokio::test]
async fn a_demoted_caller_still_has_what_the_lesser_role_may_do() {
    let (app, member) = start().await;
    let first = post(&app, SCANS_V1, &member.token, "k", &scan(80)).await;
    app.set_role(&member, "analyst").await;
    let keys = async || app.get(KEYS, Some(&member.token)).await;
    assert_eq!(app.eventually(keys, 403).await.status, 403, "the new role holds");
    assert_replay(&first, &post(&app, SCANS_V1, &member.token, "k", &scan(80)).await);
}

#[tokio::test]
async fn a_key_is_free_after_a_day() {
    let (app, mut member) = start().await;
    for key in ["a", "b"] {
        assert_eq!(post(&app, SCANS_V1, &member.token, key, &scan(80)).await.status, 201);
    }
    app.clock.advance(SignedDuration::from_secs(24 * 3_600 - 1));
    member.token = app.sign_in("ada@example.com").await;
    let replay = post(&app, SCANS_V1, &member.token, "a", &scan(80)).await;
    assert_eq!((replay.status, replay.header("idempotent-replayed")), (201, Some("true")));
    app.clock.advance(SignedDuration::from_secs(1));
    let other = post(&app, SCANS_V1, &member.token, "a", &scan(81)).await;
    assert_eq!((other.status, other.header("idempotent-replayed")), (201, None));
}

#[tokio::test]
async fn a_replay_is_counted_like_any_request() {
    let app = TestApp::spawn_with(|settings| {
        allow_loopback(settings);
        settings.rate_limits = true;
    })
    .await;
    let member = app.member("ada@example.com").await;
    for left in ["29", "28"] {
        let answer = post(&app, SCANS_V1, &member.token, "k", &scan(80)).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (201, Some(left)));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_finds_its_answer_when_it_comes_back() {
    let (app, member) = start().await;
    let mut blocker = app.database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.execute("SELECT FROM organization_counters FOR UPDATE", &[]).await.unwrap();
    let body = scan(80).to_string();
    let mut stream = tokio::net::TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST {SCANS_V1} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: gone\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        member.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let client = app.database.connect().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(async || client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    drop(stream);
    lock.commit().await.unwrap();
    let kept = "SELECT count(*) FROM idempotency_keys WHERE answer IS NOT NULL";
    until(async || client.query_one(kept, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    let answer = app
        .request("POST", SCANS_V1, Some(&member.token), |request| {
            request.header("Idempotency-Key", "gone").header("content-type", "application/json").body(body)
        })
        .await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(rows(&app, "scans").await, 1);
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it did not come to that");
    }
}

#[test]
fn every_post_that_needs_credentials_takes_a_key_but_those_about_credentials() {
    let document = serde_json::to_value(picket_gateway::openapi()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let takes_key = parameters.iter().any(|one| one["name"] == "Idempotency-Key" && one["in"] == "header");
            let is_public = operation.get("security").is_some();
            let is_about_credentials = path.contains("/auth/") || path.contains("/account/");
            assert_eq!(takes_key, method == "post" && !is_public && !is_about_credentials, "{method} {path}");
        }
    }
}
