//! The widest target that a plan allows.

use std::time::Duration;

use picket_domain::{ScanId, Subscription};
use picket_gateway::GatewaySettings;
use picket_store::{Db, DbSettings, scans::pages};
use serde_json::{Value, json};

use crate::harness::TestApp;

/// Makes every page of a scan's tasks, as the steward does.
async fn make_all(app: &TestApp, scan: ScanId) {
    let now = app.clock.now();
    let settings = DbSettings { url: app.database.url(), max_connections: 1, wait: Duration::from_secs(30) };
    let db = Db::new(&settings).unwrap();
    while db.operate("test", async |tx| pages::make(tx, scan, now).await).await.unwrap() > 0 {}
}

/// Everything that a client is told of how far a new scan is.
async fn told(app: &TestApp, token: &str, id: ScanId) -> [Value; 4] {
    let status = app.get(&format!("/api/v1/scan/{id}/status"), Some(token)).await.json();
    let (mut listed, mut page) = (0, String::new());
    let to_come = loop {
        let path = format!("/api/v1/scan/{id}/chunks?limit=100{page}");
        let chunks = app.get(&path, Some(token)).await.json();
        listed += chunks["data"].as_array().unwrap().len();
        match chunks["next_cursor"].as_str() {
            Some(cursor) => page = format!("&cursor={cursor}"),
            None => break chunks["to_come"].clone(),
        }
    };
    let coverage = &status["coverage"][0];
    assert_eq!(coverage["state"], "pending");
    [
        status["tasks"].clone(),
        coverage["tasks"].clone(),
        status["progress"].clone(),
        json!(listed + usize::try_from(to_come.as_u64().unwrap()).unwrap()),
    ]
}

#[tokio::test]
async fn a_slash_16_is_planned_in_pages_with_each_address_once_and_counts_as_a_whole_from_the_beginning() {
    let app = TestApp::spawn_with(|settings: &mut GatewaySettings| {
        settings.allow_targets = vec!["127.0.0.0/8".to_owned()];
        settings.registration_plan = Subscription::Enterprise;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let token = member.token.as_str();
    for (plan, probes) in [("quick", 6_553_600), ("full", 65_536_000)] {
        let body = json!({"target": "127.1.0.0/16", "scan_type": plan});
        let estimate = app.post("/api/v2/scans/estimate", Some(token), &body).await.json();
        assert_eq!((&estimate["tasks"], &estimate["hosts_times_ports"]), (&json!(256), &json!(probes)));
        let begun = std::time::Instant::now();
        let made = app.post("/api/v2/scans", Some(token), &body).await;
        println!("{plan}: a /16 is accepted after {:?}", begun.elapsed());
        assert_eq!(made.status, 201, "{}", made.text);
        let client = app.database.connect().await;
        let row = client.query_one("SELECT id, unmade FROM scans ORDER BY number DESC LIMIT 1", &[]).await.unwrap();
        let (id, unmade) = (ScanId::from_uuid(row.get(0)), row.get::<_, i64>(1));
        assert_eq!(unmade, 224, "a page of 32 tasks is made at once");
        let whole = [json!({"total": 256, "ended": 0}), json!(256), json!(0), json!(256)];
        assert_eq!(told(&app, token, id).await, whole);
        make_all(&app, id).await;
        assert_eq!(told(&app, token, id).await, whole);
        let sql = "SELECT count(DISTINCT t.id), count(*), count(DISTINCT a), sum(t.share + t.reserve) / 256,
                          min(jsonb_array_length(t.shard -> 'addresses')), max(pg_column_size(t.shard))
                   FROM tasks AS t, jsonb_array_elements_text(t.shard -> 'addresses') AS a
                   WHERE t.scan_id = (SELECT id FROM scans ORDER BY number DESC LIMIT 1)";
        let row = client.query_one(sql, &[]).await.unwrap();
        let counted: (i64, i64, i64, i32) = (row.get(0), row.get(1), row.get(2), row.get(4));
        assert_eq!(counted, (256, 65_536, 65_536, 256));
        assert!((row.get::<_, f64>(3) - 1.0).abs() < 1e-6);
        println!("{plan}: the largest shard takes {} bytes", row.get::<_, i32>(5));
    }
    let wider = json!({"target": "127.0.0.0/15", "scan_type": "quick"});
    app.post("/api/v2/scans", Some(token), &wider).await.assert_problem(400, "invalid_request");
}

#[tokio::test]
async fn of_a_wide_scan_that_was_stopped_what_was_never_made_is_done_when_what_failed_is_repeated() {
    let app = TestApp::spawn_with(|settings: &mut GatewaySettings| {
        settings.allow_targets = vec!["127.0.0.0/8".to_owned()];
        settings.registration_plan = Subscription::Enterprise;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let token = member.token.as_str();
    let body = json!({"target": "127.1.0.0/16", "tool": "nmap", "parameters": {"ports": "1-1000"}});
    let made = app.post("/api/v1/scans/create", Some(token), &body).await;
    assert_eq!((made.status, &made.json()["tasks"]), (201, &json!(256)), "{}", made.text);
    let first = made.json()["id"].as_str().unwrap().to_owned();
    let client = app.database.connect().await;
    // One task of those that are made looked at everything.
    client
        .batch_execute(
            "UPDATE tasks SET state = 'queued', queued_at = now() WHERE id = (SELECT min(id::text)::uuid FROM tasks);
             UPDATE tasks SET state = 'running', worker_id = gen_random_uuid(), lease_until = now(), attempt = 1 WHERE state = 'queued';
             UPDATE tasks SET state = 'done', lease_until = NULL, ended_at = now() WHERE state = 'running'",
        )
        .await
        .unwrap();
    app.post(&format!("/api/v1/scan/{first}/stop"), Some(token), &json!({})).await;
    let status = app.get(&format!("/api/v1/scan/{first}/status"), Some(token)).await.json();
    assert_eq!(status["tasks"], json!({"total": 256, "ended": 256}), "{status}");
    let again = app.post(&format!("/api/v1/scan/{first}/rerun"), Some(token), &json!({"only": "failed"})).await;
    assert_eq!((again.status, &again.json()["tasks"]), (201, &json!(255)), "{}", again.text);
    let id: ScanId = again.json()["id"].as_str().unwrap().parse().unwrap();
    make_all(&app, id).await;
    let sql =
        "SELECT count(*), count(DISTINCT a) FROM tasks AS t, jsonb_array_elements_text(t.shard -> 'addresses') AS a
               WHERE t.scan_id = $1";
    let row = client.query_one(sql, &[&id.uuid()]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (65_280, 65_280));
}
