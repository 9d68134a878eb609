//! One result, and how it becomes an observation.

use picket_domain::{Observation, Severity};
use serde_json::Value;

use super::rule::{Rule, Rules, kind, prose};
use crate::{
    Context,
    import::REPOSITORY,
    json::{items, number, text},
    page::Page,
    text,
    weakness::{Place, Weakness, cve_name, digest},
};

/// What is named of a file beside its fingerprint.
const MAX_NAMED_BYTES: usize = 150;
const MAX_FINGERPRINTS: usize = 16;
const MAX_ARGUMENTS: usize = 16;
const NOWHERE: &Value = &Value::Null;

/// What is kept of a result until its rule is known.
#[derive(Debug)]
pub(super) struct Found {
    rule: String,
    component: usize,
    index: Option<usize>,
    level: String,
    is_verdict: bool,
    severity: Option<f64>,
    message: String,
    message_id: String,
    arguments: Vec<String>,
    cwe: Option<u32>,
    address: String,
    position: String,
    /// What the tool says stays the same when lines move; empty when it says nothing.
    fingerprint: String,
    link: String,
}

impl Found {
    /// A result; `None` for one that says that nothing is wrong, or that was suppressed.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let kind_of_result = text(value, "kind");
        let is_over = matches!(kind_of_result, "pass" | "notApplicable") || text(value, "baselineState") == "absent";
        if is_over || is_suppressed(value) {
            return None;
        }
        let rule = value.get("rule").unwrap_or(NOWHERE);
        let id = [text(value, "ruleId"), text(rule, "id")].into_iter().find(|id| !id.is_empty()).unwrap_or_default();
        let component = rule.get("toolComponent").and_then(|component| index(component, "index"));
        let message = value.get("message").unwrap_or(NOWHERE);
        let properties = value.get("properties").unwrap_or(NOWHERE);
        let arguments = items(message, "arguments").iter().take(MAX_ARGUMENTS).filter_map(Value::as_str);
        let (address, position) = place(value);
        Some(Self {
            rule: text::line(id, 150),
            component: component.map_or(0, |extension| extension.saturating_add(1)),
            index: index(value, "ruleIndex").or_else(|| index(rule, "index")),
            level: text::line(text(value, "level"), 20),
            is_verdict: matches!(kind_of_result, "" | "fail"),
            severity: number(properties, "security-severity"),
            message: prose(message, 2_000),
            message_id: text::line(text(message, "id"), 100),
            arguments: arguments.map(|argument| text::line(argument, 200)).collect(),
            cwe: kind(value, properties),
            address,
            position,
            fingerprint: Some(fingerprint(value)).filter(|text| !text.is_empty()).map(|text| digest(&text)).unwrap_or_default(),
            link: text::line(text(value, "hostedViewerUri"), 500),
        })
    }

    /// What the result says, with what its rule adds.
    pub(super) fn observed(&self, driver: &str, rules: &Rules, context: &Context<'_>) -> Observation {
        let none = Rule::default();
        let rule = rules.find(&self.rule, self.component, self.index).unwrap_or(&none);
        let id = if self.rule.is_empty() { &rule.id } else { &self.rule };
        let filled = if self.message.is_empty() { rule.message(&self.message_id, &self.arguments) } else { None };
        let message = filled.unwrap_or_else(|| self.message.clone());
        let line = joined(&self.address, &self.position);
        let evidence = [message.as_str(), &line].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        let first_line = message.lines().next().unwrap_or_default();
        let title = [rule.title.as_str(), first_line, id].into_iter().find(|title| !title.is_empty()).unwrap_or("A result");
        let (severity, score) = self.severity(rule);
        let weakness = Weakness::of_tool(&name(driver, id), severity, title, &rule.description, &evidence)
            .of_kind(self.cwe.or(rule.cwe))
            .remedied(&rule.help)
            .referring([rule.link.as_str(), self.link.as_str()]);
        let weakness = match cve_name(id) {
            Some(cve) => weakness.known_as(&cve, score),
            None => weakness,
        };
        self.placed(weakness, context)
    }

    fn placed(&self, weakness: Weakness, context: &Context<'_>) -> Observation {
        if let Some(page) = Page::of(&self.address, context) {
            let subject = if self.fingerprint.is_empty() { &self.position } else { &self.fingerprint };
            return weakness.at(&page.path).about(subject).observed(&page.place());
        }
        let host = context.host.and_then(|host| context.host(host)).unwrap_or_else(|| REPOSITORY.to_owned());
        let address = self.address.strip_prefix("file://").unwrap_or(&self.address);
        weakness.about(&self.subject(address)).observed(&Place::of(&host))
    }

    /// The file with the tool's fingerprint of the place in it: a line moves with every edit above it, so it is the last
    /// resort. Of a long address the end is kept by the hash alone.
    fn subject(&self, address: &str) -> String {
        if self.fingerprint.is_empty() {
            return joined(address, &self.position);
        }
        let fingerprint = digest(&format!("{address} {}", self.fingerprint));
        joined(text::prefix(address, MAX_NAMED_BYTES), &fingerprint)
    }

    /// The number of a result or its rule by the bands of CVSS, else the level.
    fn severity(&self, rule: &Rule) -> (Severity, Option<f64>) {
        let score = self.severity.or(rule.severity).filter(|score| (0.0..=10.0).contains(score));
        let level = if self.level.is_empty() { &rule.level } else { &self.level };
        let severity = match (score, level.as_str()) {
            _ if !self.is_verdict => Severity::Info,
            (Some(score), _) => Severity::of_cvss(score),
            (None, "error") => Severity::High,
            (None, "note" | "none") => Severity::Info,
            (None, _) => Severity::Medium,
        };
        (severity, score)
    }
}

