//! Payloads of both dialects, field by field.

use picket_domain::{
    EventBody, EventId, FindingFound, FindingId, Location, OrganizationId, Plan, ReportChanged, ReportFormat, ReportId,
    Scan, ScanChanged, ScanId, ScanState, Severity, SeverityCounts,
};
use picket_store::{
    deliveries::facts::ReportFacts,
    scans::read::{ScanRecord, SightedFinding},
};
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn scan_id() -> ScanId {
    ScanId::mint(jiff::Timestamp::UNIX_EPOCH)
}

fn event(body: EventBody) -> Event {
    let now = at("2026-01-15T14:45:00.25Z");
    let (id, organization_id) = (EventId::mint(now), OrganizationId::mint(now));
    Event { id, organization_id, sequence: Some(7), at: now, body, traceparent: None }
}

fn record(scan_id: ScanId) -> ScanRecord {
    let (started_at, ended_at) = (at("2026-01-15T14:30:00Z"), at("2026-01-15T14:45:00Z"));
    ScanRecord {
        scan: Scan {
            id: scan_id,
            organization_id: OrganizationId::mint(started_at),
            state: ScanState::Completed { started_at, ended_at },
        },
        number: 123,
        dialect: Dialect::V1,
        plan: Plan::Custom,
        target: "example.com".to_owned(),
        tool: Some("nmap".to_owned()),
        request: Value::Null,
        notify: Vec::new(),
        gaps: Vec::new(),
        created_at: started_at,
    }
}

fn scan_facts(scan_id: ScanId) -> Facts {
    let mut counts = SeverityCounts::default();
    for (severity, count) in [
        (Severity::Critical, 1),
        (Severity::High, 2),
        (Severity::Medium, 2),
        (Severity::Info, 6),
        (Severity::Unknown, 1),
    ] {
        counts.add(severity, count);
    }
    Facts::Scan { scan: record(scan_id), counts }
}

fn finding_facts(text: &str) -> Facts {
    let finding = SightedFinding {
        id: FindingId::mint(jiff::Timestamp::UNIX_EPOCH),
        rule: "x".to_owned(),
        title: text.to_owned(),
        cve: Some("CVE-2021-41773".to_owned()),
        cvss: Some(9.8),
        severity: Severity::Critical,
        location: Location {
            host: "example.com".to_owned(),
            port: Some(80),
            protocol: None,
            url: Some(text.to_owned()),
        },
        description: text.to_owned(),
        evidence: text.to_owned(),
        remediation: text.to_owned(),
        confidence: picket_domain::Confidence::High,
        cwe: None,
        references: Vec::new(),
        sources: vec!["nmap".to_owned()],
    };
    Facts::Finding { scan: ScanRecord { target: text.to_owned(), ..record(scan_id()) }, finding: Box::new(finding) }
}

fn found() -> Event {
    event(EventBody::FindingFound(FindingFound {
        finding_id: FindingId::mint(jiff::Timestamp::UNIX_EPOCH),
        scan_id: scan_id(),
        severity: Severity::Critical,
    }))
}

fn made(dialect: Dialect, event: &Event, facts: &Facts) -> Value {
    serde_json::from_slice(&body(dialect, event, facts).unwrap().unwrap()).unwrap()
}

/// The printed payloads of the seeds, with our ids, and with what every payload of ours has besides.
#[test]
fn a_completed_scan_reads_as_both_references_print_it() {
    let id = scan_id();
    let event = event(EventBody::ScanCompleted(ScanChanged { scan_id: id, reason: None }));
    let facts = scan_facts(id);
    let envelope = |data| {
        json!({
            "id": event.id.to_string(), "event": "scan.completed", "timestamp": "2026-01-15T14:45:00Z", "data": data,
        })
    };
    assert_eq!(
        made(Dialect::V1, &event, &facts),
        envelope(json!({
            "scan_id": id.to_string(), "status": "completed", "findings_count": 12, "critical_count": 1, "sequence": 7,
        })),
    );
    assert_eq!(
        made(Dialect::V2, &event, &facts),
        envelope(json!({
            "scan_id": 123, "target": "example.com", "status": "completed", "vulnerabilities_found": 5,
            "scan_duration": "15 minutes", "sequence": 7,
        })),
    );
    let text = String::from_utf8(body(Dialect::V1, &event, &facts).unwrap().unwrap()).unwrap();
    assert!(text.starts_with(&format!("{{\"id\":\"{}\",\"event\":\"scan.completed\",\"timestamp\":", event.id)));
}

