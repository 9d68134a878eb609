//! What a webhook of the v1 dialect reads (seed 1, "Webhook Events", and `docs/contract.md` §16).

use picket_domain::{Event, EventBody, Severity, WebhookEvent};
use picket_store::deliveries::facts::Facts;
use serde::Serialize;

use super::{PayloadError, text::bounded};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Data {
    Begun {
        scan_id: String,
        target: String,
        status: &'static str,
        tool: Option<String>,
        sequence: i64,
    },
    Changed {
        scan_id: String,
        status: &'static str,
        findings_count: u64,
        critical_count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        sequence: i64,
    },
    Found {
        id: String,
        title: String,
        cve: Option<String>,
        cvss: Option<f64>,
        severity: Severity,
        evidence: String,
        remediation: String,
        scan_id: String,
        target: String,
        sequence: i64,
    },
    Rendered {
        report_id: String,
        scan_ids: Vec<String>,
        format: &'static str,
        size_bytes: i64,
        sequence: i64,
    },
}

/// The `data` of an event.
pub(super) fn data(event: &Event, name: WebhookEvent, facts: &Facts, sequence: i64) -> Result<Data, PayloadError> {
    match (&event.body, facts) {
        (EventBody::ScanCreated(_) | EventBody::ScanStarted(_), Facts::Scan { scan, .. }) => Ok(Data::Begun {
            scan_id: scan.scan.id.to_string(),
            target: bounded(&scan.target),
            status: status(&event.body),
            tool: scan.tool.clone(),
            sequence,
        }),
        (
            EventBody::ScanPaused(changed)
            | EventBody::ScanResumed(changed)
            | EventBody::ScanCompleted(changed)
            | EventBody::ScanFailed(changed)
            | EventBody::ScanCancelled(changed),
            Facts::Scan { scan, counts },
        ) => Ok(Data::Changed {
            scan_id: scan.scan.id.to_string(),
            status: status(&event.body),
            findings_count: counts.total(),
            critical_count: counts.critical,
            message: changed.reason.as_deref().map(bounded),
            sequence,
        }),
        (EventBody::FindingFound(_), Facts::Finding { scan, finding }) => Ok(Data::Found {
            id: finding.id.to_string(),
            title: bounded(&finding.title),
            cve: finding.cve.clone(),
            cvss: finding.cvss,
            severity: finding.severity,
            evidence: bounded(&finding.evidence),
            remediation: bounded(&finding.remediation),
            scan_id: scan.scan.id.to_string(),
            target: bounded(&scan.target),
            sequence,
        }),
        (EventBody::ReportGenerated(_), Facts::Report(report)) => Ok(Data::Rendered {
            report_id: report.id.to_string(),
            scan_ids: report.scan_ids.iter().map(ToString::to_string).collect(),
            format: report.format.name(),
            size_bytes: report.size_bytes,
            sequence,
        }),
        _ => Err(PayloadError::Facts(name.name())),
    }
}

/// The state that the event tells of, which the scan may have left since.
const fn status(body: &EventBody) -> &'static str {
    match body {
        EventBody::ScanCreated(_) => "created",
        EventBody::ScanStarted(_) | EventBody::ScanResumed(_) => "running",
        EventBody::ScanPaused(_) => "paused",
        EventBody::ScanCompleted(_) => "completed",
        EventBody::ScanCancelled(_) => "cancelled",
        EventBody::ScanFailed(_)
        | EventBody::FindingFound(_)
        | EventBody::ReportGenerated(_)
        | EventBody::ReportRequested(_)
        | EventBody::TaskQueued(_) => "failed",
    }
}
