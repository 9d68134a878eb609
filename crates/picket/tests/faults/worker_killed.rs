//! Invariants 1, 2, 4 and 11: a worker that is killed in mid-scan loses nothing and leaves nothing.

use std::time::{Duration, SystemTime};

use crate::{
    process::{alive, eventually},
    service::Service,
    stage::{LONG, Stage},
};

/// A lease of 4 s instead of 30, so that nobody waits for its end for long.
const SHORT_LEASE: [(&str, &str); 2] = [("PICKET_WORKER__LEASE_SECONDS", "4"), ("PICKET_WORKER__HEARTBEAT_MS", "500")];
/// How soon after the lease's end a task is taken up again.
const TAKEN_UP: Duration = Duration::from_secs(30);
/// How soon nothing is left of a worker that was killed (invariant 11 of `ARCHITECTURE.md` gives 60 s).
const LEFT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_whose_worker_is_killed_is_taken_up_again_and_completes_with_each_finding_once() {
    let (stage, service) = (Stage::new().await, Service::silent());
    let _steward = stage.start("steward", &[]);
    let mut first = stage.start_worker(210_000, &SHORT_LEASE);
    let scan = stage.scan(&service).await;
    let (family, _) =
        eventually("the tool runs", LONG, async || (!first.tools().is_empty()).then(|| first.descendants())).await;
    assert!(family.len() >= 3, "bwrap twice, and the tool: {family:?}");
    let row = stage.row("SELECT state, attempt FROM tasks", &[]).await;
    assert_eq!((row.get(0), row.get(1)), ("running", 1));

    first.kill();
    service.speak();
    let sql = "SELECT lease_until FROM tasks WHERE attempt = 1 AND state = 'running'";
    let lease_until: SystemTime = stage.row(sql, &[]).await.get(0);
    let second = stage.start_worker(211_000, &SHORT_LEASE);
    let (_, gone_after) =
        eventually("the end of what the dead worker ran", LEFT, async || alive(&family).is_empty().then_some(())).await;

    stage.await_state(&scan, "completed").await;
    stage.assert_completed_once(&scan, 2).await;
    let row = stage.row("SELECT started_at, failures FROM tasks", &[]).await;
    let taken_up: SystemTime = row.get(0);
    let after = taken_up.duration_since(lease_until).expect("not before the lease's end");
    assert!(after < TAKEN_UP, "taken up {after:?} after the lease's end");
    assert_eq!(row.get::<_, i32>(1), 1, "a lost worker counts as a failure");
    assert!(second.tools().is_empty());
    println!("processes gone after {gone_after:?}, task taken up {after:?} after the lease's end");
}
