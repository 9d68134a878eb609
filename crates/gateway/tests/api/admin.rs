//! What operators of the platform do over HTTP.

use picket_kit::Clock;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), allow_example).await;
    let operator = app.member("operator@example.com").await;
    app.set_operator(&operator, true).await;
    (app, operator)
}

impl TestApp {
    async fn set_operator(&self, member: &Member, is_operator: bool) {
        let user: picket_domain::UserId = member.user_id.parse().unwrap();
        let sql = "UPDATE users SET platform_role = CASE WHEN $2 THEN 'operator' END WHERE id = $1";
        self.database.connect().await.execute(sql, &[&user.uuid(), &is_operator]).await.unwrap();
    }

    async fn throw(&self, operator: &Member, body: Value) -> Answer {
        self.post("/api/v1/admin/kill-switch", Some(&operator.token), &body).await
    }

    async fn lift(&self, operator: &Member, body: Value) -> Answer {
        let token = Some(operator.token.as_str());
        self.request("DELETE", "/api/v1/admin/kill-switch", token, |request| request.json(&body)).await
    }

    async fn scan(&self, member: &Member) -> Answer {
        let body = json!({"target": "example.com", "tool": "nmap"});
        self.post("/api/v1/scans/create", Some(&member.token), &body).await
    }
}

#[tokio::test]
async fn an_operator_stops_everything_and_lets_it_go_again() {
    let (app, operator) = start().await;
    let customer = app.member("customer@example.com").await;
    let thrown = app.throw(&operator, json!({"scope": "global", "reason": "an incident"})).await;
    assert_eq!((thrown.status, &thrown.json()["scope"]), (201, &json!("global")), "{}", thrown.text);
    app.throw(&operator, json!({"scope": "global", "reason": "again"})).await.assert_problem(409, "already_exists");
    let refused = app.scan(&customer).await.assert_problem(409, "scanning_halted");
    assert!(refused["detail"].as_str().unwrap().ends_with("an incident"), "{refused}");
    let overview = app.get("/api/v1/admin/overview", Some(&operator.token)).await.json();
    assert_eq!(overview["kill_switches"][0]["reason"], "an incident");
    assert_eq!([&overview["organizations"], &overview["scans_open"]], [2, 0]);
    assert_eq!(app.lift(&operator, json!({"scope": "global"})).await.status, 204);
    app.lift(&operator, json!({"scope": "global"})).await.assert_problem(404, "not_found");
    assert_eq!(app.scan(&customer).await.status, 201);
    let log = app.get("/api/v1/audit-logs", Some(&operator.token)).await.text;
    assert!(log.contains("scanning.halted") && log.contains("scanning.released"), "{log}");
}

#[tokio::test]
async fn a_switch_covers_one_organization_or_one_target() {
    let (app, operator) = start().await;
    let (one, other) = (app.member("one@example.com").await, app.member("other@example.com").await);
    let scope = json!({"scope": "organization", "organization_id": one.organization_id});
    let mut body = scope.clone();
    body["reason"] = json!("unpaid");
    assert_eq!(app.throw(&operator, body).await.status, 201);
    app.scan(&one).await.assert_problem(409, "scanning_halted");
    assert_eq!(app.scan(&other).await.status, 201);
    assert_eq!(app.lift(&operator, scope).await.status, 204);
    // The address that the name has.
    let scope = json!({"scope": "target", "target": "127.0.0.0/8"});
    let mut body = scope.clone();
    body["reason"] = json!("abuse");
    assert_eq!(app.throw(&operator, body).await.json()["target"], "127.0.0.0/8");
    app.scan(&one).await.assert_problem(409, "scanning_halted");
    assert_eq!(app.lift(&operator, scope).await.status, 204);
    assert_eq!(app.scan(&one).await.status, 201);
}

