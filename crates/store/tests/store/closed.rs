//! What may not go: blackout windows and kill switches, at admission and where scans are made; and what operators see and do
//! besides.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use picket_domain::{AdmissionLimits, AuditAction, AuditEntry, NewScan, Pool, Subscription, TargetPattern};
use picket_store::{
    StoreError,
    halts::{self, Halt, HaltBy, HaltScope},
    platform::{self, replay},
    tasks::{self, admission, lease},
    windows::{self, BlackoutWindow},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

/// Thursday, 2026-01-15, 14:30 UTC.
pub(crate) fn window(days: &str, begins: &str, ends: &str) -> BlackoutWindow {
    BlackoutWindow {
        name: String::new(),
        days: days.split(',').map(ToOwned::to_owned).collect(),
        begins: begins.to_owned(),
        ends: ends.to_owned(),
        time_zone: "UTC".to_owned(),
        tag: None,
        pattern: None,
        pauses: false,
    }
}

pub(crate) fn pattern(text: &str) -> Option<TargetPattern> {
    Some(TargetPattern::parse(text).unwrap())
}

impl Scenario {
    pub(crate) async fn close(&self, windows: &[BlackoutWindow]) {
        let tenant = self.organization;
        self.db.run("test", tenant, async |tx| windows::replace(tx, tenant, windows, now()).await).await.unwrap();
    }

    pub(crate) async fn admit_at(&self, at: &str) -> usize {
        let at: Timestamp = at.parse().unwrap();
        self.admit_then(&AdmissionLimits::none(), at).await
    }

    pub(crate) fn by(&self) -> HaltBy {
        let entry = AuditEntry {
            at: now(),
            actor: "usr_operator".to_owned(),
            action: AuditAction::ScanningHalted,
            object: None,
            address: Some("192.0.2.1".to_owned()),
            request_id: None,
            before: None,
            after: None,
        };
        HaltBy { organization_id: self.organization, entry }
    }

    pub(crate) async fn halt(&self, scope: HaltScope) -> Result<bool, StoreError> {
        let (reason, created_by) = ("an incident".to_owned(), "usr_operator".to_owned());
        let halt = Halt { scope, created_at: now(), created_by, reason };
        let by = self.by();
        self.db.operate("test", async |tx| halts::throw(tx, &halt, &by).await).await
    }

    pub(crate) async fn lift(&self, scope: HaltScope) -> bool {
        let by = self.by();
        self.db.operate("test", async |tx| halts::lift(tx, &scope, &by).await).await.unwrap()
    }

    pub(crate) async fn stop_covered(&self) -> usize {
        let covered = self.db.operate("test", async |tx| halts::covered(tx, 10).await).await.unwrap();
        let mut stopped = 0;
        for scan in covered {
            let is_stopped = self.db.operate("test", async |tx| halts::stop(tx, &scan, now()).await).await.unwrap();
            stopped += usize::from(is_stopped);
        }
        stopped
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    fn scan_of(&self, target: &str, address: &str) -> NewScan {
        let mut scan = seed::scan(self.organization, 1);
        scan.target = target.to_owned();
        for task in &mut scan.tasks {
            task.shard.addresses = vec![address.parse().unwrap()];
        }
        scan
    }
}

#[tokio::test]
async fn nothing_is_admitted_in_a_window_and_all_of_it_after() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.create(3).await;
    scenario.close(&[window("wed", "00:00", "24:00"), window("thu", "14:00", "15:00")]).await;
    assert_eq!(scenario.admit_at("2026-01-15T14:30:00Z").await, 0);
    assert_eq!(scenario.admit_at("2026-01-15T15:00:00Z").await, 3);
}

#[tokio::test]
async fn what_was_admitted_and_not_begun_is_taken_back_when_a_window_opens() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.running().await;
    scenario.create(2).await;
    assert_eq!(scenario.admit().await, 2);
    let stale = scenario.messages().await;
    let mut window = window("thu", "14:00", "15:00");
    window.pattern = pattern("127.0.0.0/8");
    scenario.close(&[window]).await;
    let recall = async |at: &str| {
        let at: Timestamp = at.parse().unwrap();
        scenario.db.operate("test", async |tx| admission::recall(tx, at).await).await.unwrap()
    };
    assert_eq!(recall("2026-01-15T13:59:59Z").await, 0);
    assert_eq!(recall("2026-01-15T14:30:00Z").await, 2);
    assert_eq!(scenario.number("SELECT count(*) FROM tasks WHERE state = 'running'").await, 1);
    for message in &stale {
        assert!(scenario.claim(message).await.is_none(), "its message is stale");
    }
    assert_eq!(scenario.admit_at("2026-01-15T15:00:00Z").await, 2);
}

