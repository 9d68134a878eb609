//! Reports of Trivy and of the Trivy operator (JSON): vulnerable packages, misconfigurations, secrets and licenses of images,
//! file systems, repositories and clusters. Import only.
//!
//! Such findings are of no host of a network: their host is the name of the artifact, their subject the package or file.
//! Severities are Trivy's own. A bill of materials (CycloneDX, SPDX) is no report of findings and is refused.

mod finding;
mod paths;

use std::io::BufRead;

use picket_domain::Severity;
use serde_json::Value;

use self::{
    finding::{Kind, Style},
    paths::{Part, Watched},
};
use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import, artifact},
    json,
    tally::Tally,
    weakness::{Place, Weakness},
};

/// Findings that wait for the name of their file.
const MAX_WAITING: usize = 2000;

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "trivy", name: "json", blanks: &["[]", "null"], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    let is_own = head.is_json('{', &["SchemaVersion"]) && (head.has_key("ArtifactName") || head.has_key("Results"));
    let is_artifact = head.is_json('{', &["ArtifactName", "ArtifactType"]);
    let is_cluster = head.is_json('{', &["ClusterName"])
        && ["Resources", "Findings", "Vulnerabilities", "Misconfigurations"].iter().any(|key| head.has_key(key));
    let is_first = head.is_json('[', &["Target"])
        && ["Vulnerabilities", "Misconfigurations", "Class"].iter().any(|key| head.has_key(key));
    let is_operator = head.text.starts_with(['{', '[']) && head.text.contains("aquasecurity.github.io/v");
    let is_bill = head.has_key("bomFormat") || head.has_key("spdxVersion") || head.has_key("runs");
    (is_own || is_artifact || is_cluster || is_first || is_operator) && !is_bill
}

/// The report while it is being read.
#[derive(Default)]
struct Report {
    /// What was scanned, once the report has told it.
    host: String,
    /// The file, image or resource inside it.
    target: String,
    is_of_system: bool,
    namespace: String,
    kind: String,
    name: String,
    registry: String,
    image: String,
    /// Findings that came before the name of their file, as where keys are sorted.
    waiting: Vec<Weakness>,
    is_begun: bool,
}

fn read(input: &mut dyn BufRead, _: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let watched = Watched::new();
    let mut report = Report::default();
    let end = json::watch(input, &watched.paths(), &mut |path, value| {
        let frame = |part: &Part| {
            matches!(part, Part::EndOfReport | Part::EndOfResource | Part::EndOfResult | Part::Ignored)
        };
        report.is_begun |= watched.part(path).is_some_and(|part| !frame(&part));
        // A list that is empty is written as null.
        if let Some(part) = watched.part(path).filter(|_| !value.is_null()) {
            report.hear(part, &value, &mut tally);
        }
    });
    report.flush(&mut tally);
    match &end {
        Ok(_) if !report.is_begun => tally.refuse("the output is not a report of Trivy"),
        Ok(_) => {
            tally.host_up();
            tally.end(None)
        }
        Err(fault) => import::end(tally, Some(fault)),
    }
}

impl Report {
    fn hear(&mut self, part: Part, value: &Value, tally: &mut Tally<'_>) {
        let text = || value.as_str().unwrap_or_default().to_owned();
        match part {
            Part::Artifact => self.host = artifact(&text(), ""),
            Part::Schema | Part::Ignored => {}
            Part::Target => self.target = text(),
            Part::Class => self.is_of_system = value == "os-pkgs",
            Part::Namespace => self.namespace = text(),
            Part::ResourceKind => self.kind = text(),
            Part::ResourceName => self.name = text(),
            Part::Metadata => self.hear_labels(value),
            Part::Registry => {
                self.registry = json::text(value, "server").to_owned();
                self.settle_image();
            }
            Part::Image => self.hear_image(value),
            Part::EndOfResult => {
                self.flush(tally);
                (self.target, self.is_of_system) = (String::new(), false);
            }
            Part::EndOfResource => (self.namespace, self.kind, self.name) = Default::default(),
            Part::EndOfReport => {
                self.flush(tally);
                *self = Self { is_begun: self.is_begun, ..Self::default() };
            }
            Part::Finding(kind, style) => self.tell(kind, style, value, tally),
        }
    }

    /// The operator names what it looked at in labels.
    fn hear_labels(&mut self, metadata: &Value) {
        let labels = metadata.get("labels").unwrap_or(&Value::Null);
        let label = |name: &str| json::text(labels, &format!("trivy-operator.{name}")).to_owned();
        self.namespace = label("resource.namespace");
        self.kind = label("resource.kind");
        self.name = label("resource.name");
        if self.name.is_empty() {
            self.namespace = json::text(metadata, "namespace").to_owned();
            self.name = json::text(metadata, "name").to_owned();
        }
    }

