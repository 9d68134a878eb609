//! A report as the reader sees it: every value is text that is ready to be shown, cleaned of what could hide in it, cut and
//! worded. HTML and PDF show the same view; templates decide nothing but looks.

mod finding;
mod scan;

use picket_domain::{Severity, SeverityCounts};
use serde::Serialize;

pub(crate) use finding::FindingView;
pub(crate) use scan::ScanView;

use crate::{
    ReportModel, chart,
    text::{self, number, plural},
    verdict::{self, Verdict},
};

/// How many findings the summary names.
const PRIORITIES: usize = 5;
/// How many targets the cover names.
const COVER_TARGETS: usize = 4;

/// How much of a text a format shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Characters of a title or place.
    pub(crate) line_chars: usize,
    /// Characters of a description, evidence or remediation.
    pub(crate) block_chars: usize,
    /// Characters of all technical details together; when they are used up, the rest is listed without details.
    pub(crate) details_chars: usize,
    /// Rows of coverage per scan.
    pub(crate) coverage_rows: usize,
    /// Whether long words get places to break at; HTML's styles break them by themselves.
    pub(crate) breaks: bool,
}

/// A report as the reader sees it.
#[derive(Debug, Serialize)]
pub(crate) struct ReportView {
    pub(crate) title: String,
    pub(crate) company: String,
    pub(crate) report_id: String,
    pub(crate) number: String,
    pub(crate) generated: String,
    pub(crate) generated_day: String,
    pub(crate) targets: Vec<String>,
    pub(crate) more_targets: Option<String>,
    pub(crate) scope: String,
    pub(crate) tone: &'static str,
    pub(crate) headline: String,
    pub(crate) sentence: String,
    pub(crate) coverage: String,
    pub(crate) whole: bool,
    pub(crate) total: String,
    pub(crate) counts: Vec<CountView>,
    pub(crate) summary: bool,
    pub(crate) details: bool,
    pub(crate) priorities: Vec<FindingView>,
    pub(crate) findings: Vec<FindingView>,
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) scans: Vec<ScanView>,
}

/// Findings of one severity.
#[derive(Debug, Serialize)]
pub(crate) struct CountView {
    pub(crate) severity: &'static str,
    pub(crate) label: &'static str,
    pub(crate) color: &'static str,
    pub(crate) count: String,
    pub(crate) is_zero: bool,
    /// Of the largest count, in hundredths.
    pub(crate) percent: u64,
}

impl ReportView {
    /// The view of a model; the findings are in the model's order.
    pub(crate) fn of(model: &ReportModel, limits: Limits) -> Self {
        let verdict = Verdict::of(model);
        let shower = Shower(limits);
        let targets = verdict::targets(model);
        let more = targets.len().saturating_sub(COVER_TARGETS);
        let findings = finding::views(model, shower);
        let undetailed = findings.iter().filter(|finding| !finding.detailed).count();
        Self {
            title: shower.line(&model.title),
            company: shower.line(&model.company_name),
            report_id: model.id.to_string(),
            number: model.number.to_string(),
            generated: model.generated_at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
            generated_day: model.generated_at.strftime("%-d %B %Y").to_string(),
            targets: targets.iter().take(COVER_TARGETS).map(|target| shower.line(target)).collect(),
            more_targets: (more > 0)
                .then(|| format!("and {}", plural(more, "more target").replace("more targets", "more"))),
            scope: format!("{}, {}", plural(model.scans.len(), "scan"), plural(targets.len(), "target")),
            tone: verdict.tone.name(),
            headline: verdict.headline,
            sentence: verdict.sentence,
            coverage: verdict.coverage,
            whole: verdict.whole,
            total: number(model.counts.total()),
            counts: counts(&model.counts),
            summary: model.include_executive_summary,
            details: model.include_technical_details,
            priorities: priorities(&findings),
            notes: notes(model, undetailed),
            warnings: model.warnings.iter().map(|warning| shower.line(warning)).collect(),
            scans: model.scans.iter().map(|scan| ScanView::of(scan, shower)).collect(),
            findings,
        }
    }
}

/// Shows text within the limits of a format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shower(pub(crate) Limits);

