//! Holding a scan and letting it go on, and repeating one. What runs is never touched here: a paused scan's running tasks
//! finish, and only what has not begun is held.
//!
//! Admission takes no task of a paused scan. One that was admitted at the very moment is refused by the claim, which puts
//! it back ([`super::super::tasks::lease`]); when its message is lost, too, the rescuer does.

use jiff::Timestamp;
use picket_domain::{Scan, ScanId, Transition};

use super::save;
use crate::{Notice, StoreError, Tx, row::Columns, statements::statements};

statements! {
    // The messages of these are stale from now on, until the same task is admitted again. All that waits is out of the way of
    // admission, which would look at each of a hundred thousand in every round.
    HOLD = "-- scans.control.hold
UPDATE tasks
SET state = 'ready', queued_at = NULL, ready_at = 'infinity'
WHERE id IN (
  SELECT id
  FROM tasks
  WHERE scan_id = $1 AND state IN ('ready', 'queued')
  ORDER BY id
  FOR NO KEY UPDATE
)";

    // Counted from now, else a long pause would look like a long wait for a worker that never came.
    LET_GO = "-- scans.control.let_go
UPDATE tasks
SET ready_at = now()
WHERE id IN (
  SELECT id
  FROM tasks
  WHERE scan_id = $1 AND state = 'ready' AND (ready_at < now() OR ready_at = 'infinity')
  ORDER BY id
  FOR NO KEY UPDATE
)";

    LINK = "-- scans.control.link
UPDATE scans
SET rerun_of = $2, is_partial = $3
WHERE id = $1";

    // What an operator could have replayed: nobody does it twice.
    TAKE_OVER = "-- scans.control.take_over
UPDATE tasks
SET replayed_as = $2
WHERE id IN (
  SELECT id
  FROM tasks
  WHERE scan_id = $1 AND state = 'failed' AND (gap = 'worker_lost' OR failures >= 3) AND replayed_as IS NULL
  ORDER BY id
  FOR NO KEY UPDATE
)";

    RERUN_OF = "-- scans.control.rerun_of
SELECT rerun_of
FROM scans
WHERE id = $1";
}

/// Pauses a locked scan: what was admitted and not claimed goes back to what is ready, and is held with it.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.scans.pause", skip_all, fields(scan.id = %change.entity.id), err(level = "debug"))]
pub async fn pause(
    tx: &Tx<'_>,
    change: Transition<Scan>,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<Scan, StoreError> {
    tx.execute(HOLD, &[&change.entity.id.uuid()]).await?;
    // What it leaves is room for others.
    tx.notify(Notice::Tasks);
    save(tx, change, traceparent, now).await
}

/// Lets a locked scan go on from its first unfinished task.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.scans.resume", skip_all, fields(scan.id = %change.entity.id), err(level = "debug"))]
pub async fn resume(
    tx: &Tx<'_>,
    change: Transition<Scan>,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<Scan, StoreError> {
    tx.execute(LET_GO, &[&change.entity.id.uuid()]).await?;
    tx.notify(Notice::Tasks);
    save(tx, change, traceparent, now).await
}

/// Notes that a scan, made in this transaction, repeats another one of the same organization; `is_partial` where it repeats
/// only what was not looked at in full.
///
/// # Errors
/// When the database refuses.
pub async fn link(tx: &Tx<'_>, scan: ScanId, rerun_of: ScanId, is_partial: bool) -> Result<(), StoreError> {
    tx.execute_one(LINK, &[&scan.uuid(), &rerun_of.uuid(), &is_partial]).await
}

/// Notes that this scan does what was given up of another one, which is then never replayed. Behind [`link`].
///
/// # Errors
/// When the database refuses.
pub async fn take_over(tx: &Tx<'_>, scan: ScanId, rerun_of: ScanId) -> Result<u64, StoreError> {
    tx.execute(TAKE_OVER, &[&rerun_of.uuid(), &scan.uuid()]).await
}

/// The scan that this one repeats; it may be removed by now.
///
/// # Errors
/// When the database refuses.
pub async fn rerun_of(tx: &Tx<'_>, scan: ScanId) -> Result<Option<ScanId>, StoreError> {
    let Some(row) = tx.query_opt(RERUN_OF, &[&scan.uuid()]).await? else { return Ok(None) };
    let base: Option<uuid::Uuid> = Columns::new("scans", &row).get("rerun_of")?;
    Ok(base.map(ScanId::from_uuid))
}