#[tokio::test]
async fn in_a_window_no_worker_begins_and_outside_of_it_each_does_whatever_its_clock_says() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.close(&[window("thu", "14:20", "14:25"), window("thu", "14:35", "14:40")]).await;
    let (by, tenant) = (scenario.claimant(), scenario.organization);
    let claims = async |messages: &[picket_domain::TaskQueued]| {
        let mut claimed = 0;
        for (message, minutes) in messages.iter().zip([-7, 7]) {
            let at = now() + SignedDuration::from_mins(minutes);
            let claim = async |tx: &picket_store::Tx<'_>| lease::claim(tx, message, by, at).await;
            claimed += usize::from(scenario.db.run("test", tenant, claim).await.unwrap().is_some());
        }
        claimed
    };
    scenario.create(2).await;
    assert_eq!(scenario.admit().await, 2);
    assert_eq!(claims(&scenario.messages().await).await, 2, "by their clocks it is in one window or in the other");
    scenario.create(2).await;
    assert_eq!(scenario.admit().await, 2);
    let messages = scenario.messages().await;
    let opens = now() + SignedDuration::from_mins(5);
    scenario.db.operate("test", async |tx| admission::recall(tx, opens).await).await.unwrap();
    assert_eq!(claims(&messages).await, 0);
}

#[tokio::test]
async fn a_window_of_one_organization_holds_no_other() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    scenario.close(&[window("thu", "14:00", "15:00")]).await;
    let other = seed::organization(&scenario.database, Subscription::Trial).await;
    scenario.store(&seed::scan(other, 1)).await.unwrap();
    assert_eq!(scenario.admit_at("2026-01-15T14:30:00Z").await, 1);
    let held = "SELECT count(*) FROM tasks WHERE state = 'ready' AND organization_id IN
                  (SELECT organization_id FROM blackout_windows)";
    assert_eq!(scenario.number(held).await, 1);
}

#[tokio::test]
async fn a_window_covers_a_tag_or_a_pattern_and_nothing_else() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scans = [("www.example.com", "192.0.2.1"), ("example.com", "192.0.2.2"), ("example.net", "198.51.100.7")];
    for (target, address) in scans {
        scenario.store(&scenario.scan_of(target, address)).await.unwrap();
    }
    let tagged = "INSERT INTO targets (id, organization_id, created_at, kind, value, tags)
                  SELECT gen_random_uuid(), id, now(), 'host', 'example.com', '{prod}' FROM organizations";
    scenario.database.connect().await.batch_execute(tagged).await.unwrap();
    let left = async |change: fn(&mut BlackoutWindow)| {
        let mut window = window("thu", "14:00", "15:00");
        change(&mut window);
        scenario.close(&[window]).await;
        scenario.admit_at("2026-01-15T14:30:00Z").await;
        let client = scenario.database.connect().await;
        let sql = "SELECT s.target FROM tasks AS t JOIN scans AS s ON s.id = t.scan_id WHERE t.state = 'ready'";
        let held: BTreeSet<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        client
            .batch_execute("UPDATE tasks SET state = 'ready', queued_at = NULL WHERE state = 'queued'")
            .await
            .unwrap();
        held.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(left(|window| window.tag = Some("prod".to_owned())).await, "example.com");
    assert_eq!(left(|window| window.tag = Some("test".to_owned())).await, "");
    assert_eq!(left(|window| window.pattern = pattern("*.example.com")).await, "www.example.com");
    assert_eq!(left(|window| window.pattern = pattern("192.0.2.0/24")).await, "example.com www.example.com");
    assert_eq!(left(|window| window.pattern = pattern("198.51.100.7")).await, "example.net");
    assert_eq!(left(|window| window.pattern = pattern("example.org")).await, "");
    // A task of a name that was found while another target was scanned.
    let found = "UPDATE tasks SET shard = jsonb_set(shard, '{target}', '\"example.com\"')
                 WHERE scan_id = (SELECT id FROM scans WHERE target = 'example.net')";
    assert_eq!(scenario.execute(found).await, 1);
    assert_eq!(left(|window| window.tag = Some("prod".to_owned())).await, "example.com example.net");
}

