//! F30 with one and two slots: the fewest that there are, where one organization's long scan is ahead of everybody.

use picket_domain::{NewScan, Subscription};
use picket_testkit::seed;
use serde_json::json;

use crate::{platform::Platform, process::eventually, stage::LONG};

/// Tasks that admission may put on the queue for each slot, however short they are (`store::tasks::admission`).
const MOST_QUEUED: i64 = 16;
/// What the largest plan's weight gives it before the smallest one's next turn.
const WEIGHTS: i64 = 8;

impl Platform {
    /// Tasks of the long scan that were admitted, and that began, between the small one's coming and its own turn. By the
    /// order in which they were written down, so that it does not matter how busy the machine is.
    async fn passed(&self, long: &NewScan, small: &NewScan) -> (i64, i64) {
        let sql = "WITH small AS (
                       SELECT min(place) FILTER (WHERE was IS NULL) AS came,
                              min(place) FILTER (WHERE becomes = 'queued') AS admitted,
                              min(place) FILTER (WHERE becomes = 'running') AS began
                       FROM faults.history WHERE kind = 'tasks' AND organization_id = $2
                   )
                   SELECT count(*) FILTER (WHERE h.becomes = 'queued' AND h.place < s.admitted),
                          count(*) FILTER (WHERE h.becomes = 'running' AND h.place < s.began)
                   FROM faults.history AS h, small AS s
                   WHERE h.kind = 'tasks' AND h.organization_id = $1 AND h.place > s.came";
        let parties = (long.organization_id.uuid(), small.organization_id.uuid());
        let row = self.stage.row(sql, &[&parties.0, &parties.1]).await;
        (row.get(0), row.get(1))
    }
}

/// One worker of so few slots, a thousand tasks of the largest plan at work, one task of the smallest.
async fn a_small_scan_comes_behind_a_long_one(experiment: &'static str, slots: i64) {
    let platform = Platform::new(experiment).await;
    let other = seed::organization(&platform.stage.database, Subscription::Trial).await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let _worker = platform.start_with("worker", "", &[("PICKET_WORKER__SLOTS", &slots.to_string())]);
    let long = platform.scan(&json!({"tasks": 1_000, "sleep_ms": 5})).await;
    let done = "SELECT count(*) FROM tasks WHERE scan_id = $1 AND state = 'done'";
    // By now the steward knows how short they are, and its queue is as long as it gets.
    eventually("the long scan is under way", LONG, async || {
        (platform.stage.row(done, &[&long.id.uuid()]).await.get::<_, i64>(0) > 40).then_some(())
    })
    .await;
    let small = platform.stage.simulate_for(other, &json!({"findings": 1})).await;
    platform.stage.await_state(&small, "completed").await;
    let (admitted, began) = platform.passed(&long, &small).await;
    println!("{experiment}: {admitted} tasks of the long scan were admitted and {began} began before the small one");
    // A round that had begun when it came may fill the queue; the next one owes it a turn.
    let most = slots * MOST_QUEUED + WEIGHTS;
    assert!(admitted <= most, "{admitted} were admitted, expected at most {most}");
    // What was on the queue already, in the slots, and what was admitted since.
    let most = slots * (MOST_QUEUED + 1) + most;
    assert!(began <= most, "{began} began, expected at most {most}");
    assert!(platform.cancel(&long).await, "most of it still waits");
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f30_with_one_slot_a_small_scan_waits_for_one_queue_of_a_long_one_at_most() {
    a_small_scan_comes_behind_a_long_one("F30, one slot", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f30_with_two_slots_a_small_scan_waits_for_one_queue_of_a_long_one_at_most() {
    a_small_scan_comes_behind_a_long_one("F30, two slots", 2).await;
}
