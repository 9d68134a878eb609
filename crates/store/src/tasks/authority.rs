//! Tasks that may not begin any more: what allowed their scan has ended, or they are excluded by now. A claim looks last
//! ([`super::lease`]); the rest here ends what waits, so that nobody waits for what cannot be.
//! Every transaction here locks scans before tasks, and scans in the order of their ids.

use jiff::Timestamp;
use picket_domain::{Exclusion, Gap, OrganizationId, ScanId, TaskQueued};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, Notice, StoreError, Tx, row::Columns, scans, statements::statements};

/// Scans of one turn.
const TURN: i64 = 256;

statements! {
    // Of one organization, or of all.
    FALLEN = "-- tasks.authority.fallen
SELECT s.id
FROM scans AS s
WHERE ($1::uuid IS NULL OR s.organization_id = $1) AND s.state IN ('created', 'queued', 'running', 'paused')
  AND (s.authority ->> 'by' IN ('proof', 'authorization') OR s.authority -> 'ranges' <> '[]'::jsonb)
  AND NOT picket_stands(s.organization_id, s.authority, picket_now())
  AND (s.unmade > 0 OR EXISTS (SELECT FROM tasks AS t WHERE t.scan_id = s.id AND t.state IN ('ready', 'queued')))
ORDER BY s.id
LIMIT $2";

    STANDS = "-- tasks.authority.stands
SELECT picket_stands(organization_id, authority, picket_now()) AS stands
FROM scans
WHERE id = $1";

    // The state machine has no way from queued to failed: a message that is on its way is stale from here on.
    PUT_BACK = "-- tasks.authority.put_back
UPDATE tasks
SET state = 'ready', queued_at = NULL
WHERE id IN (SELECT id FROM tasks WHERE scan_id = $1 AND state = 'queued' ORDER BY id FOR NO KEY UPDATE)";

    GIVE_UP = "-- tasks.authority.give_up
UPDATE tasks
SET state = 'failed', gap = $3, detail = $4, ended_at = $2
WHERE id IN (SELECT id FROM tasks WHERE scan_id = $1 AND state = 'ready' ORDER BY id FOR NO KEY UPDATE)";

    REFUSE = "-- tasks.authority.refuse
UPDATE tasks
SET state = 'ready', queued_at = NULL
WHERE id = $1 AND attempt = $2 AND state = 'queued' AND NOT picket_may_begin(organization_id, scan_id, tool, params, shard)
RETURNING EXISTS (SELECT FROM exclusions AS e
                  WHERE e.organization_id = tasks.organization_id AND picket_covers(e.kind, e.value, tasks.shard)
                    AND (e.hours IS NULL OR picket_in_force(e.hours, picket_now()))) AS excluded";

    FAIL = "-- tasks.authority.fail
UPDATE tasks
SET state = 'failed', gap = $3, detail = $4, ended_at = $2
WHERE id = $1 AND state = 'ready'";

    TURN_AWAY = "-- tasks.authority.turn_away
UPDATE tasks AS t
SET state = 'failed', gap = CASE WHEN e.is_so THEN $4 ELSE $6 END, detail = CASE WHEN e.is_so THEN $5 ELSE $7 END,
    ended_at = $2
FROM (SELECT EXISTS (SELECT FROM exclusions AS e
                     JOIN tasks AS o ON o.id = $1 AND o.organization_id = e.organization_id
                     WHERE picket_covers(e.kind, e.value, o.shard)
                       AND (e.hours IS NULL OR picket_in_force(e.hours, picket_now()))) AS is_so) AS e
WHERE t.id = $1 AND t.scan_id = $3 AND t.state = 'ready' AND NOT picket_may_begin(
  t.organization_id, t.scan_id, t.tool, t.params, t.shard
)";

    // Of tasks that were made a moment ago, in the transaction that made them.
    LEAVE_OUT = "-- tasks.authority.leave_out
UPDATE tasks AS t
SET state = 'cancelled', gap = $3, detail = $4, ended_at = $5
WHERE t.id = ANY($2) AND t.state = 'ready' AND EXISTS (
  SELECT FROM exclusions AS e
  WHERE e.organization_id = $1 AND picket_covers(e.kind, e.value, t.shard)
    AND (e.hours IS NULL OR picket_in_force(e.hours, picket_now()))
)";

    COVERED = "-- tasks.authority.covered
SELECT DISTINCT t.scan_id
FROM scans AS s
JOIN tasks AS t ON t.scan_id = s.id
WHERE s.organization_id = $1 AND s.state IN ('created', 'queued', 'running', 'paused')
  AND t.state IN ('ready', 'queued', 'running') AND picket_covers($2, $3, t.shard)
ORDER BY t.scan_id";

    CANCEL = "-- tasks.authority.cancel
UPDATE tasks
SET state = 'cancelled', gap = $5, detail = $6, ended_at = $4, lease_until = NULL
WHERE id IN (
  SELECT id
  FROM tasks
  WHERE scan_id = ANY($1) AND state IN ('ready', 'queued', 'running') AND picket_covers($2, $3, shard)
  ORDER BY id
  FOR NO KEY UPDATE
)";
}

