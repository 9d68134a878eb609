//! Reports at rest: asked for, claimed by a renderer, ended. [`content`] reads what a report says, [`read`] is for clients.
//! The lease is the truth, as it is for tasks: a renderer that lost its claim changes nothing.

pub mod content;
pub mod read;

use std::time::Duration;

use jiff::Timestamp;
use picket_domain::{
    Document, EventBody, OrganizationId, Report, ReportChanged, ReportId, ReportRequest, ReportState, Transition,
};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use crate::{
    Inconsistent, StoreError, Tx, events,
    quota::{self, Quota},
    row::Columns,
    statements::statements,
};

statements! {
    // A scan that is not the tenant's, or not there, makes no report.
    CREATE = "-- reports.create
WITH counter AS (
  UPDATE organization_counters
  SET reports = reports + 1
  WHERE organization_id = $2
    AND cardinality($4::uuid[]) = (SELECT count(*) FROM scans WHERE organization_id = $2 AND id = ANY($4))
  RETURNING reports
)
INSERT INTO reports (id, organization_id, number, format, scan_ids, request, requested_by, traceparent, created_at,
                     warnings)
SELECT $1, $2, counter.reports, $3, $4, $5, $6, $7, $8, $9
FROM counter
RETURNING number";

    // A report whose renderer died is counted as a failure of it, so that one which kills renderers comes to an end.
    CLAIM = "-- reports.claim
UPDATE reports
SET failures = failures + CASE WHEN state = 'running' THEN 1 ELSE 0 END,
    state = 'running', attempt = attempt + 1, lease_until = now() + make_interval(secs => $2)
WHERE id = $1 AND (state = 'queued' OR (state = 'running' AND lease_until < now()))
RETURNING id, organization_id, number, format, scan_ids, request, attempt, failures, traceparent, warnings";

    RENEW = "-- reports.renew
UPDATE reports
SET lease_until = now() + make_interval(secs => $3)
WHERE id = $1 AND attempt = $2 AND state = 'running'";

    HAND_BACK = "-- reports.hand_back
UPDATE reports
SET state = 'queued', lease_until = NULL, failures = failures + $3
WHERE id = $1 AND attempt = $2 AND state = 'running'";

    LOCK = "-- reports.lock
SELECT id, organization_id, state, attempt, size_bytes, sha256, ended_at, failure, traceparent
FROM reports
WHERE id = $1 AND attempt = $2 AND state = 'running'
FOR UPDATE";

    SAVE = "-- reports.save
UPDATE reports
SET state = $2, lease_until = NULL, ended_at = $3, failure = $4, size_bytes = $5, sha256 = $6,
    warnings = warnings || $7
WHERE id = $1";

    // What no message came for: asked for a while ago, or its renderer died.
    OVERDUE = "-- reports.overdue
SELECT id, organization_id
FROM reports
WHERE (state = 'queued' AND created_at < now() - make_interval(secs => $1))
   OR (state = 'running' AND lease_until < now())
ORDER BY created_at
LIMIT $2";
}

/// A report before it is stored: everything is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReport {
    /// Identity.
    pub id: ReportId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// What it is to be.
    pub request: ReportRequest,
    /// What its record already says, e.g. that the logo could not be fetched.
    pub warnings: Vec<String>,
    /// Who asked: a user's or an API key's id.
    pub requested_by: String,
    /// The trace that the request began.
    pub traceparent: Option<String>,
}

/// What a new report got from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedReport {
    /// Its number in the organization, from 1: the v2 dialect's id.
    pub number: i64,
}

/// The fence of one claim of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReportFence {
    /// The report.
    pub report_id: ReportId,
    /// The claim; grows at every claim of the report.
    pub attempt: i32,
}

/// A report as a renderer gets it with its claim.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedReport {
    /// The fence that every write of this run carries.
    pub fence: ReportFence,
    /// Whose report it is.
    pub organization_id: OrganizationId,
    /// The v2 dialect's id.
    pub number: i64,
    /// What it is to be.
    pub request: ReportRequest,
    /// Runs that failed before this one.
    pub failures: i32,
    /// What its record already says.
    pub warnings: Vec<String>,
    /// The trace that asked for it.
    pub traceparent: Option<String>,
}

