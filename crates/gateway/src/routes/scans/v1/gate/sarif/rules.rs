//! The rules of a run, each once and in the order in which its first finding comes. A finding that is one CVE has the CVE
//! for its rule, whichever tool saw it.

use std::collections::HashMap;

use picket_domain::{Confidence, Severity};
use picket_store::scans::read::SightedFinding;
use serde_json::{Value, json};
use url::Url;

use super::{level, place::plain, precision};

/// The rules so far.
#[derive(Default)]
pub(super) struct Rules {
    places: HashMap<String, usize>,
    all: Vec<Rule>,
}

/// A rule; what it is called is what its first, and so its worst, finding says.
struct Rule {
    id: String,
    title: String,
    description: String,
    remediation: String,
    help_uri: Option<String>,
    cwe: Option<i32>,
    severity: Severity,
    confidence: Confidence,
    /// The greatest of its findings.
    score: f64,
}

impl Rules {
    /// The id and the place of a finding's rule.
    pub(super) fn place(&mut self, finding: &SightedFinding) -> (String, usize) {
        let id = finding.cve.clone().unwrap_or_else(|| finding.rule.clone());
        let next = self.all.len();
        let place = *self.places.entry(id.clone()).or_insert(next);
        match self.all.get_mut(place) {
            Some(known) => known.score = known.score.max(score(finding)),
            None => self.all.push(Rule::new(id.clone(), finding)),
        }
        (id, place)
    }

    pub(super) fn into_descriptors(self) -> Vec<Value> {
        self.all.iter().map(Rule::descriptor).collect()
    }
}

impl Rule {
    fn new(id: String, finding: &SightedFinding) -> Self {
        let or = |text: &str, other: &str| if text.trim().is_empty() { other.to_owned() } else { plain(text) };
        let title = or(&finding.title, &plain(&id));
        Self {
            description: or(&finding.description, &title),
            remediation: or(&finding.remediation, &title),
            help_uri: help_uri(finding),
            cwe: finding.cwe,
            severity: finding.severity,
            confidence: finding.confidence,
            score: score(finding),
            id,
            title,
        }
    }

    fn descriptor(&self) -> Value {
        let cwe = self.cwe.map(|cwe| format!("external/cwe/cwe-{cwe}"));
        let tags: Vec<String> = [Some("security".to_owned()), cwe].into_iter().flatten().collect();
        let mut descriptor = json!({
            "id": self.id,
            "shortDescription": {"text": self.title},
            "fullDescription": {"text": self.description},
            "help": {"text": self.remediation},
            "defaultConfiguration": {"level": level(self.severity)},
            "properties": {
                "tags": tags,
                "precision": precision(self.confidence),
                "security-severity": format!("{:.1}", self.score),
            },
        });
        if let (Some(uri), Some(fields)) = (&self.help_uri, descriptor.as_object_mut()) {
            fields.insert("helpUri".to_owned(), json!(uri));
        }
        descriptor
    }
}

/// How bad it is on the scale of CVSS: the lower end of its band where no score is known.
fn score(finding: &SightedFinding) -> f64 {
    finding.cvss.unwrap_or(match finding.severity {
        Severity::Critical => 9.0,
        Severity::High => 7.0,
        Severity::Medium => 4.0,
        Severity::Low => 0.1,
        Severity::Info | Severity::Unknown => 0.0,
    })
}

/// Where to read more: what the tool refers to, else what is known of the CVE or of the kind of weakness.
fn help_uri(finding: &SightedFinding) -> Option<String> {
    let is_page = |url: &Url| matches!(url.scheme(), "http" | "https");
    let referred = finding.references.iter().filter_map(|text| Url::parse(text).ok()).find(is_page);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_cve = |cve: &&String| {
        cve.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(y, n)| digits(y) && digits(n))
    };
    referred
        .map(String::from)
        .or_else(|| Some(format!("https://nvd.nist.gov/vuln/detail/{}", finding.cve.as_ref().filter(is_cve)?)))
        .or_else(|| Some(format!("https://cwe.mitre.org/data/definitions/{}.html", finding.cwe?)))
}
