//! Takes away results that are older than their organization keeps them: scans with their tasks and sightings, findings that
//! nobody sees any more, reports. Only what has ended is old, and what has ended changes no more, so that nothing here can
//! meet a scan that runs. A scan goes as a whole or not at all: half of one would say less than was found.
//!
//! All of it runs as the operator, and each batch writes its row into the organization's audit log.

use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, OrganizationId, ReportFormat, ReportId, ScanId, Subscription};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    StoreError, Tx, audit, quota,
    row::Columns,
    scans::remove::{Removed, remove_all},
    statements::statements,
};

/// The most scans, and the most reports, of one batch.
pub const MOST: i64 = 100;
/// The most sightings that go with the scans of one batch; a scan that has more goes alone.
const MOST_SIGHTINGS: i64 = 10_000;
/// Who takes results away, in the audit log.
const ACTOR: &str = "retention";

statements! {
    // Of a suspended organization nothing goes: whoever is asked to pay must find everything as it was.
    DUE = "-- retention.due
WITH kept AS (
  SELECT o.id, $1::timestamptz - make_interval(days => least(o.retention_days, p.days)) AS before
  FROM organizations AS o
  JOIN unnest($2::text[], $3::integer[]) AS p (plan, days) ON p.plan = o.plan
  WHERE o.suspended_at IS NULL AND ($4::uuid IS NULL OR o.id > $4)
)
SELECT k.id, k.before
FROM kept AS k
WHERE EXISTS (SELECT FROM scans AS s
              WHERE s.organization_id = k.id AND s.created_at < k.before AND s.ended_at < k.before)
   OR EXISTS (SELECT FROM reports AS r
              WHERE r.organization_id = k.id AND r.created_at < k.before AND r.ended_at < k.before)
ORDER BY k.id
LIMIT $5";

    // A scan that a report is being made of waits for it.
    OLD_SCANS = "-- retention.old_scans
WITH old AS (
  SELECT s.id, s.created_at
  FROM scans AS s
  WHERE s.organization_id = $1 AND s.created_at < $2 AND s.ended_at < $2
    AND NOT EXISTS (SELECT FROM reports AS r
                    WHERE r.organization_id = $1 AND r.state IN ('queued', 'running') AND s.id = ANY(r.scan_ids))
  ORDER BY s.created_at, s.id
  LIMIT $3
  FOR UPDATE OF s SKIP LOCKED
), sized AS (
  SELECT id, row_number() OVER by_age AS place,
         sum((SELECT count(*) FROM sightings AS x WHERE x.scan_id = old.id)) OVER by_age AS sightings
  FROM old
  WINDOW by_age AS (ORDER BY created_at, id)
)
SELECT id
FROM sized
WHERE place = 1 OR sightings <= $4::bigint";

    OLD_REPORTS = "-- retention.old_reports
SELECT id, format, attempt
FROM reports
WHERE organization_id = $1 AND created_at < $2 AND ended_at < $2
ORDER BY created_at, id
LIMIT $3";

    REPORTS = "-- retention.reports
DELETE FROM reports
WHERE organization_id = $1 AND id = ANY($2) AND ended_at < $3";
}

/// An organization that has something older than it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The organization.
    pub organization_id: OrganizationId,
    /// What ended, or was made, before is old.
    pub before: Timestamp,
}

/// A report whose documents may go, and after them its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldReport {
    /// Identity.
    pub id: ReportId,
    /// Its format.
    pub format: ReportFormat,
    /// The last attempt to render it: each may have left a document.
    pub attempt: i32,
}

/// Organizations that have something old at `now`, by their ids, from behind `after`; at most `most`. What the plan allows
/// bounds what the organization chose.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.retention.due", skip_all, err(level = "debug"))]
pub async fn due(
    tx: &Tx<'_>,
    now: Timestamp,
    after: Option<OrganizationId>,
    most: i64,
) -> Result<Vec<Due>, StoreError> {
    due_by(tx, DUE, |plan| plan.limits().retention_days, (now, after, most)).await
}

