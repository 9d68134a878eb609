//! Reports as clients see them. Reads only; nothing here locks.

use jiff::Timestamp;
use picket_domain::{Branding, Report, ReportFormat, ReportId, ReportRequest, ScanId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{StoredRequest, report};
use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    FIND = "-- reports.read.find
SELECT id, organization_id, number, format, scan_ids, request, created_at, state, attempt, size_bytes, sha256, ended_at,
       failure, warnings
FROM reports
WHERE id = $1";

    FIND_BY_NUMBER = "-- reports.read.find_by_number
SELECT id, organization_id, number, format, scan_ids, request, created_at, state, attempt, size_bytes, sha256, ended_at,
       failure, warnings
FROM reports
WHERE organization_id = picket_organization() AND number = $1";

    LIST = "-- reports.read.list
SELECT id, organization_id, number, format, scan_ids, request, created_at, state, attempt, size_bytes, sha256, ended_at,
       failure, warnings
FROM reports
WHERE organization_id = picket_organization()
ORDER BY created_at DESC, id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- reports.read.count
SELECT count(*) AS total
FROM reports
WHERE organization_id = picket_organization()";
}

/// A report with all that a client may know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRecord {
    /// Identity, owner and state.
    pub report: Report,
    /// The v2 dialect's id.
    pub number: i64,
    /// What it is to be.
    pub request: ReportRequest,
    /// What the client must know of it, e.g. that its logo could not be fetched.
    pub warnings: Vec<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// The report of that id, unless the tenant has none.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
pub async fn find(tx: &Tx<'_>, id: ReportId) -> Result<Option<ReportRecord>, StoreError> {
    Ok(tx.query_opt(FIND, &[&id.uuid()]).await?.as_ref().map(record).transpose()?)
}

/// The tenant's report of that number.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
pub async fn find_by_number(tx: &Tx<'_>, number: i64) -> Result<Option<ReportRecord>, StoreError> {
    Ok(tx.query_opt(FIND_BY_NUMBER, &[&number]).await?.as_ref().map(record).transpose()?)
}

/// A page of the tenant's reports, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<ReportRecord>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let total: i64 = Columns::new("reports", &tx.query_one(COUNT, &[]).await?).get("total")?;
    Ok(Page {
        rows: rows.iter().map(record).collect::<Result<_, _>>()?,
        total: u64::try_from(total).unwrap_or_default(),
    })
}

fn record(row: &Row) -> Result<ReportRecord, Inconsistent> {
    let columns = Columns::new("reports", row);
    Ok(ReportRecord {
        report: report(&columns)?,
        number: columns.get("number")?,
        request: request(&columns)?,
        warnings: columns.get("warnings")?,
        created_at: columns.get("created_at")?,
    })
}

/// What a report is to be, from the columns `format`, `scan_ids` and `request`.
pub(super) fn request(columns: &Columns<'_>) -> Result<ReportRequest, Inconsistent> {
    let stored: StoredRequest = columns.json("request")?;
    let branding = Branding::parse(stored.company_name.as_deref(), stored.logo_url.as_deref())
        .map_err(|_| columns.inconsistent("request"))?;
    let scan_ids: Vec<Uuid> = columns.get("scan_ids")?;
    ReportRequest::parse(
        scan_ids.into_iter().map(ScanId::from_uuid).collect(),
        columns.named("format", ReportFormat::find)?,
        stored.include_executive_summary,
        stored.include_technical_details,
        branding,
    )
    .map_err(|_| columns.inconsistent("scan_ids"))
}
