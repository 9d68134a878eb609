//! Pause, resume, stop and removal against everything else that may happen to a scan at the same moment.

use picket_domain::{FindingId, Gap, NewScan, Severity};
use picket_store::{
    StoreError,
    scans::{
        self,
        compare::{self, Outcome, Slice},
        control, overview,
        read::SightedFinding,
        remove,
    },
    tasks::{self, HandBack, RunRecord, admission, lease},
};

use crate::scenario::{Scenario, now, observation};

/// What a client asks; false when the scan's state does not allow it.
pub(crate) async fn ask(scenario: &Scenario, scan: &NewScan, what: &str) -> bool {
    let asked = scenario.db.run("test", scenario.organization, async |tx| {
        let Some(locked) = scans::lock(tx, scan.id).await? else { return Ok::<_, StoreError>(false) };
        let scan = locked.scan;
        if what == "delete" {
            let may = scan.state.is_final();
            if may {
                remove::remove(tx, &scan).await?;
            }
            return Ok(may);
        }
        let change = match what {
            "pause" => scan.pause(),
            "resume" => scan.resume(),
            "stop" => scan.cancel(now()),
            other => panic!("{other}"),
        };
        let Ok(change) = change else { return Ok(false) };
        match what {
            "pause" => control::pause(tx, change, None, now()).await?,
            "resume" => control::resume(tx, change, None, now()).await?,
            _ => scans::cancel(tx, change, None, now()).await?,
        };
        Ok(true)
    });
    asked.await.unwrap()
}

async fn complete(scenario: &Scenario, task: &picket_domain::ClaimedTask, ports: &[u16]) -> Result<(), StoreError> {
    let found: Vec<_> = ports.iter().map(|port| observation(*port, Severity::High)).collect();
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            tasks::complete(tx, task, &found, &RunRecord::default(), now()).await
        })
        .await
}

async fn keep(scenario: &Scenario, task: &picket_domain::ClaimedTask, ports: &[u16]) -> Result<(), StoreError> {
    let found: Vec<_> = ports.iter().map(|port| observation(*port, Severity::High)).collect();
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            tasks::keep(tx, task, &found, &RunRecord::default(), now()).await
        })
        .await
}

async fn count(scenario: &Scenario, sql: &str) -> i64 {
    scenario.row(sql, &[]).await.get(0)
}

/// A scan of that many tasks, one of which runs and the others of which are admitted.
async fn one_of(
    scenario: &Scenario,
    tasks: usize,
) -> (NewScan, Vec<picket_domain::TaskQueued>, picket_domain::ClaimedTask) {
    let scan = scenario.create(tasks).await;
    assert_eq!(scenario.admit().await, tasks);
    let mut messages = scenario.messages().await;
    let first = messages.remove(0);
    let task = scenario.claim(&first).await.unwrap();
    (scan, messages, task)
}

#[tokio::test]
async fn a_paused_scan_finishes_what_runs_and_holds_the_rest() {
    let scenario = Scenario::new().await;
    let (scan, messages, task) = one_of(&scenario, 2).await;
    assert!(ask(&scenario, &scan, "pause").await);
    assert!(!ask(&scenario, &scan, "pause").await, "it is paused already");
    assert_eq!(scenario.claim(&messages[0]).await, None, "its message is on the broker still");
    assert_eq!(scenario.admit().await, 0);
    complete(&scenario, &task, &[80]).await.unwrap();
    assert_eq!(scenario.state(&scan).await, "paused");
    let wait = scenario.db.operate("test", async |tx| admission::unserved(tx, 0.0, now()).await).await.unwrap();
    assert!(wait.is_empty(), "what is held does not wait for a worker");

    assert!(ask(&scenario, &scan, "resume").await);
    assert_eq!(scenario.admit().await, 1);
    let again = scenario.messages().await.pop().unwrap();
    let rest = scenario.claim(&again).await.unwrap();
    assert_eq!(scenario.claim(&messages[0]).await, None, "the message from before the pause is stale");
    complete(&scenario, &rest, &[81]).await.unwrap();
    assert_eq!(scenario.state(&scan).await, "completed");
    let events = scenario.public_events().await;
    let changes: Vec<_> = events.iter().filter(|name| name.starts_with("scan.")).collect();
    assert_eq!(changes, ["scan.created", "scan.started", "scan.paused", "scan.resumed", "scan.completed"]);
}

