//! From what the store has to what a report says.

use jiff::Timestamp;
use picket_store::reports::{
    ClaimedReport,
    content::{FindingContent, ReportContent, ScanContent},
};

use crate::{FindingEntry, Logo, ReportModel, ScanSection};

/// The heading of every report.
const TITLE: &str = "Security assessment report";

/// The model of a report that is made `now`.
pub(crate) fn compose(
    claimed: &ClaimedReport,
    content: ReportContent,
    logo: Option<Logo>,
    mut warnings: Vec<String>,
    now: Timestamp,
) -> ReportModel {
    let request = &claimed.request;
    let missing = request.scan_ids.len().saturating_sub(content.scans.len());
    if missing > 0 {
        warnings.push(format!("{missing} of the scans that were asked for were deleted since and are missing."));
    }
    let name = request.branding.company_name.as_ref();
    let listed = u64::try_from(content.findings.len()).unwrap_or(u64::MAX);
    let mut model = ReportModel {
        id: claimed.fence.report_id,
        number: claimed.number,
        title: TITLE.to_owned(),
        company_name: name.map_or(content.organization_name, |name| name.as_str().to_owned()),
        logo,
        generated_at: now,
        include_executive_summary: request.include_executive_summary,
        include_technical_details: request.include_technical_details,
        scans: content.scans.into_iter().map(scan).collect(),
        omitted_findings: content.counts.total().saturating_sub(listed),
        counts: content.counts,
        findings: content.findings.into_iter().map(finding).collect(),
        warnings,
    };
    model.sort();
    model
}

fn scan(scan: ScanContent) -> ScanSection {
    let ScanContent { record, coverage } = scan;
    let state = &record.scan.state;
    let failure = match state {
        picket_domain::ScanState::Failed { reason, .. } => Some(reason.clone()),
        picket_domain::ScanState::Created
        | picket_domain::ScanState::Queued
        | picket_domain::ScanState::Running { .. }
        | picket_domain::ScanState::Paused { .. }
        | picket_domain::ScanState::Completed { .. }
        | picket_domain::ScanState::Cancelled { .. } => None,
    };
    ScanSection {
        id: record.scan.id,
        number: record.number,
        status: state.name().to_owned(),
        failure,
        started_at: state.started_at(),
        ended_at: state.ended_at(),
        target: record.target,
        plan: record.plan,
        tool: record.tool,
        coverage,
    }
}

fn finding(content: FindingContent) -> FindingEntry {
    let FindingContent { finding, subject, service, first_seen_at, seen_in } = content;
    FindingEntry {
        id: finding.id,
        rule: finding.rule,
        title: finding.title,
        severity: finding.severity,
        cve: finding.cve,
        cvss: finding.cvss,
        location: finding.location,
        subject,
        description: finding.description,
        evidence: finding.evidence,
        remediation: finding.remediation,
        service,
        scan_ids: seen_in,
        first_seen_at,
    }
}
