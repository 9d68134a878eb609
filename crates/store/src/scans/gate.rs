//! The findings of a scan as a gate judges them: all, or those that a base scan did not have, of some confidence. Reads
//! only; what they mean for the gate is the domain's to say.

use picket_domain::{Confidence, Fingerprint, ScanId, Severity, SeverityCounts};
use tokio_postgres::Row;

use super::read::{SightedFinding, finding};
use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    IS_PARTIAL = "-- scans.gate.is_partial
SELECT is_partial
FROM scans
WHERE id = $1";

    COUNT = "-- scans.gate.count
SELECT s.severity, count(*) AS found
FROM sightings AS s
JOIN findings AS f ON f.id = s.finding_id
WHERE s.scan_id = $1 AND f.confidence = ANY($2)
  AND (NOT $3 OR s.finding_id IN (
    SELECT c.finding_id FROM picket_scan_comparison($4, $1) AS c WHERE c.outcome IN ('new', 'reopened')))
GROUP BY s.severity";

    // Without the long texts, and of each severity the first few: the counts say how many there are.
    LIST = "-- scans.gate.list
SELECT id, fingerprint, rule, title, cve, host, port, protocol, url, subject, '' AS description, '' AS remediation,
       confidence, cwe, refs, severity, cvss, '' AS evidence, sources, true AS is_judged, $3 AS is_new
FROM (
  SELECT f.id, f.fingerprint, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, f.subject, f.confidence, f.cwe,
         f.refs, s.severity, s.cvss, s.sources,
         row_number() OVER (PARTITION BY s.severity ORDER BY f.host, f.port, f.id) AS place
  FROM sightings AS s
  JOIN findings AS f ON f.id = s.finding_id
  WHERE s.scan_id = $1 AND f.confidence = ANY($2) AND s.severity = ANY($5)
    AND (NOT $3 OR s.finding_id IN (
      SELECT c.finding_id FROM picket_scan_comparison($4, $1) AS c WHERE c.outcome IN ('new', 'reopened')))
) AS listed
WHERE place <= $6
ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'info', 'unknown'], severity), place";

    // Every finding of the scan, worst first, bounded as its result is.
    ALL = "-- scans.gate.all
SELECT id, fingerprint, rule, title, cve, host, port, protocol, url, subject, description, remediation, confidence, cwe,
       refs, severity, cvss, evidence, sources, confidence = ANY($2) AND is_new AS is_judged, $3 AND is_new AS is_new
FROM (
  SELECT f.id, f.fingerprint, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, f.subject, f.description,
         f.remediation, f.confidence, f.cwe, f.refs, s.severity, s.cvss, s.evidence, s.sources,
         (NOT $3 OR s.finding_id IN (
            SELECT c.finding_id FROM picket_scan_comparison($4, $1) AS c WHERE c.outcome IN ('new', 'reopened'))) AS is_new,
         row_number() OVER worst AS place,
         sum(octet_length(f.title) + octet_length(f.description) + octet_length(f.remediation)
             + octet_length(s.evidence)) OVER worst AS text_bytes
  FROM sightings AS s
  JOIN findings AS f ON f.id = s.finding_id
  WHERE s.scan_id = $1
  WINDOW worst AS (
    ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'info', 'unknown'], s.severity), f.host, f.port,
             f.id
  )
) AS listed
WHERE place <= $5 AND (place = 1 OR text_bytes <= $6)
ORDER BY place";
}

/// Which findings of a scan are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The scan.
    pub scan: ScanId,
    /// Those of which the surest source is at least so sure.
    pub least_confidence: Confidence,
    /// Only those that this base did not have; all of them are new where there is no base.
    pub since: Option<Option<ScanId>>,
}

/// A finding as a gate shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct GateFinding {
    /// As the scan saw it.
    pub finding: SightedFinding,
    /// Under which it is known across scans.
    pub fingerprint: Fingerprint,
    /// What exactly at its location; empty when the rule says it all.
    pub subject: String,
    /// Whether it is among the judged ones.
    pub is_judged: bool,
    /// Whether the base did not have it; false where none is compared with.
    pub is_new: bool,
}

impl Judged {
    fn confidences(&self) -> Vec<&'static str> {
        Confidence::ALL.into_iter().filter(|one| *one >= self.least_confidence).map(Confidence::name).collect()
    }

    fn base(&self) -> Option<uuid::Uuid> {
        self.since.flatten().map(ScanId::uuid)
    }
}

/// Lets all that is read of a scan be of one moment, since it may be removed meanwhile. To be the first thing that the
/// transaction does.
///
/// # Errors
/// When the database refuses.
pub async fn at_one_moment(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.see_one_snapshot().await
}

/// Whether the scan repeats only what another one did not look at; false for one that is not there.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
pub async fn is_partial(tx: &Tx<'_>, scan: ScanId) -> Result<bool, StoreError> {
    let row = tx.query_opt(IS_PARTIAL, &[&scan.uuid()]).await?;
    Ok(row.map(|row| Columns::new("scans", &row).get("is_partial")).transpose()?.unwrap_or(false))
}

/// The judged findings per severity.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn counts(tx: &Tx<'_>, judged: &Judged) -> Result<SeverityCounts, StoreError> {
    let (scan, is_narrowed, base) = (judged.scan.uuid(), judged.since.is_some(), judged.base());
    let mut counts = SeverityCounts::default();
    for row in tx.query(COUNT, &[&scan, &judged.confidences(), &is_narrowed, &base]).await? {
        let columns = Columns::new("sightings", &row);
        let found: i64 = columns.get("found")?;
        counts.add(columns.named("severity", Severity::find)?, u64::try_from(found).unwrap_or_default());
    }
    Ok(counts)
}

/// The judged findings of these severities, worst first and at most `most` of each; without their long texts.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(
    tx: &Tx<'_>,
    judged: &Judged,
    severities: &[Severity],
    most: i64,
) -> Result<Vec<GateFinding>, StoreError> {
    let names: Vec<&str> = severities.iter().map(|severity| severity.name()).collect();
    let (scan, is_narrowed, base) = (judged.scan.uuid(), judged.since.is_some(), judged.base());
    let rows = tx.query(LIST, &[&scan, &judged.confidences(), &is_narrowed, &base, &names, &most]).await?;
    Ok(rows.iter().map(gate_finding).collect::<Result<_, _>>()?)
}

/// All findings of the scan, worst first: at most `limit`, and at most `text_bytes` of their texts together.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn all(tx: &Tx<'_>, judged: &Judged, limit: i64, text_bytes: i64) -> Result<Vec<GateFinding>, StoreError> {
    let (scan, is_narrowed, base) = (judged.scan.uuid(), judged.since.is_some(), judged.base());
    let rows = tx.query(ALL, &[&scan, &judged.confidences(), &is_narrowed, &base, &limit, &text_bytes]).await?;
    Ok(rows.iter().map(gate_finding).collect::<Result<_, _>>()?)
}

fn gate_finding(row: &Row) -> Result<GateFinding, Inconsistent> {
    let columns = Columns::new("findings", row);
    Ok(GateFinding {
        finding: finding(row)?,
        fingerprint: fingerprint(&columns)?,
        subject: columns.get("subject")?,
        is_judged: columns.get("is_judged")?,
        is_new: columns.get("is_new")?,
    })
}

/// The column `fingerprint`.
pub(crate) fn fingerprint(columns: &Columns<'_>) -> Result<Fingerprint, Inconsistent> {
    let bytes = columns.get::<&[u8]>("fingerprint")?;
    bytes.try_into().map(Fingerprint).map_err(|_| columns.inconsistent("fingerprint"))
}
