//! Scans as clients see them. Reads only; nothing here locks.

use jiff::Timestamp;
use picket_domain::{
    Confidence, Coverage, CoverageState, Dialect, FindingId, Gap, Location, Plan, PlanGap, Protocol, Scan, ScanId,
    Severity, SeverityCounts, TaskState,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::scan;
use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    FIND = "-- scans.read.find
SELECT id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, created_at, state, started_at,
       ended_at, failure
FROM scans
WHERE id = $1";

    FIND_BY_NUMBER = "-- scans.read.find_by_number
SELECT id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, created_at, state, started_at,
       ended_at, failure
FROM scans
WHERE organization_id = picket_organization() AND number = $1";

    // The order is one of few, chosen by number, since an identifier cannot be a parameter.
    LIST = "-- scans.read.list
SELECT id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, created_at, state, started_at,
       ended_at, failure
FROM scans
WHERE organization_id = picket_organization() AND (cardinality($1::text[]) = 0 OR state = ANY($1))
ORDER BY
  CASE WHEN $4 = 1 THEN created_at END ASC,
  CASE WHEN $4 = 2 THEN created_at END DESC,
  CASE WHEN $4 = 3 THEN target END ASC,
  CASE WHEN $4 = 4 THEN target END DESC,
  CASE WHEN $4 = 5 THEN state END ASC,
  CASE WHEN $4 = 6 THEN state END DESC,
  CASE WHEN $4 IN (1, 3, 5) THEN id END ASC,
  CASE WHEN $4 IN (2, 4, 6) THEN id END DESC
LIMIT $2 OFFSET $3";

    // The usual order, written so that the index serves it.
    LIST_NEWEST = "-- scans.read.list_newest
SELECT id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, created_at, state, started_at,
       ended_at, failure
FROM scans
WHERE organization_id = picket_organization() AND (cardinality($1::text[]) = 0 OR state = ANY($1))
ORDER BY created_at DESC, id DESC
LIMIT $2 OFFSET $3";

    COUNT = "-- scans.read.count
SELECT count(*) AS total
FROM scans
WHERE organization_id = picket_organization() AND (cardinality($1::text[]) = 0 OR state = ANY($1))";

    SEVERITIES = "-- scans.read.severities
SELECT scan_id, severity, count(*) AS found
FROM sightings
WHERE scan_id = ANY($1)
GROUP BY scan_id, severity";

    // The sum of the texts is bounded before they leave the database: a finding may hold kilobytes of a target's words.
    FINDINGS = "-- scans.read.findings
SELECT id, rule, title, cve, host, port, protocol, url, description, remediation, confidence, cwe, refs, severity, cvss,
       evidence, sources
FROM (
  SELECT f.id, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, f.description, f.remediation, f.confidence,
         f.cwe, f.refs, s.severity, s.cvss, s.evidence, s.sources,
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
WHERE place <= $2 AND (place = 1 OR text_bytes <= $3)
ORDER BY place";

    PROGRESS = "-- scans.read.progress
SELECT picket_progress($1) AS progress";

    // A stopped task that left something counts as done with a gap: partial, not skipped.
    TASKS = "-- scans.read.tasks
SELECT tool, CASE WHEN kept IS NULL THEN state ELSE 'done' END AS state, gap, detail, shard ->> 'target' AS target
FROM (
  SELECT id, tool, state, gap, detail, kept, shard FROM tasks WHERE scan_id = $1
  UNION ALL
  SELECT NULL, u.tool, u.state, u.gap, NULL, NULL, jsonb_build_object('target', u.target)
  FROM picket_unmade($1) AS u
) AS all_tasks
ORDER BY id";
}

/// Percent of a scan's known work that has ended, 0 to 99: that all of it has is the state's to say. A task that more may grow
/// from holds a part of the work in reserve for it, so the value never goes back when the scan grows.
///
/// # Errors
/// When the database refuses.
pub async fn progress(tx: &Tx<'_>, id: ScanId) -> Result<u8, StoreError> {
    Ok(percent(Columns::new("tasks", &tx.query_one(PROGRESS, &[&id.uuid()]).await?))?)
}

/// The column `progress`.
pub(super) fn percent(columns: Columns<'_>) -> Result<u8, Inconsistent> {
    u8::try_from(columns.get::<i32>("progress")?).map_err(|_| columns.inconsistent("progress"))
}

/// A scan with all that a client may know of it, but its findings.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRecord {
    /// Identity, owner and state.
    pub scan: Scan,
    /// The v2 dialect's id.
    pub number: i64,
    /// The version under which it was asked.
    pub dialect: Dialect,
    /// The plan.
    pub plan: Plan,
    /// The target, canonical.
    pub target: String,
    /// The tool, when the plan is one tool.
    pub tool: Option<String>,
    /// As the client asked.
    pub request: serde_json::Value,
    /// Ways in which the asker hears of the end.
    pub notify: Vec<String>,
    /// What the plan cannot look at.
    pub gaps: Vec<PlanGap>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// A finding as one scan saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct SightedFinding {
    /// The finding.
    pub id: FindingId,
    /// The rule that it breaks.
    pub rule: String,
    /// One line.
    pub title: String,
    /// The CVE, when it is of one.
    pub cve: Option<String>,
    /// CVSS base score.
    pub cvss: Option<f64>,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub location: Location,
    /// What it means.
    pub description: String,
    /// What the tool saw.
    pub evidence: String,
    /// What to do about it.
    pub remediation: String,
    /// How sure the surest of its sources is.
    pub confidence: Confidence,
    /// The kind of weakness, by its number in the Common Weakness Enumeration.
    pub cwe: Option<i32>,
    /// Where to read more.
    pub references: Vec<String>,
    /// The tools that saw it in this scan, by slug.
    pub sources: Vec<String>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanOrder {
    /// By `created_at`.
    CreatedAt(Direction),
    /// By `target`.
    Target(Direction),
    /// By `status`.
    State(Direction),
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

impl ScanOrder {
    const fn number(self) -> i32 {
        match self {
            Self::CreatedAt(Direction::Ascending) => 1,
            Self::CreatedAt(Direction::Descending) => 2,
            Self::Target(Direction::Ascending) => 3,
            Self::Target(Direction::Descending) => 4,
            Self::State(Direction::Ascending) => 5,
            Self::State(Direction::Descending) => 6,
        }
    }
}

/// A page of a list with the number of all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// All rows that the filter lets through.
    pub total: u64,
}

/// Which rows of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// At most so many.
    pub limit: i64,
    /// After so many.
    pub offset: i64,
}

