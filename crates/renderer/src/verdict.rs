//! What the numbers of a report mean, in sentences. Never says "clean" of what was not looked at: with any gap in the
//! coverage, the absence of findings is said to prove nothing.

use picket_domain::{CoverageState, Gap, Severity};

use crate::{
    ReportModel,
    text::{number, plural},
};

/// The judgement at the head of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What the page is coloured by.
    pub(crate) tone: Tone,
    /// A few words.
    pub(crate) headline: String,
    /// What was found.
    pub(crate) sentence: String,
    /// How much was looked at.
    pub(crate) coverage: String,
    /// Whether everything was looked at.
    pub(crate) whole: bool,
}

/// How the reader should feel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// There is a finding of this severity, and none worse.
    Found(Severity),
    /// Nothing was found, and everything was looked at.
    Clean,
    /// Nothing was found, and not everything was looked at.
    Inconclusive,
}

impl Tone {
    /// The name that the templates know.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Found(severity) => severity.name(),
            Self::Clean => "clean",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl Verdict {
    /// Judges a report.
    pub(crate) fn of(model: &ReportModel) -> Self {
        let whole = !model.scans.is_empty() && model.scans.iter().all(|scan| scan.is_whole());
        let tone = match (worst(model), whole) {
            (Some(severity), _) => Tone::Found(severity),
            (None, true) => Tone::Clean,
            (None, false) => Tone::Inconclusive,
        };
        Self {
            tone,
            headline: headline(tone),
            sentence: sentence(model, tone),
            coverage: coverage(model, whole),
            whole,
        }
    }
}

fn worst(model: &ReportModel) -> Option<Severity> {
    let counts = &model.counts;
    let per_severity = [
        (Severity::Critical, counts.critical),
        (Severity::High, counts.high),
        (Severity::Medium, counts.medium),
        (Severity::Low, counts.low),
        (Severity::Info, counts.info),
    ];
    per_severity.into_iter().find(|(_, count)| *count > 0).map(|(severity, _)| severity)
}

fn headline(tone: Tone) -> String {
    let text = match tone {
        Tone::Found(Severity::Critical) => "Critical risk: act today",
        Tone::Found(Severity::High) => "High risk: act this week",
        Tone::Found(Severity::Medium) => "Moderate risk: plan the fixes",
        Tone::Found(Severity::Low) => "Low risk: fix when convenient",
        Tone::Found(Severity::Info | Severity::Unknown) => "Observations only",
        Tone::Clean => "No findings",
        Tone::Inconclusive => "Inconclusive: not everything was looked at",
    };
    text.to_owned()
}

fn sentence(model: &ReportModel, tone: Tone) -> String {
    let counts = &model.counts;
    let scans = format!("{} of {}", plural(model.scans.len(), "scan"), plural(targets(model).len(), "target"));
    let urgent = [(counts.critical, "critical"), (counts.high, "high")];
    let urgent: Vec<_> = urgent
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{} {name}", number(*count)))
        .collect();
    let found = plural(counts.total(), "finding");
    match tone {
        Tone::Found(Severity::Critical | Severity::High) => {
            format!("{scans} led to {found}, among them {}.", urgent.join(" and "))
        }
        Tone::Found(Severity::Info | Severity::Unknown) => {
            format!("{scans} led to {found}, all of them informational or not rated by any source.")
        }
        Tone::Found(Severity::Medium | Severity::Low) => {
            format!("{scans} led to {found}, none of them rated critical or high.")
        }
        Tone::Clean => format!("{scans} led to no findings."),
        Tone::Inconclusive => format!("{scans} reported no findings, but that proves little here."),
    }
}

/// The distinct targets of a report, in their order.
pub(crate) fn targets(model: &ReportModel) -> Vec<&str> {
    let mut targets = Vec::new();
    for scan in &model.scans {
        if !targets.contains(&scan.target.as_str()) {
            targets.push(scan.target.as_str());
        }
    }
    targets
}

fn coverage(model: &ReportModel, whole: bool) -> String {
    let rows = || model.scans.iter().flat_map(|scan| &scan.coverage);
    let done = rows().filter(|row| row.state == CoverageState::Done).count();
    if whole {
        return match done {
            1 => "The only planned check ran to its end.".to_owned(),
            _ => format!("All {} ran to their end.", plural(done, "planned check")),
        };
    }
    let unfinished = model.scans.iter().filter(|scan| scan.status != "completed").count();
    let mut text = match rows().count() {
        0 => "No check is on record.".to_owned(),
        all => format!(
            "{} of {} ran to the end.",
            number(u64::try_from(done).unwrap_or_default()),
            plural(all, "planned check")
        ),
    };
    if unfinished > 0 {
        text.push_str(&format!(" {} did not complete.", plural(unfinished, "scan")));
    }
    text.push_str(" What was not looked at may have weaknesses that this report does not show.");
    text
}

/// Why something was not looked at, in words.
pub(crate) const fn gap_words(gap: Gap) -> &'static str {
    match gap {
        Gap::CapabilityUnavailable => "no worker was able to run it",
        Gap::ToolUnavailable => "no tool is available for it",
        Gap::ToolFailed => "the tool ended with an error",
        Gap::TimedOut => "it took longer than allowed",
        Gap::LimitExceeded => "it needed more resources than allowed",
        Gap::OutputIncomplete => "its output was incomplete",
        Gap::OutputTruncated => "its output was too large and was cut",
        Gap::WorkerLost => "the worker was lost",
        Gap::Cancelled => "the scan was stopped",
        Gap::InvalidParameters => "its parameters do not fit the tool",
        Gap::TargetNotAuthorized => "what allowed the scan had ended",
        Gap::TargetExcluded => "the organization has excluded the target",
        Gap::TargetChanged => "the name led elsewhere than when the scan was made",
        Gap::TargetForbidden => "nobody may scan it here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{coverage as row, finding, report, scan};

    #[test]
    fn nothing_found_is_clean_only_when_everything_was_looked_at() {
        let verdict = Verdict::of(&report(Vec::new()));
        assert_eq!((verdict.tone, verdict.whole), (Tone::Clean, true));
        assert_eq!(verdict.coverage, "The only planned check ran to its end.");

        for state in [CoverageState::Pending, CoverageState::Partial, CoverageState::Skipped, CoverageState::Failed] {
            let mut model = report(Vec::new());
            model.scans[0].coverage.push(row(state, Some(Gap::ToolFailed)));
            let verdict = Verdict::of(&model);
            assert_eq!((verdict.tone, verdict.whole), (Tone::Inconclusive, false), "{state:?}");
            assert!(verdict.coverage.starts_with("1 of 2 planned checks ran to the end."), "{}", verdict.coverage);
        }
    }

    #[test]
    fn a_scan_without_any_check_is_inconclusive() {
        let mut model = report(Vec::new());
        model.scans[0].coverage.clear();
        assert_eq!(Verdict::of(&model).tone, Tone::Inconclusive);
        model.scans.clear();
        assert_eq!(Verdict::of(&model).tone, Tone::Inconclusive);
    }

    #[test]
    fn a_scan_that_was_stopped_is_said_to_be_unfinished() {
        let mut model = report(vec![finding(Severity::Low, None, "a")]);
        model.scans.push(crate::ScanSection { status: "cancelled".to_owned(), ..scan() });
        let verdict = Verdict::of(&model);
        assert_eq!(verdict.tone, Tone::Found(Severity::Low));
        assert!(verdict.coverage.contains("1 scan did not complete."), "{}", verdict.coverage);
    }

    #[test]
    fn the_worst_finding_sets_the_tone() {
        let model = report(vec![
            finding(Severity::Unknown, None, "a"),
            finding(Severity::High, None, "b"),
            finding(Severity::High, None, "c"),
        ]);
        let verdict = Verdict::of(&model);
        assert_eq!(verdict.tone, Tone::Found(Severity::High));
        assert_eq!(verdict.sentence, "1 scan of 1 target led to 3 findings, among them 2 high.");
    }
}