/// Why a claimed report goes back to the waiting ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandBack {
    /// The renderer was told to stop; no fault of the report.
    Interrupted,
    /// It went wrong and may go better.
    Failed,
}

/// What a report is to be, as the column `request` holds it; its format and scans have columns of their own.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRequest {
    include_executive_summary: bool,
    include_technical_details: bool,
    company_name: Option<String>,
    logo_url: Option<String>,
}

/// Stores a report with the event that wakes a renderer, when the plan of the organization allows it. `None` when one of
/// its scans is not the tenant's: nothing is stored then.
///
/// # Errors
/// [`StoreError::Refused`] when the plan does not allow it, or when the database refuses.
#[tracing::instrument(name = "db.reports.create", skip_all, fields(report.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, new: &NewReport, now: Timestamp) -> Result<Option<CreatedReport>, StoreError> {
    let allowance = quota::lock(tx, new.organization_id).await?;
    allowance.demand_current(now)?;
    allowance.demand(tx, |limits| Quota::ReportsAtOnce(limits.reports_at_once)).await?;
    allowance.demand(tx, |limits| Quota::ReportsPerDay(limits.reports_per_day, now)).await?;
    let (request, organization) = (&new.request, new.organization_id.uuid());
    let scans: Vec<Uuid> = request.scan_ids.iter().map(|id| id.uuid()).collect();
    let stored = Json(StoredRequest {
        include_executive_summary: request.include_executive_summary,
        include_technical_details: request.include_technical_details,
        company_name: request.branding.company_name.as_ref().map(|name| name.as_str().to_owned()),
        logo_url: request.branding.logo_url.as_ref().map(ToString::to_string),
    });
    let (id, format) = (new.id.uuid(), request.format.name());
    let (by, trace, warnings) = (&new.requested_by, &new.traceparent, &new.warnings);
    let row = tx.query_opt(CREATE, &[&id, &organization, &format, &scans, &stored, by, trace, &now, warnings]).await?;
    let Some(row) = row else { return Ok(None) };
    let requested = EventBody::ReportRequested(ReportChanged { report_id: new.id });
    events::append(tx, new.organization_id, &[requested], new.traceparent.as_deref(), now).await?;
    Ok(Some(CreatedReport { number: Columns::new("reports", &row).get("number")? }))
}

/// Takes a report that waits, or whose renderer's lease is over. `None` means that there is nothing to do.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.reports.claim", skip_all, fields(report.id = %id), err(level = "debug"))]
pub async fn claim(tx: &Tx<'_>, id: ReportId, lease: Duration) -> Result<Option<ClaimedReport>, StoreError> {
    let row = tx.query_opt(CLAIM, &[&id.uuid(), &lease.as_secs_f64()]).await?;
    Ok(row.as_ref().map(claimed).transpose()?)
}

/// Renews a claim. `false` means that it is another renderer's by now: stop.
///
/// # Errors
/// When the database refuses.
pub async fn renew(tx: &Tx<'_>, fence: ReportFence, lease: Duration) -> Result<bool, StoreError> {
    Ok(tx.execute(RENEW, &[&fence.report_id.uuid(), &fence.attempt, &lease.as_secs_f64()]).await? == 1)
}

/// Gives a claimed report back to the waiting ones.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now.
#[tracing::instrument(name = "db.reports.hand_back", skip_all, fields(report.id = %fence.report_id), err(level = "debug"))]
pub async fn hand_back(tx: &Tx<'_>, fence: ReportFence, why: HandBack) -> Result<(), StoreError> {
    let failures = match why {
        HandBack::Interrupted => 0_i32,
        HandBack::Failed => 1,
    };
    tx.execute_one(HAND_BACK, &[&fence.report_id.uuid(), &fence.attempt, &failures]).await
}

/// The document is in the object store: the report is done, and its event is stored with it.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now: nothing is stored then.
#[tracing::instrument(name = "db.reports.complete", skip_all, fields(report.id = %fence.report_id), err(level = "debug"))]
pub async fn complete(
    tx: &Tx<'_>,
    fence: ReportFence,
    document: Document,
    warnings: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let (report, traceparent) = lock(tx, fence).await?;
    let change = report.complete(document, now).map_err(|_| Inconsistent { table: "reports", column: "state" })?;
    save(tx, change, warnings, traceparent.as_deref(), now).await
}