#[tokio::test]
async fn a_paused_scan_of_which_nothing_is_left_completes() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    assert!(ask(&scenario, &scan, "pause").await);
    complete(&scenario, &task, &[80]).await.unwrap();
    assert_eq!(scenario.state(&scan).await, "completed");
    assert!(!ask(&scenario, &scan, "resume").await);
}

#[tokio::test]
async fn a_task_that_was_admitted_while_its_scan_was_paused_goes_back_to_the_ready_ones() {
    let scenario = Scenario::new().await;
    let (scan, messages, _) = one_of(&scenario, 2).await;
    assert!(ask(&scenario, &scan, "pause").await);
    scenario.execute("UPDATE tasks SET state = 'queued', queued_at = now() WHERE state = 'ready'").await;
    assert_eq!(scenario.claim(&messages[0]).await, None);
    assert_eq!(count(&scenario, "SELECT count(*) FROM tasks WHERE state = 'ready'").await, 1);
}

#[tokio::test]
async fn what_a_worker_hands_back_and_what_is_rescued_of_a_paused_scan_is_held() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    assert!(ask(&scenario, &scan, "pause").await);
    let fence = task.fence;
    let back = scenario.db.run("test", scenario.organization, async |tx| {
        tasks::hand_back(tx, fence, HandBack::Interrupted, &RunRecord::default()).await
    });
    back.await.unwrap();
    assert_eq!((scenario.admit().await, scenario.state(&scan).await.as_str()), (0, "paused"));
    assert!(ask(&scenario, &scan, "stop").await);
    assert_eq!(count(&scenario, "SELECT count(*) FROM tasks WHERE state <> 'cancelled'").await, 0);
}

#[tokio::test]
async fn what_a_stopped_tool_had_found_is_kept_once_and_as_a_part() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    assert!(matches!(keep(&scenario, &task, &[80]).await, Err(StoreError::Stale { .. })), "it was not stopped");
    assert!(ask(&scenario, &scan, "stop").await);
    keep(&scenario, &task, &[80, 81]).await.unwrap();
    assert!(matches!(keep(&scenario, &task, &[82]).await, Err(StoreError::Stale { .. })), "once");
    assert_eq!(count(&scenario, "SELECT count(*) FROM sightings").await, 2);
    let seen = scenario
        .db
        .view("test", scenario.organization, async |view| overview::find(view, overview::ScanKey::Id(scan.id)).await);
    let line = seen.await.unwrap().unwrap().coverage.pop().unwrap();
    assert_eq!((line.state, line.reason), (picket_domain::CoverageState::Partial, Some(Gap::Cancelled)));
    assert_eq!(scenario.state(&scan).await, "cancelled");
}

#[tokio::test]
async fn a_worker_whose_task_was_rescued_before_the_stop_keeps_nothing() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    scenario.execute("UPDATE tasks SET lease_until = now() - interval '1 second'").await;
    let rescued = scenario.db.operate("test", async |tx| admission::rescue(tx, 60.0).await).await.unwrap();
    assert_eq!(rescued, 1);
    assert!(ask(&scenario, &scan, "stop").await);
    assert!(matches!(keep(&scenario, &task, &[80]).await, Err(StoreError::Stale { .. })));
    assert_eq!(count(&scenario, "SELECT count(*) FROM sightings").await, 0);
}

