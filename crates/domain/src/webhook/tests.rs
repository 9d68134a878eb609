//! URLs, events and secrets of webhooks.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{FindingFound, FindingId, ScanChanged, ScanId};

fn changed() -> ScanChanged {
    ScanChanged { scan_id: ScanId::from_uuid(Uuid::from_u128(1)), reason: None }
}

fn found(severity: Severity) -> EventBody {
    EventBody::FindingFound(FindingFound {
        finding_id: FindingId::from_uuid(Uuid::from_u128(2)),
        scan_id: changed().scan_id,
        severity,
    })
}

proptest! {
    #[test]
    fn any_text_is_a_url_or_is_refused_without_a_panic(text in "\\PC{0,80}") {
        if let Ok(url) = WebhookUrl::parse(&text) {
            prop_assert!(url.url().has_host() && url.url().username().is_empty());
        }
    }
}

#[test]
fn the_published_names_are_those_of_the_dialects() {
    let names = |dialect| WebhookEvent::of_dialect(dialect).into_iter().map(WebhookEvent::name).collect::<Vec<_>>();
    let v1 = names(Dialect::V1);
    for name in
        ["scan.created", "scan.started", "scan.completed", "scan.failed", "report.generated", "finding.critical"]
    {
        assert!(v1.contains(&name), "{name}");
    }
    assert_eq!(names(Dialect::V2), ["scan.started", "scan.completed", "scan.failed", "vulnerability.found"]);
}

#[test]
fn a_cancelled_scan_is_cancelled_in_v1_and_failed_in_v2() {
    let body = EventBody::ScanCancelled(changed());
    assert_eq!(WebhookEvent::of(Dialect::V1, &body), Some(WebhookEvent::ScanCancelled));
    assert_eq!(WebhookEvent::of(Dialect::V2, &body), Some(WebhookEvent::ScanFailed));
    assert_eq!(WebhookEvent::of(Dialect::V2, &EventBody::ScanPaused(changed())), None);
    assert_eq!(WebhookEvent::of(Dialect::V2, &EventBody::ScanCreated(changed())), None);
}

#[test]
fn only_critical_findings_are_news_in_v1_and_info_is_never_a_vulnerability() {
    assert_eq!(WebhookEvent::of(Dialect::V1, &found(Severity::Critical)), Some(WebhookEvent::FindingCritical));
    assert_eq!(WebhookEvent::of(Dialect::V1, &found(Severity::High)), None);
    assert_eq!(WebhookEvent::of(Dialect::V2, &found(Severity::Low)), Some(WebhookEvent::VulnerabilityFound));
    for severity in [Severity::Info, Severity::Unknown] {
        assert_eq!(WebhookEvent::of(Dialect::V2, &found(severity)), None);
    }
}

#[test]
fn a_list_of_events_is_checked_against_its_dialect() {
    let list = WebhookEvent::parse_list(Dialect::V1, &["scan.failed", "scan.completed", "scan.failed"]).unwrap();
    assert_eq!(list, [WebhookEvent::ScanCompleted, WebhookEvent::ScanFailed]);
    assert_eq!(WebhookEvent::parse_list::<&str>(Dialect::V1, &[]), Err(WebhookError::NoEvents));
    let error = WebhookEvent::parse_list(Dialect::V2, &["scan.created"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected one of scan.started, scan.completed, scan.failed, vulnerability.found, found `scan.created`",
    );
}

#[test]
fn a_url_with_credentials_or_another_scheme_is_refused() {
    for text in ["https://example.com/hook?x=1", "http://127.0.0.1:8080/", "https://[2001:db8::1]:8443/a@b"] {
        assert_eq!(WebhookUrl::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "",
        "example.com",
        "//example.com",
        "https:",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://:@example.com/",
        "https://good.example\\@127.0.0.1/",
        "https://example.com/#fragment",
        "https://exam\nple.com/",
        " https://example.com/",
        "javascript:alert(1)",
    ] {
        assert_eq!(WebhookUrl::parse(text), Err(WebhookError::Url), "{text}");
    }
    assert!(WebhookUrl::parse(&format!("https://example.com/{}", "a".repeat(LONGEST_URL))).is_err());
}
