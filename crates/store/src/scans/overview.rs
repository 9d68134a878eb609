//! A scan as its client sees it most often, without its findings: one statement and no transaction around it. Reads only.

use picket_domain::{Coverage, CoverageState, Gap, ScanId, Severity, SeverityCounts, TaskState};
use tokio_postgres::types::Json;

use super::read::{ScanRecord, percent, record, with_gaps};
use crate::{
    Inconsistent, StoreError, View,
    profiles::{Used, used_of},
    row::Columns,
    statements::statements,
};

statements! {
    // A function, since the tenant must be named before a row is looked at.
    FIND = "-- scans.overview.find
SELECT id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, created_at, state, started_at,
       ended_at, failure, rerun_of, severities, sightings, tasks, progress, profile,
       profile_version
FROM picket_scan_overview($1, $2, $3)";
}

/// How a scan is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKey {
    /// By clients of v1.
    Id(ScanId),
    /// By clients of v2, within their organization.
    Number(i64),
}

impl From<ScanId> for ScanKey {
    fn from(id: ScanId) -> Self {
        Self::Id(id)
    }
}

impl From<i64> for ScanKey {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A scan with the counts of its findings, its coverage, and the scan that it repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The scan.
    pub record: ScanRecord,
    /// Its findings per severity.
    pub counts: SeverityCounts,
    /// What was looked at and what was not.
    pub coverage: Vec<Coverage>,
    /// The scan that it repeats; it may be removed by now.
    pub rerun_of: Option<ScanId>,
    /// Percent of the known work that has ended, as [`read::progress`](super::read::progress).
    pub progress: u8,
    /// The profile that it was made with.
    pub profile: Option<Used>,
}

/// A scan as [`Overview`], in one statement.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn find(view: &View<'_>, key: ScanKey) -> Result<Option<Overview>, StoreError> {
    let (id, number) = match key {
        ScanKey::Id(id) => (Some(id.uuid()), None),
        ScanKey::Number(number) => (None, Some(number)),
    };
    let Some(row) = view.query_opt(FIND, &[&id, &number]).await? else { return Ok(None) };
    let record = record(&row)?;
    let columns = Columns::new("scans", &row);
    let coverage = with_gaps(task_lines(columns)?, &record);
    let rerun_of = columns.get::<Option<uuid::Uuid>>("rerun_of")?.map(ScanId::from_uuid);
    let progress = percent(columns)?;
    Ok(Some(Overview { record, counts: counted(columns)?, coverage, rerun_of, progress, profile: used_of(columns)? }))
}

/// The counts in columns `severities` and `sightings`.
pub(crate) fn counted(columns: Columns<'_>) -> Result<SeverityCounts, Inconsistent> {
    let severities = columns.get::<Option<Vec<&str>>>("severities")?.unwrap_or_default();
    let found = columns.get::<Option<Vec<i64>>>("sightings")?.unwrap_or_default();
    let mut counts = SeverityCounts::default();
    for (severity, found) in severities.into_iter().zip(found) {
        let severity = Severity::find(severity).ok_or_else(|| columns.inconsistent("severities"))?;
        counts.add(severity, u64::try_from(found).unwrap_or_default());
    }
    Ok(counts)
}

fn task_lines(columns: Columns<'_>) -> Result<Vec<Coverage>, Inconsistent> {
    type Line = (String, String, Option<String>, Option<String>, String);
    let lines: Vec<Json<Line>> = columns.get("tasks")?;
    let read = |Json((tool, state, gap, detail, target)): Json<Line>| {
        let reason = gap.map(|gap| Gap::find(&gap).ok_or_else(|| columns.inconsistent("tasks"))).transpose()?;
        let state = TaskState::find(&state).ok_or_else(|| columns.inconsistent("tasks"))?;
        Ok(Coverage { tool, target, state: CoverageState::of(state, reason), reason, detail })
    };
    lines.into_iter().map(read).collect()
}
