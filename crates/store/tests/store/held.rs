//! What is held back for a while, and who may do what: nothing of it ends, and nothing of it costs the others.

use jiff::Timestamp;
use picket_domain::{Pool, SandboxLevel, Subscription};
use picket_store::{
    StoreError,
    halts::HaltScope,
    scans,
    scans::control,
    tasks::{self, RunRecord, admission, lease},
    workers::{self, WorkerBeat, WorkerProof},
};

use crate::{
    closed::window,
    scenario::{Scenario, now},
};

impl Scenario {
    async fn unserved_at(&self, at: &str) -> usize {
        let at: Timestamp = at.parse().unwrap();
        self.db.operate("test", async |tx| admission::unserved(tx, 60.0, at).await).await.unwrap().len()
    }

    async fn recall_at(&self, at: &str) -> u64 {
        let at: Timestamp = at.parse().unwrap();
        self.db.operate("test", async |tx| admission::recall(tx, at).await).await.unwrap()
    }

    /// A worker of the pool that has proven this, and nobody else.
    async fn beat_at(&self, level: SandboxLevel, raw: bool, is_agreed: bool) {
        let beat = WorkerBeat {
            id: self.worker,
            pools: vec![Pool::Net],
            level,
            tools: vec!["nmap".to_owned()],
            slots: 4,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: WorkerProof { raw, is_agreed, ..WorkerProof::default() },
        };
        self.db.operate("test", async |tx| workers::beat(tx, &beat).await).await.unwrap();
    }
}

#[tokio::test]
async fn the_wait_for_a_worker_counts_from_when_a_window_has_closed() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    scenario.execute("UPDATE tasks SET ready_at = now() - interval '1 day'").await;
    scenario.execute("DELETE FROM workers").await;
    scenario.close(&[window("thu", "14:00", "14:30")]).await;
    assert_eq!(scenario.unserved_at("2026-01-15T14:15:00Z").await, 0, "the window holds it");
    assert_eq!(scenario.unserved_at("2026-01-15T14:30:30Z").await, 0, "it could have run for half a minute");
    assert_eq!(scenario.unserved_at("2026-01-15T14:31:30Z").await, 1);
    // Of another target, the window holds nothing.
    let mut other = window("thu", "14:00", "14:30");
    other.tag = Some("elsewhere".to_owned());
    scenario.close(&[other]).await;
    assert_eq!(scenario.unserved_at("2026-01-15T14:15:00Z").await, 1);
}

#[tokio::test]
async fn what_a_window_or_a_switch_held_until_it_was_lifted_waits_for_a_worker_from_then() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    scenario.execute("UPDATE tasks SET ready_at = now() - interval '1 day'").await;
    scenario.execute("DELETE FROM workers").await;
    let mut other = window("thu", "16:00", "17:00");
    scenario.close(std::slice::from_ref(&other)).await;
    scenario.close(&[]).await;
    assert_eq!(scenario.unserved_at("2026-01-15T14:30:30Z").await, 1, "a window that was not open held nothing");
    other.begins = "14:00".to_owned();
    scenario.close(&[other]).await;
    scenario.close(&[]).await;
    assert_eq!(scenario.unserved_at("2026-01-15T14:30:30Z").await, 0, "it was held until now");
    let later = "UPDATE organization_counters SET windows_lapsed_at = now() - interval '61 seconds'";
    scenario.execute(later).await;
    assert_eq!(scenario.unserved_at("2026-01-15T14:30:30Z").await, 1);

    assert!(scenario.halt(HaltScope::default()).await.unwrap());
    assert!(scenario.lift(HaltScope::default()).await);
    assert_eq!(scenario.unserved_at("2026-01-15T14:30:30Z").await, 0, "half a minute after it was lifted");
    assert_eq!(scenario.unserved_at("2026-01-15T14:31:01Z").await, 1);
}

#[tokio::test]
async fn a_worker_has_what_its_level_counts_as_and_nothing_else() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let admitted = async |needed: &str| {
        scenario.create(1).await;
        scenario.execute(&format!("UPDATE tasks SET level = '{needed}' WHERE state = 'ready'")).await;
        let admitted = scenario.admit().await;
        scenario.execute("UPDATE tasks SET state = 'ready', queued_at = NULL WHERE state = 'queued'").await;
        scenario.execute("UPDATE tasks SET state = 'failed', gap = 'tool_failed', ended_at = now()").await;
        admitted
    };
    for (level, raw, is_agreed, can) in [
        (SandboxLevel::L0, true, false, [1, 1, 1]),
        (SandboxLevel::L0, false, false, [0, 1, 1]),
        (SandboxLevel::L1, false, false, [0, 1, 1]),
        (SandboxLevel::L2, false, false, [0, 0, 1]),
        (SandboxLevel::None, false, true, [0, 0, 1]),
        (SandboxLevel::None, false, false, [0, 0, 0]),
    ] {
        scenario.beat_at(level, raw, is_agreed).await;
        for (needed, can) in ["L0", "L1", "L2"].into_iter().zip(can) {
            assert_eq!(admitted(needed).await, can, "{level:?} raw {raw} agreed {is_agreed} for {needed}");
        }
    }
}