/// In words, why a task failed.
const FALLEN_DETAIL: &str = "what allowed the scan had ended before the task began";
/// In words, why a task failed or was stopped.
const EXCLUDED_DETAIL: &str = "the organization has excluded what the task looks at";

/// Unfinished scans of all organizations whose grounds do not hold any more, and that have something left to begin. Runs as
/// the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.fallen", skip_all, err(level = "debug"))]
pub async fn fallen(tx: &Tx<'_>) -> Result<Vec<ScanId>, StoreError> {
    fallen_of(tx, None).await
}

async fn fallen_of(tx: &Tx<'_>, organization: Option<OrganizationId>) -> Result<Vec<ScanId>, StoreError> {
    let rows = tx.query(FALLEN, &[&organization.map(OrganizationId::uuid), &TURN]).await?;
    scan_ids(&rows, "id")
}

/// Ends what has not begun of one scan, when what allowed it has ended; what runs goes on. Returns how many tasks ended.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.end_if_fallen", skip_all, fields(scan.id = %scan), err(level = "debug"))]
pub async fn end_if_fallen(tx: &Tx<'_>, scan: ScanId, now: Timestamp) -> Result<u64, StoreError> {
    if scans::lock(tx, scan).await?.is_none() {
        return Ok(0);
    }
    let stands: bool = Columns::new("scans", &tx.query_one(STANDS, &[&scan.uuid()]).await?).get("stands")?;
    if stands {
        return Ok(0);
    }
    tx.execute(PUT_BACK, &[&scan.uuid()]).await?;
    let gap = Gap::TargetNotAuthorized;
    let ended = tx.execute(GIVE_UP, &[&scan.uuid(), &now, &gap.name(), &FALLEN_DETAIL]).await?;
    // What is not made yet would only be made to be refused.
    let ended = ended.saturating_add(scans::pages::give_up(tx, scan, gap).await?);
    tx.notify(Notice::Tasks);
    scans::end_if_over(tx, scan, now).await?;
    Ok(ended)
}

/// The same for every scan of an organization, in the transaction that took something away; returns how many tasks ended.
/// The steward does what is beyond one turn.
///
/// # Errors
/// When the database refuses.
pub async fn end_fallen(tx: &Tx<'_>, organization: OrganizationId, now: Timestamp) -> Result<u64, StoreError> {
    let mut ended = 0_u64;
    for scan in fallen_of(tx, Some(organization)).await? {
        ended = ended.saturating_add(end_if_fallen(tx, scan, now).await?);
    }
    Ok(ended)
}

