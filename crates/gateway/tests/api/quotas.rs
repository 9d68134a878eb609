//! What a plan allows to be made, over two gateways; and what is listed of it.

use futures_util::future::join_all;
use jiff::SignedDuration;
use picket_domain::{OrganizationId, Subscription};
use picket_gateway::GatewaySettings;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, Member, TestApp};

fn allow_loopback(settings: &mut GatewaySettings) {
    settings.allow_targets = vec!["127.0.0.0/8".to_owned()];
}

async fn create_v1(app: &TestApp, member: &Member) -> Answer {
    let body = json!({"target": "127.0.0.1", "tool": "nmap", "parameters": {"ports": "80"}});
    app.post("/api/v1/scans/create", Some(&member.token), &body).await
}

async fn create_v2(app: &TestApp, member: &Member) -> Answer {
    app.post("/api/v2/scans", Some(&member.token), &json!({"target": "127.0.0.1", "scan_type": "quick"})).await
}

async fn report(app: &TestApp, member: &Member, scan: &Value) -> Answer {
    app.post("/api/v1/reports/generate", Some(&member.token), &json!({"scan_ids": [scan]})).await
}

async fn set_plan(app: &TestApp, member: &Member, plan: Subscription) {
    let organization: OrganizationId = member.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    let sql = "UPDATE organizations SET plan = $2 WHERE id = $1";
    assert_eq!(client.execute(sql, &[&organization.uuid(), &plan.name()]).await.unwrap(), 1);
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn a_hundred_creates_at_two_gateways_and_in_both_dialects_keep_to_the_plan() {
    let app = TestApp::spawn_with(allow_loopback).await;
    let other = app.replica(|_| {});
    let member = app.member("ada@example.com").await;
    let (v1, v2) = tokio::join!(
        join_all((0..50).map(|_| create_v1(&app, &member))),
        join_all((0..50).map(|_| create_v2(&other, &member)))
    );
    let answers: Vec<Answer> = v1.into_iter().chain(v2).collect();
    let most = usize::try_from(Subscription::Trial.limits().concurrent_scans).unwrap();
    assert_eq!((count(&answers, 201), count(&answers, 409)), (most, 100 - most));
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    let detail = refused.assert_problem(409, "limit_reached")["detail"].clone();
    assert_eq!(detail, "expected at most 5 scans that have not ended on the plan `trial`");

    // What ends makes room, and for no more than itself.
    let scans = app.get("/api/v1/scans", Some(&member.token)).await.json();
    let stopped = format!("/api/v1/scan/{}/stop", scans["data"][0]["id"].as_str().unwrap());
    assert_eq!(app.send("POST", &stopped, Some(&member.token)).await.status, 200);
    let again = join_all((0..10).map(|_| create_v2(&app, &member))).await;
    assert_eq!(count(&again, 201), 1);
    let numbers: Vec<i64> = app
        .database
        .connect()
        .await
        .query("SELECT number FROM scans ORDER BY number", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "what was refused took no number");
}

#[tokio::test]
async fn a_smaller_plan_holds_from_the_next_create() {
    let app = TestApp::spawn_with(|settings| {
        allow_loopback(settings);
        settings.registration_plan = Subscription::Starter;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let created = join_all((0..5).map(|_| create_v1(&app, &member))).await;
    assert_eq!(count(&created, 201), 5);
    set_plan(&app, &member, Subscription::Trial).await;
    create_v1(&app, &member).await.assert_problem(409, "limit_reached");
    set_plan(&app, &member, Subscription::Starter).await;
    assert_eq!(create_v1(&app, &member).await.status, 201);
}

#[tokio::test]
async fn a_trial_that_has_ended_reads_and_makes_nothing_new() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), allow_loopback).await;
    let mut member = app.member("ada@example.com").await;
    let scan = create_v1(&app, &member).await.json()["id"].clone();
    app.clock.advance(SignedDuration::from_hours(14 * 24));
    member.token = app.sign_in("ada@example.com").await;
    create_v1(&app, &member).await.assert_problem(403, "trial_ended");
    create_v2(&app, &member).await.assert_problem(403, "trial_ended");
    report(&app, &member, &scan).await.assert_problem(403, "trial_ended");
    assert_eq!(app.get("/api/v1/scans", Some(&member.token)).await.status, 200);
    assert_eq!(
        app.get(&format!("/api/v1/scan/{}/result", scan.as_str().unwrap()), Some(&member.token)).await.status,
        200
    );
    set_plan(&app, &member, Subscription::Starter).await;
    assert_eq!(create_v1(&app, &member).await.status, 201);
    assert_eq!(report(&app, &member, &scan).await.status, 202);
}

