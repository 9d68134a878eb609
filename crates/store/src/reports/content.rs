//! What a report says: its scans, their coverage, and each finding once, in one snapshot of the database.

use jiff::Timestamp;
use picket_domain::{Coverage, OrganizationId, ScanId, Service, SeverityCounts};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{self, ScanRecord, SightedFinding},
    statements::statements,
};

statements! {
    ORGANIZATION = "-- reports.content.organization
SELECT name
FROM organizations
WHERE id = $1";

    COUNTS = "-- reports.content.counts
SELECT severity, count(*) AS found
FROM (
  SELECT DISTINCT ON (finding_id) severity
  FROM sightings
  WHERE scan_id = ANY($1)
  ORDER BY finding_id, seen_at DESC, scan_id DESC
) AS latest
GROUP BY severity";

    // A finding that several scans saw is listed once, as the last of them saw it. Evidence is read for the listed ones
    // alone, and the sum of the texts is bounded before they leave the database.
    FINDINGS = "-- reports.content.findings
WITH latest AS (
  SELECT DISTINCT ON (finding_id) finding_id, scan_id, severity, cvss
  FROM sightings
  WHERE scan_id = ANY($1)
  ORDER BY finding_id, seen_at DESC, scan_id DESC
), worst AS (
  SELECT l.finding_id, l.scan_id, l.severity, l.cvss,
         row_number() OVER (
           ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'info', 'unknown'], l.severity),
                    l.cvss DESC NULLS LAST, f.title, f.host, f.port, f.id
         ) AS place
  FROM latest AS l
  JOIN findings AS f ON f.id = l.finding_id
  ORDER BY place
  LIMIT $2
), sized AS (
  SELECT w.place, w.severity, w.cvss, f.id, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, f.subject,
         f.description, f.remediation, f.confidence, f.cwe, f.refs, f.service, f.first_seen_at, s.evidence, s.sources,
         ARRAY(SELECT o.scan_id FROM sightings AS o WHERE o.scan_id = ANY($1) AND o.finding_id = f.id) AS seen_in,
         sum(octet_length(f.title) + octet_length(f.description) + octet_length(f.remediation)
             + octet_length(s.evidence)) OVER (ORDER BY w.place) AS text_bytes
  FROM worst AS w
  JOIN findings AS f ON f.id = w.finding_id
  JOIN sightings AS s ON s.scan_id = w.scan_id AND s.finding_id = w.finding_id
)
SELECT id, rule, title, cve, host, port, protocol, url, subject, description, remediation, confidence, cwe, refs, service,
       first_seen_at, severity, cvss, evidence, sources, seen_in
FROM sized
WHERE text_bytes <= $3
ORDER BY place";
}

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportContent {
    /// The organization's own name.
    pub organization_name: String,
    /// The scans, in the order that was asked for; one that was deleted since is missing.
    pub scans: Vec<ScanContent>,
    /// All findings per severity.
    pub counts: SeverityCounts,
    /// The worst findings, worst first.
    pub findings: Vec<FindingContent>,
}

/// A scan of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanContent {
    /// The scan.
    pub record: ScanRecord,
    /// What each of its tools came to.
    pub coverage: Vec<Coverage>,
}

/// A finding of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingContent {
    /// The finding, as the last of the scans saw it.
    pub finding: SightedFinding,
    /// What exactly at its location.
    pub subject: String,
    /// The software behind the port, when known.
    pub service: Option<Service>,
    /// When the organization first knew of it.
    pub first_seen_at: Timestamp,
    /// The scans that saw it.
    pub seen_in: Vec<ScanId>,
}

/// How much of the findings is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLimits {
    /// Findings.
    pub findings: usize,
    /// Bytes of their texts together.
    pub text_bytes: usize,
}

/// Reads what a report of these scans says. Must be the first that its transaction does.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.reports.content", skip_all, err(level = "debug"))]
pub async fn load(
    tx: &Tx<'_>,
    organization: OrganizationId,
    scan_ids: &[ScanId],
    limits: ContentLimits,
) -> Result<ReportContent, StoreError> {
    // The numbers and the list must agree, whatever scans do meanwhile.
    tx.see_one_snapshot().await?;
    let name: String =
        Columns::new("organizations", &tx.query_one(ORGANIZATION, &[&organization.uuid()]).await?).get("name")?;
    let mut scans = Vec::new();
    for id in scan_ids {
        if let Some(record) = read::find(tx, *id).await? {
            let coverage = read::coverage(tx, &record).await?;
            scans.push(ScanContent { record, coverage });
        }
    }
    let ids: Vec<Uuid> = scans.iter().map(|scan| scan.record.scan.id.uuid()).collect();
    let most = i64::try_from(limits.findings).unwrap_or(i64::MAX);
    let bytes = i64::try_from(limits.text_bytes).unwrap_or(i64::MAX);
    let rows = tx.query(FINDINGS, &[&ids, &most, &bytes]).await?;
    Ok(ReportContent {
        organization_name: name,
        scans,
        counts: counts(tx, &ids).await?,
        findings: rows.iter().map(finding).collect::<Result<_, _>>()?,
    })
}

async fn counts(tx: &Tx<'_>, ids: &[Uuid]) -> Result<SeverityCounts, StoreError> {
    let mut counts = SeverityCounts::default();
    for row in tx.query(COUNTS, &[&ids]).await? {
        let columns = Columns::new("sightings", &row);
        let found: i64 = columns.get("found")?;
        counts.add(columns.named("severity", picket_domain::Severity::find)?, u64::try_from(found).unwrap_or_default());
    }
    Ok(counts)
}

fn finding(row: &Row) -> Result<FindingContent, Inconsistent> {
    let columns = Columns::new("findings", row);
    let service: Option<Json<Service>> = columns.get("service")?;
    let seen_in: Vec<Uuid> = columns.get("seen_in")?;
    Ok(FindingContent {
        finding: read::finding(row)?,
        subject: columns.get("subject")?,
        service: service.map(|Json(service)| service),
        first_seen_at: columns.get("first_seen_at")?,
        seen_in: seen_in.into_iter().map(ScanId::from_uuid).collect(),
    })
}
