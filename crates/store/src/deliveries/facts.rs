//! What the bodies of an event's deliveries say beyond the event itself. Read once, when the deliveries are made.

use picket_domain::{
    Event, EventBody, FindingFound, ReportChanged, ReportFormat, ReportId, ScanChanged, ScanId, SeverityCounts,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{self, ScanRecord, SightedFinding},
    statements::statements,
};

statements! {
    FINDING = "-- deliveries.facts.finding
SELECT f.id, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, f.description, f.remediation,
       f.confidence, f.cwe, f.refs, s.severity, s.cvss, s.evidence, s.sources
FROM sightings AS s
JOIN findings AS f ON f.id = s.finding_id
WHERE s.scan_id = $1 AND s.finding_id = $2";

    REPORT = "-- deliveries.facts.report
SELECT id, format, scan_ids, size_bytes
FROM reports
WHERE id = $1 AND state = 'done'";
}

/// What there is to say of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Of a scan that changed.
    Scan {
        /// The scan, as it is now.
        scan: ScanRecord,
        /// Its findings so far.
        counts: SeverityCounts,
    },
    /// Of a new finding.
    Finding {
        /// The scan that saw it first.
        scan: ScanRecord,
        /// The finding as that scan saw it.
        finding: Box<SightedFinding>,
    },
    /// Of a rendered report.
    Report(ReportFacts),
}

/// What there is to say of a rendered report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFacts {
    /// The report.
    pub id: ReportId,
    /// Its form.
    pub format: ReportFormat,
    /// The scans that it covers.
    pub scan_ids: Vec<ScanId>,
    /// Its size.
    pub size_bytes: i64,
}

/// The facts of a public event; `None` when what it is about is gone, or the event is not public.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.deliveries.facts", skip_all, fields(event.id = %event.id), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, event: &Event) -> Result<Option<Facts>, StoreError> {
    match &event.body {
        EventBody::ScanCreated(changed)
        | EventBody::ScanStarted(changed)
        | EventBody::ScanPaused(changed)
        | EventBody::ScanResumed(changed)
        | EventBody::ScanCompleted(changed)
        | EventBody::ScanFailed(changed)
        | EventBody::ScanCancelled(changed) => scan(tx, changed).await,
        EventBody::FindingFound(found) => finding(tx, found).await,
        EventBody::ReportGenerated(changed) => report(tx, changed).await,
        EventBody::ReportRequested(_) | EventBody::TaskQueued(_) => Ok(None),
    }
}

async fn scan(tx: &Tx<'_>, changed: &ScanChanged) -> Result<Option<Facts>, StoreError> {
    let Some(scan) = read::find(tx, changed.scan_id).await? else { return Ok(None) };
    let counts = read::severity_counts(tx, &[changed.scan_id]).await?.into_iter().next().unwrap_or_default();
    Ok(Some(Facts::Scan { scan, counts }))
}

async fn finding(tx: &Tx<'_>, found: &FindingFound) -> Result<Option<Facts>, StoreError> {
    let Some(scan) = read::find(tx, found.scan_id).await? else { return Ok(None) };
    let row = tx.query_opt(FINDING, &[&found.scan_id.uuid(), &found.finding_id.uuid()]).await?;
    let finding = row.as_ref().map(read::finding).transpose()?;
    Ok(finding.map(|finding| Facts::Finding { scan, finding: Box::new(finding) }))
}

async fn report(tx: &Tx<'_>, changed: &ReportChanged) -> Result<Option<Facts>, StoreError> {
    let row = tx.query_opt(REPORT, &[&changed.report_id.uuid()]).await?;
    let facts = |row: &Row| -> Result<Facts, Inconsistent> {
        let columns = Columns::new("reports", row);
        let scan_ids: Vec<Uuid> = columns.get("scan_ids")?;
        Ok(Facts::Report(ReportFacts {
            id: ReportId::from_uuid(columns.get("id")?),
            format: columns.named("format", ReportFormat::find)?,
            scan_ids: scan_ids.into_iter().map(ScanId::from_uuid).collect(),
            size_bytes: columns.required("size_bytes")?,
        }))
    };
    Ok(row.as_ref().map(facts).transpose()?)
}