#[tokio::test]
async fn a_kill_switch_refuses_admits_nothing_and_stops_what_it_covers() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let (_, _, task) = scenario.running().await;
    scenario.create(1).await;
    assert!(scenario.halt(HaltScope::default()).await.unwrap());
    assert!(matches!(scenario.halt(HaltScope::default()).await, Err(StoreError::Conflict { .. })));
    assert_eq!(scenario.admit().await, 0);
    let refused = scenario.store(&seed::scan(scenario.organization, 1)).await;
    assert!(matches!(refused, Err(StoreError::Halted { reason }) if reason == "an incident"));
    assert_eq!(scenario.number("SELECT count(*) FROM scans").await, 2, "what is refused is not there");
    assert_eq!(scenario.stop_covered().await, 2);
    assert_eq!(scenario.stop_covered().await, 0);
    let ended = "SELECT count(*) FROM scans WHERE state = 'cancelled'";
    assert_eq!(scenario.number(ended).await, 2);
    assert_eq!(scenario.number("SELECT count(*) FROM tasks WHERE state <> 'cancelled'").await, 0);
    let run = tasks::RunRecord::default();
    let complete = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &task, &[], &run, now()).await;
    let late = scenario.db.run("test", scenario.organization, complete).await;
    assert!(matches!(late, Err(StoreError::Stale { .. })), "{late:?}");
    assert!(scenario.lift(HaltScope::default()).await);
    assert!(!scenario.lift(HaltScope::default()).await);
    scenario.create(1).await;
    assert_eq!((scenario.stop_covered().await, scenario.admit().await), (0, 1));
    let told =
        "SELECT count(*) FROM audit_log WHERE action IN ('scanning.halted', 'scanning.released', 'scan.stopped')";
    assert_eq!(scenario.number(told).await, 4);
}

#[tokio::test]
async fn a_kill_switch_of_one_organization_or_target_leaves_the_others_alone() {
    let scenario = Scenario::new().await;
    let other = seed::organization(&scenario.database, Subscription::Enterprise).await;
    let theirs = || seed::scan(other, 1);
    scenario.store(&theirs()).await.unwrap();
    let scope = HaltScope { organization_id: Some(other), pattern: None };
    assert!(scenario.halt(scope.clone()).await.unwrap());
    assert!(matches!(scenario.store(&theirs()).await, Err(StoreError::Halted { .. })));
    scenario.create(1).await;
    assert_eq!((scenario.stop_covered().await, scenario.admit().await), (1, 1));
    // The customer is told, and not who it was or from where.
    let told = format!(
        "SELECT count(*) FROM audit_log WHERE organization_id = '{}' AND actor = 'operator'
                          AND address IS NULL AND entry LIKE '%an incident%'",
        other.uuid()
    );
    assert_eq!(scenario.number(&told).await, 2);
    assert!(scenario.lift(scope).await);

    let scope = HaltScope { organization_id: None, pattern: pattern("192.0.2.0/24") };
    assert!(scenario.halt(scope).await.unwrap());
    let refused = scenario.store(&scenario.scan_of("example.com", "192.0.2.9")).await;
    assert!(matches!(refused, Err(StoreError::Halted { .. })), "{refused:?}");
    scenario.store(&theirs()).await.unwrap();
    assert_eq!(scenario.stop_covered().await, 0);
    let unknown = HaltScope {
        organization_id: Some(picket_domain::OrganizationId::from_uuid(uuid::Uuid::from_u128(1))),
        pattern: None,
    };
    assert!(!scenario.halt(unknown).await.unwrap());
}

#[tokio::test]
async fn a_scan_that_is_made_while_the_switch_is_thrown_is_caught() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scan = seed::scan(scenario.organization, 1);
    let (made, thrown) = tokio::join!(scenario.store(&scan), scenario.halt(HaltScope::default()));
    assert!(thrown.unwrap());
    // Either it was refused, or it is admitted never and stopped.
    assert_eq!(scenario.admit().await, 0);
    assert_eq!(scenario.stop_covered().await, usize::from(made.is_ok()));
    assert_eq!(scenario.number("SELECT count(*) FROM scans WHERE state <> 'cancelled'").await, 0);
}

