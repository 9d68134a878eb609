//! Claims, fences and rescues: a task's result belongs to exactly one attempt.

use picket_domain::{Gap, NewScan, Severity};
use picket_store::{
    StoreError, scans,
    tasks::{self, HandBack, MAX_FAILURES, RunRecord, admission, lease},
};

use crate::scenario::{Scenario, now, observation};

async fn expire(scenario: &Scenario) {
    scenario.execute("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'running'").await;
}

async fn rescue(scenario: &Scenario) -> u64 {
    let rescued = scenario.db.operate("test", async |tx| admission::rescue(tx, 60.0).await).await.unwrap();
    let hopeless = scenario.db.operate("test", async |tx| admission::hopeless(tx).await).await.unwrap();
    rescued + give_up(scenario, hopeless).await
}

async fn give_up(scenario: &Scenario, tasks: Vec<admission::Hopeless>) -> u64 {
    let mut given_up = 0;
    for task in tasks {
        let is_over = scenario.db.operate("test", async |tx| admission::give_up(tx, task, now()).await).await.unwrap();
        given_up += u64::from(is_over);
    }
    given_up
}

async fn complete(scenario: &Scenario, task: &picket_domain::ClaimedTask) -> Result<(), StoreError> {
    let found = [observation(80, Severity::Critical), observation(81, Severity::Info)];
    let run = RunRecord::default();
    scenario
        .db
        .run("test", scenario.organization, async |tx| tasks::complete(tx, task, &found, &run, now()).await)
        .await
}

#[tokio::test]
async fn a_scan_goes_from_its_creation_to_its_end() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    assert_eq!(scenario.state(&scan).await, "running");
    complete(&scenario, &task).await.unwrap();
    assert_eq!(scenario.state(&scan).await, "completed");
    let events = ["scan.created", "scan.started", "finding.found", "scan.completed"];
    assert_eq!(scenario.public_events().await, events);
}

#[tokio::test]
async fn a_message_that_comes_twice_is_claimed_once() {
    let scenario = Scenario::new().await;
    let (_, message, _) = scenario.running().await;
    assert_eq!(scenario.claim(&message).await, None);
}

#[tokio::test]
async fn a_late_result_is_thrown_away() {
    let scenario = Scenario::new().await;
    let (scan, _, late) = scenario.running().await;
    expire(&scenario).await;
    assert_eq!(rescue(&scenario).await, 1);
    assert_eq!(scenario.admit().await, 1);
    let message = scenario.messages().await.pop().unwrap();
    let task = scenario.claim(&message).await.unwrap();
    assert_eq!(task.fence.attempt, late.fence.attempt + 1);

    assert!(matches!(complete(&scenario, &late).await, Err(StoreError::Stale { .. })));
    let stored: i64 = scenario.row("SELECT count(*) FROM sightings", &[]).await.get(0);
    assert_eq!(stored, 0);
    complete(&scenario, &task).await.unwrap();
    assert!(matches!(complete(&scenario, &task).await, Err(StoreError::Stale { .. })));
    assert_eq!(scenario.state(&scan).await, "completed");
    let stored: i64 = scenario.row("SELECT count(*) FROM sightings", &[]).await.get(0);
    assert_eq!(stored, 2);
}

#[tokio::test]
async fn a_task_whose_workers_die_again_and_again_is_given_up() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    for failure in 1..=MAX_FAILURES {
        assert_eq!(scenario.admit().await, 1);
        let message = scenario.messages().await.pop().unwrap();
        scenario.claim(&message).await.unwrap();
        expire(&scenario).await;
        assert_eq!(rescue(&scenario).await, 1, "failure {failure}");
    }
    assert_eq!(scenario.state(&scan).await, "failed");
    let row = scenario.row("SELECT gap, (SELECT failure FROM scans) FROM tasks", &[]).await;
    assert_eq!(row.get::<_, String>(0), Gap::WorkerLost.name());
    assert_eq!(row.get::<_, String>(1), "nothing could be examined: worker_lost");
    let row = scenario.row("SELECT last_reason ->> 'code' FROM tasks", &[]).await;
    assert_eq!(row.get::<_, String>(0), "worker_lost");
    let lines =
        "SELECT string_agg(attempt || ' ' || (line ->> 'gap') || ' ' || (line ->> 'again'), ', ' ORDER BY number)
                 FROM output_lines";
    let told: String = scenario.row(lines, &[]).await.get(0);
    assert_eq!(told, "1 worker_lost true, 2 worker_lost true, 3 worker_lost false");
    assert_eq!(rescue(&scenario).await, 0);
}

#[tokio::test]
async fn a_lost_message_is_sent_again() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    assert_eq!(scenario.admit().await, 1);
    assert_eq!(rescue(&scenario).await, 0);
    scenario.execute("UPDATE tasks SET queued_at = now() - interval '2 minutes'").await;
    assert_eq!(rescue(&scenario).await, 1);
    assert_eq!(scenario.admit().await, 1);
}

