//! A scan that is stopped ends its tool (`docs/contract.md`: cancelled is final).

use std::time::{Duration, Instant};

use crate::{
    process::{alive, eventually},
    service::Service,
    stage::{LONG, Stage},
};

/// From the stop to the end of the tool, at most.
const STOPPED: Duration = Duration::from_secs(5);

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
