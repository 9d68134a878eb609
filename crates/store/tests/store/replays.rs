//! Replaying what was given up of a scan that has ended: once, whoever asks and whatever becomes of the scan meanwhile.

use jiff::SignedDuration;
use picket_domain::{NewScan, Pool, ScanId, Subscription, TaskId};
use picket_store::{
    StoreError,
    platform::{
        self,
        repeat::{self, Lost, Repetition},
        replay,
    },
    scans::{self, control},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

impl Scenario {
    /// A scan that has ended in that state, with so many tasks that were given up and one that was done.
    async fn over(&self, given_up: usize, state: &str) -> NewScan {
        let scan = self.create(given_up + 1).await;
        let id = scan.id.uuid();
        let at = now();
        let sql = format!(
            "UPDATE tasks SET state = 'failed', attempt = 3, failures = 3, gap = 'worker_lost', ended_at = '{at}' WHERE scan_id = '{id}';
             UPDATE tasks SET failures = 0, gap = 'invalid_parameters' WHERE id = (SELECT max(id::text)::uuid FROM tasks WHERE scan_id = '{id}');
             UPDATE scans SET state = 'queued' WHERE id = '{id}';
             UPDATE scans SET state = 'running', started_at = now() WHERE id = '{id}';
             UPDATE scans SET state = '{state}', failure = CASE WHEN '{state}' = 'failed' THEN 'x' END, ended_at = now() WHERE id = '{id}'"
        );
        self.database.connect().await.batch_execute(&sql).await.unwrap();
        scan
    }

    async fn ended(&self) -> Vec<ScanId> {
        let since = now() - SignedDuration::from_secs(1);
        let found = self.db.operate("test", async |tx| repeat::ended_scans(tx, Pool::Net, since, None, 10).await);
        found.await.unwrap().into_iter().map(|(_, scan)| scan).collect()
    }

    async fn lost(&self, scan: &NewScan) -> Vec<Lost> {
        let since = now() - SignedDuration::from_secs(1);
        let lost = async |tx: &picket_store::Tx<'_>| repeat::lost(tx, scan.id, Pool::Net, since).await;
        self.db.run("test", self.organization, lost).await.unwrap()
    }

    /// The scan that repeats these tasks, unless somebody else was first.
    async fn repeat(&self, base: &NewScan, lost: &[Lost]) -> Result<Option<ScanId>, StoreError> {
        let (new, tasks) =
            (seed::scan(self.organization, lost.len()), lost.iter().map(|one| one.id).collect::<Vec<TaskId>>());
        let of = Repetition { base: base.id, tasks: &tasks, pool: Pool::Net, new: &new };
        let stored = self.db.run("test", self.organization, async |tx| repeat::repeat(tx, of, now()).await).await?;
        Ok(stored.then_some(new.id))
    }
}

#[tokio::test]
async fn nothing_is_repeated_of_who_is_suspended_or_has_repeated_it() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let base = scenario.over(2, "completed").await;
    let lost = scenario.lost(&base).await;
    scenario.execute("UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'").await;
    assert_eq!(scenario.ended().await, []);
    assert_eq!(scenario.repeat(&base, &lost).await.unwrap(), None, "it was suspended in the meantime");
    scenario.execute("UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL").await;
    assert_eq!(scenario.ended().await, [base.id]);

    let own = seed::scan(scenario.organization, 2);
    let rerun = async |tx: &picket_store::Tx<'_>| {
        scans::create(tx, &own, now()).await?;
        control::link(tx, own.id, base.id, false).await?;
        control::take_over(tx, own.id, base.id).await
    };
    assert_eq!(scenario.db.run("test", scenario.organization, rerun).await.unwrap(), 2);
    assert_eq!(scenario.ended().await, []);
    assert_eq!(scenario.repeat(&base, &lost).await.unwrap(), None);
}

