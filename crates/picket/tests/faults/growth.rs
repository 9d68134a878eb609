//! A plan whose later stage grows from what a real port scan has found, and a worker that dies in the middle of it.

use picket_domain::{NewScan, NewTask, Plan, TaskId};
use picket_kit::Clock;
use picket_testkit::seed;
use serde_json::json;

use crate::{
    process::eventually,
    service::Service,
    stage::{LONG, Stage},
};

/// A stored full plan of one host, at the ports of those services.
async fn full(stage: &Stage, services: &[&Service]) -> NewScan {
    let tool = picket_scanners::find("nmap").unwrap();
    let ports: Vec<String> = services.iter().map(|service| service.port.to_string()).collect();
    let params = json!({"scan_type": "-sT -sV", "ports": ports.join(","), "timing": 3});
    let shape = tool.shapes(Some(&params)).unwrap().pop().unwrap();
    let mut scan = seed::scan(stage.organization, 1);
    let (shard, id) = (scan.tasks.remove(0).shard, TaskId::mint(Clock::system().now()));
    let opens = ["web_scan", "ssl_scan", "ssh-audit"].map(str::to_owned).to_vec();
    scan.tasks = vec![NewTask { id, tool: "nmap", needs: shape.needs, params: shape.params, shard, opens }];
    (scan.plan, scan.tool) = (Plan::Full, None);
    stage.store(&scan).await;
    scan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_grows_once_although_its_worker_is_killed_and_ends_with_its_last_stage() {
    let (stage, silent, ssh) = (Stage::new().await, Service::silent(), Service::quick());
    let _steward = stage.start("steward", &[]);
    let lease = [("PICKET_WORKER__LEASE_SECONDS", "4"), ("PICKET_WORKER__HEARTBEAT_MS", "500")];
    let mut first = stage.start_worker(212_000, &lease);
    let scan = full(&stage, &[&silent, &ssh]).await;
    eventually("the port scan runs", LONG, async || (!first.tools().is_empty()).then_some(())).await;
    first.kill();
    silent.speak();
    let _second = stage.start_worker(213_000, &lease);

    stage.await_state(&scan, "completed").await;
    let sql = "SELECT tool, (params ->> 'port')::integer, state, grown_from IS NOT NULL, shard ->> 'addresses'
               FROM tasks ORDER BY id";
    let rows = stage.rows(sql, &[]).await;
    let mut grown: Vec<(String, i32)> = Vec::new();
    for row in rows.iter().skip(1) {
        assert!(row.get::<_, bool>(3), "it grew");
        assert!(["done", "failed"].contains(&row.get::<_, &str>(2)), "it ended");
        assert_eq!(row.get::<_, &str>(4), "[\"127.0.0.1\"]");
        grown.push((row.get(0), row.get(1)));
    }
    grown.sort();
    let mut expected = [&silent, &ssh].map(|service| ("ssh-audit".to_owned(), i32::from(service.port)));
    expected.sort();
    assert_eq!(grown, expected);
    let row = stage.row("SELECT state, attempt FROM tasks WHERE grown_from IS NULL", &[]).await;
    assert_eq!((row.get(0), row.get(1)), ("done", 2_i32), "the port scan was done again");
}
