//! The widest target that a plan allows.

use picket_domain::Subscription;
use picket_gateway::GatewaySettings;
use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_slash_16_is_planned_with_each_address_once() {
    let app = TestApp::spawn_with(|settings: &mut GatewaySettings| {
        settings.allow_targets = vec!["127.0.0.0/8".to_owned()];
        settings.registration_plan = Subscription::Enterprise;
    })
    .await;
    let member = app.member("ada@example.com").await;
    for (plan, probes) in [("quick", 6_553_600), ("full", 65_536_000)] {
        let body = json!({"target": "127.1.0.0/16", "scan_type": plan});
        let estimate = app.post("/api/v2/scans/estimate", Some(&member.token), &body).await.json();
        assert_eq!((&estimate["tasks"], &estimate["hosts_times_ports"]), (&json!(256), &json!(probes)));
        let begun = std::time::Instant::now();
        let made = app.post("/api/v2/scans", Some(&member.token), &body).await;
        println!("{plan}: a /16 is accepted after {:?}", begun.elapsed());
        assert_eq!(made.status, 201, "{}", made.text);
        let client = app.database.connect().await;
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
    app.post("/api/v2/scans", Some(&member.token), &wider).await.assert_problem(400, "invalid_request");
}
