//! Scripts that look at TLS.

use jiff::civil::DateTime;

use super::super::script::{Node, Script};
use crate::{
    rules,
    tls::{Certificate, Clock, Verdicts, Version},
    weakness::{Place, Weakness},
};

/// `ssl-cert`. Versions before 7 print the same facts for people alone.
pub(super) fn certificate(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let is_tabled = script.root.find("validity").is_some();
    let read = if is_tabled { read_tables(&script.root) } else { read_text(&script.output) };
    let Some(certificate) = read else { return Vec::new() };
    let mut verdicts = Verdicts::default();
    verdicts.presents(&certificate, Clock::at(place.started));
    verdicts.weaknesses()
}

fn read_tables(root: &Node) -> Option<Certificate> {
    let validity = root.find("validity")?;
    let (subject, issuer) = (root.find("subject"), root.find("issuer"));
    let key = root.find("pubkey");
    let key_value = |name: &str| key.and_then(|key| key.value(name)).unwrap_or_default();
    Some(Certificate {
        subject: name(subject),
        issuer: name(issuer),
        not_before: validity.value("notBefore").and_then(read_date),
        not_after: validity.value("notAfter").and_then(read_date),
        is_self_signed: subject.zip(issuer).is_some_and(|(subject, issuer)| is_same(subject, issuer)),
        key_type: key_value("type").to_owned(),
        key_bits: key_value("bits").parse().ok(),
        signature: root.value("sig_algo").unwrap_or_default().to_owned(),
        ..Certificate::default()
    })
}

fn read_text(output: &str) -> Option<Certificate> {
    let find = |label: &str| output.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let text = |label: &str| find(label).unwrap_or_default().to_owned();
    Some(Certificate {
        subject: text("Subject:"),
        issuer: text("Issuer:"),
        not_before: find("Not valid before:").and_then(read_date),
        not_after: Some(find("Not valid after:").and_then(read_date)?),
        is_self_signed: find("Subject:").is_some_and(|subject| find("Issuer:") == Some(subject)),
        key_type: text("Public Key type:"),
        key_bits: find("Public Key bits:").and_then(|bits| bits.parse().ok()),
        signature: text("Signature Algorithm:"),
        ..Certificate::default()
    })
}

/// `commonName=demo.example.com/organizationName=Demo`, as nmap prints it for people.
fn name(node: Option<&Node>) -> String {
    let parts = node.map(|node| node.children.iter()).into_iter().flatten().take(32);
    parts.map(|part| format!("{}={}", part.key, part.value)).collect::<Vec<_>>().join("/")
}

/// `2026-11-25T05:03:06`, with or without a zone (which is always UTC).
fn read_date(text: &str) -> Option<DateTime> {
    text.get(..19)?.parse().ok()
}

fn is_same(one: &Node, other: &Node) -> bool {
    let pairs = |node: &Node| {
        let mut pairs: Vec<(String, String)> =
            node.children.iter().map(|child| (child.key.clone(), child.value.clone())).collect();
        pairs.sort_unstable();
        pairs
    };
    !one.children.is_empty() && pairs(one) == pairs(other)
}

/// `ssl-enum-ciphers`: a table per protocol, with the suites and their key exchange. It says nothing of protocols that it did
/// not find, and old versions do not know the new ones: what is not offered is not judged.
pub(super) fn ciphers(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let mut verdicts = Verdicts::default();
    for protocol in &script.root.children {
        let Some(suites) = protocol.find("ciphers") else { continue };
        let version = Version::find(&protocol.key);
        if let Some(version) = version {
            verdicts.offers(version);
        }
        for suite in &suites.children {
            verdicts.offers_suite(version, suite.value("name").unwrap_or_default());
            // `dh 1024`, `ecdh_x25519`, `secp192r1`.
            let exchange = suite.value("kex_info").unwrap_or_default();
            match exchange.strip_prefix("dh ").map(str::parse) {
                Some(Ok(bits)) => verdicts.uses_dh_group(bits),
                _ if !exchange.starts_with("rsa") => verdicts.offers_curve(exchange),
                _ => {}
            }
        }
    }
    verdicts.weaknesses()
}

/// `sslv2`.
pub(super) fn ssl2(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_spoken = script.output.contains("SSLv2 supported") || script.output.contains("supports SSLv2");
    if is_spoken { vec![Weakness::of(rules::TLS_WEAK_PROTOCOL_SSLV2, &script.output)] } else { Vec::new() }
}

/// `ssl-known-key`.
pub(super) fn known_key(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_known = script.output.trim_start().starts_with("Found in");
    if is_known { vec![Weakness::of(rules::TLS_KNOWN_PRIVATE_KEY, &script.output)] } else { Vec::new() }
}