/// Whether all who were asked agreed: one rejected or undecided suppression leaves the result in sight.
fn is_suppressed(value: &Value) -> bool {
    let all = items(value, "suppressions");
    !all.is_empty() && all.iter().all(|one| matches!(text(one, "status"), "" | "accepted"))
}

/// `codeql:py/sql-injection`: the analyzer's name in plain letters, then its rule.
fn name(driver: &str, rule: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let driver: String = driver.chars().map(plain).collect();
    let driver = driver.trim_matches('-');
    format!("{}:{}", if driver.is_empty() { "sarif" } else { driver }, if rule.is_empty() { "result" } else { rule })
}

/// `file:12`, or what there is of it.
fn joined(address: &str, position: &str) -> String {
    let colon = if address.is_empty() || position.is_empty() { "" } else { ":" };
    format!("{address}{colon}{position}")
}

/// What stays the same between runs by the tool's word. `guid` is new in each run, so it is none; of the partial
/// fingerprints, those that say what the place looks like (others name a commit or its author).
fn fingerprint(value: &Value) -> String {
    let all = |key: &str| value.get(key).and_then(Value::as_object).into_iter().flatten();
    let whole = all("fingerprints").take(MAX_FINGERPRINTS);
    let is_of_place = |key: &str| ["hash", "fingerprint"].iter().any(|word| key.to_ascii_lowercase().contains(word));
    let partial = all("partialFingerprints").take(MAX_FINGERPRINTS).filter(|(key, _)| is_of_place(key));
    let read = |texts: Vec<&str>| {
        // A sentence in its place, such as "requires login", is none.
        let is_one = |text: &&str| (6..=500).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut texts: Vec<&str> = texts.into_iter().filter(is_one).collect();
        texts.sort_unstable();
        texts.join(" ")
    };
    let whole = read(whole.filter_map(|(_, text)| text.as_str()).chain([text(value, "correlationGuid")]).collect());
    if whole.is_empty() { read(partial.filter_map(|(_, text)| text.as_str()).collect()) } else { whole }
}

/// The address and the position of the first location.
fn place(value: &Value) -> (String, String) {
    let location = items(value, "locations").first().unwrap_or(NOWHERE);
    let physical = location.get("physicalLocation").unwrap_or(NOWHERE);
    let artifact = physical.get("artifactLocation").unwrap_or(NOWHERE);
    let region = physical.get("region").unwrap_or(NOWHERE);
    let address = match (text(artifact, "uri"), index(artifact, "index")) {
        ("", Some(at)) => format!("artifact {at}"),
        (uri, _) => text::line(uri, 400),
    };
    if !address.is_empty() {
        return (address, position(region));
    }
    let logical = items(location, "logicalLocations").first().or_else(|| location.get("logicalLocation")).unwrap_or(NOWHERE);
    let name = [text(logical, "fullyQualifiedName"), text(logical, "name")].into_iter().find(|name| !name.is_empty());
    (String::new(), text::line(name.unwrap_or_default(), 200))
}

/// The line, else the offset in characters or bytes.
fn position(region: &Value) -> String {
    let at = |key: &str| region.get(key).and_then(Value::as_u64);
    match (at("startLine"), at("charOffset"), at("byteOffset")) {
        (Some(line), ..) => line.to_string(),
        (None, Some(offset), _) => format!("@{offset}"),
        (None, None, Some(offset)) => format!("@{offset} bytes"),
        (None, None, None) => String::new(),
    }
}

fn index(value: &Value, key: &str) -> Option<usize> {
    value.get(key).and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(mut result: Value, line: u64) -> String {
        result["ruleId"] = json!("r");
        result["locations"] = json!([{"physicalLocation": {"artifactLocation": {"uri": "src/a.py"}, "region": {"startLine": line}}}]);
        let seen = Found::read(&result).unwrap().observed("x", &Rules::default(), &Context::default());
        assert!(seen.evidence.contains(&format!("src/a.py:{line}")), "{}", seen.evidence);
        seen.subject
    }

    #[test]
    fn a_finding_stays_the_same_when_its_line_moves() {
        for stable in [
            json!({"partialFingerprints": {"primaryLocationLineHash": "39fa2ee980eb94b0:1"}}),
            json!({"fingerprints": {"matchBasedId/v1": "b1c2d3e4f5_0"}}),
            json!({"correlationGuid": "7f8b0f5c-0000-4000-8000-000000000001"}),
        ] {
            let named = subject(stable.clone(), 10);
            assert_eq!(named, subject(stable, 99));
            assert!(named.starts_with("src/a.py:") && named != "src/a.py:10", "{named}");
        }
        let hash = |text: &str| subject(json!({"partialFingerprints": {"primaryLocationLineHash": text}}), 1);
        assert_ne!(hash("39fa2ee980eb94b0:1"), hash("39fa2ee980eb94b0:2"));
    }

    #[test]
    fn what_is_no_fingerprint_leaves_the_line() {
        for none in [
            json!({}),
            json!({"guid": "7f8b0f5c-0000-4000-8000-000000000001"}),
            json!({"fingerprints": {"matchBasedId/v1": "requires login"}}),
            json!({"partialFingerprints": {"commitSha": "39fa2ee980eb94b0", "email": "a@example.com"}}),
        ] {
            assert_eq!(subject(none, 10), "src/a.py:10");
        }
    }
}
