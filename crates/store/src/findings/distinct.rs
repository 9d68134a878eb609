//! What one report says several times of one finding, as one observation. It must choose as the statement that merges
//! rows does, so that it does not matter which of both meets the repetition: of each field the richest, and of what is
//! equally rich the last by its bytes.

use std::{borrow::Cow, collections::BTreeMap};

use picket_domain::{Observation, Service};

/// Observations by their fingerprints, in the order of these.
pub(super) type Distinct<'a> = (Vec<u8>, Cow<'a, Observation>);

/// One observation per fingerprint.
pub(super) fn distinct(observations: &[Observation]) -> Vec<Distinct<'_>> {
    let mut distinct: BTreeMap<[u8; 32], Cow<'_, Observation>> = BTreeMap::new();
    for observation in observations {
        distinct
            .entry(observation.fingerprint())
            .and_modify(|known| merge(known.to_mut(), observation))
            .or_insert(Cow::Borrowed(observation));
    }
    distinct.into_iter().map(|(fingerprint, observation)| (fingerprint.to_vec(), observation)).collect()
}

/// A score as the column takes it; a tool's nonsense counts as no score.
pub(super) fn score(observation: &Observation) -> Option<f64> {
    observation.cvss.filter(|score| (0.0..=10.0).contains(score))
}

fn merge(known: &mut Observation, other: &Observation) {
    if (other.severity, wealth(&other.title)) > (known.severity, wealth(&known.title)) {
        known.title.clone_from(&other.title);
    }
    known.severity = known.severity.max(other.severity);
    known.cvss = match (score(known), score(other)) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
    keep_richer(&mut known.description, &other.description);
    keep_richer(&mut known.remediation, &other.remediation);
    keep_richer(&mut known.evidence, &other.evidence);
    if worth(other.service.as_ref()) > worth(known.service.as_ref()) {
        known.service.clone_from(&other.service);
    }
    known.confidence = known.confidence.max(other.confidence);
    known.cwe = match (known.cwe, other.cwe) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    if (other.references.len(), &other.references) > (known.references.len(), &known.references) {
        known.references.clone_from(&other.references);
    }
    // Tools that meet under a CVE call it by rules of their own, at one place.
    if other.rule < known.rule {
        known.rule.clone_from(&other.rule);
    }
}

/// How much a text says.
fn wealth(text: &str) -> (usize, &str) {
    (text.chars().count(), text)
}

fn keep_richer(known: &mut String, other: &str) {
    if wealth(other) > wealth(known) {
        other.clone_into(known);
    }
}

/// How much is known of a service.
fn worth(service: Option<&Service>) -> Option<(bool, usize, String)> {
    let service = service?;
    let text = serde_json::to_string(service).unwrap_or_default();
    Some((service.product.is_some(), text.chars().count(), text))
}

#[cfg(test)]
mod tests {
    use picket_domain::{Confidence, Location, Severity};

    use super::*;

    fn observation(severity: Severity, text: &str) -> Observation {
        let location = Location { host: "192.0.2.1".to_owned(), port: None, protocol: None, url: None };
        Observation {
            rule: "r".to_owned(),
            title: text.to_owned(),
            severity,
            cve: None,
            cvss: None,
            location,
            subject: String::new(),
            description: text.to_owned(),
            evidence: text.to_owned(),
            remediation: text.to_owned(),
            service: None,
            confidence: Confidence::Low,
            cwe: None,
            references: vec![text.to_owned()],
        }
    }

    #[test]
    fn the_order_of_repetitions_changes_nothing_and_no_field_is_lost() {
        let named = |product: &str| Some(Service { product: Some(product.to_owned()), ..Service::default() });
        let all = [
            Observation { cvss: Some(9.8), ..observation(Severity::Low, "long text") },
            Observation { cwe: Some(79), confidence: Confidence::High, ..observation(Severity::High, "b") },
            Observation { cwe: Some(20), service: named("nginx"), ..observation(Severity::High, "a") },
            Observation { cvss: Some(99.0), service: named("nginy"), ..observation(Severity::Info, "other txt") },
        ];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [1, 0, 3, 2], [3, 0, 2, 1]];
        for order in orders {
            let said: Vec<Observation> = order.iter().map(|at| all[*at].clone()).collect();
            let merged = distinct(&said);
            let [(_, one)] = merged.as_slice() else { panic!("{merged:?}") };
            assert_eq!(
                (one.severity, one.confidence, one.cvss),
                (Severity::High, Confidence::High, Some(9.8)),
                "{order:?}"
            );
            assert_eq!(
                (one.title.as_str(), one.description.as_str(), one.cwe),
                ("b", "other txt", Some(20)),
                "{order:?}"
            );
            assert_eq!((&one.service, one.references[0].as_str()), (&named("nginy"), "other txt"), "{order:?}");
        }
    }
}
