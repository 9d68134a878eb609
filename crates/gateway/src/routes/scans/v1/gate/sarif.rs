//! A scan as SARIF 2.1.0 (OASIS, <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>). All texts are the
//! targets': in a message they are words and nothing else, never a link and never a placeholder.

mod place;
mod rules;

use picket_domain::{Confidence, CoverageState, Severity};
use picket_store::scans::gate::GateFinding;
use serde_json::{Map, Value, json};

use self::{
    place::{locations, plain},
    rules::Rules,
};
use super::{Gated, view::message};
use crate::routes::scans::coverage::coverage_views;

/// Where the schema is published.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The scheme of our fingerprints (`Observation::identity`).
const FINGERPRINT: &str = "picketFingerprint/v1";
/// The most notifications about what was not looked at.
const MOST_NOTIFICATIONS: usize = 1_000;

/// The log of a scan: one run, with every finding as a result.
pub(super) fn log(gated: &Gated) -> Value {
    let exceeded = gated.exceeded();
    let mut rules = Rules::default();
    let is_compared = gated.judged.since.is_some();
    let results: Vec<Value> = gated
        .findings
        .iter()
        .map(|one| {
            let violates = one.is_judged && exceeded.contains(&one.finding.severity);
            result(one, rules.place(&one.finding), violates, is_compared)
        })
        .collect();
    let driver =
        json!({"name": "Picket", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules.into_descriptors()});
    let run = json!({
        "tool": {"driver": driver},
        "automationDetails": {"id": format!("picket/{}", plain(&gated.record.target))},
        "invocations": [invocation(gated)],
        "columnKind": "utf16CodeUnits",
        "results": results,
        "properties": properties(gated),
    });
    json!({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})
}

fn result(one: &GateFinding, (id, index): (String, usize), violates: bool, is_compared: bool) -> Value {
    let finding = &one.finding;
    let said = [finding.title.as_str(), finding.evidence.as_str()];
    let said: Vec<String> = said.into_iter().map(plain).filter(|text| !text.trim().is_empty()).collect();
    let text = if said.is_empty() { id.clone() } else { said.join("\n\n") };
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": locations(&finding.location, &one.subject),
        "partialFingerprints": {FINGERPRINT: one.fingerprint.to_string()},
        "properties": {
            "findingId": finding.id,
            "severity": finding.severity.name(),
            "cvss": finding.cvss,
            "confidence": finding.confidence,
            "sources": finding.sources,
            "violatesPolicy": violates,
        },
    });
    if is_compared && let Some(fields) = result.as_object_mut() {
        fields.insert("baselineState".to_owned(), json!(if one.is_new { "new" } else { "unchanged" }));
    }
    result
}

/// The level of a severity; `none` would say that it is no problem.
const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info | Severity::Unknown => "note",
    }
}

/// How often a result of that confidence is right, in the words that viewers of SARIF know.
const fn precision(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "very-high",
        Confidence::Medium => "high",
        Confidence::Low => "low",
    }
}

/// When it ran, whether it looked at everything, and what it did not look at.
fn invocation(gated: &Gated) -> Value {
    let state = &gated.record.scan.state;
    let is_whole =
        state.is_final() && !gated.is_partial && gated.coverage.iter().all(|one| one.state == CoverageState::Done);
    let mut notes: Vec<Value> = Vec::new();
    if listed(gated) < gated.total {
        notes.push(note(&format!("{} of {} findings are listed, the worst first", listed(gated), gated.total)));
    }
    let gaps = coverage_views(&gated.coverage);
    notes.extend(gaps.iter().filter_map(|gap| Some(note(&plain(&gap.gap()?)))).take(MOST_NOTIFICATIONS));
    let mut fields = Map::new();
    fields.insert("executionSuccessful".to_owned(), json!(is_whole));
    fields.insert("toolExecutionNotifications".to_owned(), Value::Array(notes));
    for (name, time) in [("startTimeUtc", state.started_at()), ("endTimeUtc", state.ended_at())] {
        fields.extend(time.map(|time| (name.to_owned(), json!(time))));
    }
    Value::Object(fields)
}

fn note(text: &str) -> Value {
    json!({"level": "warning", "message": {"text": text}})
}

fn listed(gated: &Gated) -> u64 {
    u64::try_from(gated.findings.len()).unwrap_or(u64::MAX)
}

/// The verdict, and of which scan it is.
fn properties(gated: &Gated) -> Value {
    json!({
        "scanId": gated.record.scan.id,
        "status": gated.record.scan.state.name(),
        "baseScanId": gated.judged.since.flatten(),
        "verdict": gated.verdict,
        "reasons": gated.reasons.iter().map(|reason| message(*reason)).collect::<Vec<_>>(),
        "findings": gated.total,
        "judged": gated.counts.total(),
        "truncated": listed(gated) < gated.total,
    })
}
