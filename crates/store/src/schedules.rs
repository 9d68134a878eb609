//! Schedules as their owners keep them. What a tick does is in [`ticks`]; only there does a schedule move on.
//! Lock order: the organization's counters, the schedule, then scans.

pub mod ticks;

use jiff::Timestamp;
use picket_domain::{Missed, OrganizationId, Overlap, ReportId, RunOutcome, ScanId, ScheduleId, ScheduleKind, Tick};
use serde_json::Value;
use tokio_postgres::{Row, types::Json};

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

/// Runs that are kept of each schedule, beside one that waits.
pub const KEPT_RUNS: i64 = 20;

statements! {
    CREATE = "-- schedules.create
INSERT INTO schedules (id, organization_id, created_at, kind, owner, updated_at, name, cron, time_zone, jitter_seconds,
                       overlap, missed, enabled, body, request, next_tick_at, next_run_at)
VALUES ($1, $2, $3, $4, $5, $3, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

    FIND = "-- schedules.find
SELECT s.id, s.created_at, s.kind, s.owner, s.updated_at, s.name, s.cron, s.time_zone, s.jitter_seconds, s.overlap,
       s.missed, s.enabled, s.body, s.request, s.next_tick_at, s.next_run_at
FROM schedules AS s
WHERE s.id = $1";

    LIST = "-- schedules.list
SELECT s.id, s.created_at, s.kind, s.owner, s.updated_at, s.name, s.cron, s.time_zone, s.jitter_seconds, s.overlap,
       s.missed, s.enabled, s.body, s.request, s.next_tick_at, s.next_run_at
FROM schedules AS s
WHERE s.organization_id = picket_organization()
ORDER BY s.id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- schedules.count
SELECT count(*) AS total
FROM schedules
WHERE organization_id = picket_organization()";

    // The last ones of each schedule, newest first.
    RUNS = "-- schedules.runs
SELECT r.schedule_id, r.tick_at, r.decided_at, r.outcome, r.detail, r.scan_id, r.report_id, c.state AS scan_state,
       c.number AS scan_number
FROM unnest($1::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (
  SELECT *
  FROM schedule_runs
  WHERE schedule_id = wanted.id
  ORDER BY tick_at DESC
  LIMIT $2
) AS r
LEFT JOIN scans AS c ON c.id = r.scan_id
ORDER BY r.tick_at DESC";

    LOCK = "-- schedules.lock
SELECT id
FROM schedules
WHERE id = $1
FOR NO KEY UPDATE";

    SAVE = "-- schedules.save
UPDATE schedules
SET owner = $2, updated_at = $3, name = $4, cron = $5, time_zone = $6, jitter_seconds = $7, overlap = $8, missed = $9,
    enabled = $10, body = $11, request = $12, next_tick_at = $13, next_run_at = $14
WHERE id = $1";

    // What waits for an earlier form of the schedule does not happen any more.
    GIVE_UP_WAITING = "-- schedules.give_up_waiting
UPDATE schedule_runs
SET outcome = 'skipped', detail = 'the schedule was changed', decided_at = $2
WHERE schedule_id = $1 AND outcome = 'waiting'";

    DELETE = "-- schedules.delete
DELETE FROM schedules
WHERE id = $1";
}

/// Something that is done again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Identity.
    pub id: ScheduleId,
    /// Since when it is there.
    pub created_at: Timestamp,
    /// What it makes.
    pub kind: ScheduleKind,
    /// Who made it or changed it last, `usr_…` or `key_…`: what it makes is asked for in this name.
    pub owner: String,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// What its owner calls it.
    pub name: String,
    /// The pattern.
    pub cron: String,
    /// The zone in which the pattern is meant.
    pub time_zone: String,
    /// How much later than its moment a tick may run, in seconds.
    pub jitter_seconds: u32,
    /// What a tick does while the scan of an earlier one has not ended.
    pub overlap: Overlap,
    /// What becomes of ticks that nobody was there for.
    pub missed: Missed,
    /// Whether it is on.
    pub enabled: bool,
    /// As the client asked.
    pub body: Value,
    /// What is planned of it at each tick.
    pub request: Value,
    /// The next tick; `None` while it is off.
    pub next: Option<Tick>,
}

/// What became of one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRun {
    /// Whose tick.
    pub schedule_id: ScheduleId,
    /// The moment that the pattern means.
    pub tick_at: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What became of it.
    pub outcome: RunOutcome,
    /// Why, for its owner.
    pub detail: Option<String>,
    /// The scan that it made; it may be removed by now.
    pub scan_id: Option<ScanId>,
    /// The number of that scan; `None` when it is removed.
    pub scan_number: Option<i64>,
    /// The state of that scan; `None` when it is removed.
    pub scan_state: Option<String>,
    /// The report that it made; it may be removed by now.
    pub report_id: Option<ReportId>,
}

/// Stores a schedule.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.schedules.create", skip_all, fields(schedule.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, organization: OrganizationId, new: &Schedule) -> Result<(), StoreError> {
    tx.execute_one(
        CREATE,
        &[
            &new.id.uuid(),
            &organization.uuid(),
            &new.created_at,
            &new.kind.name(),
            &new.owner,
            &new.name,
            &new.cron,
            &new.time_zone,
            &i32::try_from(new.jitter_seconds).unwrap_or(i32::MAX),
            &new.overlap.name(),
            &new.missed.name(),
            &new.enabled,
            &Json(&new.body),
            &Json(&new.request),
            &new.next.map(|tick| tick.at),
            &new.next.map(|tick| tick.run_at),
        ],
    )
    .await
}