#[tokio::test]
async fn a_worker_that_is_drained_says_so_and_gets_nothing() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    let id = scenario.worker;
    let HaltBy { organization_id, entry } = scenario.by();
    let drain = scenario.db.operate("test", async |tx| platform::drain(tx, id, organization_id, &entry).await);
    let drained = drain.await.unwrap();
    assert!(drained);
    scenario.beat().await;
    assert_eq!(scenario.admit().await, 0);
    let workers = scenario.db.operate("test", async |tx| platform::workers(tx, None, 10).await).await.unwrap();
    assert!(workers[0].draining && workers[0].is_drained && workers[0].is_live);
    assert_eq!(workers[0].version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn what_was_given_up_is_replayed_where_its_scan_goes_on() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let open = scenario.create(2).await;
    let over = scenario.create(1).await;
    let give_up = format!(
        "UPDATE tasks SET state = 'failed', attempt = 3, failures = 3, gap = 'worker_lost', ended_at = now()
         WHERE id = (SELECT min(id::text)::uuid FROM tasks WHERE scan_id = '{0}') OR scan_id = '{1}';
         UPDATE scans SET state = 'failed', failure = 'x', ended_at = now() WHERE id = '{1}'",
        open.id.uuid(),
        over.id.uuid()
    );
    scenario.database.connect().await.batch_execute(&give_up).await.unwrap();
    let shown = scenario.db.operate("test", async |tx| platform::given_up(tx, now(), 10).await).await.unwrap();
    let replayable: BTreeSet<_> = shown.iter().map(|task| (task.scan_id, task.is_replayable)).collect();
    assert_eq!(replayable, BTreeSet::from([(open.id, true), (over.id, true)]));
    let found = scenario.db.operate("test", async |tx| replay::open_scans(tx, Pool::Net, 10).await).await.unwrap();
    assert_eq!(found, [(scenario.organization, open.id)]);
    let progress = async || scenario.number(&format!("SELECT picket_progress('{}')::bigint", open.id.uuid())).await;
    scenario.execute("UPDATE tasks SET share = 0.5").await;
    assert_eq!(progress().await, 50);
    let again = async |scan| {
        let tenant = scenario.organization;
        scenario.db.operate("test", async |tx| replay::replay(tx, tenant, scan, Pool::Net, now()).await).await.unwrap()
    };
    let (one, other) = tokio::join!(again(open.id), again(open.id));
    assert_eq!((one + other, again(over.id).await), (1, 0));
    assert_eq!(progress().await, 50, "what was shown does not go back");
    assert_eq!(scenario.number("SELECT count(*) FROM tasks WHERE state = 'ready' AND attempt = 0").await, 2);
    assert_eq!(scenario.number("SELECT count(*) FROM tasks WHERE state = 'failed'").await, 1);
    assert_eq!(scenario.admit().await, 2);
}

#[tokio::test]
async fn totals_and_queues_count_what_is_there() {
    let scenario = Scenario::new().await;
    scenario.running().await;
    scenario.create(2).await;
    let queues = scenario.db.operate("test", async |tx| platform::queues(tx).await).await.unwrap();
    assert_eq!(queues.len(), 1);
    assert_eq!((queues[0].ready, queues[0].queued, queues[0].running), (2, 0, 1));
    assert!(queues[0].oldest_seconds.is_some_and(|seconds| seconds >= 0.0));
    let totals = scenario.db.operate("test", async |tx| platform::overview(tx, now()).await).await.unwrap();
    assert_eq!((totals.organizations, totals.scans_open, totals.tasks_ready, totals.tasks_running), (1, 2, 2, 1));
    assert_eq!((totals.workers_live, totals.slots), (1, 4));
    let workers = scenario.db.operate("test", async |tx| platform::workers(tx, None, 10).await).await.unwrap();
    assert_eq!(workers[0].tasks.len(), 1);
    assert_eq!(workers[0].tasks[0].tool, "nmap");
}

#[tokio::test]
async fn what_cannot_be_read_any_more_closes_what_it_closed_and_nobody_else() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    scenario.close(&[window("thu", "01:00", "02:00")]).await;
    let other = seed::organization(&scenario.database, Subscription::Trial).await;
    scenario.store(&seed::scan(other, 1)).await.unwrap();
    let connection = scenario.database.connect().await;
    // A zone that was renamed; patterns that another list of public suffixes refuses.
    connection.execute("UPDATE blackout_windows SET time_zone = 'Mars/Olympus', pattern = NULL", &[]).await.unwrap();
    let halt = "INSERT INTO kill_switches (id, created_at, created_by, reason, pattern)
                VALUES (gen_random_uuid(), now(), 'usr_x', 'x', '*.co!uk')";
    connection.execute(halt, &[]).await.unwrap();
    assert_eq!(scenario.admit_at("2026-01-15T14:30:00Z").await, 1);
    let held = "SELECT count(*) FROM tasks WHERE state = 'ready' AND organization_id IN
                  (SELECT organization_id FROM blackout_windows)";
    assert_eq!(scenario.number(held).await, 1);
    let pattern =
        "UPDATE blackout_windows SET time_zone = 'UTC', begins = '14:00', ends = '15:00', pattern = '*.co!uk'";
    connection.execute(pattern, &[]).await.unwrap();
    assert_eq!(scenario.admit_at("2026-01-15T14:30:00Z").await, 1);
}