#[test]
fn a_cancelled_scan_says_so_in_each_dialect() {
    let id = scan_id();
    let event = event(EventBody::ScanCancelled(ScanChanged { scan_id: id, reason: None }));
    let v1 = made(Dialect::V1, &event, &scan_facts(id));
    assert_eq!((v1["event"].as_str(), v1["data"]["status"].as_str()), (Some("scan.cancelled"), Some("cancelled")));
    let v2 = made(Dialect::V2, &event, &scan_facts(id));
    assert_eq!((v2["event"].as_str(), v2["data"]["status"].as_str()), (Some("scan.failed"), Some("failed")));
    assert_eq!(v2["data"]["message"], "the scan was cancelled");
}

#[test]
fn a_started_scan_is_running_even_when_it_has_ended_since() {
    let id = scan_id();
    let event = event(EventBody::ScanStarted(ScanChanged { scan_id: id, reason: None }));
    let expected = json!({
        "scan_id": id.to_string(), "target": "example.com", "status": "running", "tool": "nmap", "sequence": 7,
    });
    assert_eq!(made(Dialect::V1, &event, &scan_facts(id))["data"], expected);
    let expected = json!({ "scan_id": 123, "target": "example.com", "status": "running", "sequence": 7 });
    assert_eq!(made(Dialect::V2, &event, &scan_facts(id))["data"], expected);
}

#[test]
fn a_finding_has_the_fields_of_its_dialect() {
    let facts = finding_facts("text");
    let v1 = made(Dialect::V1, &found(), &facts);
    assert_eq!(v1["event"], "finding.critical");
    for field in ["id", "title", "cve", "cvss", "severity", "evidence", "remediation", "scan_id", "target", "sequence"]
    {
        assert!(!v1["data"][field].is_null(), "{field}");
    }
    let v2 = made(Dialect::V2, &found(), &facts);
    assert_eq!(
        (v2["event"].as_str(), v2["data"]["id"].as_str()),
        (Some("vulnerability.found"), Some("CVE-2021-41773"))
    );
    for field in
        ["title", "severity", "cvss_score", "description", "affected_url", "recommendation", "scan_id", "target"]
    {
        assert!(!v2["data"][field].is_null(), "{field}");
    }
}

#[test]
fn a_report_is_news_in_v1_alone() {
    let id = ReportId::mint(jiff::Timestamp::UNIX_EPOCH);
    let event = event(EventBody::ReportGenerated(ReportChanged { report_id: id }));
    let facts =
        Facts::Report(ReportFacts { id, format: ReportFormat::Pdf, scan_ids: vec![scan_id()], size_bytes: 4_096 });
    let data = &made(Dialect::V1, &event, &facts)["data"];
    assert_eq!(data["report_id"], id.to_string());
    assert_eq!((data["format"].as_str(), data["size_bytes"].as_i64()), (Some("pdf"), Some(4_096)));
    assert_eq!(data["scan_ids"].as_array().unwrap().len(), 1);
    assert!(body(Dialect::V2, &event, &facts).unwrap().is_none());
}

#[test]
fn the_most_hostile_finding_stays_below_the_limit() {
    for text in ["\u{1}".repeat(1_000_000), "\"".repeat(1_000_000), "💥".repeat(250_000)] {
        for dialect in Dialect::ALL {
            let bytes = body(dialect, &found(), &finding_facts(&text)).unwrap().unwrap();
            assert!(bytes.len() < LARGEST_BODY_BYTES / 2, "{}", bytes.len());
        }
    }
}

#[test]
fn what_does_not_belong_together_makes_no_body() {
    let created = event(EventBody::ScanCreated(ScanChanged { scan_id: scan_id(), reason: None }));
    assert!(matches!(body(Dialect::V1, &created, &finding_facts("x")), Err(PayloadError::Facts("scan.created"))));
    let unnumbered = Event { sequence: None, ..created };
    assert!(matches!(body(Dialect::V1, &unnumbered, &scan_facts(scan_id())), Err(PayloadError::Unnumbered)));
}
