//! What a report says, in one form for every format. Pure data: it is also what the PDF's child process is given.

use jiff::Timestamp;
use picket_domain::{
    Coverage, CoverageState, FindingId, Location, Plan, ReportId, ScanId, Service, Severity, SeverityCounts,
};
use serde::{Deserialize, Serialize};

use crate::Logo;

/// A report's whole content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportModel {
    /// The report's identity.
    pub id: ReportId,
    /// Its number in the organization, as the v2 dialect shows it.
    pub number: i64,
    /// The heading of the document.
    pub title: String,
    /// For whom it is: the branding's name, or the organization's.
    pub company_name: String,
    /// The branding's logo.
    pub logo: Option<Logo>,
    /// When the report was made.
    pub generated_at: Timestamp,
    /// Whether it begins with the numbers and what they mean.
    pub include_executive_summary: bool,
    /// Whether it describes every finding with its evidence.
    pub include_technical_details: bool,
    /// The scans it covers, in the client's order.
    pub scans: Vec<ScanSection>,
    /// All findings of these scans per severity, also of those that are not listed.
    pub counts: SeverityCounts,
    /// The findings, each once, in the order of `sort`.
    pub findings: Vec<FindingEntry>,
    /// How many findings are counted and not listed, since the report has a limit.
    pub omitted_findings: u64,
    /// What the reader must know of the report itself, e.g. that its logo could not be fetched.
    pub warnings: Vec<String>,
}

/// One scan of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanSection {
    /// Identity.
    pub id: ScanId,
    /// Its number in the organization, as the v2 dialect shows it.
    pub number: i64,
    /// The target, canonical.
    pub target: String,
    /// What it did.
    pub plan: Plan,
    /// The tool, when the plan was one tool.
    pub tool: Option<String>,
    /// The state's name (`picket_domain::ScanState`).
    pub status: String,
    /// Why it failed, in words fit for the client.
    pub failure: Option<String>,
    /// When the first worker began.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` when the report was made before.
    pub ended_at: Option<Timestamp>,
    /// What each tool came to at each target.
    pub coverage: Vec<Coverage>,
}

/// One finding of a report; its text is the target's and hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingEntry {
    /// Identity.
    pub id: FindingId,
    /// The canonical rule.
    pub rule: String,
    /// One line for the reader.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The CVE, when the finding is of one.
    pub cve: Option<String>,
    /// CVSS base score, 0.0 to 10.0.
    pub cvss: Option<f64>,
    /// Where it is.
    pub location: Location,
    /// What exactly at that location.
    pub subject: String,
    /// What it means.
    pub description: String,
    /// What the tool saw.
    pub evidence: String,
    /// What to do about it.
    pub remediation: String,
    /// The software behind the port, when known.
    pub service: Option<Service>,
    /// The scans of this report that saw it.
    pub scan_ids: Vec<ScanId>,
    /// When the organization first knew of it.
    pub first_seen_at: Timestamp,
}

impl ReportModel {
    /// Puts the findings into the order of every report: worst first, then by score, title and place.
    pub fn sort(&mut self) {
        self.findings.sort_by(|left, right| {
            let score = |finding: &FindingEntry| finding.cvss.unwrap_or(-1.0);
            let place = |finding: &FindingEntry| finding.location.to_string();
            right
                .severity
                .cmp(&left.severity)
                .then_with(|| score(right).total_cmp(&score(left)))
                .then_with(|| left.title.cmp(&right.title))
                .then_with(|| place(left).cmp(&place(right)))
        });
    }

    /// Lists `limit` findings at most; the others are counted as omitted.
    pub fn limit_findings(&mut self, limit: usize) {
        let over = self.findings.len().saturating_sub(limit);
        self.findings.truncate(limit);
        self.omitted_findings = self.omitted_findings.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }
}

impl ScanSection {
    /// Whether everything that the scan should have looked at was looked at.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.status == "completed"
            && !self.coverage.is_empty()
            && self.coverage.iter().all(|row| row.state == CoverageState::Done)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use picket_domain::{Gap, Protocol};

