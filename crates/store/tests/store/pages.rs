//! Plans whose tasks are made page by page: what is not made yet counts, waits, is stopped and is excluded like what is.

use std::collections::BTreeMap;

use picket_domain::{
    Authority, Basis, Exclusion, ExclusionId, Gap, LaterTasks, NewScan, NewTask, ProofId, ScanId, Subscription,
    TargetPattern, TaskId,
};
use picket_store::{
    StoreError,
    exclusions::{self, ListedExclusion},
    halts::{self, HaltScope},
    output, quota,
    scans::{self, control, overview, pages, read},
    tasks::authority,
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

/// Tasks of the first stage of [`wide`].
const ALL: i64 = 4_096;

/// A scan of 127.1.0.0/16 as it is planned with 16,000 ports: 4,096 tasks of 16 addresses.
fn wide(scenario: &Scenario) -> NewScan {
    let seeded = seed::scan(scenario.organization, 1);
    let target = "127.1.0.0/16".to_owned();
    let like = &seeded.tasks[0];
    let all = LaterTasks {
        tool: like.tool.to_owned(),
        needs: like.needs,
        params: like.params.clone(),
        opens: Vec::new(),
        target: target.clone(),
        first: "127.1.0.0".parse().unwrap(),
        addresses: 65_536,
        size: 16,
    };
    let (page, later) = LaterTasks::page(vec![all]);
    let task = |shard| NewTask { id: TaskId::mint(now()), shard, ..like.clone() };
    let tasks = page.iter().flat_map(LaterTasks::shards).map(task).collect();
    NewScan { target, tasks, later, ..seeded }
}

impl Scenario {
    async fn wide(&self) -> NewScan {
        self.set_plan(Subscription::Enterprise).await;
        let scan = wide(self);
        self.store(&scan).await.unwrap();
        scan
    }

    async fn page(&self, scan: ScanId) -> u64 {
        self.db.operate("test", async |tx| pages::make(tx, scan, now()).await).await.unwrap()
    }

    async fn make_all(&self, scan: ScanId) {
        while self.page(scan).await > 0 {}
    }

    /// How many lines of the coverage are of each state, and the percentage.
    async fn seen(&self, scan: &NewScan) -> (BTreeMap<String, usize>, u8) {
        let overview = self.db.view("test", self.organization, async |view| overview::find(view, scan.id.into()).await);
        let overview = overview.await.unwrap().unwrap();
        let mut states = BTreeMap::new();
        for line in &overview.coverage {
            assert_eq!((line.tool.as_str(), line.target.as_str()), ("nmap", line.target.as_str()));
            *states.entry(format!("{:?}", line.state)).or_default() += 1;
        }
        // The other way to ask says the same.
        let read = async |tx: &picket_store::Tx<'_>| {
            let record = read::find(tx, scan.id).await?.unwrap();
            let (coverage, progress) = (read::coverage(tx, &record).await?, read::progress(tx, scan.id).await?);
            Ok::<_, StoreError>((coverage, progress, output::progress(tx, scan.id).await?.unwrap()))
        };
        let (coverage, progress, told) = self.db.read("test", self.organization, read).await.unwrap();
        assert_eq!((coverage.len(), progress), (overview.coverage.len(), overview.progress));
        assert_eq!((told.total, told.percent), (ALL, i32::from(progress)));
        let pending = states.get("Pending").copied().unwrap_or_default();
        assert_eq!(usize::try_from(told.total - told.ended).unwrap(), pending);
        (states, progress)
    }

    async fn change(&self, scan: &NewScan, what: &str) {
        let work = async |tx: &picket_store::Tx<'_>| {
            let locked = scans::lock(tx, scan.id).await?.unwrap().scan;
            match what {
                "pause" => control::pause(tx, locked.pause().unwrap(), None, now()).await,
                "resume" => control::resume(tx, locked.resume().unwrap(), None, now()).await,
                _ => scans::cancel(tx, locked.cancel(now()).unwrap(), None, now()).await,
            }
        };
        self.db.run("test", self.organization, work).await.unwrap();
    }

    async fn numbers(&self, sql: &str) -> (i64, i64) {
        let row = self.row(sql, &[]).await;
        (row.get(0), row.get(1))
    }
}