#[tokio::test]
async fn two_replays_at_once_of_a_scan_that_has_ended_make_one_scan_with_its_audit_row() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let base = scenario.over(2, "completed").await;
    scenario.over(1, "cancelled").await;
    assert_eq!(scenario.ended().await, [base.id], "what somebody stopped is not repeated");
    let lost = scenario.lost(&base).await;
    assert_eq!(lost.len(), 2, "what failed by itself is its owner's to repeat");
    let tries = futures_util::future::join_all((0..6).map(|_| scenario.repeat(&base, &lost))).await;
    let made: Vec<ScanId> = tries.into_iter().filter_map(|one| one.unwrap()).collect();
    assert_eq!(made.len(), 1);
    assert_eq!((scenario.ended().await, scenario.lost(&base).await), (vec![], vec![]));
    assert_eq!(scenario.number("SELECT count(*) FROM scans").await, 3);
    let sql = "SELECT rerun_of, is_partial, state FROM scans WHERE id = $1";
    let row = scenario.row(sql, &[&made[0].uuid()]).await;
    assert_eq!((row.get::<_, uuid::Uuid>(0), row.get(1), row.get::<_, &str>(2)), (base.id.uuid(), true, "created"));
    let sql = "SELECT actor, object, entry::jsonb -> 'after' ->> 'repeated_as' FROM audit_log WHERE action = 'tasks.replayed'";
    let row = scenario.row(sql, &[]).await;
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, String>(1), row.get::<_, String>(2)),
        ("operator", base.id.to_string(), made[0].to_string())
    );
    let shown =
        scenario.db.operate("test", async |tx| platform::given_up(tx, now() - SignedDuration::from_secs(1), 10).await);
    let shown = shown.await.unwrap();
    let of_base: Vec<_> = shown.iter().filter(|task| task.scan_id == base.id).collect();
    assert!(of_base.len() == 2 && of_base.iter().all(|task| task.replayed_as == Some(made[0]) && !task.is_replayable));
    assert!(shown.iter().filter(|task| task.scan_id != base.id).all(|task| !task.is_replayable));
    // The scan is over as before.
    let open = scenario.db.operate("test", async |tx| replay::open_scans(tx, Pool::Net, 10).await).await.unwrap();
    assert_eq!((scenario.state(&base).await.as_str(), open), ("completed", vec![]));
}

#[tokio::test]
async fn a_replay_against_a_deletion_repeats_all_or_nothing_and_leaves_no_task_behind() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let tenant = scenario.organization;
    let (mut repeated, rounds) = (0, 12);
    for _ in 0..rounds {
        let base = scenario.over(1, "failed").await;
        let lost = scenario.lost(&base).await;
        let delete = async |tx: &picket_store::Tx<'_>| {
            picket_store::quota::lock(tx, tenant).await?;
            let Some(locked) = scans::lock(tx, base.id).await? else { return Ok::<_, StoreError>(()) };
            scans::remove::remove(tx, &locked.scan).await.map(|_| ())
        };
        let (made, deleted) = tokio::join!(scenario.repeat(&base, &lost), scenario.db.run("test", tenant, delete));
        deleted.unwrap();
        repeated += i64::from(made.unwrap().is_some());
        assert_eq!(scenario.repeat(&base, &lost).await.unwrap(), None, "it is gone");
        assert_eq!(scenario.ended().await, []);
    }
    assert_eq!(scenario.number("SELECT count(*) FROM scans").await, repeated);
    assert_eq!(scenario.number("SELECT count(*) FROM tasks").await, repeated);
}

#[tokio::test]
async fn what_the_plan_refuses_is_not_marked_and_can_be_replayed_later() {
    let scenario = Scenario::new().await;
    let base = scenario.over(1, "failed").await;
    let lost = scenario.lost(&base).await;
    let ended = "UPDATE organizations SET trial_ends_at = '2026-01-01T00:00:00Z'";
    assert_eq!(scenario.execute(ended).await, 1);
    assert!(matches!(scenario.repeat(&base, &lost).await, Err(StoreError::Refused(_))));
    assert_eq!(scenario.ended().await, [base.id]);
    scenario.set_plan(Subscription::Starter).await;
    assert!(scenario.repeat(&base, &lost).await.unwrap().is_some());
}
