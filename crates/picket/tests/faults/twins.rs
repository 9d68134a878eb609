//! Broken twins: with one safeguard taken out the same experiment must fail, else the checker or the experiment is worth
//! nothing.

use std::{collections::BTreeSet, time::Duration};

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

/// A relay that publishes into a connection which nobody answers any more: an event of a scan, and the task's message.
/// `settled` says when it has done with both what it does.
async fn unanswered(
    experiment: &'static str,
    faults: &str,
    settled: impl AsyncFn(&Platform, &Role) -> bool,
) -> (Platform, [Role; 3]) {
    let platform = Platform::new(experiment).await;
    let roles = [("steward", faults), ("worker", ""), ("dispatcher", "")];
    let roles = roles.map(|(role, faults)| platform.start_with(role, faults, &NO_SWEEPS));
    platform.scan(&json!({})).await;
    platform.drain(LONG).await;
    platform.broker.set(Way::Silent);
    platform.scan(&json!({"findings": 1})).await;
    let admitted = "SELECT count(*) FROM tasks WHERE queued_at IS NOT NULL";
    let both = async || {
        let is_admitted = platform.stage.row(admitted, &[]).await.get::<_, i64>(0) == 2;
        (is_admitted && settled(&platform, &roles[0]).await).then_some(())
    };
    eventually("the relay's word", LONG, both).await;
    platform.broker.set(Way::Cut);
    platform.broker.set(Way::Open);
    (platform, roles)
}

/// Everything counts as sent.
async fn sent(platform: &Platform, _steward: &Role) -> bool {
    let open = "SELECT count(*) FROM events WHERE published_at IS NULL";
    platform.stage.row(open, &[]).await.get::<_, i64>(0) == 0
}

/// The relay has waited for a confirm and has said that none came.
async fn kept(platform: &Platform, steward: &Role) -> bool {
    steward.log().contains("did not confirm in time") && !sent(platform, steward).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wait_for_confirms_a_broken_connection_breaks_an_invariant_and_with_it_none() {
    let (twin, _roles) = unanswered("twin without confirms", "queue::confirm_wait=return(out)", sent).await;
    // Both were on the way when the connection broke: nobody hears of the task (I1), nobody is told of the event (I3).
    let broken: BTreeSet<_> = twin.broken(ENOUGH).await.into_iter().collect();
    assert_eq!(broken, BTreeSet::from(["1", "3"]));
    let (sound, _roles) = unanswered("its sound sibling", "", kept).await;
    sound.verdict().await;
}
