//! Where the parts of a report are: in Trivy's own reports (schema 1, 2, clusters) and in the operator's.

use super::finding::{Kind, Style};
use crate::json::EACH;

/// What is at a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// The name of what was scanned.
    Artifact,
    /// The version of the schema.
    Schema,
    Target,
    Class,
    Namespace,
    ResourceKind,
    ResourceName,
    Metadata,
    Registry,
    Image,
    Finding(Kind, Style),
    EndOfResult,
    EndOfResource,
    EndOfReport,
    /// What can be long and tells of no finding.
    Ignored,
}

const OWN: [(&str, Part); 9] = [
    ("Target", Part::Target),
    ("Class", Part::Class),
    ("Vulnerabilities", Part::Finding(Kind::Vulnerability, Style::Own)),
    ("Misconfigurations", Part::Finding(Kind::Misconfiguration, Style::Own)),
    ("Secrets", Part::Finding(Kind::Secret, Style::Own)),
    ("Licenses", Part::Finding(Kind::License, Style::Own)),
    ("Packages", Part::Ignored),
    ("CustomResources", Part::Ignored),
    ("ExperimentalModifiedFindings", Part::Ignored),
];
const OPERATOR: [(&[&str], Part); 6] = [
    (&["metadata"], Part::Metadata),
    (&["report", "registry"], Part::Registry),
    (&["report", "artifact"], Part::Image),
    (&["report", "vulnerabilities"], Part::Finding(Kind::Vulnerability, Style::Operator)),
    (&["report", "checks"], Part::Finding(Kind::Misconfiguration, Style::Operator)),
    (&["report", "secrets"], Part::Finding(Kind::Secret, Style::Operator)),
];
const RESOURCES: [&str; 4] = ["Resources", "Findings", "Vulnerabilities", "Misconfigurations"];

/// All paths with what is there.
pub(super) struct Watched(Vec<(Vec<&'static str>, Part)>);

impl Watched {
    pub(super) fn new() -> Self {
        let mut all = vec![
            (vec!["ArtifactName"], Part::Artifact),
            (vec!["ClusterName"], Part::Artifact),
            (vec!["SchemaVersion"], Part::Schema),
            (vec!["Metadata"], Part::Ignored),
            // The first schema was an array of results.
            (vec![EACH], Part::EndOfReport),
            (vec!["items", EACH], Part::EndOfReport),
        ];
        own(&mut all, &[EACH]);
        own(&mut all, &["Results", EACH]);
        all.push((vec!["Results", EACH], Part::EndOfResult));
        for list in RESOURCES {
            own(&mut all, &[list, EACH, "Results", EACH]);
            all.push((vec![list, EACH, "Results", EACH], Part::EndOfResult));
            all.push((vec![list, EACH], Part::EndOfResource));
            all.push((vec![list, EACH, "Metadata"], Part::Ignored));
            let name = [("Namespace", Part::Namespace), ("Kind", Part::ResourceKind), ("Name", Part::ResourceName)];
            all.extend(name.map(|(key, part)| (vec![list, EACH, key], part)));
        }
        for base in [&[][..], &["items", EACH], &[EACH]] {
            all.extend(OPERATOR.iter().map(|(path, part)| ([base, path].concat(), *part)));
        }
        Self(all)
    }

    /// The paths alone.
    pub(super) fn paths(&self) -> Vec<&[&str]> {
        self.0.iter().map(|(path, _)| path.as_slice()).collect()
    }

    /// What is at the path of that number.
    pub(super) fn part(&self, path: usize) -> Option<Part> {
        self.0.get(path).map(|(_, part)| *part)
    }
}

fn own(all: &mut Vec<(Vec<&'static str>, Part)>, base: &[&'static str]) {
    all.extend(OWN.iter().map(|(key, part)| ([base, &[*key]].concat(), *part)));
}
