//! The examples that the two references print, word for word, and the comparison of an answer with one of them.
//! Nothing here knows the service.

use serde_json::Value;

/// `POST /api/v1/scans/create`, the request.
pub(crate) const V1_CREATE: &str = r#"{
  "target": "example.com",
  "tool": "nmap",
  "parameters": {
    "scan_type": "-sV -sC -O",
    "ports": "1-10000",
    "timing": "-T4"
  },
  "scan_type": "custom",
  "notify": ["email"]
}"#;

/// `POST /api/v1/scans/create`, the answer.
pub(crate) const V1_CREATED: &str = r#"{
  "id": "scan_a1b2c3d4",
  "status": "created",
  "target": "example.com",
  "tool": "nmap",
  "created_at": "2026-01-15T14:30:00Z"
}"#;

/// `GET /api/v1/scan/:id/result`, the answer.
pub(crate) const V1_RESULT: &str = r#"{
  "scan_id": "scan_a1b2c3d4",
  "status": "completed",
  "duration_ms": 124500,
  "findings": {
    "total": 12,
    "critical": 1,
    "high": 3,
    "medium": 5,
    "low": 2,
    "info": 1
  },
  "vulnerabilities": [
    {
      "id": "vuln_001",
      "title": "Apache Request Smuggling",
      "cve": "CVE-2023-25690",
      "cvss": 9.8,
      "severity": "critical",
      "evidence": "HTTP/1.1 smuggling...",
      "remediation": "Upgrade Apache to 2.4.58+"
    }
  ]
}"#;

/// `GET /api/v1/scans`: what the answer includes beside `data`.
pub(crate) const V1_PAGINATION: &str = r#"{
    "page": 1,
    "per_page": 25,
    "total": 142,
    "total_pages": 6
  }"#;

/// The v1 webhook payload.
pub(crate) const V1_WEBHOOK: &str = r#"{
  "event": "scan.completed",
  "timestamp": "2026-01-15T14:45:00Z",
  "data": {
    "scan_id": "scan_a1b2c3d4",
    "status": "completed",
    "findings_count": 12,
    "critical_count": 1
  }
}"#;

/// `GET /scans`, the answer.
pub(crate) const V2_LIST: &str = r#"{
  "data": [
    {
      "id": 1,
      "target": "example.com",
      "status": "completed",
      "created_at": "2025-09-24T10:00:00Z",
      "completed_at": "2025-09-24T10:15:00Z",
      "vulnerabilities_found": 5,
      "severity_counts": {
        "critical": 1,
        "high": 2,
        "medium": 2,
        "low": 0
      }
    }
  ],
  "meta": {
    "current_page": 1,
    "total_pages": 5,
    "total_items": 42
  }
}"#;

/// `POST /scans`, the request.
pub(crate) const V2_CREATE: &str = r#"{
  "target": "example.com",
  "scan_type": "full", // full, quick, custom
  "options": {
    "include_subdomain": true,
    "port_scan": true,
    "web_scan": true,
    "ssl_scan": true
  }
}"#;

/// `POST /scans`, the answer.
pub(crate) const V2_CREATED: &str = r#"{
  "scan_id": 123,
  "status": "pending",
  "target": "example.com",
  "estimated_duration": "10-15 minutes",
  "message": "Scan has been queued successfully"
}"#;

/// `GET /scans/{id}`, the answer.
pub(crate) const V2_DETAIL: &str = r#"{
  "id": 123,
  "target": "example.com",
  "status": "completed",
  "scan_type": "full",
  "started_at": "2025-09-24T10:00:00Z",
  "completed_at": "2025-09-24T10:15:00Z",
  "vulnerabilities": [
    {
      "id": "CVE-2023-1234",
      "title": "SQL Injection Vulnerability",
      "severity": "high",
      "cvss_score": 8.5,
      "description": "SQL injection vulnerability in login form",
      "affected_url": "https://example.com/login",
      "recommendation": "Use parameterized queries"
    }
  ]
}"#;

