//! Takes away scans that have ended, with their tasks, what they saw, and the findings that nobody else saw: one that a
//! client deletes, or a batch of old ones. A scan that may still change is never removed. Nothing here waits for a finding that a worker is writing: that one is seen elsewhere.

use std::collections::BTreeSet;

use picket_domain::{Scan, ScanId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    REPORTED = "-- scans.remove.reported
SELECT EXISTS (SELECT FROM reports WHERE state IN ('queued', 'running') AND $1 = ANY(scan_ids)) AS reported";

    SIGHTINGS = "-- scans.remove.sightings
DELETE FROM sightings
WHERE scan_id = ANY($1)
RETURNING finding_id";

    // Only while one of these scans is the last that saw it: a worker that sees it at this moment changes that or holds the
    // row.
    FINDINGS = "-- scans.remove.findings
WITH unseen AS (
  SELECT f.id
  FROM findings AS f
  WHERE f.id = ANY($2) AND f.last_scan_id = ANY($1) AND NOT EXISTS (SELECT FROM sightings AS s WHERE s.finding_id = f.id)
  FOR UPDATE OF f SKIP LOCKED
)
DELETE FROM findings AS f
USING unseen
WHERE f.id = unseen.id";

    // The others were last seen by another scan now.
    LAST_SEEN = "-- scans.remove.last_seen
WITH still AS (
  SELECT f.id
  FROM findings AS f
  WHERE f.id = ANY($2) AND f.last_scan_id = ANY($1)
  FOR NO KEY UPDATE OF f SKIP LOCKED
), latest AS (
  SELECT DISTINCT ON (s.finding_id) s.finding_id, s.scan_id, s.seen_at
  FROM sightings AS s
  JOIN still ON still.id = s.finding_id
  ORDER BY s.finding_id, s.seen_at DESC, s.scan_id DESC
)
UPDATE findings AS f
SET last_scan_id = l.scan_id, last_seen_at = l.seen_at
FROM latest AS l
WHERE f.id = l.finding_id";

    OUTPUT_LINES = "-- scans.remove.output_lines
DELETE FROM output_lines
WHERE scan_id = ANY($1)";

    OUTPUTS = "-- scans.remove.outputs
DELETE FROM scan_outputs
WHERE scan_id = ANY($1)";

    // Their documents go first, which is not for a transaction: the steward takes both away.
    ARTIFACTS = "-- scans.remove.artifacts
UPDATE artifacts
SET state = 'doomed'
WHERE scan_id = ANY($1) AND state <> 'doomed'";

    TASKS = "-- scans.remove.tasks
DELETE FROM tasks
WHERE scan_id = ANY($1)";

    SCANS = "-- scans.remove.scans
DELETE FROM scans
WHERE id = ANY($1) AND state IN ('completed', 'failed', 'cancelled')";
}

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Scans, with their coverage.
    pub scans: u64,
    /// Their tasks.
    pub tasks: u64,
    /// What they saw.
    pub sightings: u64,
    /// Findings that no other scan saw.
    pub findings: u64,
}

/// Whether a report is being made of the scan at this moment.
///
/// # Errors
/// When the database refuses.
pub async fn is_reported(tx: &Tx<'_>, id: ScanId) -> Result<bool, StoreError> {
    let row = tx.query_one(REPORTED, &[&id.uuid()]).await?;
    Ok(Columns::new("reports", &row).get("reported")?)
}

/// Removes a locked scan. Its events stay: deliveries refer to them, and they hold ids alone.
///
/// # Errors
/// [`StoreError::Stale`] when it has not ended; when the database refuses.
#[tracing::instrument(name = "db.scans.remove", skip_all, fields(scan.id = %scan.id), err(level = "debug"))]
pub async fn remove(tx: &Tx<'_>, scan: &Scan) -> Result<Removed, StoreError> {
    if !scan.state.is_final() {
        return Err(StoreError::Stale { expected: 1, actual: 0 });
    }
    let removed = remove_all(tx, &[scan.id.uuid()]).await?;
    StoreError::one(removed.scans).map(|()| removed)
}

/// Removes scans whose rows are locked and that have ended.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn remove_all(tx: &Tx<'_>, scans: &[Uuid]) -> Result<Removed, StoreError> {
    let seen = tx.query(SIGHTINGS, &[&scans]).await?;
    let finding = |row: &Row| -> Result<Uuid, StoreError> { Ok(Columns::new("sightings", row).get("finding_id")?) };
    let findings_seen = seen.iter().map(finding).collect::<Result<BTreeSet<_>, _>>()?;
    let findings_seen: Vec<Uuid> = findings_seen.into_iter().collect();
    let findings = tx.execute(FINDINGS, &[&scans, &findings_seen]).await?;
    tx.execute(LAST_SEEN, &[&scans, &findings_seen]).await?;
    for statement in [OUTPUT_LINES, OUTPUTS, ARTIFACTS] {
        tx.execute(statement, &[&scans]).await?;
    }
    let tasks = tx.execute(TASKS, &[&scans]).await?;
    let sightings = u64::try_from(seen.len()).unwrap_or(u64::MAX);
    Ok(Removed { scans: tx.execute(SCANS, &[&scans]).await?, tasks, sightings, findings })
}
