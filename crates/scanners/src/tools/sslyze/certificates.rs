//! What sslyze tells of certificates, in the words of all its versions.

use jiff::civil::DateTime;
use serde_json::Value;

use crate::{json, text, tls::Certificate};

const MAX_VALUE_BYTES: usize = 1 << 10;
/// Deployments of one service: RSA and ECDSA beside each other, seldom more.
const MAX_DEPLOYMENTS: usize = 16;

/// The leaf of every deployment. `has_name` tells whether the server was looked at by a name.
pub(super) fn read(result: &Value, has_name: bool) -> Vec<Certificate> {
    let deployments = json::items(result, "certificate_deployments").iter().take(MAX_DEPLOYMENTS);
    deployments.filter_map(|deployment| leaf(deployment, has_name)).collect()
}

/// Whether the service has more deployments than are read.
pub(super) fn is_cut(result: &Value) -> bool {
    json::items(result, "certificate_deployments").len() > MAX_DEPLOYMENTS
}

fn leaf(deployment: &Value, has_name: bool) -> Option<Certificate> {
    let chain = json::items(deployment, "received_certificate_chain");
    let leaf = chain.first()?;
    let key = leaf.get("public_key").or_else(|| leaf.get("publicKey"));
    let of_key = |names: [&str; 2]| names.iter().find_map(|name| json::number(key?, name));
    let mismatch = deployment.get("leaf_certificate_subject_matches_hostname").and_then(Value::as_bool) == Some(false);
    let faults = faults(deployment);
    let is_of_other_name =
        mismatch || faults.as_ref().is_some_and(|faults| faults.iter().any(|fault| is_about_name(fault)));
    Some(Certificate {
        subject: name(leaf.get("subject")),
        issuer: name(leaf.get("issuer")),
        not_before: date(leaf, ["not_valid_before", "notBefore"]),
        not_after: date(leaf, ["not_valid_after", "notAfter"]),
        is_self_signed: is_self_signed(leaf),
        is_untrusted: faults.is_some_and(|faults| !faults.iter().all(|fault| is_about_name(fault))),
        is_of_other_name: has_name && is_of_other_name,
        key_type: key.map(|key| text::line(json::text(key, "algorithm").trim_matches('_'), 64)).unwrap_or_default(),
        key_bits: of_key(["key_size", "size"])
            .filter(|bits| (1.0..=65_536.0).contains(bits))
            .and_then(|bits| format!("{bits:.0}").parse().ok()),
        signature: signature(leaf),
        ..Certificate::default()
    })
}

/// Why no trust store accepts the chain; `None` when one does, or when none was asked.
fn faults(deployment: &Value) -> Option<Vec<String>> {
    let results = json::items(deployment, "path_validation_results");
    let is_accepted = |result: &Value| match result.get("was_validation_successful").and_then(Value::as_bool) {
        Some(is_accepted) => is_accepted,
        None => result.get("verified_certificate_chain").is_some_and(|chain| !chain.is_null()),
    };
    if results.is_empty() || results.iter().any(is_accepted) {
        return None;
    }
    let fault = |result: &Value| {
        let said = ["validation_error", "openssl_error_string"].map(|key| json::text(result, key));
        text::line(&said.join(" "), MAX_VALUE_BYTES)
    };
    Some(results.iter().map(fault).collect())
}

/// `leaf certificate has no matching subjectAltName`.
fn is_about_name(fault: &str) -> bool {
    fault.contains("no matching subjectAltName")
}

fn is_self_signed(leaf: &Value) -> bool {
    let (subject, issuer) = (leaf.get("subject"), leaf.get("issuer"));
    let is_known = subject
        .is_some_and(|subject| !json::items(subject, "attributes").is_empty() || !name(Some(subject)).is_empty());
    is_known && subject == issuer
}

/// The distinguished name; versions before 5 give its parts alone.
fn name(name: Option<&Value>) -> String {
    let Some(name) = name else { return String::new() };
    let whole = json::text(name, "rfc4514_string");
    if !whole.is_empty() {
        return text::line(whole, MAX_VALUE_BYTES);
    }
    let parts = json::items(name, "attributes").iter().map(|part| {
        let kind = part.get("oid").map(|oid| json::text(oid, "name")).unwrap_or_default();
        format!("{kind}={}", json::text(part, "value"))
    });
    text::line(&parts.take(32).collect::<Vec<_>>().join(", "), MAX_VALUE_BYTES)
}

/// UTC, with or without a zone.
fn date(leaf: &Value, names: [&str; 2]) -> Option<DateTime> {
    let text = names.iter().map(|name| json::text(leaf, name)).find(|text| !text.is_empty())?;
    text.get(..19)?.parse().ok()
}

fn signature(leaf: &Value) -> String {
    let hash =
        leaf.get("signature_hash_algorithm").map(|hash| json::text(hash, "name")).filter(|name| !name.is_empty());
    let oid = leaf.get("signature_algorithm_oid").map(|oid| json::text(oid, "name")).filter(|name| !name.is_empty());
    text::line(oid.or(hash).unwrap_or_else(|| json::text(leaf, "signatureAlgorithm")), 100)
}