#[tokio::test]
async fn a_removed_scan_takes_with_it_what_it_alone_had_found() {
    let scenario = Scenario::new().await;
    let (first, _, task) = scenario.running().await;
    complete(&scenario, &task, &[80, 81]).await.unwrap();
    let (second, _, task) = scenario.running().await;
    assert!(!ask(&scenario, &second, "delete").await, "it runs");
    complete(&scenario, &task, &[81, 82]).await.unwrap();
    assert!(ask(&scenario, &second, "delete").await);
    assert!(!ask(&scenario, &second, "delete").await, "it is gone");
    assert_eq!(count(&scenario, "SELECT count(*) FROM findings").await, 2);
    let last = scenario.row("SELECT count(DISTINCT last_scan_id), min(last_scan_id::text) FROM findings", &[]).await;
    assert_eq!((last.get::<_, i64>(0), last.get::<_, String>(1)), (1, first.id.uuid().to_string()));
    assert_eq!(count(&scenario, "SELECT count(*) FROM tasks").await, 1);
    assert!(ask(&scenario, &first, "delete").await);
    assert_eq!(count(&scenario, "SELECT count(*) FROM findings").await, 0);
    assert!(matches!(complete(&scenario, &task, &[83]).await, Err(StoreError::Stale { .. })), "a late result");
}

#[tokio::test]
async fn a_scan_that_is_removed_while_another_sees_its_findings_leaves_them() {
    let scenario = Scenario::new().await;
    for _ in 0..10 {
        let (old, _, task) = scenario.running().await;
        complete(&scenario, &task, &[80, 81, 82]).await.unwrap();
        let (new, _, task) = scenario.running().await;
        let (_, done) = tokio::join!(ask(&scenario, &old, "delete"), complete(&scenario, &task, &[80, 81, 82]));
        done.unwrap();
        assert_eq!(count(&scenario, "SELECT count(*) FROM sightings").await, 3);
        assert_eq!(count(&scenario, "SELECT count(*) FROM findings").await, 3);
        assert!(ask(&scenario, &new, "delete").await);
        assert_eq!(count(&scenario, "SELECT count(*) FROM findings").await, 0);
    }
}

#[tokio::test]
async fn everything_at_once_ends_in_one_final_state_with_no_lease_and_no_stuck_task() {
    let scenario = Scenario::new().await;
    scenario.set_plan(picket_domain::Subscription::Enterprise).await;
    for round in 0..12_u32 {
        scenario.beat().await;
        let (scan, messages, task) = one_of(&scenario, 3).await;
        let renew = async {
            let (by, held) = (scenario.claimant(), [task.fence]);
            scenario.db.operate("test", async |tx| lease::renew(tx, by, &held).await).await.unwrap();
        };
        let rescue = async {
            scenario.db.operate("test", async |tx| admission::rescue(tx, 0.0).await).await.unwrap();
        };
        let redelivered = async {
            if let Some(task) = scenario.claim(&messages[0]).await {
                let _maybe_late = complete(&scenario, &task, &[443]).await;
            }
        };
        let work = async {
            let _maybe_late = complete(&scenario, &task, &[80]).await;
        };
        let controls = async {
            ask(&scenario, &scan, "resume").await;
            if round % 2 == 0 {
                ask(&scenario, &scan, "stop").await;
            }
        };
        tokio::join!(
            work,
            ask(&scenario, &scan, "pause"),
            controls,
            redelivered,
            renew,
            rescue,
            scenario.admit(),
            ask(&scenario, &scan, "delete")
        );
        drain(&scenario, &scan).await;
        let left =
            "SELECT count(*) FROM tasks WHERE state NOT IN ('done', 'failed', 'cancelled') OR lease_until IS NOT NULL";
        assert_eq!(count(&scenario, left).await, 0, "round {round}");
        let open = "SELECT count(*) FROM scans WHERE state NOT IN ('completed', 'failed', 'cancelled')";
        assert_eq!(count(&scenario, open).await, 0, "round {round}");
        let ends = "SELECT count(*) FROM events WHERE scan_id = $1 AND name IN ('scan.completed', 'scan.failed', 'scan.cancelled')";
        assert_eq!(scenario.row(ends, &[&scan.id.uuid()]).await.get::<_, i64>(0), 1, "round {round}: one end");
    }
}

/// Lets the scan go on and does its work until it has ended.
async fn drain(scenario: &Scenario, scan: &NewScan) {
    for _ in 0..8 {
        ask(scenario, scan, "resume").await;
        scenario.execute("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'running'").await;
        scenario.db.operate("test", async |tx| admission::rescue(tx, 0.0).await).await.unwrap();
        scenario.admit().await;
        for message in scenario.messages().await {
            if let Some(task) = scenario.claim(&message).await {
                complete(scenario, &task, &[8080]).await.unwrap();
            }
        }
    }
}

