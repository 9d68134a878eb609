//! A finding as the reader sees it.

use std::collections::BTreeMap;

use picket_domain::{ScanId, Service};
use serde::Serialize;

use super::{Shower, label};
use crate::{FindingEntry, ReportModel, chart};

/// What a line of evidence takes, however short it is.
const LINE_CHARS: usize = 90;
/// The most characters of details that are kept on one page.
const SHORT_CHARS: usize = 1_800;

/// A finding as the reader sees it; text that is not known is empty.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FindingView {
    /// Its place in the list, from 1.
    pub(crate) number: usize,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) severity: &'static str,
    pub(crate) label: &'static str,
    pub(crate) color: &'static str,
    pub(crate) cve: String,
    pub(crate) cvss: String,
    pub(crate) location: String,
    pub(crate) rule: String,
    pub(crate) subject: String,
    pub(crate) service: String,
    pub(crate) scans: String,
    pub(crate) first_seen: String,
    /// Whether it fits on a part of a page and is kept in one piece.
    pub(crate) short: bool,
    /// Whether the details below are shown.
    pub(crate) detailed: bool,
    pub(crate) description: Vec<String>,
    pub(crate) evidence: String,
    pub(crate) remediation: Vec<String>,
}

/// The views of all findings; details end where the limit of their characters is reached.
pub(super) fn views(model: &ReportModel, shower: Shower) -> Vec<FindingView> {
    let numbers: BTreeMap<ScanId, i64> = model.scans.iter().map(|scan| (scan.id, scan.number)).collect();
    let mut left = if model.include_technical_details { shower.0.details_chars } else { 0 };
    model
        .findings
        .iter()
        .enumerate()
        .map(|(place, finding)| {
            let mut view = FindingView::of(finding, place.saturating_add(1), &numbers, shower);
            let size = view.details_chars();
            view.short = size + LINE_CHARS * view.evidence.matches('\n').count() < SHORT_CHARS;
            if size > left {
                left = 0;
                view.drop_details();
            }
            left = left.saturating_sub(size);
            view
        })
        .collect()
}

impl FindingView {
    fn of(finding: &FindingEntry, number: usize, numbers: &BTreeMap<ScanId, i64>, shower: Shower) -> Self {
        let line = |text: Option<&str>| text.map(|text| shower.line(text)).unwrap_or_default();
        let seen: Vec<_> = finding.scan_ids.iter().filter_map(|id| numbers.get(id)).map(|n| format!("#{n}")).collect();
        Self {
            number,
            id: finding.id.to_string(),
            title: shower.line(&finding.title),
            severity: finding.severity.name(),
            label: label(finding.severity),
            color: chart::color(finding.severity),
            cve: line(finding.cve.as_deref()),
            cvss: finding.cvss.map(|score| format!("{score:.1}")).unwrap_or_default(),
            location: shower.line(&finding.location.to_string()),
            rule: shower.line(&finding.rule),
            subject: shower.line(&finding.subject),
            service: finding.service.as_ref().map(|service| shower.line(&service_words(service))).unwrap_or_default(),
            scans: seen.join(", "),
            first_seen: finding.first_seen_at.strftime("%-d %B %Y").to_string(),
            short: false,
            detailed: true,
            description: shower.paragraphs(&finding.description),
            evidence: shower.block(&finding.evidence),
            remediation: shower.paragraphs(&finding.remediation),
        }
    }

    /// The cost of the details.
    fn details_chars(&self) -> usize {
        let texts = self.description.iter().chain(&self.remediation).chain([&self.evidence]);
        texts.map(|text| text.chars().count()).sum::<usize>()
    }

    fn drop_details(&mut self) {
        self.detailed = false;
        self.description.clear();
        self.evidence.clear();
        self.remediation.clear();
    }
}

/// `Apache httpd 2.4.49 (Unix) · http`.
fn service_words(service: &Service) -> String {
    let extra = service.extra_info.as_ref().map(|extra| format!("({extra})"));
    let software = [&service.product, &service.version, &extra];
    let software: Vec<_> = software.into_iter().flatten().map(String::as_str).collect();
    let software = Some(software.join(" ")).filter(|text| !text.is_empty());
    [software, service.name.clone()].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use picket_domain::Severity;

    use super::*;
    use crate::{
        model::tests::{finding, report},
        view::tests::LIMITS,
    };

    #[test]
    fn a_finding_is_shown_with_its_score_place_and_scans() {
        let views = views(&report(vec![finding(Severity::High, Some(9.0), "a\u{202e}b")]), Shower(LIMITS));
        let view = &views[0];
        assert_eq!((view.number, view.title.as_str(), view.cvss.as_str()), (1, "a\\u{202e}b", "9.0"));
        assert_eq!((view.location.as_str(), view.scans.as_str()), ("example.com:443/tcp", "#12"));
        assert!(view.detailed);
    }

    #[test]
    fn details_are_left_out_when_they_are_not_wanted() {
        let mut model = report(vec![finding(Severity::High, None, "a")]);
        model.include_technical_details = false;
        let views = views(&model, Shower(LIMITS));
        assert!(!views[0].detailed && views[0].evidence.is_empty());
    }

    #[test]
    fn software_reads_as_one_line() {
        let mut service = Service { name: Some("http".to_owned()), ..Service::default() };
        assert_eq!(service_words(&service), "http");
        service.product = Some("Apache httpd".to_owned());
        service.version = Some("2.4.49".to_owned());
        service.extra_info = Some("Unix".to_owned());
        assert_eq!(service_words(&service), "Apache httpd 2.4.49 (Unix) · http");
    }
}