impl Shower {
    pub(crate) fn line(self, text: &str) -> String {
        self.broken(text::line(text, self.0.line_chars))
    }

    pub(crate) fn block(self, text: &str) -> String {
        self.broken(text::block(text, self.0.block_chars))
    }

    pub(crate) fn paragraphs(self, text: &str) -> Vec<String> {
        text::paragraphs(text, self.0.block_chars).into_iter().map(|part| self.broken(part)).collect()
    }

    fn broken(self, text: String) -> String {
        if self.0.breaks { text::breakable(&text) } else { text }
    }
}

fn counts(counts: &SeverityCounts) -> Vec<CountView> {
    let rows = chart::rows(counts);
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or_default();
    rows.into_iter()
        .map(|(severity, count)| CountView {
            severity: severity.name(),
            label: label(severity),
            color: chart::color(severity),
            count: number(count),
            is_zero: count == 0,
            percent: count.saturating_mul(100).checked_div(most).unwrap_or_default().max(u64::from(count > 0)),
        })
        .collect()
}

/// The name of a severity for the reader.
pub(crate) const fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Info => "Info",
        Severity::Unknown => "Unrated",
    }
}

/// The worst findings that call for something to be done.
fn priorities(findings: &[FindingView]) -> Vec<FindingView> {
    let urgent = |finding: &&FindingView| matches!(finding.severity, "critical" | "high" | "medium" | "low");
    findings.iter().filter(urgent).take(PRIORITIES).cloned().collect()
}

fn notes(model: &ReportModel, undetailed: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if model.omitted_findings > 0 {
        notes.push(format!(
            "This document lists the {} worst findings. {} more are counted in its numbers and not listed; the JSON report and \
             the API have them.",
            number(u64::try_from(model.findings.len()).unwrap_or_default()),
            number(model.omitted_findings),
        ));
    }
    if model.include_technical_details && undetailed > 0 {
        notes.push(format!(
            "The details of the last {} are left out to keep this document readable; the JSON report has them.",
            plural(undetailed, "listed finding"),
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{finding, report};

    pub(super) const LIMITS: Limits =
        Limits { line_chars: 50, block_chars: 100, details_chars: 1_000, coverage_rows: 3, breaks: false };

    #[test]
    fn bars_are_relative_to_the_largest_and_never_vanish() {
        let shown = counts(&SeverityCounts { critical: 1, info: 1_000, ..SeverityCounts::default() });
        let percents: Vec<_> = shown.iter().map(|count| count.percent).collect();
        assert_eq!(percents, [1, 0, 0, 0, 100]);
        assert_eq!(shown[4].count, "1,000");
    }

    #[test]
    fn priorities_are_findings_that_call_for_action() {
        let model = report(vec![
            finding(Severity::Critical, None, "a"),
            finding(Severity::Low, None, "b"),
            finding(Severity::Info, None, "c"),
        ]);
        let view = ReportView::of(&model, LIMITS);
        let titles: Vec<_> = view.priorities.iter().map(|finding| finding.title.as_str()).collect();
        assert_eq!(titles, ["a", "b"]);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut model = report(vec![finding(Severity::Low, None, "a"); 40]);
        model.findings.iter_mut().for_each(|finding| finding.evidence = "e".repeat(90));
        model.omitted_findings = 1_500;
        let view = ReportView::of(&model, LIMITS);
        assert!(view.notes[0].starts_with("This document lists the 40 worst findings. 1,500 more are counted"));
        assert!(
            view.notes[1].starts_with("The details of the last 32 listed findings are left out"),
            "{:?}",
            view.notes
        );
    }

    #[test]
    fn the_cover_names_a_few_targets_and_counts_the_rest() {
        let mut model = report(Vec::new());
        let scan = model.scans[0].clone();
        model.scans = (0..6).map(|n| crate::ScanSection { target: format!("h{n}"), ..scan.clone() }).collect();
        let view = ReportView::of(&model, LIMITS);
        assert_eq!(view.targets, ["h0", "h1", "h2", "h3"]);
        assert_eq!(view.more_targets.as_deref(), Some("and 2 more"));
        assert_eq!(view.scope, "6 scans, 6 targets");
    }
}
