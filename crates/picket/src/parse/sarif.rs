//! Findings as SARIF 2.1.0 (OASIS). The rules stand behind the results, since they are known only then; their number is
//! bounded, and results name their rule in any case.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use picket_domain::{Observation, Severity};
use picket_scanners::{Format, Parsed};
use serde_json::{Value, json};

use super::{Output, finding};

const MAX_RULES: usize = 5_000;
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) struct Sarif {
    tool: &'static str,
    /// The title of each rule.
    rules: BTreeMap<String, String>,
    is_first: bool,
}

impl Sarif {
    pub(super) fn new(format: &'static dyn Format) -> Self {
        Self { tool: format.tool(), rules: BTreeMap::new(), is_first: true }
    }
}

impl Output for Sarif {
    fn begin(&mut self, writer: &mut dyn Write) -> io::Result<()> {
        write!(
            writer,
            "{{\"$schema\":{},\"version\":\"2.1.0\",\"runs\":[{{\"columnKind\":\"utf16CodeUnits\",\"results\":[",
            json!(SCHEMA)
        )
    }

    fn finding(&mut self, writer: &mut dyn Write, observation: &Observation) -> io::Result<()> {
        writer.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        if self.rules.len() < MAX_RULES {
            self.rules.entry(id(observation).to_owned()).or_insert_with(|| observation.title.clone());
        }
        write!(writer, "{}", result(observation))
    }

    fn end(&mut self, writer: &mut dyn Write, parsed: &Parsed) -> io::Result<()> {
        let rule = |(id, title): (&String, &String)| json!({"id": id, "shortDescription": {"text": title}});
        let rules: Vec<Value> = self.rules.iter().map(rule).collect();
        let driver = json!({"driver": {"name": self.tool, "rules": rules}});
        let mut invocation = json!({"executionSuccessful": parsed.is_complete()});
        if let (false, Some(invocation)) = (parsed.is_complete(), invocation.as_object_mut()) {
            let notice = json!([{"level": "error", "message": {"text": parsed.reason}}]);
            invocation.insert("toolExecutionNotifications".to_owned(), notice);
        }
        writeln!(writer, "],\n\"tool\":{driver},\"invocations\":[{invocation}]}}]}}")
    }
}

fn id(observation: &Observation) -> &str {
    observation.cve.as_deref().unwrap_or(&observation.rule)
}

fn result(observation: &Observation) -> Value {
    let place = observation.location.to_string();
    let mut location = json!({"logicalLocations": [{"fullyQualifiedName": place, "kind": "resource"}]});
    if let (Some(url), Some(location)) = (&observation.location.url, location.as_object_mut()) {
        location.insert("physicalLocation".to_owned(), json!({"artifactLocation": {"uri": url}}));
    }
    let text = [&observation.evidence, &observation.description, &observation.title];
    let text = text.into_iter().find(|text| !text.is_empty()).map_or("", String::as_str);
    let mut properties = json!({
        "severity": observation.severity.name(),
        "confidence": observation.confidence.name(),
        "subject": observation.subject,
        "remediation": observation.remediation,
    });
    if let (Some(score), Some(properties)) = (score(observation), properties.as_object_mut()) {
        properties.insert("security-severity".to_owned(), json!(format!("{score:.1}")));
    }
    if let (Some(cwe), Some(properties)) = (observation.cwe, properties.as_object_mut()) {
        properties.insert("tags".to_owned(), json!([format!("external/cwe/cwe-{cwe:03}")]));
    }
    json!({
        "ruleId": id(observation),
        "level": level(observation.severity),
        "message": {"text": if text.is_empty() { "A finding without text." } else { text }},
        "locations": [location],
        "partialFingerprints": {"picket/v1": finding::hexadecimal(&observation.fingerprint())},
        "properties": properties,
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium | Severity::Unknown => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// The score, else one inside the band of the severity, so that readers that know numbers alone rank it the same.
fn score(observation: &Observation) -> Option<f64> {
    let of_band = match observation.severity {
        Severity::Critical => Some(9.5),
        Severity::High => Some(8.0),
        Severity::Medium => Some(5.5),
        Severity::Low => Some(2.0),
        Severity::Info => Some(0.0),
        Severity::Unknown => None,
    };
    observation.cvss.filter(|score| Severity::of_cvss(*score) == observation.severity).or(of_band)
}