/// The report cannot be made, in words fit for the client.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now: nothing is stored then.
#[tracing::instrument(name = "db.reports.fail", skip_all, fields(report.id = %fence.report_id), err(level = "debug"))]
pub async fn fail(tx: &Tx<'_>, fence: ReportFence, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    let (report, traceparent) = lock(tx, fence).await?;
    let change = report.fail(reason.to_owned(), now).map_err(|_| Inconsistent { table: "reports", column: "state" })?;
    save(tx, change, &[], traceparent.as_deref(), now).await
}

/// Reports of all organizations that no renderer is at, oldest first: asked for longer than `grace` ago, or left by a
/// renderer that died. For the operator's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn overdue(
    tx: &Tx<'_>,
    grace: Duration,
    at_most: i64,
) -> Result<Vec<(OrganizationId, ReportId)>, StoreError> {
    let rows = tx.query(OVERDUE, &[&grace.as_secs_f64(), &at_most]).await?;
    let ids = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("reports", row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        Ok((organization, ReportId::from_uuid(columns.get("id")?)))
    };
    Ok(rows.iter().map(ids).collect::<Result<_, _>>()?)
}

async fn lock(tx: &Tx<'_>, fence: ReportFence) -> Result<(Report, Option<String>), StoreError> {
    let row = tx.query_opt(LOCK, &[&fence.report_id.uuid(), &fence.attempt]).await?;
    let row = row.ok_or(StoreError::Stale { expected: 1, actual: 0 })?;
    let columns = Columns::new("reports", &row);
    Ok((report(&columns)?, columns.get("traceparent")?))
}

async fn save(
    tx: &Tx<'_>,
    change: Transition<Report>,
    warnings: &[String],
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Transition { entity: report, events } = change;
    let (ended_at, failure, document) = match &report.state {
        ReportState::Queued | ReportState::Running { .. } => (None, None, None),
        ReportState::Done { document, ended_at, .. } => (Some(*ended_at), None, Some(document)),
        ReportState::Failed { ended_at, reason } => (Some(*ended_at), Some(reason.as_str()), None),
    };
    let size = document.map(|document| i64::try_from(document.size_bytes).unwrap_or(i64::MAX));
    let sha256 = document.map(|document| document.sha256.as_str());
    let (id, state) = (report.id.uuid(), report.state.name());
    tx.execute_one(SAVE, &[&id, &state, &ended_at, &failure, &size, &sha256, &warnings]).await?;
    events::append(tx, report.organization_id, &events, traceparent, now).await
}

fn claimed(row: &Row) -> Result<ClaimedReport, Inconsistent> {
    let columns = Columns::new("reports", row);
    Ok(ClaimedReport {
        fence: ReportFence { report_id: ReportId::from_uuid(columns.get("id")?), attempt: columns.get("attempt")? },
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        number: columns.get("number")?,
        request: read::request(&columns)?,
        failures: columns.get("failures")?,
        warnings: columns.get("warnings")?,
        traceparent: columns.get("traceparent")?,
    })
}

fn report(columns: &Columns<'_>) -> Result<Report, Inconsistent> {
    let state = match columns.get("state")? {
        "queued" => ReportState::Queued,
        "running" => ReportState::Running { attempt: columns.get("attempt")? },
        "done" => {
            let size: i64 = columns.required("size_bytes")?;
            let size_bytes = u64::try_from(size).map_err(|_| columns.inconsistent("size_bytes"))?;
            let document = Document { size_bytes, sha256: columns.required("sha256")? };
            ReportState::Done { attempt: columns.get("attempt")?, document, ended_at: columns.required("ended_at")? }
        }
        "failed" => {
            ReportState::Failed { ended_at: columns.required("ended_at")?, reason: columns.required("failure")? }
        }
        _ => return Err(columns.inconsistent("state")),
    };
    Ok(Report {
        id: ReportId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        state,
    })
}