async fn outcomes(scenario: &Scenario, base: &NewScan, later: &NewScan) -> Vec<(&'static str, u64)> {
    let counts =
        scenario.db.read("test", scenario.organization, async |tx| compare::counts(tx, Some(base.id), later.id).await);
    let mut counts: Vec<_> = counts.await.unwrap().into_iter().map(|(outcome, n)| (outcome.name(), n)).collect();
    counts.sort_unstable();
    counts
}

/// A scan of one task that found something at these ports.
async fn found(scenario: &Scenario, ports: &[u16]) -> NewScan {
    let (scan, _, task) = scenario.running().await;
    complete(scenario, &task, ports).await.unwrap();
    scan
}

#[tokio::test]
async fn findings_are_new_fixed_unchanged_or_reopened() {
    let scenario = Scenario::new().await;
    let oldest = found(&scenario, &[1, 2]).await;
    // The clock of the tests stands still.
    scenario.execute("UPDATE sightings SET seen_at = seen_at - interval '1 hour'").await;
    let base = found(&scenario, &[2, 3]).await;
    let later = found(&scenario, &[1, 3, 4]).await;
    let counts = outcomes(&scenario, &base, &later).await;
    assert_eq!(counts, [("fixed", 1), ("new", 1), ("reopened", 1), ("unchanged", 1)]);
    assert_eq!(outcomes(&scenario, &oldest, &base).await, [("fixed", 1), ("new", 1), ("unchanged", 1)]);

    let all = Slice { outcome: None, behind: None, limit: 10 };
    let listed = list(&scenario, &base, &later, all).await;
    assert_eq!(listed.iter().map(|(_, port)| *port).collect::<std::collections::BTreeSet<_>>(), [1, 2, 3, 4].into());
    assert_eq!(list(&scenario, &base, &later, Slice { outcome: Some(Outcome::Fixed), ..all }).await, [("fixed", 2)]);
    let (first, rest) = (Slice { limit: 1, ..all }, &listed[1..]);
    assert_eq!(list(&scenario, &base, &later, first).await, listed[..1]);
    let behind = ids(&scenario, &base, &later).await.first().copied();
    assert_eq!(list(&scenario, &base, &later, Slice { behind, ..all }).await, rest);
}

/// What became of the finding at each port, in the order of the list.
async fn list(scenario: &Scenario, base: &NewScan, later: &NewScan, slice: Slice) -> Vec<(&'static str, u16)> {
    let listed = scenario
        .db
        .read("test", scenario.organization, async |tx| compare::list(tx, Some(base.id), later.id, slice).await);
    let brief = |(outcome, finding): (Outcome, SightedFinding)| (outcome.name(), finding.location.port.unwrap());
    listed.await.unwrap().into_iter().map(brief).collect()
}

async fn ids(scenario: &Scenario, base: &NewScan, later: &NewScan) -> Vec<FindingId> {
    let all = Slice { outcome: None, behind: None, limit: 10 };
    let listed = scenario
        .db
        .read("test", scenario.organization, async |tx| compare::list(tx, Some(base.id), later.id, all).await);
    listed.await.unwrap().into_iter().map(|(_, finding)| finding.id).collect()
}

#[tokio::test]
async fn nothing_is_fixed_where_the_later_scan_did_not_look() {
    let scenario = Scenario::new().await;
    let base = found(&scenario, &[80]).await;
    let later = found(&scenario, &[]).await;
    assert_eq!(outcomes(&scenario, &base, &later).await, [("fixed", 1)]);
    let later_tasks = format!("WHERE scan_id = '{}'", later.id.uuid());
    for change in [
        "gap = 'timed_out'",
        "gap = NULL, tool = 'other'",
        "tool = 'nmap', params = '{\"ports\": \"443\"}'",
        "params = '{}', shard = jsonb_set(shard, '{addresses}', '[\"127.0.0.9\"]')",
    ] {
        scenario.execute(&format!("UPDATE tasks SET {change} {later_tasks}")).await;
        assert_eq!(outcomes(&scenario, &base, &later).await, [("not_examined", 1)], "{change}");
    }
}
