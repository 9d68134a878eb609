//! Schedules: each tick is settled once, whoever settles it and whatever the clocks do.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use picket_domain::{AllowList, Cadence, Missed, Overlap, ScheduleId, ScheduleKind};
use picket_kit::Clock;
use picket_outbound::{OutboundSettings, Resolver};
use picket_planner::{Planner, Prover};
use picket_steward::{Scheduler, StewardSettings};
use picket_store::schedules::{self, Schedule};
use serde_json::{Value, json};

use crate::stage::Stage;

/// Allows the one address that these tests name.
pub(crate) fn planner() -> Planner {
    let resolver = Resolver::new(&OutboundSettings::default()).unwrap();
    Planner::new(&BTreeMap::new(), resolver, AllowList::parse(&["127.0.0.1".to_owned()]).unwrap())
}

fn scheduler(stage: &Stage, clock: &Clock) -> Scheduler {
    let prover = Prover::open(OutboundSettings::default()).unwrap();
    Scheduler::new(stage.db.clone(), (planner(), prover), clock.clone(), StewardSettings::default())
}

fn scan_of(target: &str) -> Value {
    json!({"target": target, "dialect": "v1", "wanted": {"tool": "nmap", "parameters": {"ports": "80"}}})
}

/// A scan of that address at every full minute, in Berlin.
fn schedule(now: Timestamp, change: impl FnOnce(&mut Schedule)) -> Schedule {
    let mut schedule = Schedule {
        id: ScheduleId::mint(now),
        created_at: now,
        kind: ScheduleKind::Scan,
        owner: "usr_test".to_owned(),
        updated_at: now,
        name: "each minute".to_owned(),
        cron: "* * * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        jitter_seconds: 0,
        overlap: Overlap::Skip,
        missed: Missed::Skip,
        enabled: true,
        body: json!({}),
        request: scan_of("127.0.0.1"),
        next: None,
    };
    change(&mut schedule);
    let cadence = Cadence::parse(&schedule.cron, &schedule.time_zone, schedule.jitter_seconds, now).unwrap();
    schedule.next = cadence.after(schedule.id, now);
    schedule
}

impl Stage {
    async fn schedule(&self, change: impl FnOnce(&mut Schedule)) -> Schedule {
        let new = schedule(self.clock.now(), change);
        self.db
            .run("test", self.organization, async |tx| schedules::create(tx, self.organization, &new).await)
            .await
            .unwrap();
        new
    }