#[tokio::test]
async fn stewards_that_make_pages_at_once_make_each_task_once() {
    let scenario = Scenario::new().await;
    let scan = scenario.wide().await;
    assert_eq!(scenario.seen(&scan).await, (BTreeMap::from([("Pending".to_owned(), 4_096)]), 0));
    let due = async |tx: &picket_store::Tx<'_>| pages::due(tx, None, 10).await;
    assert_eq!(scenario.db.operate("test", due).await.unwrap(), [scan.id]);
    tokio::join!(scenario.make_all(scan.id), scenario.make_all(scan.id), scenario.make_all(scan.id));
    assert_eq!(scenario.db.operate("test", due).await.unwrap(), []);
    let addresses =
        "SELECT count(*), count(DISTINCT a) FROM tasks AS t, jsonb_array_elements_text(t.shard -> 'addresses') AS a";
    assert_eq!(scenario.numbers(addresses).await, (65_536, 65_536));
    let parts = "SELECT count(*), round(sum(share + reserve) * 1e9)::bigint FROM tasks";
    assert_eq!(scenario.numbers(parts).await, (ALL, 1_000_000_000));
    assert_eq!(scenario.seen(&scan).await, (BTreeMap::from([("Pending".to_owned(), 4_096)]), 0));
}

#[tokio::test]
async fn a_page_that_breaks_off_has_made_nothing() {
    let scenario = Scenario::new().await;
    let scan = scenario.wide().await;
    let broken = scenario.db.operate("test", async |tx| {
        assert_eq!(pages::make(tx, scan.id, now()).await?, 64);
        Err::<(), _>(StoreError::Stale { expected: 1, actual: 0 })
    });
    broken.await.unwrap_err();
    let left = "SELECT unmade, (SELECT count(*) FROM tasks) FROM scans";
    assert_eq!(scenario.numbers(left).await, (ALL - 64, 64));
    assert_eq!(scenario.page(scan.id).await, 64);
    assert_eq!(scenario.numbers(left).await, (ALL - 128, 128));
}

#[tokio::test]
async fn a_scan_does_not_end_while_pages_are_to_come_and_its_progress_counts_them() {
    let scenario = Scenario::new().await;
    let scan = scenario.wide().await;
    let end = "UPDATE tasks SET state = 'failed', gap = 'tool_failed', ended_at = now() WHERE state = 'ready'";
    let end_if_over = async || {
        let end = async |tx: &picket_store::Tx<'_>| scans::end_if_over(tx, scan.id, now()).await;
        scenario.db.run("test", scenario.organization, end).await.unwrap();
    };
    scenario.execute(end).await;
    end_if_over().await;
    assert_eq!(scenario.state(&scan).await, "created");
    // 64 of 4,096.
    let (states, progress) = scenario.seen(&scan).await;
    assert_eq!((states["Failed"], states["Pending"], progress), (64, 4_032, 1));
    while scenario.page(scan.id).await > 0 {
        scenario.execute(end).await;
    }
    end_if_over().await;
    assert_eq!(scenario.state(&scan).await, "failed");
}

#[tokio::test]
async fn what_is_stopped_makes_no_more_and_what_is_paused_is_made_and_held() {
    let scenario = Scenario::new().await;
    let scan = scenario.wide().await;
    scenario.execute("UPDATE scans SET state = 'running', started_at = now()").await;
    scenario.change(&scan, "pause").await;
    assert_eq!(scenario.page(scan.id).await, 64);
    let held = "SELECT count(*) FILTER (WHERE ready_at = 'infinity'), count(*) FROM tasks";
    assert_eq!(scenario.numbers(held).await, (128, 128));
    assert_eq!(scenario.admit().await, 0);
    scenario.change(&scan, "resume").await;
    assert!(scenario.admit().await > 0);
    scenario.change(&scan, "stop").await;
    assert_eq!(scenario.page(scan.id).await, 0, "nothing is made of a scan that has ended");
    let (states, progress) = scenario.seen(&scan).await;
    assert_eq!((states, progress), (BTreeMap::from([("Skipped".to_owned(), 4_096)]), 99));
    let removed = async |tx: &picket_store::Tx<'_>| {
        let locked = scans::lock(tx, scan.id).await?.unwrap().scan;
        scans::remove::remove(tx, &locked).await
    };
    assert_eq!(scenario.db.run("test", scenario.organization, removed).await.unwrap().scans, 1);
}

