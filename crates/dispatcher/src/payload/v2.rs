//! What a webhook of the v2 dialect reads (seed 2, "Webhooks", and `docs/contract.md` §16).

use picket_domain::{Event, EventBody, Severity, WebhookEvent};
use picket_store::deliveries::facts::Facts;
use serde::Serialize;

use super::{
    PayloadError,
    text::{bounded, duration},
};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Data {
    Begun {
        scan_id: i64,
        target: String,
        status: &'static str,
        sequence: i64,
    },
    Ended {
        scan_id: i64,
        target: String,
        status: &'static str,
        vulnerabilities_found: u64,
        scan_duration: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        sequence: i64,
    },
    Found {
        id: String,
        title: String,
        severity: Severity,
        cvss_score: Option<f64>,
        description: String,
        affected_url: Option<String>,
        recommendation: String,
        scan_id: i64,
        target: String,
        sequence: i64,
    },
}

/// The `data` of an event.
pub(super) fn data(event: &Event, name: WebhookEvent, facts: &Facts, sequence: i64) -> Result<Data, PayloadError> {
    let (status, message) = match &event.body {
        EventBody::ScanCompleted(changed) => ("completed", changed.reason.clone()),
        EventBody::ScanFailed(changed) => ("failed", changed.reason.clone()),
        // This dialect has no word for it (`docs/contract.md` §5).
        EventBody::ScanCancelled(_) => ("failed", Some("the scan was cancelled".to_owned())),
        EventBody::ScanStarted(_)
        | EventBody::ScanCreated(_)
        | EventBody::ScanPaused(_)
        | EventBody::ScanResumed(_)
        | EventBody::FindingFound(_)
        | EventBody::ReportGenerated(_)
        | EventBody::ReportRequested(_)
        | EventBody::TaskQueued(_) => ("running", None),
    };
    match (name, facts) {
        (WebhookEvent::ScanStarted, Facts::Scan { scan, .. }) => {
            Ok(Data::Begun { scan_id: scan.number, target: bounded(&scan.target), status, sequence })
        }
        (WebhookEvent::ScanCompleted | WebhookEvent::ScanFailed, Facts::Scan { scan, counts }) => Ok(Data::Ended {
            scan_id: scan.number,
            target: bounded(&scan.target),
            status,
            vulnerabilities_found: counts.rated(),
            scan_duration: duration(scan.scan.state.started_at(), scan.scan.state.ended_at()),
            message: message.as_deref().map(bounded),
            sequence,
        }),
        (WebhookEvent::VulnerabilityFound, Facts::Finding { scan, finding }) => Ok(Data::Found {
            id: finding.cve.clone().unwrap_or_else(|| finding.id.to_string()),
            title: bounded(&finding.title),
            severity: finding.severity,
            cvss_score: finding.cvss,
            description: bounded(&finding.description),
            affected_url: finding.location.url.as_deref().map(bounded),
            recommendation: bounded(&finding.remediation),
            scan_id: scan.number,
            target: bounded(&scan.target),
            sequence,
        }),
        _ => Err(PayloadError::Facts(name.name())),
    }
}