    /// What became of the ticks, oldest first.
    async fn outcomes(&self) -> Vec<String> {
        let sql = "SELECT outcome FROM schedule_runs ORDER BY tick_at";
        self.database.connect().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn sql(&self, sql: &str) {
        self.database.connect().await.batch_execute(sql).await.unwrap();
    }

    async fn end_all_scans(&self) {
        self.sql(
            "UPDATE tasks SET state = 'cancelled', gap = 'cancelled', ended_at = now(), lease_until = NULL
             WHERE state = 'ready';
             UPDATE scans SET state = 'cancelled', ended_at = now() WHERE state = 'created'",
        )
        .await;
    }

    async fn scans(&self) -> i64 {
        self.count("SELECT count(*) FROM scans").await
    }
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[tokio::test]
async fn each_tick_is_settled_once_by_many_stewards_at_once() {
    let stage = Stage::new().await;
    stage.schedule(|_| {}).await;
    let stewards: Vec<Scheduler> = (0..4).map(|_| scheduler(&stage, &stage.clock)).collect();
    for minute in 1..=6 {
        stage.clock.advance(MINUTE);
        let (one, two, three, four) = tokio::join!(
            stewards[0].make_due(),
            stewards[1].make_due(),
            stewards[2].make_due(),
            stewards[3].make_due()
        );
        let settled: usize = [one, two, three, four].into_iter().map(|found| found.unwrap().0).sum();
        assert_eq!((settled, stage.scans().await), (1, minute));
        stage.end_all_scans().await;
    }
    assert_eq!(stage.outcomes().await, ["started"; 6]);
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'scan.created' AND actor LIKE 'sch\\_%'";
    assert_eq!(stage.count(audited).await, 6);
}

#[tokio::test]
async fn a_clock_that_goes_back_makes_nothing_twice() {
    let stage = Stage::new().await;
    stage.schedule(|_| {}).await;
    stage.clock.advance(MINUTE);
    assert_eq!(scheduler(&stage, &stage.clock).make_due().await.unwrap().0, 1);
    stage.end_all_scans().await;
    stage.clock.advance(SignedDuration::from_hours(-1));
    let steward = scheduler(&stage, &stage.clock);
    for _ in 0..60 {
        stage.clock.advance(MINUTE);
        steward.make_due().await.unwrap();
        assert_eq!(stage.scans().await, 1, "{}", stage.clock.now());
    }
    stage.clock.advance(MINUTE);
    steward.make_due().await.unwrap();
    assert_eq!(stage.scans().await, 2);
}

#[tokio::test]
async fn a_clock_that_runs_ahead_of_the_database_makes_nothing_early() {
    let stage = Stage::new().await;
    let soon = stage.count("SELECT extract(epoch FROM now() + interval '1 hour')::bigint").await;
    let soon = Timestamp::from_second(soon).unwrap();
    let new = schedule(soon, |_| {});
    stage
        .db
        .run("test", stage.organization, async |tx| schedules::create(tx, stage.organization, &new).await)
        .await
        .unwrap();
    let ahead = Clock::fixed("2099-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(scheduler(&stage, &ahead).make_due().await.unwrap().0, 0);
    assert_eq!((stage.scans().await, stage.outcomes().await.len()), (0, 0));
}

#[tokio::test]
async fn ticks_of_a_downtime_are_left_out_or_made_up_for_once() {
    let stage = Stage::new().await;
    stage.schedule(|new| new.name = "skips".to_owned()).await;
    stage.clock.advance(SignedDuration::from_secs(1));
    stage
        .schedule(|new| {
            new.missed = Missed::Once;
            new.cron = "0 * * * *".to_owned();
        })
        .await;
    // Every minute, the last at this very moment would be in time: beyond the grace there is none.
    stage.sql("UPDATE schedules SET cron = '0 * * * *', next_tick_at = '2026-01-15T15:00:00Z', next_run_at = '2026-01-15T15:00:00Z'").await;
    stage.clock.advance(SignedDuration::from_secs(5 * 3_600 + 600));
    let (one, other) = (scheduler(&stage, &stage.clock), scheduler(&stage, &stage.clock));
    let (first, second) = tokio::join!(one.make_due(), other.make_due());
    assert_eq!(first.unwrap().0 + second.unwrap().0, 2);
    let mut outcomes = stage.outcomes().await;
    outcomes.sort();
    assert_eq!(outcomes, ["missed", "started"]);
    assert_eq!(stage.scans().await, 1);
    let moved = "SELECT count(*) FROM schedules WHERE next_run_at = '2026-01-15T20:00:00Z'";
    assert_eq!(stage.count(moved).await, 2);
    let ticks = "SELECT count(*) FROM schedule_runs WHERE tick_at = '2026-01-15T19:00:00Z'";
    assert_eq!(stage.count(ticks).await, 2);
}

#[tokio::test]
async fn a_tick_is_skipped_while_the_scan_before_runs() {
    let stage = Stage::new().await;
    stage.schedule(|_| {}).await;
    let steward = scheduler(&stage, &stage.clock);
    for _ in 0..3 {
        stage.clock.advance(MINUTE);
        steward.make_due().await.unwrap();
    }
    assert_eq!(stage.outcomes().await, ["started", "skipped", "skipped"]);
    assert_eq!(stage.scans().await, 1);
}

#[tokio::test]
async fn one_tick_waits_for_the_scan_before_and_runs_once_when_it_ends() {
    let stage = Stage::new().await;
    stage.schedule(|new| new.overlap = Overlap::Queue).await;
    let (one, other) = (scheduler(&stage, &stage.clock), scheduler(&stage, &stage.clock));
    for _ in 0..3 {
        stage.clock.advance(MINUTE);
        let (first, second) = tokio::join!(one.make_due(), other.make_due());
        first.unwrap();
        second.unwrap();
    }
    assert_eq!(stage.outcomes().await, ["started", "waiting", "skipped"]);
    stage.end_all_scans().await;
    let (first, second) = tokio::join!(one.make_due(), other.make_due());
    assert_eq!(first.unwrap().0 + second.unwrap().0, 1);
    assert_eq!(stage.outcomes().await, ["started", "started", "skipped"]);
    assert_eq!(stage.scans().await, 2);
}

#[tokio::test]
async fn a_tick_replaces_the_scan_before() {
    let stage = Stage::new().await;
    stage.schedule(|new| new.overlap = Overlap::Replace).await;
    let steward = scheduler(&stage, &stage.clock);
    for _ in 0..2 {
        stage.clock.advance(MINUTE);
        steward.make_due().await.unwrap();
    }
    assert_eq!(stage.outcomes().await, ["started", "started"]);
    assert_eq!(stage.count("SELECT count(*) FROM scans WHERE state = 'cancelled'").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE state = 'cancelled' AND gap = 'cancelled'").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM audit_log WHERE action = 'scan.stopped'").await, 1);
}

#[tokio::test]
async fn what_is_not_allowed_any_more_is_refused_and_the_schedule_goes_on() {
    let stage = Stage::new().await;
    stage.schedule(|new| new.request = scan_of("127.0.0.2")).await;
    stage.schedule(|new| new.request = scan_of("127.0.0.3")).await;
    let steward = scheduler(&stage, &stage.clock);
    for _ in 0..2 {
        stage.clock.advance(MINUTE);
        assert_eq!(steward.make_due().await.unwrap().0, 2);
    }
    assert_eq!(stage.outcomes().await, ["refused"; 4]);
    assert_eq!(stage.scans().await, 0);
    stage.sql("UPDATE schedules SET request = jsonb_set('{\"dialect\": \"v1\", \"wanted\": {\"tool\": \"nmap\"}}', '{target}', '\"127.0.0.1\"');
               UPDATE organizations SET plan = 'trial', trial_ends_at = '2026-01-01T00:00:00Z'").await;
    stage.clock.advance(MINUTE);
    assert_eq!(steward.make_due().await.unwrap().0, 2);
    let said = "SELECT count(*) FROM schedule_runs WHERE outcome = 'refused' AND detail LIKE 'the trial has ended%'";
    assert_eq!(stage.count(said).await, 2);
    stage.sql("UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'").await;
    stage.clock.advance(MINUTE);
    assert_eq!(steward.make_due().await.unwrap().0, 0);
}

#[tokio::test]
async fn a_report_covers_what_completed_lately() {
    let stage = Stage::new().await;
    stage
        .schedule(|new| {
            new.kind = ScheduleKind::Report;
            new.request = json!({"format": "html", "include_executive_summary": true,
                                 "include_technical_details": false, "days": 7, "target": null});
        })
        .await;
    let steward = scheduler(&stage, &stage.clock);
    stage.clock.advance(MINUTE);
    steward.make_due().await.unwrap();
    assert_eq!(stage.outcomes().await, ["skipped"]);
    for _ in 0..2 {
        stage.create(0).await;
    }
    stage
        .sql(
            "ALTER TABLE scans DISABLE TRIGGER ALL;
             UPDATE scans SET state = 'completed', failure = NULL, started_at = '2026-01-15T00:00:00Z',
                              ended_at = '2026-01-15T01:00:00Z';
             UPDATE scans SET ended_at = '2026-01-01T01:00:00Z' WHERE number = 1",
        )
        .await;
    stage.clock.advance(MINUTE);
    steward.make_due().await.unwrap();
    assert_eq!(stage.outcomes().await, ["skipped", "started"]);
    let made = "SELECT count(*) FROM reports AS r JOIN scans AS s ON s.id = r.scan_ids[1]
                WHERE cardinality(r.scan_ids) = 1 AND s.number = 2 AND r.format = 'html'";
    assert_eq!(stage.count(made).await, 1);
}

#[tokio::test]
async fn twenty_runs_are_kept() {
    let stage = Stage::new().await;
    stage.schedule(|new| new.request = scan_of("127.0.0.2")).await;
    let steward = scheduler(&stage, &stage.clock);
    for _ in 0..25 {
        stage.clock.advance(MINUTE);
        steward.make_due().await.unwrap();
    }
    assert_eq!(stage.outcomes().await.len(), 20);
    assert_eq!(stage.count("SELECT count(*) FROM schedule_runs WHERE tick_at >= '2026-01-15T14:36:00Z'").await, 20);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_any_more_is_switched_off_and_says_why() {
    for broken in [
        "UPDATE schedules SET request = '{\"what\": \"an older form\"}'",
        "UPDATE schedules SET request = jsonb_set(request, '{wanted}', '{\"program\": \"nmap\"}')",
        "UPDATE schedules SET cron = 'hourly'",
    ] {
        let stage = Stage::new().await;
        stage.schedule(|_| {}).await;
        stage.sql(broken).await;
        stage.clock.advance(MINUTE);
        let scheduler = scheduler(&stage, &stage.clock);
        assert_eq!(scheduler.make_due().await.unwrap().0, 1, "{broken}");
        assert_eq!((stage.outcomes().await, stage.scans().await), (vec!["refused".to_owned()], 0), "{broken}");
        let told = "SELECT count(*) FROM schedules AS s
                    JOIN schedule_runs AS r ON r.schedule_id = s.id AND length(r.detail) > 0
                    JOIN audit_log AS a ON a.action = 'schedule.updated'
                    WHERE NOT s.enabled AND s.next_run_at IS NULL";
        assert_eq!(stage.count(told).await, 1, "{broken}");
        stage.clock.advance(MINUTE);
        assert_eq!(scheduler.make_due().await.unwrap().0, 0, "{broken}");
    }
}

#[tokio::test]
async fn a_schedule_that_was_forged_in_the_database_is_refused_at_its_tick() {
    for wanted in [
        json!({"tool": "nmap", "parameters": {"scan_type": "-sV --script=/etc/passwd"}}),
        json!({"tool": "nmap", "parameters": {"scan_type": "-sV", "ports": "1-10 -oN /tmp/x"}}),
        json!({"tool": "nmap;id", "parameters": null}),
    ] {
        let stage = Stage::new().await;
        stage.schedule(|_| {}).await;
        stage.sql(&format!("UPDATE schedules SET request = jsonb_set(request, '{{wanted}}', '{wanted}')")).await;
        stage.clock.advance(MINUTE);
        scheduler(&stage, &stage.clock).make_due().await.unwrap();
        assert_eq!((stage.outcomes().await, stage.scans().await), (vec!["refused".to_owned()], 0), "{wanted}");
    }
}

#[tokio::test]
async fn t16_what_is_due_is_not_made_on_a_proof_that_is_gone() {
    let stage = Stage::new().await;
    let dns = picket_testkit::Dns::start().await;
    dns.set_addresses("example.com", &["93.184.215.14"]);
    stage.proven("example.com").await;
    stage.schedule(|one| one.request = scan_of("example.com")).await;
    let outbound = OutboundSettings { name_servers: vec![dns.address], ..OutboundSettings::default() };
    let planner = Planner::new(&BTreeMap::new(), Resolver::new(&outbound).unwrap(), AllowList::default());
    let provers = (planner, crate::proofs::prover(&dns));
    let scheduler = Scheduler::new(stage.db.clone(), provers, stage.clock.clone(), StewardSettings::default());
    stage.sql("UPDATE target_proofs SET checked_at = checked_at - interval '25 hours'").await;
    stage.clock.advance(SignedDuration::from_secs(60));
    scheduler.make_due().await.unwrap();
    assert_eq!(stage.outcomes().await, ["refused"]);
    dns.set_texts("_picket-challenge.example.com", &["picket-verification=token"]);
    stage.clock.advance(SignedDuration::from_secs(60));
    scheduler.make_due().await.unwrap();
    assert_eq!(stage.outcomes().await, ["refused", "started"]);
    let fresh = "SELECT count(*) FROM target_proofs WHERE checked_at = '2026-01-15T14:32:00Z' AND failures = 0";
    assert_eq!(stage.count(fresh).await, 1);
}
