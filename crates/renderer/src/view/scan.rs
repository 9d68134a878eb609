//! A scan and its coverage as the reader sees them. Gaps come first: they must not drown in what went well.

use jiff::Timestamp;
use picket_domain::{Coverage, CoverageState};
use serde::Serialize;

use super::Shower;
use crate::{ScanSection, text::plural, verdict::gap_words};

/// A scan as the reader sees it.
#[derive(Debug, Serialize)]
pub(crate) struct ScanView {
    pub(crate) id: String,
    pub(crate) number: String,
    pub(crate) target: String,
    /// The tool, or the plan of several tools.
    pub(crate) plan: String,
    pub(crate) status: String,
    pub(crate) is_completed: bool,
    pub(crate) failure: String,
    pub(crate) started: String,
    pub(crate) duration: String,
    pub(crate) whole: bool,
    pub(crate) coverage: Vec<CoverageView>,
    /// What is said of rows that are not shown.
    pub(crate) more: Option<String>,
}

/// What a tool came to at a target.
#[derive(Debug, Serialize)]
pub(crate) struct CoverageView {
    pub(crate) tool: String,
    pub(crate) target: String,
    pub(crate) state: &'static str,
    pub(crate) label: &'static str,
    pub(crate) reason: String,
}

impl ScanView {
    pub(super) fn of(scan: &ScanSection, shower: Shower) -> Self {
        let mut rows: Vec<_> = scan.coverage.iter().collect();
        rows.sort_by_key(|row| row.state == CoverageState::Done);
        let over = rows.split_off(rows.len().min(shower.0.coverage_rows));
        Self {
            id: scan.id.to_string(),
            number: format!("#{}", scan.number),
            target: shower.line(&scan.target),
            plan: scan.tool.as_deref().map_or_else(|| format!("{} plan", scan.plan.name()), |tool| shower.line(tool)),
            status: shower.line(&scan.status),
            is_completed: scan.status == "completed",
            failure: scan.failure.as_deref().map(|failure| shower.line(failure)).unwrap_or_default(),
            started: scan.started_at.map_or_else(
                || "not started".to_owned(),
                |started| started.strftime("%-d %b %Y, %H:%M UTC").to_string(),
            ),
            duration: duration(scan.started_at, scan.ended_at),
            whole: scan.is_whole(),
            coverage: rows.into_iter().map(|row| CoverageView::of(row, shower)).collect(),
            more: more(&over),
        }
    }
}

impl CoverageView {
    fn of(row: &Coverage, shower: Shower) -> Self {
        let words = row.reason.map(gap_words).map(str::to_owned);
        let detail = row.detail.as_deref().map(|detail| shower.line(detail));
        Self {
            tool: shower.line(&row.tool),
            target: shower.line(&row.target),
            state: state_name(row.state),
            label: state_label(row.state),
            reason: [words, detail].into_iter().flatten().collect::<Vec<_>>().join(": "),
        }
    }
}

const fn state_name(state: CoverageState) -> &'static str {
    match state {
        CoverageState::Pending => "pending",
        CoverageState::Done => "done",
        CoverageState::Partial => "partial",
        CoverageState::Skipped => "skipped",
        CoverageState::Failed => "failed",
    }
}

const fn state_label(state: CoverageState) -> &'static str {
    match state {
        CoverageState::Pending => "Not ended",
        CoverageState::Done => "Complete",
        CoverageState::Partial => "Partial",
        CoverageState::Skipped => "Not looked at",
        CoverageState::Failed => "Failed",
    }
}

fn more(over: &[&Coverage]) -> Option<String> {
    let incomplete = over.iter().filter(|row| row.state != CoverageState::Done).count();
    let rows = plural(over.len(), "further check");
    match (over.len(), incomplete) {
        (0, _) => None,
        (_, 0) => Some(format!("{rows} not shown, all complete.")),
        (_, incomplete) => Some(format!("{rows} not shown, {incomplete} of them incomplete.")),
    }
}

/// `2 min 4 s`; empty while it lasts.
fn duration(started: Option<Timestamp>, ended: Option<Timestamp>) -> String {
    let (Some(started), Some(ended)) = (started, ended) else { return String::new() };
    let seconds = ended.duration_since(started).as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::Gap;

    use super::*;
    use crate::{
        model::tests::{coverage, scan},
        view::tests::LIMITS,
    };

    #[test]
    fn gaps_come_first_and_hidden_rows_are_counted() {
        let mut rows = vec![coverage(CoverageState::Done, None); 4];
        rows.push(coverage(CoverageState::Skipped, Some(Gap::CapabilityUnavailable)));
        let view = ScanView::of(&ScanSection { coverage: rows, ..scan() }, Shower(LIMITS));
        assert_eq!(view.coverage[0].label, "Not looked at");
        assert_eq!(view.coverage[0].reason, "no worker was able to run it");
        assert_eq!(view.more.as_deref(), Some("2 further checks not shown, all complete."));
        assert!(!view.whole);
    }

    #[test]
    fn hidden_gaps_are_never_called_complete() {
        let rows = vec![coverage(CoverageState::Failed, Some(Gap::TimedOut)); 5];
        let view = ScanView::of(&ScanSection { coverage: rows, ..scan() }, Shower(LIMITS));
        assert_eq!(view.more.as_deref(), Some("2 further checks not shown, 2 of them incomplete."));
    }

    #[test]
    fn a_duration_reads_well() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let start = at("2026-01-15T14:30:00Z");
        assert_eq!(duration(start, at("2026-01-15T14:30:09Z")), "9 s");
        assert_eq!(duration(start, at("2026-01-15T14:32:04Z")), "2 min 4 s");
        assert_eq!(duration(start, at("2026-01-15T16:32:04Z")), "2 h 2 min");
        assert_eq!(duration(start, at("2026-01-15T14:29:00Z")), "0 s");
        assert_eq!(duration(start, None), "");
    }
}