#[tokio::test]
async fn an_exclusion_keeps_what_is_made_after_it_from_being_done() {
    let scenario = Scenario::new().await;
    let scan = scenario.wide().await;
    let (organization, exclusion) = (scenario.organization, Exclusion::parse("127.1.128.0/17").unwrap());
    let new = ListedExclusion {
        id: ExclusionId::mint(now()),
        exclusion: exclusion.clone(),
        reason: None,
        hours: None,
        created_at: now(),
        created_by: "usr_x".to_owned(),
    };
    let exclude = async |tx: &picket_store::Tx<'_>| {
        quota::lock(tx, organization).await?;
        exclusions::create(tx, organization, &new).await?;
        authority::stop_excluded(tx, organization, &exclusion, now()).await
    };
    assert_eq!(scenario.db.run("test", organization, exclude).await.unwrap(), 0, "nothing of it is made yet");
    scenario.make_all(scan.id).await;
    let stopped = "SELECT count(*) FILTER (WHERE state = 'cancelled' AND gap = 'target_excluded'), count(*) FROM tasks";
    assert_eq!(scenario.numbers(stopped).await, (ALL / 2, ALL));
}

#[tokio::test]
async fn a_kill_switch_for_what_is_not_made_yet_refuses_and_stops_the_scan() {
    let scenario = Scenario::new().await;
    let scan = scenario.wide().await;
    let throw = async |text: &str| {
        let scope = HaltScope { organization_id: None, pattern: Some(TargetPattern::parse(text).unwrap()) };
        assert!(scenario.halt(scope).await.unwrap());
    };
    for beside in ["127.2.0.0/16", "127.0.255.255", "2001:db8::/32", "example.com"] {
        throw(beside).await;
        assert_eq!(scenario.stop_covered().await, 0, "{beside}");
    }
    throw("127.1.255.255").await;
    assert!(matches!(scenario.store(&wide(&scenario)).await, Err(StoreError::Halted { .. })));
    let would = async |tx: &picket_store::Tx<'_>| {
        halts::demand_none_of_all(tx, scenario.organization, &scan.target, (&[], &scan.later)).await
    };
    let refused = scenario.db.run("test", scenario.organization, would).await;
    assert!(matches!(refused, Err(StoreError::Halted { .. })));
    assert_eq!(scenario.stop_covered().await, 1);
    assert_eq!(scenario.state(&scan).await, "cancelled");
}

#[tokio::test]
async fn what_is_not_made_when_nothing_allows_the_scan_any_more_is_never_made() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let gone = Authority::of(Basis::Proof(ProofId::mint(now())));
    for by_page in [true, false] {
        let scan = NewScan { authority: gone.clone(), ..wide(&scenario) };
        scenario.store(&scan).await.unwrap();
        let made = i64::try_from(scan.tasks.len()).unwrap();
        if by_page {
            assert_eq!(scenario.page(scan.id).await, 0);
        } else {
            // Also where none of those that are made waits.
            let sql = format!(
                "UPDATE tasks SET state = 'failed', gap = 'cancelled', ended_at = now() WHERE scan_id = '{}'",
                scan.id.uuid()
            );
            scenario.execute(&sql).await;
            let fallen = scenario.db.operate("test", async |tx| authority::fallen(tx).await).await.unwrap();
            assert_eq!(fallen, [scan.id]);
            let end = async |tx: &picket_store::Tx<'_>| authority::end_if_fallen(tx, scan.id, now()).await;
            let ended = scenario.db.operate("test", end).await.unwrap();
            assert_eq!(i64::try_from(ended).unwrap(), ALL - made);
        }
        let (tasks, unmade) = scenario
            .numbers(&format!(
                "SELECT count(*), (SELECT unmade FROM scans WHERE id = '{0}') FROM tasks WHERE scan_id = '{0}'",
                scan.id.uuid()
            ))
            .await;
        assert_eq!((tasks, unmade), (made, 0), "not a task more was made");
        assert_eq!(scenario.state(&scan).await, "failed");
        let lines = scenario.db.read("test", scenario.organization, async |tx| {
            let record = read::find(tx, scan.id).await?.unwrap();
            read::coverage(tx, &record).await
        });
        let lines = lines.await.unwrap();
        assert!(
            lines.iter().any(|line| line.tool == "nmap" && line.reason == Some(Gap::TargetNotAuthorized)),
            "{lines:?}"
        );
        assert_eq!(scenario.page(scan.id).await, 0);
    }
}
