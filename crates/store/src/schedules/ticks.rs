//! What a tick does, in one transaction: the schedule moves on, the row of the tick is written, and what it asks for is
//! made. Whoever comes second, with the same tick or an older clock, changes nothing.
//!
//! No steward's clock can run ahead of the database's: what is due is due by the earlier of both.

use jiff::Timestamp;
use picket_domain::{
    AuditAction, AuditEntry, NewScan, OrganizationId, Overlap, ReportId, RunOutcome, ScanId, Subscription, Tick,
};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{KEPT_RUNS, Schedule, schedule};
use crate::{
    Inconsistent, StoreError, Tx, audit, quota,
    reports::{self, NewReport},
    row::Columns,
    scans,
    statements::statements,
};

statements! {
    MOMENT = "-- schedules.ticks.moment
SELECT least($1, now()) AS moment";

    // An organization that is locked out asks for nothing.
    DUE = "-- schedules.ticks.due
SELECT s.id, s.created_at, s.kind, s.owner, s.updated_at, s.name, s.cron, s.time_zone, s.jitter_seconds, s.overlap,
       s.missed, s.enabled, s.body, s.request, s.next_tick_at, s.next_run_at, s.organization_id, o.plan,
       NULL::timestamptz AS waiting
FROM schedules AS s
JOIN organizations AS o ON o.id = s.organization_id
WHERE s.next_run_at <= $1 AND o.suspended_at IS NULL
ORDER BY s.next_run_at
LIMIT $2";

    // Ticks that wait, and whose way is free.
    FREED = "-- schedules.ticks.freed
SELECT s.id, s.created_at, s.kind, s.owner, s.updated_at, s.name, s.cron, s.time_zone, s.jitter_seconds, s.overlap,
       s.missed, s.enabled, s.body, s.request, s.next_tick_at, s.next_run_at, s.organization_id, o.plan,
       r.tick_at AS waiting
FROM schedule_runs AS r
JOIN schedules AS s ON s.id = r.schedule_id
JOIN organizations AS o ON o.id = s.organization_id
LEFT JOIN scans AS c ON c.id = s.last_scan_id AND c.state IN ('created', 'queued', 'running', 'paused')
WHERE r.outcome = 'waiting' AND c.id IS NULL AND o.suspended_at IS NULL
ORDER BY r.tick_at
LIMIT $1";

    // By the form that was read, too: another one may ask for something else at the same tick.
    ADVANCE = "-- schedules.ticks.advance
UPDATE schedules
SET next_tick_at = $4, next_run_at = $5
WHERE id = $1 AND next_tick_at = $2 AND updated_at = $3";

    HOLD = "-- schedules.ticks.hold
SELECT
FROM schedules
WHERE id = $1 AND updated_at = $2
FOR NO KEY UPDATE";

    // What cannot be read any more is not asked for again and again; its owner sees why, and saves it anew.
    SWITCH_OFF = "-- schedules.ticks.switch_off
UPDATE schedules
SET enabled = false, next_tick_at = NULL, next_run_at = NULL
WHERE id = $1 AND enabled";

    WAITS = "-- schedules.ticks.waits
SELECT EXISTS (SELECT FROM schedule_runs WHERE schedule_id = $1 AND outcome = 'waiting') AS waits";

    RUNNING = "-- schedules.ticks.running
SELECT c.id
FROM schedules AS s
JOIN scans AS c ON c.id = s.last_scan_id
WHERE s.id = $1 AND c.state IN ('created', 'queued', 'running', 'paused')";

    RECORD = "-- schedules.ticks.record
INSERT INTO schedule_runs (organization_id, schedule_id, tick_at, decided_at, outcome, detail, scan_id, report_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (schedule_id, tick_at) DO NOTHING";

    SETTLED = "-- schedules.ticks.settled
SELECT EXISTS (SELECT FROM schedule_runs WHERE schedule_id = $1 AND tick_at = $2) AS settled";

    RESOLVE = "-- schedules.ticks.resolve
UPDATE schedule_runs
SET decided_at = $3, outcome = $4, detail = $5, scan_id = $6
WHERE schedule_id = $1 AND tick_at = $2 AND outcome = 'waiting'";

    LINK = "-- schedules.ticks.link
UPDATE schedules
SET last_scan_id = $2
WHERE id = $1";

    PRUNE = "-- schedules.ticks.prune
DELETE FROM schedule_runs
WHERE schedule_id = $1 AND outcome <> 'waiting' AND tick_at <= (
  SELECT tick_at
  FROM schedule_runs
  WHERE schedule_id = $1
  ORDER BY tick_at DESC
  LIMIT 1 OFFSET $2
)";

    COMPLETED = "-- schedules.ticks.completed
SELECT id
FROM scans
WHERE organization_id = $1 AND state = 'completed' AND ended_at > $2 AND ended_at <= $3
  AND ($4::text IS NULL OR target = $4)
ORDER BY created_at DESC, id DESC
LIMIT $5";
}

/// A schedule whose tick is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The schedule, as it was read.
    pub schedule: Schedule,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What its owner may have.
    pub subscription: Subscription,
    /// The tick that waited, and may run now; `None` for one that comes.
    pub waiting: Option<Timestamp>,
}