    fn hear_image(&mut self, image: &Value) {
        let (name, tag) = (json::text(image, "repository"), json::text(image, "tag"));
        let colon = if tag.is_empty() { "" } else { ":" };
        self.image = format!("{name}{colon}{tag}");
        self.settle_image();
    }

    /// Its registry may be told before or after it.
    fn settle_image(&mut self) {
        if !self.image.is_empty() {
            let slash = if self.registry.is_empty() { "" } else { "/" };
            self.host = artifact(&format!("{}{slash}{}", self.registry, self.image), "");
        }
    }

    /// What is inside a cluster: `namespace/kind/name`.
    fn resource(&self) -> String {
        let parts = [&self.namespace, &self.kind, &self.name].into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join("/")
    }

    fn tell(&mut self, kind: Kind, style: Style, value: &Value, tally: &mut Tally<'_>) {
        let is_early = style == Style::Own && self.target.is_empty() && self.waiting.len() < MAX_WAITING;
        let (host, within) = if is_early { Default::default() } else { self.place(style) };
        match finding::read(kind, style, value, &within) {
            finding::Read::Weakness(weakness) if is_early => self.waiting.push(*weakness),
            finding::Read::Weakness(weakness) => tally.tell(weakness.observed(&Place::of(&host))),
            finding::Read::Passed => {}
            finding::Read::Garbled => tally.garbled(),
        }
    }

    /// Tells what waited for the name of its file.
    fn flush(&mut self, tally: &mut Tally<'_>) {
        let (host, within) = self.place(Style::Own);
        for weakness in std::mem::take(&mut self.waiting) {
            tally.tell(weakness.within(&within).observed(&Place::of(&host)));
        }
    }

    /// What a finding is of, and where in it.
    fn place(&self, style: Style) -> (String, String) {
        let resource = self.resource();
        let (host, inside) = match (self.host.is_empty(), style) {
            // An image of the operator is the same image wherever it runs.
            (false, Style::Operator) => (self.host.clone(), String::new()),
            (false, Style::Own) => (self.host.clone(), resource),
            (true, Style::Operator) => (artifact(&resource, "cluster"), String::new()),
            (true, Style::Own) if resource.is_empty() => (artifact(&self.target, "artifact"), resource),
            (true, Style::Own) => ("cluster".to_owned(), resource),
        };
        // The name of an image's system layer holds its version: the package is name enough.
        let file = if self.is_of_system { "" } else { &self.target };
        let within: Vec<&str> = [inside.as_str(), file].into_iter().filter(|part| !part.is_empty()).collect();
        (host, within.join("/"))
    }
}

/// Trivy's severity; what it does not know stays unknown.
fn severity(text: &str) -> Severity {
    Severity::find(&text.trim().to_ascii_lowercase()).unwrap_or(Severity::Unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Host and subject of each finding of a report whose keys are as they are given.
    fn places(report: &str) -> Vec<(String, String)> {
        let (parsed, seen) = crate::testing::read(FORMATS[0], report.as_bytes());
        assert!(parsed.is_complete(), "{parsed:?}");
        seen.into_iter().map(|one| (one.location.host, one.subject)).collect()
    }

    #[test]
    fn the_order_of_keys_changes_no_place() {
        let check = json!({"ID": "DS002", "AVDID": "AVD-DS-0002", "Title": "t", "Severity": "HIGH", "Status": "FAIL"});
        let secret = json!({"RuleID": "aws", "Category": "AWS", "Severity": "HIGH", "Title": "t", "StartLine": 1, "EndLine": 1});
        let results = |first: &str, last: &str| {
            format!("{{\"SchemaVersion\":2,\"ArtifactName\":\"app\",\"Results\":[{{{first}\"Misconfigurations\":[{check}],\"Secrets\":[{secret}]{last}}}]}}")
        };
        let target = "\"Target\":\"Dockerfile\",\"Class\":\"config\"";
        let usual = places(&results(&format!("{target},"), ""));
        assert_eq!(usual, places(&results("", &format!(",{target}"))));
        assert_eq!(usual.len(), 2);
        assert!(usual.iter().all(|(host, subject)| host == "app" && subject.starts_with("Dockerfile")), "{usual:?}");
    }

    #[test]
    fn an_image_of_the_operator_has_its_registry_in_any_order() {
        let found = json!([{"vulnerabilityID": "CVE-2024-0001", "resource": "openssl", "installedVersion": "1", "severity": "HIGH", "title": "t"}]);
        let (image, registry) = ("\"artifact\":{\"repository\":\"library/nginx\",\"tag\":\"1.16\"}", "\"registry\":{\"server\":\"index.docker.io\"}");
        let report = |first: &str, second: &str| {
            places(&format!("{{\"apiVersion\":\"aquasecurity.github.io/v1alpha1\",\"report\":{{{first},{second},\"vulnerabilities\":{found}}}}}"))
        };
        assert_eq!(report(image, registry), report(registry, image));
        assert_eq!(report(image, registry)[0].0, "index.docker.io/library/nginx:1.16");
    }
}