/// What a statement calls due that is asked with the moment, each plan and its days, after which organization, and how many.
pub(crate) async fn due_by(
    tx: &Tx<'_>,
    statement: &str,
    days: impl Fn(Subscription) -> u32,
    (now, after, most): (Timestamp, Option<OrganizationId>, i64),
) -> Result<Vec<Due>, StoreError> {
    let plans: Vec<&str> = Subscription::ALL.into_iter().map(Subscription::name).collect();
    let days: Vec<i32> =
        Subscription::ALL.into_iter().map(|plan| i32::try_from(days(plan)).unwrap_or(i32::MAX)).collect();
    let rows = tx.query(statement, &[&now, &plans, &days, &after.map(OrganizationId::uuid), &most]).await?;
    let due = |row: &Row| -> Result<_, StoreError> {
        let columns = Columns::new("organizations", row);
        Ok(Due { organization_id: OrganizationId::from_uuid(columns.get("id")?), before: columns.get("before")? })
    };
    rows.iter().map(due).collect()
}

/// Takes the oldest of the organization's scans away, as many as fit into a batch; returns what went, nothing when there is
/// nothing old, or somebody else is at it.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.retention.remove_scans", skip_all, fields(tenant.id = %due.organization_id), err(level = "debug"))]
pub async fn remove_scans(tx: &Tx<'_>, due: Due, now: Timestamp) -> Result<Removed, StoreError> {
    let Due { organization_id, before } = due;
    quota::lock(tx, organization_id).await?;
    let rows = tx.query(OLD_SCANS, &[&organization_id.uuid(), &before, &MOST, &MOST_SIGHTINGS]).await?;
    let scan = |row: &Row| -> Result<Uuid, StoreError> { Ok(Columns::new("scans", row).get("id")?) };
    let scans = rows.iter().map(scan).collect::<Result<Vec<_>, _>>()?;
    if scans.is_empty() {
        return Ok(Removed::default());
    }
    let removed = remove_all(tx, &scans).await?;
    let oldest = scans.first().map(|id| ScanId::from_uuid(*id).to_string());
    let after = json!({
        "ended_before": before.to_string(),
        "scans": removed.scans,
        "tasks": removed.tasks,
        "sightings": removed.sightings,
        "findings": removed.findings
    });
    record(tx, organization_id, oldest, after, now).await?;
    Ok(removed)
}

/// The oldest of the organization's reports that are old.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.retention.old_reports", skip_all, fields(tenant.id = %due.organization_id), err(level = "debug"))]
pub async fn old_reports(tx: &Tx<'_>, due: Due) -> Result<Vec<OldReport>, StoreError> {
    let report = |row: &Row| -> Result<_, StoreError> {
        let columns = Columns::new("reports", row);
        Ok(OldReport {
            id: ReportId::from_uuid(columns.get("id")?),
            format: columns.named("format", ReportFormat::find)?,
            attempt: columns.get("attempt")?,
        })
    };
    tx.query(OLD_REPORTS, &[&due.organization_id.uuid(), &due.before, &MOST]).await?.iter().map(report).collect()
}

/// Takes reports away whose documents are gone; returns how many there still were.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.retention.remove_reports", skip_all, fields(tenant.id = %due.organization_id), err(level = "debug"))]
pub async fn remove_reports(tx: &Tx<'_>, due: Due, reports: &[OldReport], now: Timestamp) -> Result<u64, StoreError> {
    quota::lock(tx, due.organization_id).await?;
    let ids: Vec<Uuid> = reports.iter().map(|report| report.id.uuid()).collect();
    let removed = tx.execute(REPORTS, &[&due.organization_id.uuid(), &ids, &due.before]).await?;
    if removed > 0 {
        let oldest = reports.first().map(|report| report.id.to_string());
        let after = json!({"ended_before": due.before.to_string(), "reports": removed});
        record(tx, due.organization_id, oldest, after, now).await?;
    }
    Ok(removed)
}

pub(crate) async fn record(
    tx: &Tx<'_>,
    organization: OrganizationId,
    oldest: Option<String>,
    after: Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        at: now,
        actor: ACTOR.to_owned(),
        action: AuditAction::ResultsRemoved,
        object: oldest,
        address: None,
        request_id: None,
        before: None,
        after: Some(after),
    };
    audit::record(tx, organization, &entry).await?;
    Ok(())
}
