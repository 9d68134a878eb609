//! Schedules over HTTP: what may be kept, and that it is shown as it was sent. What ticks do is the steward's test.

use picket_kit::Clock;
use serde_json::{Value, json};

use crate::{
    harness::{Member, TestApp},
    scans::allow_example,
};

async fn app() -> (TestApp, Member) {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), allow_example).await;
    let owner = app.member("owner@example.com").await;
    app.verify("owner@example.com").await;
    (app, owner)
}

fn nightly() -> Value {
    json!({
        "name": " each night ", "kind": "scan", "cron": "30  2 * * 1-5", "time_zone": "europe/berlin",
        "scan": {"target": "EXAMPLE.com", "tool": "nmap", "parameters": {"ports": "80"}, "notify": ["email"]},
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut body = nightly();
    body[field] = value;
    body
}

#[tokio::test]
async fn a_schedule_is_kept_shown_changed_switched_and_removed() {
    let (app, owner) = app().await;
    let token = Some(owner.token.as_str());
    let made = app.post("/api/v1/schedules", token, &nightly()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let schedule = made.json();
    let path = format!("/api/v1/schedules/{}", schedule["id"].as_str().unwrap());
    assert_eq!(made.header("location"), Some(path.as_str()));
    assert_eq!(schedule["next_run"], "2026-01-16T01:30:00Z");
    assert_eq!([&schedule["name"], &schedule["cron"]], ["each night", "30 2 * * 1-5"]);
    assert_eq!(schedule["time_zone"], "Europe/Berlin");
    assert_eq!(schedule["scan"], nightly()["scan"]);
    assert_eq!(
        [&schedule["overlap"], &schedule["missed"], &schedule["report"]],
        [&json!("skip"), &json!("skip"), &Value::Null]
    );

    let listed = app.get("/api/v2/schedules", token).await.json();
    assert_eq!(listed["data"][0]["id"], schedule["id"]);
    assert_eq!(listed["meta"]["total_items"], 1);

    let off = app.post(&format!("{path}/toggle"), token, &json!({})).await.json();
    assert_eq!([&off["enabled"], &off["next_run"]], [&json!(false), &Value::Null]);
    let on = app.send("POST", &format!("{path}/toggle"), token).await.json();
    assert_eq!([&on["enabled"], &on["next_run"]], [&json!(true), &json!("2026-01-16T01:30:00Z")]);

    let put = async |body: Value| app.request("PUT", &path, token, |request| request.json(&body)).await;
    let changed = put(with("cron", json!("0 12 * * *"))).await;
    assert_eq!(changed.json()["next_run"], "2026-01-16T11:00:00Z", "{}", changed.text);
    let other = json!({"name": "x", "kind": "report", "cron": "0 0 * * *", "report": {}});
    put(other).await.assert_field("kind", "immutable");

    assert_eq!(app.delete(&path, token).await.status, 204);
    assert_eq!(app.get(&path, token).await.status, 404);
    let log = app.get("/api/v1/audit-logs", token).await.text;
    for action in ["schedule.created", "schedule.updated", "schedule.deleted"] {
        assert!(log.contains(action), "{action}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    let (app, owner) = app().await;
    let refused = async |body: Value, field: &str, code: &str| {
        app.post("/api/v1/schedules", Some(&owner.token), &body).await.assert_field(field, code);
    };
    refused(with("cron", json!("* * * *")), "cron", "invalid_value").await;
    refused(with("cron", json!("0 0 30 2 *")), "cron", "invalid_value").await;
    refused(with("time_zone", json!("Nowhere/Land")), "time_zone", "invalid_value").await;
    refused(with("jitter_seconds", json!(3_601)), "jitter_seconds", "invalid_value").await;
    refused(with("name", json!("a\nb")), "name", "invalid_value").await;
    refused(with("overlap", json!("both")), "overlap", "unknown_value").await;
    refused(with("missed", json!("all")), "missed", "unknown_value").await;
    refused(with("owner", json!("usr_x")), "owner", "unknown_field").await;
    refused(with("scan", json!([])), "scan", "invalid_type").await;
    refused(with("scan", Value::Null), "scan", "missing_field").await;
    refused(with("report", json!({})), "report", "conflict").await;
    refused(with("kind", json!("report")), "scan", "conflict").await;
    // Through the door of a create, whole.
    let scan = |body: Value| with("scan", body);
    refused(scan(json!({"target": "example.com"})), "scan.tool", "missing_field").await;
    refused(scan(json!({"target": "example.com", "tool": "nmap", "x": 1})), "scan.x", "unknown_field").await;
    refused(scan(json!({"target": "exa mple", "tool": "nmap"})), "scan.target", "invalid_target").await;
    let flags = json!({"target": "example.com", "tool": "nmap", "parameters": {"ports": "1-3 -oN x"}});
    let answer = app.post("/api/v1/schedules", Some(&owner.token), &scan(flags)).await;
    assert_eq!(answer.json()["errors"][0]["field"], "scan.parameters.ports", "{}", answer.text);
    let private = json!({"target": "10.0.0.1", "tool": "nmap"});
    let answer = app.post("/api/v1/schedules", Some(&owner.token), &scan(private)).await;
    assert_eq!(answer.assert_problem(400, "target_forbidden")["errors"][0]["field"], "scan.target");
    let foreign = json!({"target": "93.184.215.14", "tool": "nmap"});
    let answer = app.post("/api/v1/schedules", Some(&owner.token), &scan(foreign)).await;
    answer.assert_problem(403, "target_not_authorized");
    let report = |report: Value| json!({"name": "x", "kind": "report", "cron": "0 0 * * *", "report": report});
    refused(report(json!({"days": 0})), "report.days", "out_of_range").await;
    refused(report(json!({"days": 367})), "report.days", "out_of_range").await;
    refused(report(json!({"format": "doc"})), "report.format", "unknown_value").await;
    refused(report(json!({"target": "a b"})), "report.target", "invalid_target").await;
    let listed = app.get("/api/v1/schedules", Some(&owner.token)).await.json();
    assert_eq!(listed["pagination"]["total"], 0);
}

#[tokio::test]
async fn under_v2_the_scan_is_a_v2_create() {
    let (app, owner) = app().await;
    let token = Some(owner.token.as_str());
    let scan = json!({"target": "example.com", "scan_type": "custom", "options": {"port_scan": true}});
    let made = app.post("/api/v2/schedules", token, &with("scan", scan.clone())).await;
    assert_eq!((made.status, &made.json()["scan"]), (201, &scan), "{}", made.text);
    let empty = json!({"target": "example.com", "scan_type": "custom"});
    app.post("/api/v2/schedules", token, &with("scan", empty)).await.assert_field("scan.options", "nothing_to_do");
    app.post("/api/v2/schedules", token, &nightly()).await.assert_field("scan.notify", "unknown_field");
}

#[tokio::test]
async fn a_key_that_may_not_ask_for_reports_may_not_schedule_one() {
    let (app, owner) = app().await;
    let key = app.api_key(&owner.token, &["scans:write"]).await;
    let report = json!({"name": "x", "kind": "report", "cron": "0 0 * * *", "report": {}});
    app.post("/api/v1/schedules", Some(&key), &report).await.assert_problem(403, "forbidden");
    assert_eq!(app.post("/api/v1/schedules", Some(&key), &nightly()).await.status, 201);
}

#[tokio::test]
async fn creates_at_once_do_not_pass_the_limit_together() {
    let (app, owner) = app().await;
    let organization: picket_domain::OrganizationId = owner.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    let fill = "INSERT INTO schedules (id, organization_id, created_at, kind, owner, updated_at, name, cron, time_zone,
                    jitter_seconds, overlap, missed, enabled, body, request)
                SELECT gen_random_uuid(), $1, now(), 'scan', 'usr_x', now(), 'n', '0 0 * * *', 'UTC', 0, 'skip', 'skip',
                       false, '{}', '{}'
                FROM generate_series(1, 97)";
    client.execute(fill, &[&organization.uuid()]).await.unwrap();
    let body = nightly();
    let create = || app.post("/api/v1/schedules", Some(&owner.token), &body);
    let (a, b, c, d, e, f) = tokio::join!(create(), create(), create(), create(), create(), create());
    let mut statuses = [a, b, c, d, e, f].map(|answer| answer.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 201, 409, 409, 409]);
}
