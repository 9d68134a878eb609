//! What a client does to a scan that exists, and how it follows one.

use picket_domain::ScanId;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(allow_example).await;
    let member = app.member("alice@example.com").await;
    app.verify("alice@example.com").await;
    (app, member)
}

async fn create(app: &TestApp, member: &Member) -> String {
    let body = json!({"target": "example.com", "tool": "nmap", "parameters": {"scan_type": "-sV -O", "ports": "80"}});
    let answer = app.post("/api/v1/scans/create", Some(&member.token), &body).await;
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

/// Asks for something of the scan, such as `pause`.
async fn ask(app: &TestApp, member: &Member, id: &str, what: &str) -> Answer {
    app.post(&format!("/api/v1/scan/{id}/{what}"), Some(&member.token), &json!({})).await
}

async fn see(app: &TestApp, member: &Member, path: &str) -> Value {
    let answer = app.get(path, Some(&member.token)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn execute(app: &TestApp, sql: &str) {
    app.database.connect().await.batch_execute(sql).await.unwrap();
}

/// As if a worker had begun.
async fn begin(app: &TestApp, id: &str) {
    let uuid = id.parse::<ScanId>().unwrap().uuid();
    execute(app, &format!("UPDATE scans SET state = 'running', started_at = now() WHERE id = '{uuid}'")).await;
}

/// As if workers had looked at everything.
async fn finish(app: &TestApp, id: &str) {
    begin(app, id).await;
    let uuid = id.parse::<ScanId>().unwrap().uuid();
    for change in [
        "tasks SET state = 'queued', queued_at = now() WHERE scan_id",
        "tasks SET state = 'running', attempt = 1, lease_until = now(), worker_id = gen_random_uuid() WHERE scan_id",
        "tasks SET state = 'done', lease_until = NULL, ended_at = now() WHERE scan_id",
        "scans SET state = 'completed', ended_at = now() WHERE id",
    ] {
        execute(app, &format!("UPDATE {change} = '{uuid}'")).await;
    }
}

#[tokio::test]
async fn a_scan_is_paused_resumed_stopped_and_deleted() {
    let (app, member) = start().await;
    let id = create(&app, &member).await;
    ask(&app, &member, &id, "pause").await.assert_problem(409, "invalid_state");
    begin(&app, &id).await;
    let paused = ask(&app, &member, &id, "pause").await;
    assert_eq!((paused.status, &paused.json()["status"]), (200, &json!("paused")), "{}", paused.text);
    ask(&app, &member, &id, "pause").await.assert_problem(409, "invalid_state");
    ask(&app, &member, &id, "rerun").await.assert_problem(409, "invalid_state");
    let path = format!("/api/v1/scan/{id}");
    app.delete(&path, Some(&member.token)).await.assert_problem(409, "invalid_state");
    let resumed = ask(&app, &member, &id, "resume").await;
    assert_eq!((resumed.status, &resumed.json()["status"]), (200, &json!("running")));
    assert_eq!(ask(&app, &member, &id, "stop").await.status, 200);

    let events = see(&app, &member, &format!("{path}/events")).await;
    let names: Vec<&str> =
        events["data"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["scan.created", "scan.paused", "scan.resumed", "scan.cancelled"]);
    assert_eq!(app.delete(&path, Some(&member.token)).await.status, 204);
    app.get(&path, Some(&member.token)).await.assert_problem(404, "not_found");
    app.delete(&path, Some(&member.token)).await.assert_problem(404, "not_found");
    let log = see(&app, &member, "/api/v1/audit-logs?limit=4").await;
    let actions: Vec<&str> =
        log["data"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["scan.deleted", "scan.stopped", "scan.resumed", "scan.paused"]);
}

#[tokio::test]
async fn a_scan_of_which_a_report_is_being_made_is_not_deleted() {
    let (app, member) = start().await;
    let id = create(&app, &member).await;
    finish(&app, &id).await;
    let body = json!({"scan_ids": [id]});
    assert!(app.post("/api/v1/reports/generate", Some(&member.token), &body).await.status < 300);
    let answer = app.delete(&format!("/api/v1/scan/{id}"), Some(&member.token)).await;
    answer.assert_problem(409, "invalid_state");
}

#[tokio::test]
async fn requests_at_once_leave_one_end() {
    let (app, member) = start().await;
    for _ in 0..5 {
        let id = create(&app, &member).await;
        begin(&app, &id).await;
        let path = format!("/api/v1/scan/{id}");
        let delete = app.delete(&path, Some(&member.token));
        let (first, second, pause, resume, delete) = tokio::join!(
            ask(&app, &member, &id, "stop"),
            ask(&app, &member, &id, "stop"),
            ask(&app, &member, &id, "pause"),
            ask(&app, &member, &id, "resume"),
            delete
        );
        let stopped = [first.status, second.status].into_iter().filter(|status| *status == 200).count();
        assert_eq!(stopped, 1, "{} {}", first.text, second.text);
        for answer in [&first, &second, &pause, &resume, &delete] {
            assert!([200, 204, 404, 409].contains(&answer.status), "{}", answer.text);
        }
        let left = app.delete(&path, Some(&member.token)).await.status;
        assert_eq!(left, if delete.status == 204 { 404 } else { 204 });
    }
}

#[tokio::test]
async fn a_scan_is_repeated_whole_or_where_it_did_not_look() {
    let (app, member) = start().await;
    let base = create(&app, &member).await;
    finish(&app, &base).await;
    let path = format!("/api/v1/scan/{base}/rerun");
    let rerun = async |body: Value| app.post(&path, Some(&member.token), &body).await;
    rerun(json!({"only": "failed"})).await.assert_problem(409, "invalid_state");
    rerun(json!({"only": "some"})).await.assert_problem(400, "invalid_request");
    rerun(json!({"every": true})).await.assert_problem(400, "invalid_request");

    let whole = rerun(json!({})).await;
    assert_eq!(whole.status, 201, "{}", whole.text);
    let (whole, all) = (whole.json(), see(&app, &member, &format!("/api/v1/scan/{base}/chunks")).await);
    assert_eq!((&whole["rerun_of"], &whole["tasks"]), (&json!(base), &json!(all["data"].as_array().unwrap().len())));
    let shown = see(&app, &member, &format!("/api/v1/scan/{}", whole["id"].as_str().unwrap())).await;
    assert_eq!((&shown["rerun_of"], &shown["parameters"]["ports"]), (&json!(base), &json!("80")));

    execute(&app, "UPDATE tasks SET gap = 'timed_out' WHERE state = 'done' AND level = 'L0'").await;
    let part = rerun(json!({"only": "failed"})).await;
    assert_eq!((part.status, &part.json()["tasks"]), (201, &json!(1)), "{}", part.text);
}

#[tokio::test]
async fn what_failed_and_was_not_repeated_since_is_still_to_be_repeated() {
    let (app, member) = start().await;
    let base = create(&app, &member).await;
    finish(&app, &base).await;
    let failed = async |id: &str| {
        let path = format!("/api/v1/scan/{id}/rerun");
        app.post(&path, Some(&member.token), &json!({"only": "failed"})).await
    };
    let uuid = |id: &str| id.parse::<ScanId>().unwrap().uuid();
    execute(&app, &format!("UPDATE tasks SET gap = 'timed_out' WHERE level = 'L0' AND scan_id = '{}'", uuid(&base)))
        .await;
    // What the base has looked at in full is not repeated by a repetition of its failed part.
    let first = failed(&base).await.json();
    let first = first["id"].as_str().unwrap();
    finish(&app, first).await;
    failed(first).await.assert_problem(409, "invalid_state");
    execute(&app, &format!("UPDATE tasks SET gap = 'timed_out' WHERE scan_id = '{}'", uuid(first))).await;
    let second = failed(first).await;
    assert_eq!((second.status, &second.json()["tasks"]), (201, &json!(1)), "{}", second.text);
    // A grown task of the base failed, and the repetition was stopped before it came to it.
    let second = second.json();
    let second = second["id"].as_str().unwrap();
    finish(&app, second).await;
    let grown = format!(
        "UPDATE tasks SET grown_from = id, params = params || '{{\"ports\": \"81\"}}'
         WHERE level <> 'L0' AND scan_id = '{0}';
         UPDATE tasks SET gap = 'timed_out' WHERE level <> 'L0' AND scan_id = '{0}'",
        uuid(&base)
    );
    execute(&app, &grown).await;
    let third = failed(second).await;
    assert_eq!(third.status, 201, "{}", third.text);
    // As a whole repeated, nothing of before counts any more.
    let whole = ask(&app, &member, second, "rerun").await.json();
    let whole = whole["id"].as_str().unwrap();
    finish(&app, whole).await;
    failed(whole).await.assert_problem(409, "invalid_state");
}

#[tokio::test]
async fn a_repeated_scan_goes_through_the_same_door() {
    let (app, member) = start().await;
    let id = create(&app, &member).await;
    finish(&app, &id).await;
    execute(&app, "UPDATE scans SET target = '10.0.0.1'").await;
    let refused = ask(&app, &member, &id, "rerun").await;
    assert!([400, 403].contains(&refused.status), "{}", refused.text);
    let v2 =
        app.post("/api/v2/scans", Some(&member.token), &json!({"target": "example.com", "scan_type": "quick"})).await;
    assert_eq!(v2.status, 201, "{}", v2.text);
    assert_eq!(app.delete("/api/v2/scans/2", Some(&member.token)).await.status, 200);
    let scans = see(&app, &member, "/api/v1/scans").await;
    let rerun = ask(&app, &member, scans["data"][0]["id"].as_str().unwrap(), "rerun").await;
    assert_eq!(rerun.status, 201, "{}", rerun.text);
    assert_eq!(see(&app, &member, "/api/v2/scans/3").await["scan_type"], json!("quick"));
}

#[tokio::test]
async fn tasks_and_events_are_read_in_pages() {
    let (app, member) = start().await;
    let id = create(&app, &member).await;
    finish(&app, &id).await;
    for list in ["chunks", "events"] {
        let path = format!("/api/v1/scan/{id}/{list}");
        if list == "events" {
            assert_eq!(see(&app, &member, &path).await["data"].as_array().unwrap().len(), 1);
        }
        let first = see(&app, &member, &format!("{path}?limit=1")).await;
        assert_eq!(first["data"].as_array().unwrap().len(), 1);
        for query in ["limit=0", "limit=101", "cursor=x", "page=1"] {
            let answer = app.get(&format!("{path}?{query}"), Some(&member.token)).await;
            answer.assert_problem(400, "invalid_request");
        }
    }
    let path = format!("/api/v1/scan/{id}/chunks");
    let first = see(&app, &member, &format!("{path}?limit=1")).await;
    let second = see(&app, &member, &format!("{path}?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_ne!(first["data"][0]["id"], second["data"][0]["id"]);
    assert_eq!(second["next_cursor"], Value::Null);
    let task = &first["data"][0];
    assert_eq!((&task["state"], &task["addresses_done"], &task["attempt"]), (&json!("done"), &json!(1), &json!(1)));
    assert!(task["worker"].as_str().unwrap().starts_with("wrk_"), "{task}");
    let stranger = format!("/api/v1/scan/{id}/events?cursor=evt_00000000000000000000000001");
    app.get(&stranger, Some(&member.token)).await.assert_problem(400, "invalid_request");
}

#[tokio::test]
async fn scans_are_compared_with_the_one_before_or_a_named_one() {
    let (app, member) = start().await;
    let first = create(&app, &member).await;
    finish(&app, &first).await;
    let alone = see(&app, &member, &format!("/api/v1/scan/{first}/compare")).await;
    assert_eq!((&alone["base_scan_id"], &alone["counts"]["new"]), (&Value::Null, &json!(0)));
    let second = create(&app, &member).await;
    let path = format!("/api/v1/scan/{second}/compare");
    let both = see(&app, &member, &path).await;
    assert_eq!((&both["base_scan_id"], &both["data"]), (&json!(first), &json!([])));
    see(&app, &member, &format!("{path}?base={first}&outcome=not_examined")).await;
    for query in ["base=x".to_owned(), format!("base={second}"), "outcome=gone".to_owned(), "cursor=1".to_owned()] {
        let answer = app.get(&format!("{path}?{query}"), Some(&member.token)).await;
        answer.assert_problem(400, "invalid_request");
    }
    let nobodys = format!("{path}?base=scan_00000000000000000000000001");
    app.get(&nobodys, Some(&member.token)).await.assert_problem(404, "not_found");
}
