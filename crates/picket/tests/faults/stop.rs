//! A scan that is stopped ends its tool (`docs/contract.md`: cancelled is final).

use std::time::{Duration, Instant};

use crate::{
    process::{alive, eventually},
    service::Service,
    stage::{LONG, Stage},
};

/// From the stop to the end of the tool, at most.
pub(crate) const STOPPED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_is_stopped_ends_its_tool_within_five_seconds_and_frees_its_slot() {
    let (stage, service) = (Stage::new().await, Service::silent());
    let _steward = stage.start("steward", &[]);
    let worker = stage.start_worker(212_000, &[("PICKET_WORKER__SLOTS", "1")]);
    let scan = stage.scan(&service).await;
    let (family, _) =
        eventually("the tool runs", LONG, async || (!worker.tools().is_empty()).then(|| worker.descendants())).await;

    let stopped = Instant::now();
    stage.stop(&scan).await;
    eventually("the end of the tool", STOPPED, async || alive(&family).is_empty().then_some(())).await;
    println!("gone {:?} after the stop", stopped.elapsed());
    service.speak();
    let next = stage.scan(&service).await;
    stage.await_state(&next, "completed").await;
    assert_eq!(stage.state(&scan).await, "cancelled");
    let row = stage.row("SELECT count(*) FROM sightings WHERE scan_id = $1", &[&scan.id.uuid()]).await;
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// A heartbeat of an hour, and leases that outlast it: whatever acts before was told by the hint.
const HOURLY: [(&str, &str); 3] = [
    ("PICKET_WORKER__SLOTS", "1"),
    ("PICKET_WORKER__HEARTBEAT_MS", "3600000"),
    ("PICKET_WORKER__LEASE_SECONDS", "7200"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_ends_the_tool_of_a_stopped_scan_before_the_next_heartbeat() {
    let (stage, service) = (Stage::new().await, Service::silent());
    let _steward = stage.start("steward", &[]);
    let worker = stage.start_worker(213_000, &HOURLY);
    let scan = stage.scan(&service).await;
    let (family, _) =
        eventually("the tool runs", LONG, async || (!worker.tools().is_empty()).then(|| worker.descendants())).await;
    let listens =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN picket_leases'";
    eventually("the worker listens", LONG, async || {
        (stage.row(listens, &[]).await.get::<_, i64>(0) == 1).then_some(())
    })
    .await;

    // A hint that nothing happened for changes nothing.
    stage.database.connect().await.batch_execute("NOTIFY picket_leases; NOTIFY picket_leases").await.unwrap();
    let beaten = "SELECT count(*) FROM workers WHERE heartbeat_at > started_at";
    eventually("the heartbeat that the hint asked for", LONG, async || {
        (stage.row(beaten, &[]).await.get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    assert_eq!(alive(&family).len(), family.len(), "a forged hint ends nothing");

    stage.stop(&scan).await;
    eventually("the end of the tool", STOPPED, async || alive(&family).is_empty().then_some(())).await;
    assert_eq!(stage.state(&scan).await, "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_whose_hint_was_lost_ends_the_tool_at_the_next_heartbeat() {
    let (stage, service) = (Stage::new().await, Service::silent());
    let _steward = stage.start("steward", &[]);
    let worker = stage.start_worker(214_000, &[("PICKET_WORKER__SLOTS", "1")]);
    let scan = stage.scan(&service).await;
    let (family, _) =
        eventually("the tool runs", LONG, async || (!worker.tools().is_empty()).then(|| worker.descendants())).await;
    // By hand, so that nobody is told.
    let client = stage.database.connect().await;
    for change in [
        "UPDATE tasks SET state = 'cancelled', gap = 'cancelled', ended_at = now(), lease_until = NULL",
        "UPDATE scans SET state = 'cancelled', ended_at = now()",
    ] {
        client.batch_execute(change).await.unwrap();
    }
    eventually("the end of the tool", LONG, async || alive(&family).is_empty().then_some(())).await;
    assert_eq!(stage.state(&scan).await, "cancelled");
}
