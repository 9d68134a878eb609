//! The JSON report, for programs: the whole text of every finding, in names that never change.

use jiff::Timestamp;
use picket_domain::{Coverage, SeverityCounts};
use serde::Serialize;

use crate::{FindingEntry, RenderError, ReportModel, ScanSection, verdict::Verdict};

#[derive(Serialize)]
struct Document<'a> {
    /// Grows when a field changes its meaning or goes.
    schema: &'static str,
    id: String,
    number: i64,
    title: &'a str,
    company_name: &'a str,
    generated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary<'a>>,
    counts: Counts,
    scans: Vec<Scan<'a>>,
    findings: Vec<Finding<'a>>,
    omitted_findings: u64,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Summary<'a> {
    headline: &'a str,
    text: &'a str,
    coverage: &'a str,
    coverage_complete: bool,
}

#[derive(Serialize)]
struct Counts {
    total: u64,
    #[serde(flatten)]
    per_severity: SeverityCounts,
}

#[derive(Serialize)]
struct Scan<'a> {
    id: String,
    number: i64,
    target: &'a str,
    plan: &'static str,
    tool: Option<&'a str>,
    status: &'a str,
    failure: Option<&'a str>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    coverage_complete: bool,
    coverage: &'a [Coverage],
}

#[derive(Serialize)]
struct Finding<'a> {
    id: String,
    rule: &'a str,
    title: &'a str,
    severity: &'static str,
    cve: Option<&'a str>,
    cvss: Option<f64>,
    location: String,
    host: &'a str,
    port: Option<u16>,
    protocol: Option<&'static str>,
    url: Option<&'a str>,
    scan_ids: Vec<String>,
    first_seen_at: Timestamp,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    subject: &'a str,
    description: &'a str,
    evidence: &'a str,
    remediation: &'a str,
    service: Option<&'a picket_domain::Service>,
}

/// The report as JSON.
///
/// # Errors
/// `Json` when a value cannot be written, which is a defect.
pub fn render_json(model: &ReportModel) -> Result<Vec<u8>, RenderError> {
    let verdict = Verdict::of(model);
    let document = Document {
        schema: "picket.report/1",
        id: model.id.to_string(),
        number: model.number,
        title: &model.title,
        company_name: &model.company_name,
        generated_at: model.generated_at,
        summary: model.include_executive_summary.then_some(Summary {
            headline: &verdict.headline,
            text: &verdict.sentence,
            coverage: &verdict.coverage,
            coverage_complete: verdict.whole,
        }),
        counts: Counts { total: model.counts.total(), per_severity: model.counts },
        scans: model.scans.iter().map(scan).collect(),
        findings: model.findings.iter().map(|entry| finding(entry, model.include_technical_details)).collect(),
        omitted_findings: model.omitted_findings,
        warnings: &model.warnings,
    };
    let mut written = serde_json::to_vec_pretty(&document)?;
    written.push(b'\n');
    Ok(written)
}

fn scan(scan: &ScanSection) -> Scan<'_> {
    Scan {
        id: scan.id.to_string(),
        number: scan.number,
        target: &scan.target,
        plan: scan.plan.name(),
        tool: scan.tool.as_deref(),
        status: &scan.status,
        failure: scan.failure.as_deref(),
        started_at: scan.started_at,
        ended_at: scan.ended_at,
        coverage_complete: scan.is_whole(),
        coverage: &scan.coverage,
    }
}

fn finding(finding: &FindingEntry, with_details: bool) -> Finding<'_> {
    let location = &finding.location;
    Finding {
        id: finding.id.to_string(),
        rule: &finding.rule,
        title: &finding.title,
        severity: finding.severity.name(),
        cve: finding.cve.as_deref(),
        cvss: finding.cvss,
        location: location.to_string(),
        host: &location.host,
        port: location.port,
        protocol: location.protocol.map(picket_domain::Protocol::name),
        url: location.url.as_deref(),
        scan_ids: finding.scan_ids.iter().map(ToString::to_string).collect(),
        first_seen_at: finding.first_seen_at,
        details: with_details.then_some(Details {
            subject: &finding.subject,
            description: &finding.description,
            evidence: &finding.evidence,
            remediation: &finding.remediation,
            service: finding.service.as_ref(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::{CoverageState, Gap, Severity};
    use serde_json::{Value, json};

    use super::*;
    use crate::model::tests::{coverage, finding, report};

    fn rendered(model: &ReportModel) -> Value {
        serde_json::from_slice(&render_json(model).unwrap()).unwrap()
    }

    #[test]
    fn the_whole_text_is_in_it() {
        let mut entry = finding(Severity::Critical, Some(9.8), "<b>\u{202e}\u{0}");
        entry.evidence = "x".repeat(1_000_000);
        let shown = rendered(&report(vec![entry]));
        assert_eq!(shown["findings"][0]["title"], "<b>\u{202e}\u{0}");
        assert_eq!(shown["findings"][0]["evidence"].as_str().unwrap().len(), 1_000_000);
        assert_eq!(shown["counts"], json!({"total": 1, "critical": 1, "high": 0, "medium": 0, "low": 0, "info": 0}));
        assert_eq!(shown["findings"][0]["location"], "example.com:443/tcp");
    }

    #[test]
    fn a_gap_is_said_beside_the_scan() {
        let mut model = report(Vec::new());
        model.scans[0].coverage.push(coverage(CoverageState::Failed, Some(Gap::TimedOut)));
        let shown = rendered(&model);
        assert_eq!(shown["summary"]["coverage_complete"], false);
        assert_eq!(shown["scans"][0]["coverage"][1]["reason"], "timed_out");
    }

    #[test]
    fn parts_that_are_not_wanted_are_absent() {
        let mut model = report(vec![finding(Severity::Low, None, "a")]);
        model.include_executive_summary = false;
        model.include_technical_details = false;
        let shown = rendered(&model);
        assert!(shown.get("summary").is_none());
        assert!(shown["findings"][0].get("evidence").is_none());
        assert_eq!(shown["findings"][0]["title"], "a");
    }
}
