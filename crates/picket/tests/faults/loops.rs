//! F5: stewards that die in the middle of a tick, of a removal, of a halt; two at once go on. Each tick makes one scan, what is
//! too old is removed once, and what is stopped is stopped once.

use picket_domain::{NewScan, ScanId, ScheduleId};
use picket_faults::LOOPS;
use serde_json::json;

use crate::{platform::Platform, process::eventually, stage::LONG};

impl Platform {
    /// A schedule of each minute through the API, whose first tick is due now. It asks for scans in a name of its own.
    pub(crate) async fn each_minute(&self, base: &str) -> ScheduleId {
        let scan = json!({"target": "127.0.0.1", "tool": "simulate", "parameters": {"findings": 1}});
        let body = json!({"name": "each minute", "kind": "scan", "cron": "* * * * *", "missed": "once", "scan": scan});
        let (status, answer) = self.post(base, "/api/v1/schedules", None, &body).await.unwrap();
        assert_eq!(status, 201, "{answer}");
        let id: ScheduleId = answer["id"].as_str().unwrap().parse().unwrap();
        self.audited("schedule.created", &id.to_string()).await;
        let sql = format!(
            "UPDATE schedules SET owner = 'tick-' || id, next_tick_at = date_trunc('minute', now()),
                                  next_run_at = date_trunc('minute', now())
             WHERE id = '{}'",
            id.uuid()
        );
        self.stage.execute(&sql).await;
        id
    }

    /// Waits until each schedule has made a scan, and switches them off; the audit log must know of each scan.
    pub(crate) async fn ticked(&self) {
        let due = "SELECT count(*) FROM schedules AS s WHERE NOT EXISTS (
                       SELECT FROM schedule_runs AS r WHERE r.schedule_id = s.id AND r.outcome = 'started')";
        let made = async || (self.stage.row(due, &[]).await.get::<_, i64>(0) == 0).then_some(());
        eventually("a scan of each schedule", LONG, made).await;
        self.stage.execute("UPDATE schedules SET enabled = false, next_tick_at = NULL, next_run_at = NULL").await;
        let runs = self.stage.rows("SELECT scan_id FROM schedule_runs WHERE outcome = 'started'", &[]).await;
        for run in &runs {
            self.audited("scan.created", &ScanId::from_uuid(run.get(0)).to_string()).await;
        }
        println!("{} ticks made a scan", runs.len());
    }

    /// A steward that dies at that place.
    async fn dies_at(&self, place: &str, act: impl AsyncFnOnce()) {
        let quick = [("PICKET_STEWARD__RETENTION_MS", "300")];
        let mut role = self.start_with("steward", &format!("{place}=1*return(kill)"), &quick);
        act().await;
        self.death(&mut role).await;
        assert!(role.log().contains(place), "{place}: {}", role.log());
    }
}

/// The places of one loop.
fn places(of: &str) -> impl Iterator<Item = &'static str> {
    let found: Vec<_> = LOOPS.iter().copied().filter(|place| place.contains(of)).collect();
    assert_eq!(found.len(), 3, "{of}: before it, before its commit, after it");
    found.into_iter()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_stewards_that_die_in_a_tick_a_removal_or_a_halt_leave_each_done_once() {
    let platform = Platform::new("F5, loops").await;
    let _others = ["worker", "dispatcher"].map(|role| platform.start(role, ""));
    let (_gateway, base) = platform.gateway("").await;
    for place in places("_tick") {
        platform
            .dies_at(place, async || {
                platform.each_minute(&base).await;
            })
            .await;
    }
    // Nobody owes this one: it is made only to be removed.
    let old = platform.stage.simulate(&json!({})).await;
    let mut hanging = Vec::new();
    for _ in 0..3 {
        hanging.push(platform.stage.simulate(&json!({"hang": true})).await);
    }
    {
        let _steward = platform.start("steward", "");
        platform.stage.await_state(&old, "completed").await;
        for scan in &hanging {
            platform.stage.await_state(scan, "running").await;
        }
        platform.drained_events().await;
    }
    platform.age(&old).await;
    for place in places("_removal") {
        // What is past its removal has nothing left to remove.
        platform.dies_at(place, async || {}).await;
    }
    platform.halt().await;
    for place in places("_halt") {
        platform.dies_at(place, async || {}).await;
    }
    let _two = ["steward", "steward"].map(|role| platform.start(role, ""));
    for scan in &hanging {
        platform.stage.await_state(scan, "cancelled").await;
        platform.audited("scan.stopped", &scan.id.to_string()).await;
    }
    platform.stage.execute("UPDATE kill_switches SET lifted_at = now(), lifted_by = 'test'").await;
    platform.ticked().await;
    platform.verdict().await;
    let gone = platform.stage.rows("SELECT FROM scans WHERE id = $1", &[&old.id.uuid()]).await;
    assert!(gone.is_empty(), "it was too old");
}

impl Platform {
    /// The scan ended years ago: past every trigger, which would call that another end.
    async fn age(&self, scan: &NewScan) {
        let sql = format!(
            "BEGIN; SET LOCAL session_replication_role = replica;
             UPDATE scans SET created_at = now() - interval '9 years', ended_at = now() - interval '9 years'
             WHERE id = '{}'; COMMIT",
            scan.id.uuid()
        );
        self.stage.execute(&sql).await;
    }

    /// An operator stops everything of the organization.
    async fn halt(&self) {
        let sql = format!(
            "INSERT INTO kill_switches (id, created_at, created_by, reason, organization_id)
             VALUES (gen_random_uuid(), now(), 'test', 'a test', '{}')",
            self.stage.organization.uuid()
        );
        self.stage.execute(&sql).await;
    }

    /// Waits until every event is published and fanned out, and every delivery made.
    async fn drained_events(&self) {
        let sql = "SELECT (SELECT count(*) FROM events WHERE published_at IS NULL OR public AND fanned_out_at IS NULL)
                        + (SELECT count(*) FROM deliveries WHERE ended_at IS NULL)";
        let told = async || (self.stage.row(sql, &[]).await.get::<_, i64>(0) == 0).then_some(());
        eventually("everybody is told", LONG, told).await;
    }
}