    use super::*;

    /// A finding with ordinary text.
    pub(crate) fn finding(severity: Severity, cvss: Option<f64>, title: &str) -> FindingEntry {
        FindingEntry {
            id: "vuln_00000000000000000000000001".parse().unwrap(),
            rule: "tls.certificate_expired".to_owned(),
            title: title.to_owned(),
            severity,
            cve: None,
            cvss,
            location: Location {
                host: "example.com".to_owned(),
                port: Some(443),
                protocol: Some(Protocol::Tcp),
                url: None,
            },
            subject: String::new(),
            description: "What it means.".to_owned(),
            evidence: "What was seen.".to_owned(),
            remediation: "What to do.".to_owned(),
            service: None,
            scan_ids: vec!["scan_00000000000000000000000001".parse().unwrap()],
            first_seen_at: "2026-01-15T14:31:00Z".parse().unwrap(),
        }
    }

    /// A scan that looked at everything.
    pub(crate) fn scan() -> ScanSection {
        ScanSection {
            id: "scan_00000000000000000000000001".parse().unwrap(),
            number: 12,
            target: "example.com".to_owned(),
            plan: Plan::Custom,
            tool: Some("nmap".to_owned()),
            status: "completed".to_owned(),
            failure: None,
            started_at: Some("2026-01-15T14:30:00Z".parse().unwrap()),
            ended_at: Some("2026-01-15T14:32:04Z".parse().unwrap()),
            coverage: vec![coverage(CoverageState::Done, None)],
        }
    }

    /// A row of coverage.
    pub(crate) fn coverage(state: CoverageState, reason: Option<Gap>) -> Coverage {
        Coverage { tool: "nmap".to_owned(), target: "example.com".to_owned(), state, reason, detail: None }
    }

    /// A report with these findings.
    pub(crate) fn report(findings: Vec<FindingEntry>) -> ReportModel {
        let mut counts = SeverityCounts::default();
        findings.iter().for_each(|finding| counts.add(finding.severity, 1));
        ReportModel {
            id: "rep_00000000000000000000000001".parse().unwrap(),
            number: 3,
            title: "Security assessment".to_owned(),
            company_name: "Acme".to_owned(),
            logo: None,
            generated_at: "2026-01-15T15:00:00Z".parse().unwrap(),
            include_executive_summary: true,
            include_technical_details: true,
            scans: vec![scan()],
            counts,
            findings,
            omitted_findings: 0,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn findings_are_sorted_worst_first_and_by_score() {
        let mut model = report(vec![
            finding(Severity::Unknown, None, "e"),
            finding(Severity::High, None, "d"),
            finding(Severity::High, Some(7.5), "c"),
            finding(Severity::Critical, Some(9.0), "b"),
            finding(Severity::High, Some(8.8), "a"),
        ]);
        model.sort();
        let titles: Vec<_> = model.findings.iter().map(|finding| finding.title.as_str()).collect();
        assert_eq!(titles, ["b", "a", "c", "d", "e"]);
    }

    #[test]
    fn findings_over_the_limit_are_counted_as_omitted() {
        let mut model = report(vec![finding(Severity::Low, None, "a"); 5]);
        model.omitted_findings = 2;
        model.limit_findings(3);
        assert_eq!((model.findings.len(), model.omitted_findings, model.counts.low), (3, 4, 5));
        model.limit_findings(3);
        assert_eq!(model.omitted_findings, 4);
    }

    #[test]
    fn a_scan_is_whole_only_when_every_row_is_done() {
        assert!(scan().is_whole());
        for state in [CoverageState::Pending, CoverageState::Partial, CoverageState::Skipped, CoverageState::Failed] {
            let coverage = vec![coverage(CoverageState::Done, None), coverage(state, Some(Gap::TimedOut))];
            assert!(!ScanSection { coverage, ..scan() }.is_whole(), "{state:?}");
        }
        assert!(!ScanSection { coverage: Vec::new(), ..scan() }.is_whole());
        assert!(!ScanSection { status: "cancelled".to_owned(), ..scan() }.is_whole());
    }
}