#[tokio::test]
async fn a_window_that_pauses_stops_what_runs_and_it_begins_anew_at_the_end() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    let mut pausing = window("thu", "14:00", "15:00");
    scenario.close(std::slice::from_ref(&pausing)).await;
    assert_eq!(scenario.recall_at("2026-01-15T14:30:00Z").await, 0, "what runs is let finish");
    pausing.pauses = true;
    scenario.close(&[pausing]).await;
    assert_eq!(scenario.recall_at("2026-01-15T13:59:59Z").await, 0);
    assert_eq!(scenario.recall_at("2026-01-15T14:30:00Z").await, 1);
    let by = scenario.claimant();
    let held = [task.fence];
    let kept = scenario.db.operate("test", async |tx| lease::renew(tx, by, &held).await).await.unwrap();
    assert!(kept.is_empty(), "its worker kills the tool");
    let late = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &task, &[], &RunRecord::default(), now()).await;
    let late = scenario.db.run("test", scenario.organization, late).await;
    assert!(matches!(late, Err(StoreError::Stale { .. })), "{late:?}");
    assert_eq!(scenario.admit_at("2026-01-15T14:59:59Z").await, 0);
    assert_eq!(scenario.admit_at("2026-01-15T15:00:00Z").await, 1);
    let again = scenario.claim(&scenario.messages().await.pop().unwrap()).await.unwrap();
    assert_eq!((again.fence.attempt, again.failures), (2, 0));
    let end = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &again, &[], &RunRecord::default(), now()).await;
    scenario.db.run("test", scenario.organization, end).await.unwrap();
    assert_eq!(scenario.state(&scan).await, "completed");
}

#[tokio::test]
async fn nothing_of_a_paused_scan_is_in_the_way_of_admission() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scan = scenario.create(50).await;
    assert_eq!(scenario.admit().await, 8);
    let message = scenario.messages().await.pop().unwrap();
    scenario.claim(&message).await.unwrap();
    let change = async |is_pause: bool| {
        let work = async |tx: &picket_store::Tx<'_>| {
            let scan = scans::lock(tx, scan.id).await?.unwrap().scan;
            if is_pause {
                control::pause(tx, scan.pause().unwrap(), None, now()).await
            } else {
                control::resume(tx, scan.resume().unwrap(), None, now()).await
            }
        };
        scenario.db.run("test", scenario.organization, work).await.unwrap();
    };
    // What admission walks over: the range of its index.
    let walked = "SELECT count(*) FROM tasks WHERE state = 'ready' AND ready_at <= now()";
    change(true).await;
    assert_eq!(scenario.number(walked).await, 0);
    let queues = scenario.db.operate("test", async |tx| picket_store::platform::queues(tx).await).await.unwrap();
    assert_eq!((queues[0].ready, queues[0].running, queues[0].oldest_seconds), (49, 1, None));
    change(false).await;
    assert_eq!(scenario.number(walked).await, 49);
    assert!(scenario.admit().await > 0);
}

#[tokio::test]
async fn an_organization_is_told_of_the_ends_of_sixty_scans_an_hour() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let user = picket_domain::UserId::mint(now());
    let person = format!(
        "INSERT INTO users (id, email, name, created_at) VALUES ('{0}', 'ada@example.com', 'Ada', now());
         INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES ('{1}', '{0}', 'owner', now())",
        user.uuid(),
        scenario.organization.uuid()
    );
    scenario.database.connect().await.batch_execute(&person).await.unwrap();
    for _ in 0..62 {
        let mut scan = picket_testkit::seed::scan(scenario.organization, 1);
        (scan.notify, scan.requested_by) = (vec!["email".to_owned()], user.to_string());
        scenario.store(&scan).await.unwrap();
        let stop = async |tx: &picket_store::Tx<'_>| {
            let scan = scans::lock(tx, scan.id).await?.unwrap().scan;
            scans::cancel(tx, scan.cancel(now()).unwrap(), None, now()).await
        };
        scenario.db.run("test", scenario.organization, stop).await.unwrap();
    }
    assert_eq!(scenario.number("SELECT count(*) FROM mails WHERE scan_id IS NOT NULL").await, 60);
}
