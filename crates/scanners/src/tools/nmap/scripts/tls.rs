//! Scripts that look at TLS.

use jiff::{civil::DateTime, tz::TimeZone};

use super::super::script::{Node, Script};
use crate::{
    rules::{self, Rule},
    weakness::{Place, Weakness},
};

/// `ssl-cert`. Versions before 7 print the same facts for people alone.
pub(super) fn certificate(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let Some(certificate) = Certificate::read(script) else { return Vec::new() };
    let now = place.started.map(|started| started.to_zoned(TimeZone::UTC).datetime());
    let is_past = |date: Option<DateTime>| date.zip(now).is_some_and(|(date, now)| date < now);
    let is_future = |date: Option<DateTime>| date.zip(now).is_some_and(|(date, now)| date > now);
    let verdicts = [
        (is_past(certificate.not_after), rules::TLS_CERTIFICATE_EXPIRED),
        (is_future(certificate.not_before), rules::TLS_CERTIFICATE_NOT_YET_VALID),
        (certificate.is_self_signed, rules::TLS_CERTIFICATE_SELF_SIGNED),
        (certificate.has_weak_key(), rules::TLS_WEAK_KEY),
        (certificate.has_weak_signature(), rules::TLS_WEAK_SIGNATURE),
    ];
    let evidence = certificate.evidence(script);
    verdicts.into_iter().filter(|(holds, _)| *holds).map(|(_, rule)| Weakness::of(rule, &evidence)).collect()
}

struct Certificate {
    not_before: Option<DateTime>,
    not_after: Option<DateTime>,
    is_self_signed: bool,
    key_type: String,
    key_bits: Option<u32>,
    signature: String,
}

impl Certificate {
    fn read(script: &Script) -> Option<Self> {
        if script.root.find("validity").is_some() { Self::read_tables(&script.root) } else { Self::read_text(&script.output) }
    }

    fn read_tables(root: &Node) -> Option<Self> {
        let validity = root.find("validity")?;
        let (subject, issuer) = (root.find("subject"), root.find("issuer"));
        let key = root.find("pubkey");
        let key_value = |name: &str| key.and_then(|key| key.value(name)).unwrap_or_default();
        Some(Self {
            not_before: validity.value("notBefore").and_then(read_date),
            not_after: validity.value("notAfter").and_then(read_date),
            is_self_signed: subject.zip(issuer).is_some_and(|(subject, issuer)| is_same(subject, issuer)),
            key_type: key_value("type").to_ascii_lowercase(),
            key_bits: key_value("bits").parse().ok(),
            signature: root.value("sig_algo").unwrap_or_default().to_ascii_lowercase(),
        })
    }

    fn read_text(output: &str) -> Option<Self> {
        let find = |label: &str| output.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
        Some(Self {
            not_before: find("Not valid before:").and_then(read_date),
            not_after: Some(find("Not valid after:").and_then(read_date)?),
            is_self_signed: find("Subject:").is_some_and(|subject| find("Issuer:") == Some(subject)),
            key_type: find("Public Key type:").unwrap_or_default().to_ascii_lowercase(),
            key_bits: find("Public Key bits:").and_then(|bits| bits.parse().ok()),
            signature: find("Signature Algorithm:").unwrap_or_default().to_ascii_lowercase(),
        })
    }

    fn has_weak_key(&self) -> bool {
        let least = match self.key_type.as_str() {
            "rsa" | "dsa" | "dh" => 2048,
            "ec" | "ecdsa" => 224,
            _ => return false,
        };
        self.key_bits.is_some_and(|bits| bits < least)
    }

    fn has_weak_signature(&self) -> bool {
        ["md2", "md4", "md5", "sha1"].iter().any(|hash| self.signature.contains(hash))
    }

    /// The lines that people read, without the certificate itself.
    fn evidence(&self, script: &Script) -> String {
        let lines = script.output.lines().take_while(|line| !line.contains("BEGIN CERTIFICATE"));
        let key = self.key_bits.map(|bits| format!("Key: {} {bits} bits", self.key_type));
        let signature = (!self.signature.is_empty()).then(|| format!("Signature: {}", self.signature));
        lines.map(str::to_owned).chain(key).chain(signature).collect::<Vec<_>>().join("\n")
    }
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

/// `ssl-enum-ciphers`: one finding per protocol and per kind of weak cipher suite.
pub(super) fn ciphers(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let protocols: Vec<&Node> = script.root.children.iter().filter(|node| node.find("ciphers").is_some()).collect();
    let names = |node: &'_ Node| -> Vec<String> {
        let ciphers = node.find("ciphers").map(|ciphers| ciphers.children.iter()).into_iter().flatten();
        ciphers.filter_map(|cipher| cipher.value("name")).map(str::to_owned).collect()
    };
    let weak_protocols = protocols.iter().filter_map(|node| {
        let rule = protocol_rule(&node.key)?;
        Some(Weakness::of(rule, &format!("{}\n{}", node.key, names(node).join("\n"))))
    });
    let mut suites: Vec<String> = protocols.iter().flat_map(|node| names(node)).collect();
    suites.sort_unstable();
    suites.dedup();
    let weak_suites = CIPHER_RULES.iter().filter_map(|(is_weak, rule)| {
        let weak: Vec<&str> = suites.iter().map(String::as_str).filter(|name| is_weak(name)).collect();
        (!weak.is_empty()).then(|| Weakness::of(*rule, &weak.join("\n")))
    });
    weak_protocols.chain(weak_suites).collect()
}

fn protocol_rule(name: &str) -> Option<Rule> {
    match name {
        "SSLv2" => Some(rules::TLS_WEAK_PROTOCOL_SSLV2),
        "SSLv3" => Some(rules::TLS_WEAK_PROTOCOL_SSLV3),
        "TLSv1.0" => Some(rules::TLS_WEAK_PROTOCOL_TLSV1_0),
        "TLSv1.1" => Some(rules::TLS_WEAK_PROTOCOL_TLSV1_1),
        _ => None,
    }
}

/// Whether a suite is of a weak kind.
type IsWeak = fn(&str) -> bool;

/// Kinds of weak suites by the parts of their names (IANA TLS Cipher Suites).
const CIPHER_RULES: [(IsWeak, Rule); 5] = [
    (|name| name.contains("WITH_NULL"), rules::TLS_WEAK_CIPHER_NULL),
    (|name| name.contains("_anon_"), rules::TLS_WEAK_CIPHER_ANONYMOUS),
    (|name| name.contains("EXPORT"), rules::TLS_WEAK_CIPHER_EXPORT),
    (|name| name.contains("RC4"), rules::TLS_WEAK_CIPHER_RC4),
    (|name| name.contains("DES_") || name.contains("3DES"), rules::TLS_WEAK_CIPHER_DES),
];

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