#[tokio::test]
async fn an_interruption_is_not_a_failure() {
    let scenario = Scenario::new().await;
    let (_, _, task) = scenario.running().await;
    let give = async |why| {
        let fence = task.fence;
        scenario
            .db
            .run("test", scenario.organization, async |tx| {
                tasks::hand_back(tx, fence, why, &RunRecord::default()).await
            })
            .await
    };
    give(HandBack::Interrupted).await.unwrap();
    let row = scenario.row("SELECT last_reason ->> 'code', state, failures, attempt FROM tasks", &[]).await;
    assert_eq!(row.get::<_, String>(0), "interrupted");
    let row = scenario.row("SELECT state, failures, attempt FROM tasks", &[]).await;
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("ready", 0_i32, 1_i32));
    assert!(matches!(give(HandBack::Failed).await, Err(StoreError::Stale { .. })));
}

#[tokio::test]
async fn a_stopped_scan_takes_the_leases_of_its_tasks() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    let renew = async || {
        let (worker, held) = (scenario.claimant(), [task.fence]);
        scenario.db.operate("test", async |tx| lease::renew(tx, worker, &held).await).await.unwrap()
    };
    assert_eq!(renew().await, [task.fence]);
    stop(&scenario, &scan).await;
    assert_eq!(renew().await, []);
    assert!(matches!(complete(&scenario, &task).await, Err(StoreError::Stale { .. })));
    assert_eq!(scenario.state(&scan).await, "cancelled");
}

async fn stop(scenario: &Scenario, scan: &NewScan) {
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            let locked = scans::lock(tx, scan.id).await?.expect("the scan");
            let change = locked.scan.cancel(now()).expect("a scan that can be stopped");
            scans::cancel(tx, change, None, now()).await
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_no_live_worker_can_do_ends_with_its_reason() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    scenario.execute("DELETE FROM workers").await;
    assert_eq!(scenario.admit().await, 0);
    assert_eq!(unserved(&scenario, 60.0).await, 0);
    assert_eq!(unserved(&scenario, 0.0).await, 1);
    assert_eq!(scenario.state(&scan).await, "failed");
    let gap: String = scenario.row("SELECT gap FROM tasks", &[]).await.get(0);
    assert_eq!(gap, "capability_unavailable");
}

/// Gives up what nobody could do for so many seconds.
async fn unserved(scenario: &Scenario, wait: f64) -> u64 {
    let found = scenario.db.operate("test", async |tx| admission::unserved(tx, wait, now()).await).await.unwrap();
    give_up(scenario, found).await
}

#[tokio::test]
async fn a_worker_that_has_proven_too_little_does_not_count() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    scenario.execute("UPDATE tasks SET level = 'L0'").await;
    assert_eq!(scenario.admit().await, 0);
    assert_eq!(unserved(&scenario, 0.0).await, 1);
    assert_eq!(scenario.state(&scan).await, "failed");
}

#[tokio::test]
async fn a_message_that_waits_for_a_busy_pool_is_not_sent_again() {
    let scenario = Scenario::new().await;
    scenario.create(2).await;
    assert_eq!(scenario.admit().await, 2);
    let message = scenario.messages().await.pop().unwrap();
    scenario.claim(&message).await.unwrap();
    scenario.execute("UPDATE tasks SET queued_at = now() - interval '2 minutes' WHERE state = 'queued'").await;
    scenario.execute("UPDATE workers SET slots = 1").await;
    assert_eq!(rescue(&scenario).await, 0, "all slots are busy: the message only waits");
    scenario.execute("UPDATE workers SET slots = 2").await;
    assert_eq!(rescue(&scenario).await, 1, "a slot is free and the message did not come");
}

#[tokio::test]
async fn a_scan_that_is_stopped_while_it_is_admitted_and_renewed_ends_without_a_deadlock() {
    let scenario = Scenario::new().await;
    for _ in 0..10 {
        let scan = scenario.create(8).await;
        let all: Vec<_> = scan.tasks.iter().map(|task| picket_domain::Fence { task_id: task.id, attempt: 0 }).collect();
        let renew = async {
            let (by, held) = (scenario.claimant(), all.clone());
            scenario.db.operate("test", async |tx| lease::renew(tx, by, &held).await).await.unwrap();
        };
        tokio::join!(scenario.admit(), stop(&scenario, &scan), renew, rescue(&scenario), scenario.admit());
        assert_eq!(scenario.state(&scan).await, "cancelled");
    }
}

#[tokio::test]
async fn stewards_that_admit_at_once_never_exceed_the_limit() {
    let scenario = Scenario::new().await;
    scenario.create(30).await;
    let rounds = (0..8).map(|_| scenario.admit());
    let admitted: usize = futures_util::future::join_all(rounds).await.into_iter().sum();
    let limit = picket_domain::Subscription::Trial.limits().tasks_in_flight;
    assert_eq!(admitted, usize::try_from(limit).unwrap());
    assert_eq!(scenario.admit().await, 0);
}

#[tokio::test]
async fn a_finding_is_known_once_and_seen_in_each_scan() {
    let scenario = Scenario::new().await;
    for _ in 0..2 {
        let (_, _, task) = scenario.running().await;
        complete(&scenario, &task).await.unwrap();
    }
    let row = scenario.row("SELECT (SELECT count(*) FROM findings), (SELECT count(*) FROM sightings)", &[]).await;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 4));
    let found = scenario.public_events().await.into_iter().filter(|name| name == "finding.found").count();
    assert_eq!(found, 1, "only a finding that is new and at least low is told");
}
