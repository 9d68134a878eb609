//! Replaying given-up tasks of a scan that has ended: another scan does them, and nothing else. Each task is repeated once,
//! whoever asks, and never of a scan that somebody stopped or took away.

use jiff::Timestamp;
use picket_domain::{AuditAction, NewScan, OrganizationId, Pool, ScanId, TaskId};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Inconsistent, StoreError, Tx, administration, audit, profiles, quota,
    row::Columns,
    scans::{self, control},
    statements::statements,
    tasks::chain::Unexamined,
};

/// Tasks that one scan repeats.
const MOST_TASKS: i64 = 1_000;

statements! {
    // In the words of an index; three is [`crate::tasks::MAX_FAILURES`].
    SCANS = "-- platform.repeat.scans
SELECT DISTINCT t.scan_id, t.organization_id
FROM tasks AS t
JOIN scans AS s ON s.id = t.scan_id
JOIN organizations AS o ON o.id = t.organization_id AND o.suspended_at IS NULL
WHERE t.pool = $1 AND t.state = 'failed' AND (t.gap = 'worker_lost' OR t.failures >= 3) AND t.ended_at > $2
  AND t.replayed_as IS NULL AND s.state IN ('completed', 'failed') AND t.scan_id > $4
ORDER BY t.scan_id
LIMIT $3";

    TASKS = "-- platform.repeat.tasks
SELECT id, tool, params, shard, opens
FROM tasks
WHERE scan_id = $1 AND pool = $2 AND state = 'failed' AND (gap = 'worker_lost' OR failures >= 3) AND ended_at > $3
  AND replayed_as IS NULL
ORDER BY id
LIMIT $4";

    MARK = "-- platform.repeat.mark
UPDATE tasks
SET replayed_as = $2
WHERE id IN (
  SELECT id
  FROM tasks
  WHERE scan_id = $1 AND id = ANY($3) AND replayed_as IS NULL
    AND EXISTS (SELECT FROM organizations AS o WHERE o.id = tasks.organization_id AND o.suspended_at IS NULL)
  ORDER BY id
  FOR NO KEY UPDATE
)";
}

/// A task that was given up, with its scan over.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// Identity.
    pub id: TaskId,
    /// What it should have done.
    pub task: Unexamined,
}

/// What repeats what.
#[derive(Debug, Clone, Copy)]
pub struct Repetition<'a> {
    /// The scan that has ended.
    pub base: ScanId,
    /// Its tasks that are repeated.
    pub tasks: &'a [TaskId],
    /// Their pool.
    pub pool: Pool,
    /// The scan that does them.
    pub new: &'a NewScan,
}

/// Scans that ended by themselves, with tasks of that pool that were given up since then and not replayed, in the
/// order of their ids and behind that one. As the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn ended_scans(
    tx: &Tx<'_>,
    pool: Pool,
    since: Timestamp,
    behind: Option<ScanId>,
    at_most: i64,
) -> Result<Vec<(OrganizationId, ScanId)>, StoreError> {
    let scan = |row: &Row| -> Result<_, StoreError> {
        let columns = Columns::new("tasks", row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        Ok((organization, ScanId::from_uuid(columns.get("scan_id")?)))
    };
    let behind = behind.map_or(Uuid::nil(), ScanId::uuid);
    tx.query(SCANS, &[&pool.name(), &since, &at_most, &behind]).await?.iter().map(scan).collect()
}

/// Tasks of one such scan.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn lost(tx: &Tx<'_>, scan: ScanId, pool: Pool, since: Timestamp) -> Result<Vec<Lost>, StoreError> {
    let lost = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(Lost { id: TaskId::from_uuid(columns.get("id")?), task: Unexamined::of(&columns)? })
    };
    let rows = tx.query(TASKS, &[&scan.uuid(), &pool.name(), &since, &MOST_TASKS]).await?;
    Ok(rows.iter().map(lost).collect::<Result<_, _>>()?)
}

/// Stores the scan that repeats these tasks. `false`, and nothing is stored, when somebody repeats them already, or took the
/// scan away.
///
/// # Errors
/// As [`scans::create`]; [`StoreError::Stale`] when somebody repeats a part of them. Then the transaction must not commit.
#[tracing::instrument(name = "db.platform.repeat", skip_all, fields(scan.id = %of.base), err(level = "debug"))]
pub async fn repeat(tx: &Tx<'_>, of: Repetition<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let Repetition { base, tasks, pool, new } = of;
    quota::lock(tx, new.organization_id).await?;
    let Some(locked) = scans::lock(tx, base).await? else { return Ok(false) };
    if !locked.scan.state.is_final() {
        return Ok(false);
    }
    let ids: Vec<Uuid> = tasks.iter().map(|id| id.uuid()).collect();
    let marked = tx.execute(MARK, &[&base.uuid(), &new.id.uuid(), &ids]).await?;
    if marked == 0 {
        return Ok(false);
    }
    let expected = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    if marked != expected {
        return Err(StoreError::Stale { expected, actual: marked });
    }
    scans::create(tx, new, now).await?;
    control::link(tx, new.id, base, true).await?;
    profiles::copy(tx, new.id, base).await?;
    let entry = administration::entry(AuditAction::TasksReplayed, base.to_string(), now);
    let entry = entry.change(None, Some(json!({"pool": pool.name(), "tasks": marked, "repeated_as": new.id})));
    audit::record(tx, new.organization_id, &entry).await?;
    Ok(true)
}
