//! Refreshing, signing out, and the list of devices.

use std::collections::HashSet;

use futures_util::future::join_all;
use jiff::SignedDuration;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, Member, PASSWORD, TestApp};

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post("/api/v1/auth/refresh", None, &json!({"refresh_token": token})).await
}

/// The tokens of an answer: for access, and for the next refresh.
fn pair(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn fixed() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

/// How many rows of the audit log say this.
async fn recorded(app: &TestApp, action: &str) -> i64 {
    let client = app.database.connect().await;
    client.query_one("SELECT count(*) FROM audit_log WHERE action = $1", &[&action]).await.unwrap().get(0)
}

async fn change(app: &TestApp, sql: &str) {
    assert!(app.database.connect().await.execute(sql, &[]).await.unwrap() > 0, "{sql}");
}

#[tokio::test]
async fn a_refresh_gives_the_next_pair() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let answer = refresh(&app, &member.refresh_token).await;
    let (access, next) = pair(&answer);
    assert_ne!(next, member.refresh_token);
    assert!(next.starts_with("rt_") && next.len() == 46);
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert_eq!(answer.json()["expires_in"], 900);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("set-cookie"), None);
    for token in [&access, &member.token] {
        assert_eq!(app.get("/api/v1/auth/me", Some(token)).await.status, 200);
    }
    pair(&refresh(&app, &next).await);
}

#[tokio::test]
async fn a_token_whose_successor_was_used_ends_its_session() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let other_device = app.sign_in("ada@example.com").await;
    let (_, second) = pair(&refresh(&app, &member.refresh_token).await);
    let (access, third) = pair(&refresh(&app, &second).await);
    refresh(&app, &member.refresh_token).await.assert_problem(401, "unauthenticated");
    for token in [&access, &member.token] {
        app.get("/api/v1/auth/me", Some(token)).await.assert_problem(401, "unauthenticated");
    }
    for token in [&third, &second, &member.refresh_token] {
        refresh(&app, token).await.assert_problem(401, "unauthenticated");
    }
    assert_eq!(app.get("/api/v1/auth/me", Some(&other_device)).await.status, 200, "another session stays");
    assert_eq!(recorded(&app, "session.reused").await, 1, "an old token does not fill the log");
    let client = app.database.connect().await;
    let reason = client.query_one("SELECT revoked_reason FROM sessions WHERE revoked_at IS NOT NULL", &[]).await;
    assert_eq!(reason.unwrap().get::<_, &str>(0), "refresh_reused");
}

/// Waits until so many transactions wait for a lock in this test's database.
async fn crowd(app: &TestApp, wanted: i64) {
    let client = app.database.connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = std::time::Instant::now();
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < wanted {
        assert!(begun.elapsed() < std::time::Duration::from_secs(8), "they never come");
    }
}

#[tokio::test]
async fn fifty_refreshes_of_one_token_at_once_give_one_successor() {
    let app = TestApp::spawn().await;
    let there = app.beside(crate::harness::dead_redis(), |_| {});
    let member = app.member("ada@example.com").await;
    let calls = (0..50).map(|number| refresh(if number % 2 == 0 { &app } else { &there }, &member.refresh_token));
    // Nobody gets through before many are there.
    let gate = app.database.connect().await;
    gate.batch_execute("BEGIN; SELECT FROM sessions FOR NO KEY UPDATE").await.unwrap();
    let open = async {
        crowd(&app, 12).await;
        gate.batch_execute("COMMIT").await.unwrap();
    };
    let (answers, ()) = futures_util::join!(join_all(calls), open);
    let successors: HashSet<String> = answers.iter().map(|answer| pair(answer).1).collect();
    assert_eq!(successors.len(), 1);
    let client = app.database.connect().await;
    let (all, live): (i64, i64) = {
        let sql = "SELECT count(*), count(*) FILTER (WHERE used_at IS NULL) FROM refresh_tokens";
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    assert_eq!((all, live), (2, 1));
    assert_eq!(recorded(&app, "session.reused").await, 0);
    pair(&refresh(&app, successors.iter().next().unwrap()).await);
}

#[tokio::test]
async fn for_ten_seconds_a_token_leads_to_its_successor_again() {
    let app = fixed().await;
    let member = app.member("ada@example.com").await;
    let (_, next) = pair(&refresh(&app, &member.refresh_token).await);
    app.clock.advance(SignedDuration::from_millis(9_999));
    assert_eq!(pair(&refresh(&app, &member.refresh_token).await).1, next);
    app.clock.advance(SignedDuration::from_millis(1));
    refresh(&app, &member.refresh_token).await.assert_problem(401, "unauthenticated");
    refresh(&app, &next).await.assert_problem(401, "unauthenticated");
    assert_eq!(recorded(&app, "session.reused").await, 1);
}

#[tokio::test]
async fn a_session_ends_however_often_it_is_refreshed() {
    let app = fixed().await;
    let mut token = app.member("ada@example.com").await.refresh_token;
    for day in [10, 20, 29] {
        app.clock.advance(SignedDuration::from_hours(24 * (if day == 29 { 9 } else { 10 })));
        let answer = refresh(&app, &token).await;
        assert_eq!(answer.json()["refresh_expires_in"], (30 - day) * 24 * 3_600);
        token = pair(&answer).1;
    }
    app.clock.advance(SignedDuration::from_hours(24));
    refresh(&app, &token).await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn who_has_lost_the_right_to_be_there_gets_no_new_token() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let good = async || refresh(&app, &member.refresh_token).await.status;
    for (take, give_back) in [
        ("UPDATE users SET disabled_at = now()", "UPDATE users SET disabled_at = NULL"),
        (
            "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'",
            "UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL",
        ),
    ] {
        change(&app, take).await;
        assert_eq!(good().await, 401, "{take}");
        change(&app, give_back).await;
    }
    let (_, next) = pair(&refresh(&app, &member.refresh_token).await);
    change(&app, "DELETE FROM memberships").await;
    refresh(&app, &next).await.assert_problem(401, "unauthenticated");
    assert_eq!(recorded(&app, "session.reused").await, 0);
}

#[tokio::test]
async fn nothing_but_a_refresh_token_refreshes() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let as_challenge = member.refresh_token.replacen("rt_", "mfa_", 1);
    let unknown = format!("rt_{}", "A".repeat(43));
    for token in ["", "rt_", &member.token, &key, &as_challenge, &unknown, &"x".repeat(100_000)] {
        refresh(&app, token).await.assert_problem(401, "unauthenticated");
    }
    let faulty = app.post("/api/v1/auth/refresh", None, &json!({"refresh_token": "x", "user": 1})).await;
    faulty.assert_field("user", "unknown_field");
    app.get("/api/v1/auth/me", Some(&member.refresh_token)).await.assert_problem(401, "unauthenticated");
    pair(&refresh(&app, &member.refresh_token).await);
}