/// The scan of that id, unless the tenant has none.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn find(tx: &Tx<'_>, id: ScanId) -> Result<Option<ScanRecord>, StoreError> {
    Ok(tx.query_opt(FIND, &[&id.uuid()]).await?.as_ref().map(record).transpose()?)
}

/// The tenant's scan of that number.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn find_by_number(tx: &Tx<'_>, number: i64) -> Result<Option<ScanRecord>, StoreError> {
    Ok(tx.query_opt(FIND_BY_NUMBER, &[&number]).await?.as_ref().map(record).transpose()?)
}

/// A page of the tenant's scans; `states` empty means all.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(
    tx: &Tx<'_>,
    states: &[&str],
    order: ScanOrder,
    range: Range,
) -> Result<Page<ScanRecord>, StoreError> {
    let Range { limit, offset } = range;
    let rows = match order {
        ScanOrder::CreatedAt(Direction::Descending) => tx.query(LIST_NEWEST, &[&states, &limit, &offset]).await?,
        ScanOrder::CreatedAt(Direction::Ascending) | ScanOrder::Target(_) | ScanOrder::State(_) => {
            tx.query(LIST, &[&states, &limit, &offset, &order.number()]).await?
        }
    };
    let total: i64 = Columns::new("scans", &tx.query_one(COUNT, &[&states]).await?).get("total")?;
    Ok(Page {
        rows: rows.iter().map(record).collect::<Result<_, _>>()?,
        total: u64::try_from(total).unwrap_or_default(),
    })
}

