//! A finding as its organization sees it over all scans: the same words as in a scan's result, and where it came from.

use jiff::Timestamp;
use picket_domain::ScanId;
use picket_store::findings::list::ListedFinding;
use serde::Serialize;
use utoipa::ToSchema;

use super::cursor;
use crate::routes::scans::v1::VulnerabilityV1;

/// A page of findings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FindingPage {
    /// The worst first.
    data: Vec<FindingView>,
    /// `cursor` of the next page; null on the last one.
    next_cursor: Option<String>,
}

/// A weakness of one target, over all scans that saw it.
#[derive(Debug, Serialize, ToSchema)]
struct FindingView {
    /// `evidence` and `sources` are those of the scan that saw it last.
    #[serde(flatten)]
    finding: VulnerabilityV1,
    /// The rule that it breaks.
    #[schema(example = "port.open")]
    rule: String,
    /// Under which it is known across scans: SHA-256, in hexadecimal digits.
    fingerprint: String,
    /// The target of the scan that saw it last.
    target: Option<String>,
    /// The scan that saw it first; it may be deleted by now.
    #[schema(value_type = String)]
    first_scan_id: ScanId,
    first_seen_at: Timestamp,
    /// The scan that saw it last.
    #[schema(value_type = String)]
    last_scan_id: ScanId,
    last_seen_at: Timestamp,
}

impl FindingPage {
    /// The first `limit` of the rows; more of them mean that there is another page.
    pub(super) fn new(rows: &[ListedFinding], limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let shown = rows.get(..limit).unwrap_or(rows);
        let is_last = shown.len() == rows.len();
        let next_cursor = shown.last().filter(|_| !is_last).map(|row| cursor::write(row.place()));
        Self { data: shown.iter().map(FindingView::new).collect(), next_cursor }
    }
}

impl FindingView {
    fn new(row: &ListedFinding) -> Self {
        Self {
            finding: VulnerabilityV1::new(&row.finding),
            rule: row.finding.rule.clone(),
            fingerprint: row.fingerprint.to_string(),
            target: row.target.clone(),
            first_scan_id: row.first_scan_id,
            first_seen_at: row.first_seen_at,
            last_scan_id: row.last_scan_id,
            last_seen_at: row.last_seen_at,
        }
    }
}