#[tokio::test]
async fn a_browser_refreshes_with_its_cookie_alone() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let with = async |cookie: &str| {
        app.request("POST", "/api/v1/auth/refresh", None, |request| request.header("cookie", cookie)).await
    };
    let answer = with(&format!("theme=dark; picket_refresh={}", member.refresh_token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json().get("refresh_token").is_none(), "no script reads it");
    let set = answer.header("set-cookie").unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert!(attributes.starts_with("HttpOnly; SameSite=Strict; Secure; Path=/api; Max-Age="), "{attributes}");
    let again = with(pair).await;
    assert_eq!(again.status, 200, "{}", again.text);
    with("picket_refresh=rt_x").await.assert_problem(401, "unauthenticated");
    with("theme=dark").await.assert_problem(401, "unauthenticated");
    let me = app.request("GET", "/api/v1/auth/me", None, |request| request.header("cookie", pair)).await;
    me.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn who_signs_out_is_refused_at_once() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    assert_eq!(app.get("/api/v1/auth/me", Some(&member.token)).await.status, 200);
    let out = app.send("POST", "/api/v1/auth/logout", Some(&member.token)).await;
    assert_eq!(out.status, 204, "{}", out.text);
    let cookie = out.header("set-cookie").unwrap();
    assert!(cookie.starts_with("picket_refresh=; ") && cookie.ends_with("Max-Age=0"), "{cookie}");
    app.get("/api/v1/auth/me", Some(&member.token)).await.assert_problem(401, "unauthenticated");
    refresh(&app, &member.refresh_token).await.assert_problem(401, "unauthenticated");
    app.send("POST", "/api/v1/auth/logout", Some(&member.token)).await.assert_problem(401, "unauthenticated");
    assert_eq!(recorded(&app, "session.revoked").await, 1);
    assert_eq!(recorded(&app, "session.reused").await, 0);
}