/// Findings per severity of each scan; a scan without findings is counted as all zero.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn severity_counts(tx: &Tx<'_>, ids: &[ScanId]) -> Result<Vec<SeverityCounts>, StoreError> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let mut counts = vec![SeverityCounts::default(); ids.len()];
    for row in tx.query(SEVERITIES, &[&uuids]).await? {
        let columns = Columns::new("sightings", &row);
        let (scan, found): (Uuid, i64) = (columns.get("scan_id")?, columns.get("found")?);
        let severity = columns.named("severity", Severity::find)?;
        let slots = counts.iter_mut().zip(&uuids).filter(|(_, id)| **id == scan);
        for (slot, _) in slots {
            slot.add(severity, u64::try_from(found).unwrap_or_default());
        }
    }
    Ok(counts)
}

/// The findings of a scan, worst first: at most `limit`, and at most `text_bytes` of their texts together.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn findings(tx: &Tx<'_>, id: ScanId, limit: i64, text_bytes: i64) -> Result<Vec<SightedFinding>, StoreError> {
    let rows = tx.query(FINDINGS, &[&id.uuid(), &limit, &text_bytes]).await?;
    Ok(rows.iter().map(finding).collect::<Result<_, _>>()?)
}

/// What each tool of the scan came to at each target: its tasks, then what the plan could not look at.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn coverage(tx: &Tx<'_>, record: &ScanRecord) -> Result<Vec<Coverage>, StoreError> {
    let tasks = coverage_of_tasks(tx, record.scan.id).await?;
    Ok(with_gaps(tasks, record))
}

async fn coverage_of_tasks(tx: &Tx<'_>, id: ScanId) -> Result<Vec<Coverage>, StoreError> {
    let rows = tx.query(TASKS, &[&id.uuid()]).await?;
    Ok(rows.iter().map(task_coverage).collect::<Result<Vec<_>, Inconsistent>>()?)
}

pub(super) fn with_gaps(mut coverage: Vec<Coverage>, record: &ScanRecord) -> Vec<Coverage> {
    coverage.extend(record.gaps.iter().map(|gap| Coverage {
        tool: gap.tool.clone(),
        target: gap.target.clone(),
        state: CoverageState::Skipped,
        reason: Some(gap.gap),
        detail: None,
    }));
    coverage
}

fn task_coverage(row: &Row) -> Result<Coverage, Inconsistent> {
    let columns = Columns::new("tasks", row);
    let reason = columns.named_or_null("gap", Gap::find)?;
    Ok(Coverage {
        tool: columns.get("tool")?,
        target: columns.required("target")?,
        state: CoverageState::of(columns.named("state", TaskState::find)?, reason),
        reason,
        detail: columns.get("detail")?,
    })
}

pub(super) fn record(row: &Row) -> Result<ScanRecord, Inconsistent> {
    let columns = Columns::new("scans", row);
    Ok(ScanRecord {
        scan: scan(&columns)?,
        number: columns.get("number")?,
        dialect: columns.named("dialect", Dialect::find)?,
        plan: columns.named("plan", Plan::find)?,
        target: columns.get("target")?,
        tool: columns.get("tool")?,
        request: columns.json("request")?,
        notify: columns.get("notify")?,
        gaps: columns.json("gaps")?,
        created_at: columns.get("created_at")?,
    })
}

/// Reads a finding out of a row that has the columns of `FINDINGS`.
pub(crate) fn finding(row: &Row) -> Result<SightedFinding, Inconsistent> {
    let columns = Columns::new("findings", row);
    let port: Option<i32> = columns.get("port")?;
    Ok(SightedFinding {
        id: FindingId::from_uuid(columns.get("id")?),
        rule: columns.get("rule")?,
        title: columns.get("title")?,
        cve: columns.get("cve")?,
        cvss: columns.get("cvss")?,
        severity: columns.named("severity", Severity::find)?,
        location: Location {
            host: columns.get("host")?,
            port: port.map(|port| u16::try_from(port).map_err(|_| columns.inconsistent("port"))).transpose()?,
            protocol: columns.named_or_null("protocol", Protocol::find)?,
            url: columns.get("url")?,
        },
        description: columns.get("description")?,
        evidence: columns.get("evidence")?,
        remediation: columns.get("remediation")?,
        confidence: columns.named("confidence", Confidence::find)?,
        cwe: columns.get("cwe")?,
        references: columns.get("refs")?,
        sources: columns.get("sources")?,
    })
}
