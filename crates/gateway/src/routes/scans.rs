//! Scans in both dialects. What they share is here: loading a scan with all that an answer shows, and stopping one. The
//! dialects differ in their requests, views and ids alone.

pub(super) mod ask;
mod control;
mod coverage;
mod estimate;
mod import;
mod refused;
pub(super) mod v1;
pub(super) mod v2;

use picket_domain::{Coverage, ScanId, SeverityCounts};
use picket_store::{
    Tx,
    profiles::{self, Used},
    scans::{
        control::rerun_of,
        overview::{self, Overview, ScanKey},
        read::{self, Page, Range, ScanOrder, ScanRecord, SightedFinding},
    },
};

use self::control::cancel;
use crate::{App, Caller, Problem};

/// The most findings of one answer, worst first; the counts say how many there are.
const MOST_FINDINGS: i64 = 10_000;
/// The most bytes of their texts: what is beyond is in a report.
const MOST_TEXT_BYTES: i64 = 16 * 1_024 * 1_024;

/// A scan with all that an answer shows, but its findings.
struct LoadedScan {
    record: ScanRecord,
    counts: SeverityCounts,
    coverage: Vec<Coverage>,
    /// The scan that it repeats.
    rerun_of: Option<ScanId>,
    /// Percent of its known work that has ended; 100 exactly when the scan has.
    progress: u8,
    /// The profile that it was made with.
    profile: Option<Used>,
}

/// 100 exactly when the scan has ended.
const fn shown(record: &ScanRecord, progress: u8) -> u8 {
    if record.scan.state.is_final() { 100 } else { progress }
}

/// The caller's scan; another organization's does not exist.
async fn find(tx: &Tx<'_>, key: ScanKey) -> Result<ScanRecord, Problem> {
    let found = match key {
        ScanKey::Id(id) => read::find(tx, id).await?,
        ScanKey::Number(number) => read::find_by_number(tx, number).await?,
    };
    found.ok_or(Problem::NotFound("scan"))
}

/// Demands that the caller has such a scan.
pub(super) async fn demand(tx: &Tx<'_>, id: ScanId) -> Result<(), Problem> {
    find(tx, ScanKey::Id(id)).await.map(drop)
}

async fn with_counts(tx: &Tx<'_>, record: ScanRecord) -> Result<LoadedScan, Problem> {
    let counts = read::severity_counts(tx, &[record.scan.id]).await?.into_iter().next().unwrap_or_default();
    let coverage = read::coverage(tx, &record).await?;
    let rerun_of = rerun_of(tx, record.scan.id).await?;
    let progress = shown(&record, read::progress(tx, record.scan.id).await?);
    let profile = profiles::used(tx, record.scan.id).await?;
    Ok(LoadedScan { record, counts, coverage, rerun_of, progress, profile })
}

/// A scan without its findings.
async fn load(app: &App, caller: &Caller, key: impl Into<ScanKey>) -> Result<LoadedScan, Problem> {
    let key = key.into();
    let found = app
        .db
        .view("load_scan", caller.organization_id, async |view| Ok::<_, Problem>(overview::find(view, key).await?))
        .await?;
    let Overview { record, counts, coverage, rerun_of, progress, profile } = found.ok_or(Problem::NotFound("scan"))?;
    let progress = shown(&record, progress);
    Ok(LoadedScan { record, counts, coverage, rerun_of, progress, profile })
}

/// A scan with its findings, worst first.
async fn load_result(
    app: &App,
    caller: &Caller,
    key: impl Into<ScanKey>,
) -> Result<(LoadedScan, Vec<SightedFinding>), Problem> {
    let key = key.into();
    app.db
        .read("load_scan_result", caller.organization_id, async |tx| {
            let scan = with_counts(tx, find(tx, key).await?).await?;
            let findings = read::findings(tx, scan.record.scan.id, MOST_FINDINGS, MOST_TEXT_BYTES).await?;
            Ok((scan, findings))
        })
        .await
}

/// A page of the caller's scans with the counts of each; no state means all.
async fn list(
    app: &App,
    caller: &Caller,
    states: &[&str],
    order: ScanOrder,
    range: Range,
) -> Result<(Page<ScanRecord>, Vec<SeverityCounts>), Problem> {
    app.db
        .read("list_scans", caller.organization_id, async |tx| {
            let found = read::list(tx, states, order, range).await?;
            let ids: Vec<ScanId> = found.rows.iter().map(|record| record.scan.id).collect();
            let counts = read::severity_counts(tx, &ids).await?;
            Ok((found, counts))
        })
        .await
}