/// `POST /reports`, the request.
pub(crate) const V2_REPORT: &str = r#"{
  "scan_ids": [123, 124, 125],
  "format": "pdf", // pdf, html, json
  "include_executive_summary": true,
  "include_technical_details": true,
  "custom_branding": {
    "company_name": "Your Company",
    "logo_url": "https://yoursite.com/logo.png"
  }
}"#;

/// The v2 webhook payload.
pub(crate) const V2_WEBHOOK: &str = r#"{
  "event": "scan.completed",
  "timestamp": "2025-09-24T10:15:00Z",
  "data": {
    "scan_id": 123,
    "target": "example.com",
    "status": "completed",
    "vulnerabilities_found": 5,
    "scan_duration": "15 minutes"
  }
}"#;

/// The file of each reference among the shared data.
pub(crate) const V1_REFERENCE: &str = "seeds/000_5ca48452c0682424.txt";
/// See [`V1_REFERENCE`].
pub(crate) const V2_REFERENCE: &str = "seeds/004_f119e76de21d9cdb.txt";

/// An example as JSON: without the comments that the reference explains it by.
pub(crate) fn json(printed: &str) -> Value {
    let without_comments: Vec<&str> =
        printed.lines().map(|line| line.split_once(" //").map_or(line, |(code, _)| code)).collect();
    serde_json::from_str(&without_comments.join("\n")).expect("a printed example is JSON")
}

/// Demands that `answer` has at least the fields of `printed`, of the same types. Texts that are times are times again,
/// and every element of a list has the fields of the printed one.
pub(crate) fn assert_like(printed: &Value, answer: &Value) {
    compare(printed, answer, "$");
}

fn compare(printed: &Value, answer: &Value, path: &str) {
    match (printed, answer) {
        (Value::Object(printed), Value::Object(answer)) => {
            for (name, value) in printed {
                let found = answer.get(name).unwrap_or_else(|| panic!("{path}.{name} is missing in {answer:?}"));
                compare(value, found, &format!("{path}.{name}"));
            }
        }
        (Value::Array(printed), Value::Array(answer)) => {
            assert!(!answer.is_empty(), "{path} is empty");
            for (place, found) in answer.iter().enumerate() {
                compare(&printed[0], found, &format!("{path}[{place}]"));
            }
        }
        (Value::String(printed), Value::String(answer)) => {
            if is_time(printed) {
                assert!(is_time(answer), "{path}: expected a time, found {answer}");
            }
        }
        (Value::Number(printed), Value::Number(answer)) => {
            assert_eq!(printed.is_f64(), answer.is_f64(), "{path}: expected a number like {printed}, found {answer}");
        }
        (Value::Bool(_), Value::Bool(_)) => {}
        (printed, answer) => panic!("{path}: expected a value like {printed}, found {answer}"),
    }
}

/// A time as both references print it, in UTC.
fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

#[test]
fn every_example_stands_in_its_reference_word_for_word() {
    let v1 = [V1_CREATE, V1_CREATED, V1_RESULT, V1_PAGINATION, V1_WEBHOOK];
    let v2 = [V2_LIST, V2_CREATE, V2_CREATED, V2_DETAIL, V2_REPORT, V2_WEBHOOK];
    for (reference, examples) in [(V1_REFERENCE, v1.as_slice()), (V2_REFERENCE, v2.as_slice())] {
        let Some(path) = picket_testkit::shared(reference) else { continue };
        let text = std::fs::read_to_string(path).expect("a reference");
        for example in examples {
            assert!(text.contains(example), "not in {reference}: {example}");
            json(example);
        }
    }
}

#[test]
#[should_panic(expected = "$.data.critical_count is missing")]
fn a_missing_field_is_noticed() {
    assert_like(&json(V1_WEBHOOK), &serde_json::json!({"event": "x", "timestamp": "2026-01-15T14:45:00Z", "data": {}}));
}

#[test]
#[should_panic(expected = "$.page: expected a value like 1")]
fn another_type_is_noticed() {
    assert_like(&json(V1_PAGINATION), &serde_json::json!({"page": "1"}));
}