/// Fails the task of a message that may not begin, in the transaction of its claim; its scan is locked. Does nothing when it
/// may, or the message is stale.
pub(super) async fn refuse(tx: &Tx<'_>, message: &TaskQueued, now: Timestamp) -> Result<(), StoreError> {
    let id = message.task_id.uuid();
    let Some(row) = tx.query_opt(REFUSE, &[&id, &message.attempt]).await? else { return Ok(()) };
    let is_excluded: bool = Columns::new("tasks", &row).get("excluded")?;
    let (gap, detail) =
        if is_excluded { (Gap::TargetExcluded, EXCLUDED_DETAIL) } else { (Gap::TargetNotAuthorized, FALLEN_DETAIL) };
    tx.execute_one(FAIL, &[&id, &now, &gap.name(), &detail]).await?;
    tx.notify(Notice::Tasks);
    scans::end_if_over(tx, message.scan_id, now).await
}

/// Ends a ready task that admission has come to and that may not begin any more, with whatever else of its scan has not begun
/// when it is the whole scan; told as [`refuse`] tells it. Scans are locked in the order in which this is called.
pub(super) async fn turn_away(tx: &Tx<'_>, scan: ScanId, task: Uuid, now: Timestamp) -> Result<(), StoreError> {
    if end_if_fallen(tx, scan, now).await? > 0 {
        return Ok(());
    }
    let (excluded, fallen) = (Gap::TargetExcluded.name(), Gap::TargetNotAuthorized.name());
    let values = (task, now, scan.uuid());
    let ended = tx
        .execute(TURN_AWAY, &[&values.0, &values.1, &values.2, &excluded, &EXCLUDED_DETAIL, &fallen, &FALLEN_DETAIL])
        .await?;
    if ended > 0 {
        tx.notify(Notice::Tasks);
        scans::end_if_over(tx, scan, now).await?;
    }
    Ok(())
}

/// Cancels those of these tasks, made in this transaction, that are excluded; their lines in the coverage say so. Whoever calls
/// looks whether the scan is over with that.
pub(crate) async fn leave_out_excluded(
    tx: &Tx<'_>,
    organization: OrganizationId,
    made: &[Uuid],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let gap = Gap::TargetExcluded.name();
    tx.execute(LEAVE_OUT, &[&organization.uuid(), &made, &gap, &EXCLUDED_DETAIL, &now]).await
}

/// Cancels every task that a new exclusion covers, also those that run: their leases go, and their tools are killed. Returns
/// how many.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.stop_excluded", skip_all, err(level = "debug"))]
pub async fn stop_excluded(
    tx: &Tx<'_>,
    organization: OrganizationId,
    exclusion: &Exclusion,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (kind, value, gap) = (exclusion.kind(), exclusion.to_string(), Gap::TargetExcluded.name());
    let rows = tx.query(COVERED, &[&organization.uuid(), &kind, &value]).await?;
    // All scans before any task: a heartbeat locks tasks of many scans in the order of their ids.
    let covered = scan_ids(&rows, "scan_id")?;
    for scan in &covered {
        scans::lock(tx, *scan).await?;
    }
    let ids: Vec<Uuid> = covered.iter().map(|scan| scan.uuid()).collect();
    let stopped = tx.execute(CANCEL, &[&ids, &kind, &value, &now, &gap, &EXCLUDED_DETAIL]).await?;
    for scan in covered {
        scans::end_if_over(tx, scan, now).await?;
    }
    if stopped > 0 {
        tx.notify(Notice::Leases);
        tx.notify(Notice::Tasks);
    }
    Ok(stopped)
}

fn scan_ids(rows: &[Row], column: &'static str) -> Result<Vec<ScanId>, StoreError> {
    let id = |row: &Row| -> Result<ScanId, Inconsistent> {
        Ok(ScanId::from_uuid(Columns::new("scans", row).get::<Uuid>(column)?))
    };
    Ok(rows.iter().map(id).collect::<Result<_, _>>()?)
}