/// The tenant's schedule of that id.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.schedules.find", skip_all, err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
    Ok(tx.query_opt(FIND, &[&id.uuid()]).await?.as_ref().map(schedule).transpose()?)
}

/// The same, locked until the transaction ends.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.schedules.lock", skip_all, err(level = "debug"))]
pub async fn lock(tx: &Tx<'_>, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
    if tx.query_opt(LOCK, &[&id.uuid()]).await?.is_none() {
        return Ok(None);
    }
    find(tx, id).await
}

/// The tenant's schedules, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.schedules.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<Schedule>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let rows = rows.iter().map(schedule).collect::<Result<Vec<_>, _>>()?;
    Ok(Page { rows, total: count(tx).await? })
}

/// How many schedules the tenant has.
///
/// # Errors
/// When the database refuses.
pub async fn count(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let total: i64 = Columns::new("schedules", &tx.query_one(COUNT, &[]).await?).get("total")?;
    Ok(u64::try_from(total).unwrap_or_default())
}

/// The last ticks of each of these schedules, at most `most` of each, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.schedules.runs", skip_all, err(level = "debug"))]
pub async fn runs(tx: &Tx<'_>, schedules: &[ScheduleId], most: i64) -> Result<Vec<ScheduleRun>, StoreError> {
    let ids: Vec<_> = schedules.iter().map(|id| id.uuid()).collect();
    let run = |row: &Row| -> Result<ScheduleRun, Inconsistent> {
        let columns = Columns::new("schedule_runs", row);
        Ok(ScheduleRun {
            schedule_id: ScheduleId::from_uuid(columns.get("schedule_id")?),
            tick_at: columns.get("tick_at")?,
            decided_at: columns.get("decided_at")?,
            outcome: columns.named("outcome", RunOutcome::find)?,
            detail: columns.get("detail")?,
            scan_id: columns.get::<Option<_>>("scan_id")?.map(ScanId::from_uuid),
            scan_number: columns.get("scan_number")?,
            scan_state: columns.get("scan_state")?,
            report_id: columns.get::<Option<_>>("report_id")?.map(ReportId::from_uuid),
        })
    };
    Ok(tx.query(RUNS, &[&ids, &most]).await?.iter().map(run).collect::<Result<_, _>>()?)
}

/// Stores another form of a locked schedule; a tick that waits is given up.
///
/// # Errors
/// [`StoreError::Stale`] when it is gone, or when the database refuses.
#[tracing::instrument(name = "db.schedules.save", skip_all, fields(schedule.id = %new.id), err(level = "debug"))]
pub async fn save(tx: &Tx<'_>, new: &Schedule) -> Result<(), StoreError> {
    tx.execute(GIVE_UP_WAITING, &[&new.id.uuid(), &new.updated_at]).await?;
    tx.execute_one(
        SAVE,
        &[
            &new.id.uuid(),
            &new.owner,
            &new.updated_at,
            &new.name,
            &new.cron,
            &new.time_zone,
            &i32::try_from(new.jitter_seconds).unwrap_or(i32::MAX),
            &new.overlap.name(),
            &new.missed.name(),
            &new.enabled,
            &Json(&new.body),
            &Json(&new.request),
            &new.next.map(|tick| tick.at),
            &new.next.map(|tick| tick.run_at),
        ],
    )
    .await
}

/// Removes a schedule with its runs; what it made stays.
///
/// # Errors
/// [`StoreError::Stale`] when it is gone, or when the database refuses.
#[tracing::instrument(name = "db.schedules.delete", skip_all, fields(schedule.id = %id), err(level = "debug"))]
pub async fn delete(tx: &Tx<'_>, id: ScheduleId) -> Result<(), StoreError> {
    tx.execute_one(DELETE, &[&id.uuid()]).await
}

fn schedule(row: &Row) -> Result<Schedule, Inconsistent> {
    let columns = Columns::new("schedules", row);
    let jitter: i32 = columns.get("jitter_seconds")?;
    let next = match columns.get::<Option<Timestamp>>("next_tick_at")? {
        Some(at) => Some(Tick { at, run_at: columns.required("next_run_at")? }),
        None => None,
    };
    Ok(Schedule {
        id: ScheduleId::from_uuid(columns.get("id")?),
        created_at: columns.get("created_at")?,
        kind: columns.named("kind", ScheduleKind::find)?,
        owner: columns.get("owner")?,
        updated_at: columns.get("updated_at")?,
        name: columns.get("name")?,
        cron: columns.get("cron")?,
        time_zone: columns.get("time_zone")?,
        jitter_seconds: u32::try_from(jitter).unwrap_or_default(),
        overlap: columns.named("overlap", Overlap::find)?,
        missed: columns.named("missed", Missed::find)?,
        enabled: columns.get("enabled")?,
        body: columns.json("body")?,
        request: columns.json("request")?,
        next,
    })
}