/// What a tick asks for.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// A scan.
    Scan(&'a NewScan),
    /// A report.
    Report(&'a NewReport),
    /// Nothing; what became of it, and why.
    Nothing(RunOutcome, &'a str),
    /// It cannot be said, since the schedule cannot be read any more: it is refused, and the schedule is switched off.
    Broken(&'a str),
}

/// What is due at the earlier of `clock` and the database's time, which is returned too; the longest overdue first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.schedules.due", skip_all, err(level = "debug"))]
pub async fn due(tx: &Tx<'_>, clock: Timestamp, at_most: i64) -> Result<(Timestamp, Vec<Due>), StoreError> {
    let moment = Columns::new("schedules", &tx.query_one(MOMENT, &[&clock]).await?).get("moment")?;
    let mut found = tx.query(FREED, &[&at_most]).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for row in &tx.query(DUE, &[&moment, &at_most]).await? {
        found.push(read(row)?);
    }
    Ok((moment, found))
}

/// Settles a tick: the schedule goes on to `next`, and what the tick asks for is made, unless the scan before is in its way.
/// `None` when somebody else settled it, or the schedule was changed meanwhile; then nothing was made.
///
/// # Errors
/// [`StoreError::Refused`] when the plan does not allow what it asks for; then nothing is changed. When the database refuses.
#[tracing::instrument(name = "db.schedules.settle", skip_all, fields(schedule.id = %due.schedule.id), err(level = "debug"))]
pub async fn settle(
    tx: &Tx<'_>,
    due: &Due,
    tick: Timestamp,
    next: Option<Tick>,
    work: Work<'_>,
    now: Timestamp,
) -> Result<Option<RunOutcome>, StoreError> {
    quota::lock(tx, due.organization_id).await?;
    if !go_on(tx, due, next).await? {
        return Ok(None);
    }
    // A change of the schedule may have made a tick due again; what was made for it must not be replaced by nothing.
    if due.waiting.is_none() && is_settled(tx, due, tick).await? {
        return Ok(None);
    }
    let (outcome, detail) = decide(tx, due, work, now).await?;
    if !record(tx, due, tick, (outcome, detail.as_deref()), work, now).await? {
        return Ok(None);
    }
    if outcome == RunOutcome::Started {
        make(tx, due, work, now).await?;
    }
    if let Work::Broken(why) = work {
        switch_off(tx, due, why, now).await?;
    }
    tx.execute(PRUNE, &[&due.schedule.id.uuid(), &KEPT_RUNS]).await?;
    Ok(Some(outcome))
}

/// Completed scans of the time between `since` and `until`, newest first; of one target, or of all.
///
/// # Errors
/// When the database refuses.
pub async fn completed(
    tx: &Tx<'_>,
    organization: OrganizationId,
    (since, until): (Timestamp, Timestamp),
    target: Option<&str>,
    at_most: i64,
) -> Result<Vec<ScanId>, StoreError> {
    let rows = tx.query(COMPLETED, &[&organization.uuid(), &since, &until, &target, &at_most]).await?;
    let id = |row: &Row| Columns::new("scans", row).get("id").map(ScanId::from_uuid);
    Ok(rows.iter().map(id).collect::<Result<_, _>>()?)
}

async fn is_settled(tx: &Tx<'_>, due: &Due, tick: Timestamp) -> Result<bool, StoreError> {
    let row = tx.query_one(SETTLED, &[&due.schedule.id.uuid(), &tick]).await?;
    Ok(Columns::new("schedule_runs", &row).get("settled")?)
}

/// Locks the schedule, unless it is not what was read any more.
async fn go_on(tx: &Tx<'_>, due: &Due, next: Option<Tick>) -> Result<bool, StoreError> {
    let Schedule { id, updated_at, .. } = &due.schedule;
    if due.waiting.is_some() {
        return Ok(tx.query_opt(HOLD, &[&id.uuid(), updated_at]).await?.is_some());
    }
    let expected = due.schedule.next.map(|tick| tick.at);
    let (at, run_at) = (next.map(|tick| tick.at), next.map(|tick| tick.run_at));
    Ok(tx.execute(ADVANCE, &[&id.uuid(), &expected, updated_at, &at, &run_at]).await? == 1)
}

/// What becomes of the tick. A scan that is in its way is stopped where the owner wants that.
async fn decide(
    tx: &Tx<'_>,
    due: &Due,
    work: Work<'_>,
    now: Timestamp,
) -> Result<(RunOutcome, Option<String>), StoreError> {
    let why = |outcome, detail: &str| Ok((outcome, Some(detail.to_owned())));
    match work {
        Work::Nothing(outcome, detail) => return why(outcome, detail),
        Work::Broken(detail) => return why(RunOutcome::Refused, detail),
        Work::Report(_) => return Ok((RunOutcome::Started, None)),
        Work::Scan(_) => {}
    }
    let id = due.schedule.id.uuid();
    let waits: bool = Columns::new("schedule_runs", &tx.query_one(WAITS, &[&id]).await?).get("waits")?;
    if waits && due.waiting.is_none() {
        return why(RunOutcome::Skipped, "an earlier tick waits for the scan before it");
    }
    let Some(row) = tx.query_opt(RUNNING, &[&id]).await? else { return Ok((RunOutcome::Started, None)) };
    let running: Uuid = Columns::new("scans", &row).get("id")?;
    match due.schedule.overlap {
        Overlap::Skip => why(RunOutcome::Skipped, "the scan before had not ended"),
        Overlap::Queue => why(RunOutcome::Waiting, "it waits for the end of the scan before"),
        Overlap::Replace => {
            stop(tx, due, ScanId::from_uuid(running), now).await?;
            Ok((RunOutcome::Started, None))
        }
    }
}

async fn switch_off(tx: &Tx<'_>, due: &Due, why: &str, now: Timestamp) -> Result<(), StoreError> {
    let id = due.schedule.id;
    if tx.execute(SWITCH_OFF, &[&id.uuid()]).await? == 0 {
        return Ok(());
    }
    let (before, after) = (json!({"enabled": true}), json!({"enabled": false, "reason": why}));
    let entry = entry(due, AuditAction::ScheduleUpdated, id.to_string(), now).change(Some(before), Some(after));
    audit::record(tx, due.organization_id, &entry).await.map(drop)
}

async fn stop(tx: &Tx<'_>, due: &Due, id: ScanId, now: Timestamp) -> Result<(), StoreError> {
    let Some(scans::Locked { scan, traceparent }) = scans::lock(tx, id).await? else { return Ok(()) };
    // It may have ended before it was locked.
    let Ok(change) = scan.cancel(now) else { return Ok(()) };
    scans::cancel(tx, change, traceparent.as_deref(), now).await?;
    let entry = entry(due, AuditAction::ScanStopped, id.to_string(), now);
    audit::record(tx, due.organization_id, &entry).await.map(drop)
}

/// Writes what became of the tick; `false` when that is written already.
async fn record(
    tx: &Tx<'_>,
    due: &Due,
    tick: Timestamp,
    (outcome, detail): (RunOutcome, Option<&str>),
    work: Work<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (id, is_made) = (due.schedule.id.uuid(), outcome == RunOutcome::Started);
    let (scan, report) = match work {
        Work::Scan(scan) if is_made => (Some(scan.id.uuid()), None),
        Work::Report(report) if is_made => (None, Some(report.id.uuid())),
        Work::Scan(_) | Work::Report(_) | Work::Nothing(..) | Work::Broken(_) => (None, None),
    };
    let name = outcome.name();
    let written = match due.waiting {
        // It waits on.
        Some(_) if outcome == RunOutcome::Waiting => 0,
        Some(waiting) => tx.execute(RESOLVE, &[&id, &waiting, &now, &name, &detail, &scan]).await?,
        None => {
            let organization = due.organization_id.uuid();
            tx.execute(RECORD, &[&organization, &id, &tick, &now, &name, &detail, &scan, &report]).await?
        }
    };
    Ok(written == 1)
}

async fn make(tx: &Tx<'_>, due: &Due, work: Work<'_>, now: Timestamp) -> Result<(), StoreError> {
    let schedule = due.schedule.id;
    let entry = match work {
        Work::Scan(new) => {
            scans::create(tx, new, now).await?;
            tx.execute_one(LINK, &[&schedule.uuid(), &new.id.uuid()]).await?;
            let made = json!({"target": new.target, "tool": new.tool, "plan": new.plan});
            entry(due, AuditAction::ScanCreated, new.id.to_string(), now).change(None, Some(made))
        }
        Work::Report(new) => {
            let created = reports::create(tx, new, now).await?;
            // A scan was removed since it was chosen: the next round chooses anew.
            created.ok_or(StoreError::Stale { expected: 1, actual: 0 })?;
            let made = json!({"format": new.request.format, "scans": new.request.scan_ids});
            entry(due, AuditAction::ReportRequested, ReportId::to_string(&new.id), now).change(None, Some(made))
        }
        Work::Nothing(..) | Work::Broken(_) => return Ok(()),
    };
    audit::record(tx, due.organization_id, &entry).await.map(drop)
}

/// An entry of the schedule's.
fn entry(due: &Due, action: AuditAction, object: String, at: Timestamp) -> AuditEntry {
    AuditEntry {
        at,
        actor: due.schedule.id.to_string(),
        action,
        object: Some(object),
        address: None,
        request_id: None,
        before: None,
        after: None,
    }
}

fn read(row: &Row) -> Result<Due, Inconsistent> {
    let columns = Columns::new("schedules", row);
    Ok(Due {
        schedule: schedule(row)?,
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        subscription: columns.named("plan", Subscription::find)?,
        waiting: columns.get("waiting")?,
    })
}
