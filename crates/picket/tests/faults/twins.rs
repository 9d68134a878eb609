//! Broken twins: with one safeguard taken out the same experiment must fail, else the checker or the experiment is worth
//! nothing.

use std::time::Duration;

use serde_json::json;

use crate::{
    platform::Platform,
    process::{Role, eventually},
    proxy::Way,
    stage::LONG,
};

/// Long enough for a sound platform to end what is left.
const ENOUGH: Duration = Duration::from_secs(12);
/// Sweeps that come too late to hide what they repair.
const NO_SWEEPS: [(&str, &str); 2] =
    [("PICKET_STEWARD__CLAIM_WAIT_SECONDS", "3600"), ("PICKET_DISPATCHER__GRACE_MS", "3600000")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence_a_late_result_breaks_an_invariant() {
    let platform = Platform::new("twin without the fence").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    platform.late_result(";store::fence=return(out)").await;
    let broken = platform.broken(ENOUGH).await;
    assert!(broken.contains(&"2"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_rescue_sweep_a_lost_worker_breaks_an_invariant() {
    let platform = Platform::new("twin without the rescue").await;
    let _steward = platform.start("steward", "steward::rescue_sweep=return(out)");
    let _dispatcher = platform.start("dispatcher", "");
    let one = [("PICKET_WORKER__SLOTS", "1")];
    let mut first = platform.start_with("worker", "worker::before_start=1*return(kill)", &one);
    platform.scan(&json!({"findings": 1})).await;
    platform.death(&mut first).await;
    let _second = platform.start("worker", "");
    let broken = platform.broken(ENOUGH).await;
    assert!(broken.contains(&"1"), "{broken:?}");
}

/// A relay that publishes into a connection which nobody answers any more, and what becomes of its message.
async fn unanswered(experiment: &'static str, faults: &str) -> (Platform, [Role; 3]) {
    let platform = Platform::new(experiment).await;
    let roles = [("steward", faults), ("worker", ""), ("dispatcher", "")];
    let roles = roles.map(|(role, faults)| platform.start_with(role, faults, &NO_SWEEPS));
    platform.scan(&json!({})).await;
    platform.drain(LONG).await;
    platform.broker.set(Way::Silent);
    platform.scan(&json!({"findings": 1})).await;
    let sql = "SELECT count(*) FROM events WHERE published_at IS NULL AND claimed_until IS NULL";
    // The twin marks what it sent; the relay that waits for confirms gives it back after five seconds.
    let settled = async || {
        let waits: i64 = platform.stage.row(sql, &[]).await.get(0);
        let open = "SELECT count(*) FROM events WHERE published_at IS NULL";
        let all: i64 = platform.stage.row(open, &[]).await.get(0);
        let admitted: i64 =
            platform.stage.row("SELECT count(*) FROM tasks WHERE queued_at IS NOT NULL", &[]).await.get(0);
        (admitted == 2 && (all == 0 || waits > 0)).then_some(())
    };
    eventually("the relay's word", LONG, settled).await;
    platform.broker.set(Way::Cut);
    platform.broker.set(Way::Open);
    (platform, roles)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wait_for_confirms_a_broken_connection_breaks_an_invariant_and_with_it_none() {
    let (twin, _roles) = unanswered("twin without confirms", "queue::confirm_wait=return(out)").await;
    // Which message is lost decides which: a task that nobody hears of (I1), an event that nobody is told (I3).
    let broken = twin.broken(ENOUGH).await;
    assert!(broken.contains(&"1") || broken.contains(&"3"), "{broken:?}");
    let (sound, _roles) = unanswered("its sound sibling", "").await;
    sound.verdict().await;
}