#[tokio::test]
async fn a_switch_that_cannot_be_names_its_field() {
    let (app, operator) = start().await;
    let refused = async |body: Value, field: &str, code: &str| {
        app.throw(&operator, body).await.assert_field(field, code);
    };
    refused(json!({"scope": "global"}), "reason", "missing_field").await;
    refused(json!({"scope": "global", "reason": ""}), "reason", "invalid_value").await;
    refused(json!({"scope": "all", "reason": "x"}), "scope", "unknown_value").await;
    refused(json!({"scope": "target", "reason": "x"}), "target", "missing_field").await;
    refused(json!({"scope": "target", "reason": "x", "target": "*"}), "target", "invalid_target").await;
    refused(json!({"scope": "organization", "reason": "x"}), "organization_id", "missing_field").await;
    refused(json!({"scope": "global", "reason": "x", "target": "example.com"}), "target", "conflict").await;
    let nobody = json!({"scope": "organization", "reason": "x", "organization_id": "org_00000000000000000000000001"});
    app.throw(&operator, nobody).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn whoever_operates_no_longer_is_refused_at_once() {
    let (app, operator) = start().await;
    assert_eq!(app.get("/api/v1/admin/queues", Some(&operator.token)).await.status, 200);
    app.set_operator(&operator, false).await;
    app.get("/api/v1/admin/queues", Some(&operator.token)).await.assert_problem(403, "operator_required");
}

#[tokio::test]
async fn an_operator_sees_queues_and_workers() {
    let (app, operator) = start().await;
    let token = Some(operator.token.as_str());
    assert_eq!(app.scan(&operator).await.status, 201);
    let queues = app.get("/api/v1/admin/queues", token).await.json();
    let net = queues["data"].as_array().unwrap().iter().find(|queue| queue["name"] == "net").unwrap();
    assert_eq!([&net["ready"], &net["running"], &net["organizations"][0]["ready"]], [1, 0, 1], "{queues}");
    assert_eq!(net["organizations"][0]["organization_id"], operator.organization_id.as_str());
    assert_eq!(queues["given_up"], json!([]));
    let replayed = app.send("POST", "/api/v1/admin/queues/net/replay", token).await;
    assert_eq!(replayed.json(), json!({"tasks": 0, "scans": 0, "repeated": [], "refused": []}));
    app.send("POST", "/api/v1/admin/queues/nowhere/replay", token).await.assert_problem(404, "not_found");

    let sql = "INSERT INTO workers (id, version, started_at, heartbeat_at, pools, level, tools, slots)
               VALUES ('00000000-0000-0000-0000-000000000001', '0.9.8', now(), now(), '{net}', 'L1', '{nmap}', 4)";
    app.database.connect().await.batch_execute(sql).await.unwrap();
    let worker = "/api/v1/admin/workers/wrk_00000000000000000000000001/drain";
    assert_eq!(app.send("POST", worker, token).await.status, 202);
    let workers = app.get("/api/v1/admin/workers", token).await.json();
    let seen = &workers["data"][0];
    assert_eq!(
        [&seen["status"], &seen["level"], &seen["drain_requested"], &seen["version"]],
        [&json!("draining"), &json!("L1"), &json!(true), &json!("0.9.8")]
    );
    let nobody = "/api/v1/admin/workers/wrk_00000000000000000000000002/drain";
    app.send("POST", nobody, token).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn blackout_windows_are_kept_as_they_were_sent_or_refused_with_their_field() {
    let (app, member) = start().await;
    let token = Some(member.token.as_str());
    let put = async |windows: Value| {
        let body = json!({"windows": windows});
        app.request("PUT", "/api/v1/blackout-windows", token, |request| request.json(&body)).await
    };
    let night = json!({"name": "night", "days": ["mon", "fri"], "begins": "22:00", "ends": "06:00",
                       "time_zone": "Europe/Berlin", "tag": "prod", "target": "*.example.com", "running": "pause"});
    let kept = put(json!([night, {"days": ["sat"], "begins": "00:00", "ends": "24:00"}])).await;
    assert_eq!((kept.status, &kept.json()["windows"][0]), (200, &night), "{}", kept.text);
    let listed = app.get("/api/v2/blackout-windows", token).await.json();
    assert_eq!(listed, kept.json());
    assert_eq!(
        (&listed["windows"][1]["time_zone"], &listed["windows"][1]["running"]),
        (&json!("UTC"), &json!("finish"))
    );
    put(json!([{"days": ["sat"], "begins": "00:00", "ends": "24:00", "running": "stop"}]))
        .await
        .assert_problem(400, "invalid_request");
    let with = |field: &str, value: Value| {
        let mut window = night.clone();
        window[field] = value;
        json!([night, window])
    };
    for (field, value) in [
        ("days", json!([])),
        ("days", json!(["someday"])),
        ("begins", json!("24:00")),
        ("ends", json!("22:00")),
        ("time_zone", json!("Nowhere/Land")),
        ("tag", json!("")),
        ("target", json!("a b")),
    ] {
        put(with(field, value)).await.assert_field(&format!("windows[1].{field}"), "invalid_value");
    }
    put(Value::Array(vec![night.clone(); 51])).await.assert_field("windows", "too_many");
    assert_eq!(put(json!([])).await.json(), json!({"windows": []}));
}

/// Puts the tasks of a scan aside as workers that die do, and ends the scan unless it is to go on.
async fn give_up(app: &TestApp, scan: &str, is_over: bool) {
    let id: picket_domain::ScanId = scan.parse().unwrap();
    let (id, at) = (id.uuid(), app.clock.now());
    let over = format!(
        "UPDATE scans SET state = 'failed', failure = 'nothing could be examined: worker_lost', ended_at = '{at}' WHERE id = '{id}'"
    );
    let sql = format!(
        "UPDATE tasks SET state = 'queued', queued_at = now() WHERE scan_id = '{id}';
         UPDATE tasks SET state = 'running', attempt = 3, worker_id = gen_random_uuid(), lease_until = now() WHERE scan_id = '{id}';
         UPDATE tasks SET state = 'failed', failures = 3, gap = 'worker_lost', detail = 'workers were lost again and again',
                          ended_at = '{at}', lease_until = NULL WHERE scan_id = '{id}';
         {}",
        if is_over { over.as_str() } else { "" }
    );
    app.database.connect().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn what_was_given_up_is_listed_and_replayed_by_operators_alone() {
    let (app, operator) = start().await;
    let customer = app.member("customer@example.com").await;
    let scan = app.scan(&customer).await.json()["id"].as_str().unwrap().to_owned();
    give_up(&app, &scan, false).await;
    let token = Some(operator.token.as_str());
    let queues = app.get("/api/v1/admin/queues", token).await.json();
    let [given_up] = &queues["given_up"].as_array().unwrap()[..] else { panic!("{queues}") };
    assert_eq!([&given_up["queue"], &given_up["tool"], &given_up["reason"]], ["net", "nmap", "worker_lost"]);
    assert_eq!(
        [&given_up["scan_id"], &given_up["organization_id"]],
        [scan.as_str(), customer.organization_id.as_str()]
    );
    assert_eq!(
        (&given_up["failures"], &given_up["replayable"], &given_up["replayed_as"]),
        (&json!(3), &json!(true), &json!(null))
    );
    assert!(!queues.to_string().contains("example.com"), "nothing names what a customer scans: {queues}");
    let replay = "/api/v1/admin/queues/net/replay";
    app.send("POST", replay, Some(&customer.token)).await.assert_problem(403, "operator_required");
    assert_eq!(app.send("POST", "/api/v1/admin/queues/web/replay", token).await.json()["tasks"], 0);
    let replayed = app.send("POST", replay, token).await.json();
    assert_eq!(replayed, json!({"tasks": 1, "scans": 1, "repeated": [], "refused": []}));
    assert_eq!(app.get("/api/v1/admin/queues", token).await.json()["given_up"], json!([]));
    assert_eq!(app.send("POST", replay, token).await.json()["tasks"], 0, "nothing is replayed twice");
    let log = app.get("/api/v1/audit-logs", Some(&customer.token)).await.json();
    let entries = log["data"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["action"] == "tasks.replayed").unwrap_or_else(|| panic!("{log}"));
    assert!(entry.to_string().contains(&scan) && !entry.to_string().contains(&operator.user_id), "{entry}");
}

#[tokio::test]
async fn what_was_given_up_of_a_scan_that_has_ended_is_repeated_by_another_scan_once() {
    let (app, operator) = start().await;
    let customer = app.member("customer@example.com").await;
    let scan = app.scan(&customer).await.json()["id"].as_str().unwrap().to_owned();
    give_up(&app, &scan, true).await;
    let (token, replay) = (Some(operator.token.as_str()), "/api/v1/admin/queues/net/replay");
    let (one, other) = tokio::join!(app.send("POST", replay, token), app.send("POST", replay, token));
    let (one, other) = (one.json(), other.json());
    let both: Vec<&Value> =
        [&one, &other].into_iter().flat_map(|answer| answer["repeated"].as_array().unwrap()).collect();
    let [repeated] = both[..] else { panic!("{one} {other}") };
    assert_eq!((&repeated["scan_id"], &repeated["tasks"]), (&json!(scan), &json!(1)));
    assert_eq!(one["tasks"].as_u64().unwrap() + other["tasks"].as_u64().unwrap(), 1);
    let made = repeated["repeated_as"].as_str().unwrap();
    let shown = app.get(&format!("/api/v1/scan/{made}"), Some(&customer.token)).await.json();
    assert_eq!([&shown["rerun_of"], &shown["status"], &shown["target"]], [scan.as_str(), "created", "example.com"]);
    let base = app.get(&format!("/api/v1/scan/{scan}"), Some(&customer.token)).await.json();
    assert_eq!(base["status"], "failed", "what has ended is not opened again");
    let queues = app.get("/api/v1/admin/queues", token).await.json();
    assert_eq!(
        [&queues["given_up"][0]["replayable"], &queues["given_up"][0]["replayed_as"]],
        [&json!(false), &json!(made)]
    );
    // Judged anew: what may not be scanned any more stays out, and the answer says which and why.
    let next = app.scan(&customer).await.json()["id"].as_str().unwrap().to_owned();
    give_up(&app, &next, true).await;
    let excluded = app.post("/api/v1/exclusions", Some(&customer.token), &json!({"value": "example.com"})).await;
    assert_eq!(excluded.status, 201, "{}", excluded.text);
    let refused = app.send("POST", replay, token).await.json();
    assert_eq!((&refused["tasks"], &refused["refused"][0]["scan_id"]), (&json!(0), &json!(next)), "{refused}");
    assert_eq!(refused["refused"][0]["code"], "target_excluded");
    let log = app.get("/api/v1/audit-logs", Some(&customer.token)).await.text;
    assert!(log.contains("tasks.replayed") && log.contains(made), "{log}");
}

#[tokio::test]
async fn dead_letters_are_counted_beside_the_queue_that_put_them_aside() {
    let (app, operator) = start().await;
    let sql = "INSERT INTO dead_letters (queue, reason, routing_key, size_bytes, content, seen_at)
               SELECT queue, 'rejected', 'k', 3, 'abc', now() FROM unnest('{tasks.net,tasks.net,tasks.net.raw,reports}'::text[]) AS q (queue)";
    app.database.connect().await.batch_execute(sql).await.unwrap();
    let queues = app.get("/api/v1/admin/queues", Some(&operator.token)).await.json();
    let count = |name: &str| {
        let queue = queues["data"].as_array().unwrap().iter().find(|queue| queue["name"] == name).unwrap();
        queue["dead_letters"].as_i64().unwrap()
    };
    assert_eq!([count("net"), count("net.raw"), count("web")], [2, 1, 0]);
    let all: Vec<_> =
        queues["dead_letters"].as_array().unwrap().iter().map(|one| (&one["queue"], &one["letters"])).collect();
    assert_eq!(json!(all), json!([["reports", 1], ["tasks.net", 2], ["tasks.net.raw", 1]]));
}
