//! Replaying tasks that were given up: in a scan that goes on, a new task takes the place of each. What has ended stays
//! ended: a scan that is over is never opened again, and the fence of the old task fits nothing.

use jiff::Timestamp;
use picket_domain::{AuditAction, Gap, OrganizationId, Pool, ScanId, TaskId};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Inconsistent, Notice, StoreError, Tx, administration, audit, quota, row::Columns, scans, statements::statements,
};

statements! {
    // Three is [`crate::tasks::MAX_FAILURES`], in the words of an index.
    GIVEN_UP = "-- platform.replay.given_up
SELECT t.pool, t.organization_id, t.id, t.scan_id, t.tool, t.failures, t.gap, t.detail, t.ended_at, t.replayed_as,
       s.state <> 'cancelled' AND t.replayed_as IS NULL AS is_replayable
FROM tasks AS t
JOIN scans AS s ON s.id = t.scan_id
WHERE t.state = 'failed' AND (t.gap = 'worker_lost' OR t.failures >= 3) AND t.ended_at > $1
ORDER BY t.ended_at DESC, t.id DESC
LIMIT $2";

    // Three is [`crate::tasks::MAX_FAILURES`], in the words of an index.
    SCANS = "-- platform.replay.scans
SELECT DISTINCT t.scan_id, t.organization_id
FROM tasks AS t
JOIN scans AS s ON s.id = t.scan_id
WHERE t.pool = $1 AND t.state = 'failed' AND (t.gap = 'worker_lost' OR t.failures >= 3)
  AND s.state IN ('created', 'queued', 'running', 'paused')
ORDER BY t.scan_id
LIMIT $2";

    TASKS = "-- platform.replay.tasks
SELECT id
FROM tasks
WHERE scan_id = $1 AND pool = $2 AND state = 'failed' AND (gap = 'worker_lost' OR failures >= 3)
ORDER BY id
FOR UPDATE";

    COPY = "-- platform.replay.copy
INSERT INTO tasks (id, organization_id, scan_id, grown_from, tool, pool, level, params, shard, opens, share, reserve,
                   created_at, ready_at)
SELECT pair.new, t.organization_id, t.scan_id, t.grown_from, t.tool, t.pool, t.level, t.params, t.shard, t.opens, t.share,
       t.reserve, $3, now()
FROM unnest($1::uuid[], $2::uuid[]) AS pair (old, new)
JOIN tasks AS t ON t.id = pair.old";

    // What was shown of it was with these tasks.
    FLOOR = "-- platform.replay.floor
UPDATE scans
SET progress_floor = greatest(progress_floor, picket_progress(id))
WHERE id = $1";

    REMOVE = "-- platform.replay.remove
DELETE FROM tasks
WHERE id = ANY($1)";
}

/// A task that went wrong until it was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The task.
    pub id: TaskId,
    /// Its pool.
    pub pool: Pool,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Of which scan.
    pub scan_id: ScanId,
    /// The tool.
    pub tool: String,
    /// How often it went wrong.
    pub failures: i32,
    /// Why it was given up.
    pub gap: Gap,
    /// What was said of it.
    pub detail: Option<String>,
    /// When it was given up.
    pub ended_at: Timestamp,
    /// Whether it can be replayed: nobody stopped its scan, and nobody replayed it yet.
    pub is_replayable: bool,
    /// The scan that repeats it.
    pub replayed_as: Option<ScanId>,
}

/// Tasks that were given up since then, latest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.platform.given_up", skip_all, err(level = "debug"))]
pub async fn given_up(tx: &Tx<'_>, since: Timestamp, at_most: i64) -> Result<Vec<GivenUp>, StoreError> {
    let task = |row: &Row| -> Result<GivenUp, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(GivenUp {
            id: TaskId::from_uuid(columns.get("id")?),
            pool: columns.named("pool", Pool::find)?,
            organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
            scan_id: ScanId::from_uuid(columns.get("scan_id")?),
            tool: columns.get("tool")?,
            failures: columns.get("failures")?,
            gap: columns.named("gap", Gap::find)?,
            detail: columns.get("detail")?,
            ended_at: columns.required("ended_at")?,
            is_replayable: columns.get("is_replayable")?,
            replayed_as: columns.get::<Option<_>>("replayed_as")?.map(ScanId::from_uuid),
        })
    };
    Ok(tx.query(GIVEN_UP, &[&since, &at_most]).await?.iter().map(task).collect::<Result<_, _>>()?)
}

/// Scans that go on and have tasks of that pool which were given up.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn open_scans(tx: &Tx<'_>, pool: Pool, at_most: i64) -> Result<Vec<(OrganizationId, ScanId)>, StoreError> {
    let scan = |row: &Row| -> Result<_, StoreError> {
        let columns = Columns::new("tasks", row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        Ok((organization, ScanId::from_uuid(columns.get("scan_id")?)))
    };
    tx.query(SCANS, &[&pool.name(), &at_most]).await?.iter().map(scan).collect()
}

/// Replays the given-up tasks of one scan, in a transaction of its own; returns how many. None of a scan that has ended.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.platform.replay", skip_all, fields(scan.id = %scan), err(level = "debug"))]
pub async fn replay(
    tx: &Tx<'_>,
    organization: OrganizationId,
    scan: ScanId,
    pool: Pool,
    now: Timestamp,
) -> Result<u64, StoreError> {
    quota::lock(tx, organization).await?;
    let Some(locked) = scans::lock(tx, scan).await? else { return Ok(0) };
    if locked.scan.state.is_final() {
        return Ok(0);
    }
    let rows = tx.query(TASKS, &[&scan.uuid(), &pool.name()]).await?;
    let old = rows.iter().map(|row| Columns::new("tasks", row).get("id")).collect::<Result<Vec<Uuid>, _>>()?;
    let new: Vec<Uuid> = old.iter().map(|_| TaskId::mint(now).uuid()).collect();
    tx.execute_one(FLOOR, &[&scan.uuid()]).await?;
    let copied = tx.execute(COPY, &[&old, &new, &now]).await?;
    tx.execute(REMOVE, &[&old]).await?;
    if copied > 0 {
        let entry = administration::entry(AuditAction::TasksReplayed, scan.to_string(), now);
        let entry = entry.change(None, Some(json!({"pool": pool.name(), "tasks": copied})));
        audit::record(tx, organization, &entry).await?;
        tx.notify(Notice::Tasks);
    }
    Ok(copied)
}