/// The sessions that the list shows to this token.
async fn listed(app: &TestApp, token: &str) -> Vec<Value> {
    let answer = app.get("/api/v1/account/sessions", Some(token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_person_sees_the_devices_that_are_signed_in_and_no_token() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    app.member("bob@example.com").await;
    let phone = app
        .request("POST", "/api/v1/auth/login", None, |request| {
            request.header("user-agent", "Phone/1").json(&json!({"email": "ada@example.com", "password": PASSWORD}))
        })
        .await;
    assert_eq!(phone.status, 200, "{}", phone.text);
    let sessions = listed(&app, &member.token).await;
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["device"], "Phone/1");
    assert_eq!(sessions[0]["address"], "127.0.0.1");
    let flags: Vec<_> = sessions.iter().map(|one| (one["current"].clone(), one["mfa"].clone())).collect();
    assert_eq!(flags, [(json!(false), json!(false)), (json!(true), json!(false))]);
    let fields: HashSet<&str> = sessions[0].as_object().unwrap().keys().map(String::as_str).collect();
    let known = ["id", "device", "address", "created_at", "last_used_at", "expires_at", "current", "mfa"];
    assert_eq!(fields, HashSet::from(known));
}

#[tokio::test]
async fn a_device_is_signed_out_from_another() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let mine = app.sign_in("ada@example.com").await;
    let sessions = listed(&app, &mine).await;
    let other = sessions.iter().find(|one| one["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/account/sessions/{other}");
    assert_eq!(app.delete(&path, Some(&mine)).await.status, 204);
    app.get("/api/v1/auth/me", Some(&member.token)).await.assert_problem(401, "unauthenticated");
    refresh(&app, &member.refresh_token).await.assert_problem(401, "unauthenticated");
    app.delete(&path, Some(&mine)).await.assert_problem(404, "not_found");
    app.delete("/api/v1/account/sessions/x", Some(&mine)).await.assert_field("id", "invalid_id");
    assert_eq!(listed(&app, &mine).await.len(), 1);
    assert_eq!(recorded(&app, "session.revoked").await, 1);
}

#[tokio::test]
async fn all_other_devices_are_signed_out_at_once() {
    let app = TestApp::spawn().await;
    let Member { token: first, .. } = app.member("ada@example.com").await;
    let stranger = app.member("bob@example.com").await;
    let second = app.sign_in("ada@example.com").await;
    let mine = app.sign_in("ada@example.com").await;
    assert_eq!(app.delete("/api/v1/account/sessions/all", Some(&mine)).await.status, 204);
    for token in [&first, &second] {
        app.get("/api/v1/auth/me", Some(token)).await.assert_problem(401, "unauthenticated");
    }
    for token in [&mine, &stranger.token] {
        assert_eq!(app.get("/api/v1/auth/me", Some(token)).await.status, 200);
    }
    assert_eq!(app.delete("/api/v1/account/sessions/all", Some(&mine)).await.status, 204, "there is none any more");
    assert_eq!(recorded(&app, "session.revoked").await, 1);
}

#[tokio::test]
async fn it_is_noted_to_the_minute_that_a_session_is_used() {
    let app = fixed().await;
    let member = app.member("ada@example.com").await;
    let last_used = async |token: &str| listed(&app, token).await[0]["last_used_at"].as_str().unwrap().to_owned();
    let begun = last_used(&member.token).await;
    app.clock.advance(SignedDuration::from_secs(61));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    // Nobody waits for the note, and callers are remembered for a moment.
    while last_used(&member.token).await == begun {
        assert!(std::time::Instant::now() < deadline, "it is never noted");
    }
    assert_eq!(last_used(&member.token).await, "2026-01-15T14:31:01Z");
    let client = app.database.connect().await;
    let seen = client.query_one("SELECT last_seen_at IS NOT NULL FROM memberships", &[]).await.unwrap();
    assert!(seen.get::<_, bool>(0));
}

#[tokio::test]
async fn no_refresh_token_is_in_the_database() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let (_, next) = pair(&refresh(&app, &member.refresh_token).await);
    let client = app.database.connect().await;
    let sql = "SELECT string_agg(r::text, ' ') || (SELECT string_agg(s::text, ' ') FROM sessions AS s)
               FROM refresh_tokens AS r";
    let dump: String = client.query_one(sql, &[]).await.unwrap().get(0);
    for token in [&member.refresh_token, &next] {
        let hex: String = token[3..].bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!dump.contains(&token[3..]) && !dump.contains(&hex));
    }
}

#[tokio::test]
async fn a_browser_that_asks_for_it_gets_the_refresh_token_as_a_cookie_alone() {
    let app = TestApp::spawn().await;
    app.member("ada@example.com").await;
    let mut body = json!({"email": "ada@example.com", "password": PASSWORD, "refresh_cookie": true});
    let signed_in = app.post("/api/v1/auth/login", None, &body).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    assert!(signed_in.json().get("refresh_token").is_none() && signed_in.json()["access_token"].is_string());
    let cookie = signed_in.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("picket_refresh=rt_"), "{cookie}");
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/api"] {
        assert!(cookie.split("; ").any(|one| one == part), "{part}: {cookie}");
    }
    let shown = cookie.split(';').next().unwrap().to_owned();
    let next = app.request("POST", "/api/v1/auth/refresh", None, |request| request.header("cookie", shown)).await;
    assert_eq!(next.status, 200, "{}", next.text);
    assert!(next.header("set-cookie").unwrap().starts_with("picket_refresh=rt_"));
    // As published, for everybody else.
    for wanted in [Some(false), None] {
        body["refresh_cookie"] = json!(wanted);
        if wanted.is_none() {
            body.as_object_mut().unwrap().remove("refresh_cookie");
        }
        let plain = app.post("/api/v1/auth/login", None, &body).await;
        assert!(plain.header("set-cookie").is_none() && plain.json()["refresh_token"].is_string(), "{}", plain.text);
    }
    body["refresh_cookie"] = json!("yes");
    app.post("/api/v1/auth/login", None, &body).await.assert_problem(400, "invalid_request");
}