#[tokio::test]
async fn hosts_times_ports_are_bounded_and_the_published_examples_fit_every_plan() {
    let app = TestApp::spawn_with(allow_loopback).await;
    let member = app.member("ada@example.com").await;
    let create = async |target: &str, parameters: Value| {
        let body = json!({"target": target, "tool": "nmap", "parameters": parameters});
        app.post("/api/v1/scans/create", Some(&member.token), &body).await
    };
    let refused = create("127.0.0.0/28", json!({"ports": "1-65535"})).await;
    let detail = refused.assert_problem(409, "limit_reached")["detail"].clone();
    assert_eq!(detail, "expected at most 200000 hosts × ports in one scan on the plan `trial`");
    let stored: i64 = app.database.connect().await.query_one("SELECT count(*) FROM tasks", &[]).await.unwrap().get(0);
    assert_eq!(stored, 0);

    let seed_1 = json!({"scan_type": "-sV -sC -O", "ports": "1-10000", "timing": "-T4"});
    assert_eq!(create("127.0.0.1", seed_1).await.status, 201);
    assert_eq!(create("127.0.0.1", json!({"ports": "1-65535"})).await.status, 201);
    let full = json!({"target": "127.0.0.0/28", "scan_type": "full"});
    assert_eq!(app.post("/api/v2/scans", Some(&member.token), &full).await.status, 201);
}

#[tokio::test]
async fn reports_are_bounded_at_once_and_in_a_day() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), allow_loopback).await;
    let mut member = app.member("ada@example.com").await;
    let scan = create_v1(&app, &member).await.json()["id"].clone();
    let limits = Subscription::Trial.limits();
    let (at_once, a_day) = (limits.reports_at_once, limits.reports_per_day);
    let client = app.database.connect().await;
    let end = "UPDATE reports SET state = 'failed', ended_at = now(), failure = 'x' WHERE state = 'queued'";
    for _ in 0..a_day / at_once {
        let asked = join_all((0..at_once + 5).map(|_| report(&app, &member, &scan))).await;
        assert_eq!(u32::try_from(count(&asked, 202)).unwrap(), at_once);
        let refused = asked.iter().find(|answer| answer.status == 409).unwrap();
        assert!(refused.assert_problem(409, "limit_reached")["detail"].as_str().unwrap().contains("not done"));
        assert_eq!(client.execute(end, &[]).await.unwrap(), u64::from(at_once));
    }
    let refused = report(&app, &member, &scan).await;
    assert!(refused.assert_problem(409, "limit_reached")["detail"].as_str().unwrap().contains("in 24 hours"));
    app.clock.advance(SignedDuration::from_hours(24));
    member.token = app.sign_in("ada@example.com").await;
    assert_eq!(report(&app, &member, &scan).await.status, 202);
}

#[tokio::test]
async fn the_plans_are_listed_for_everybody_with_the_limits_that_hold() {
    let app = TestApp::spawn().await;
    for path in ["/api/v1/plans", "/api/v2/plans"] {
        let answer = app.get(path, None).await;
        assert_eq!(answer.status, 200);
        let plans = answer.json()["data"].as_array().unwrap().clone();
        let names: Vec<&str> = plans.iter().map(|plan| plan["id"].as_str().unwrap()).collect();
        assert_eq!(names, ["trial", "starter", "professional", "enterprise"]);
        for (plan, shown) in Subscription::ALL.into_iter().zip(&plans) {
            let (limits, shown) = (plan.limits(), &shown["limits"]);
            let rates = json!({
                "v1": {"requests_per_minute": limits.v1_per_minute, "burst": limits.v1_burst},
                "v2": {"requests_per_hour": limits.v2_per_hour},
            });
            assert_eq!(shown["rate_limits"], rates);
            assert_eq!(shown["concurrent_scans"], limits.concurrent_scans);
            assert_eq!(shown["hosts_times_ports_per_scan"], limits.probes);
            assert_eq!(shown["retention_days"], limits.retention_days);
        }
    }
}

#[tokio::test]
async fn a_smaller_plan_holds_for_the_next_key_though_its_maker_is_remembered() {
    let app = TestApp::spawn_with(|settings| settings.registration_plan = Subscription::Professional).await;
    let member = app.member("ada@example.com").await;
    let most = Subscription::Trial.limits().api_keys;
    let body = json!({"name": "one", "scopes": ["tools:read"]});
    let mut ids = Vec::new();
    for _ in 0..=most {
        let made = app.post("/api/v1/api-keys", Some(&member.token), &body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let rotate =
        async |id: &String| app.post(&format!("/api/v1/api-keys/{id}/rotate"), Some(&member.token), &json!({})).await;
    let last = ids.pop().unwrap();
    for id in &ids {
        assert_eq!(rotate(id).await.status, 201);
        // So that this gateway remembers the plan of a moment ago.
        assert_eq!(app.get("/api/v1/api-keys", Some(&member.token)).await.status, 200);
    }
    set_plan(&app, &member, Subscription::Trial).await;
    rotate(&last).await.assert_problem(409, "limit_reached");
    app.post("/api/v1/api-keys", Some(&member.token), &body).await.assert_problem(409, "limit_reached");
}
