//! Ending what a kill switch covers. A scan ends as a whole where its own target is covered; where only names are that it has
//! found below its target, their tasks end and the scan goes on. Nothing here lets anything go on again.

use jiff::Timestamp;
use picket_domain::{AuditAction, Gap, OrganizationId, ScanId};
use serde_json::json;
use tokio_postgres::Row;

use crate::{
    Inconsistent, Notice, StoreError, Tx, administration, audit, quota, row::Columns, scans, statements::statements,
};

statements! {
    // Scans with something left to do that a switch covers, and whether that is a part of their own target: the target of a
    // task of a name that was found is that name. Without a switch it costs nothing.
    COVERED = "-- halts.stop.covered
SELECT s.id, s.organization_id, k.reason, k.pattern, k.network::text AS network, t.is_whole
FROM kill_switches AS k
JOIN scans AS s ON k.organization_id IS NULL OR s.organization_id = k.organization_id
CROSS JOIN LATERAL (
  SELECT k.pattern IS NULL OR bool_or(c.shard ->> 'target' = s.target)
         OR s.unmade > 0 AND picket_covers_pages(k.pattern, k.network, s.target, s.pages -> 'later') AS is_whole
  FROM tasks AS c
  WHERE k.pattern IS NOT NULL AND c.scan_id = s.id AND c.state IN ('ready', 'queued', 'running')
    AND picket_covers(k.pattern, k.network, s.target, c.shard)
) AS t
WHERE k.lifted_at IS NULL AND s.state IN ('created', 'queued', 'running', 'paused') AND t.is_whole IS NOT NULL
ORDER BY s.organization_id, s.id
LIMIT $1";

    // Behind the scan's lock.
    CANCEL = "-- halts.stop.cancel
UPDATE tasks
SET state = 'cancelled', gap = $5, detail = $6, ended_at = $4, lease_until = NULL
WHERE id IN (
  SELECT t.id
  FROM tasks AS t
  JOIN scans AS s ON s.id = t.scan_id
  WHERE t.scan_id = $1 AND t.state IN ('ready', 'queued', 'running') AND t.shard ->> 'target' <> s.target
    AND picket_covers($2, $3::text::inet, s.target, t.shard)
  ORDER BY t.id
  FOR NO KEY UPDATE OF t
)";
}

/// A scan of which a switch covers something that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredScan {
    id: ScanId,
    organization_id: OrganizationId,
    reason: String,
    /// What of it must stop: all of it, or what fits a pattern below its target.
    part: Option<Part>,
}

/// A pattern as its row holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    pattern: String,
    network: Option<String>,
}

/// Scans that a switch covers, or a part of them, and that have not ended. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.halts.covered", skip_all, err(level = "debug"))]
pub async fn covered(tx: &Tx<'_>, at_most: i64) -> Result<Vec<CoveredScan>, StoreError> {
    let scan = |row: &Row| -> Result<CoveredScan, Inconsistent> {
        let columns = Columns::new("scans", row);
        let (is_whole, pattern): (bool, Option<String>) = (columns.get("is_whole")?, columns.get("pattern")?);
        let network = columns.get("network")?;
        Ok(CoveredScan {
            id: ScanId::from_uuid(columns.get("id")?),
            organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
            reason: columns.get("reason")?,
            part: pattern.filter(|_| !is_whole).map(|pattern| Part { pattern, network }),
        })
    };
    Ok(tx.query(COVERED, &[&at_most]).await?.iter().map(scan).collect::<Result<_, _>>()?)
}

/// Stops what a switch covers of a scan, in a transaction of its own; `false` when it has ended by itself.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.halts.stop", skip_all, fields(scan.id = %covered.id), err(level = "debug"))]
pub async fn stop(tx: &Tx<'_>, covered: &CoveredScan, now: Timestamp) -> Result<bool, StoreError> {
    quota::lock(tx, covered.organization_id).await?;
    let Some(scans::Locked { scan, traceparent }) = scans::lock(tx, covered.id).await? else { return Ok(false) };
    let change = match &covered.part {
        Some(_) if scan.state.is_final() => return Ok(false),
        Some(part) => {
            let tasks = stop_part(tx, covered, part, now).await?;
            if tasks == 0 {
                return Ok(false);
            }
            json!({"reason": covered.reason, "target": part.pattern, "tasks": tasks})
        }
        None => {
            let Ok(change) = scan.cancel(now) else { return Ok(false) };
            scans::cancel(tx, change, traceparent.as_deref(), now).await?;
            json!({"reason": covered.reason})
        }
    };
    let action = if covered.part.is_some() { AuditAction::TasksHalted } else { AuditAction::ScanStopped };
    let entry = administration::entry(action, covered.id.to_string(), now).change(None, Some(change));
    audit::record(tx, covered.organization_id, &entry).await?;
    Ok(true)
}

/// Ends the tasks of names that were found; returns how many. As with an exclusion, what their tools had found so far is
/// thrown away.
async fn stop_part(tx: &Tx<'_>, covered: &CoveredScan, part: &Part, now: Timestamp) -> Result<u64, StoreError> {
    let detail = format!("an operator has stopped scanning it: {}", covered.reason);
    let (scan, gap) = (covered.id.uuid(), Gap::TargetForbidden.name());
    let stopped = tx.execute(CANCEL, &[&scan, &part.pattern, &part.network, &now, &gap, &detail]).await?;
    if stopped > 0 {
        scans::end_if_over(tx, covered.id, now).await?;
        tx.notify(Notice::Leases);
        tx.notify(Notice::Tasks);
    }
    Ok(stopped)
}
