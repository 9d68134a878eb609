//! What is weak in TLS, judged in one place: every tool that looks at TLS tells facts (protocols, suites, groups,
//! certificates) and this module makes the findings of them, so that all tools agree on names and severities.
//! Each rule is told once per service, whatever the number of suites or certificates it is true of.

mod certificate;
mod suite;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use self::certificate::{Certificate, Clock};
use crate::{
    rules::{self, Rule},
    text,
    weakness::Weakness,
};

/// Text kept of what one rule was seen in.
const MAX_EVIDENCE_BYTES: usize = 3 << 10;
/// Lines kept of what one rule was seen in, to tell a line that is there already.
const MAX_LINES: usize = 400;
/// NIST SP 800-131A: shorter groups are no longer held to be secure.
const LEAST_DH_BITS: u32 = 2048;
const LEAST_CURVE_BITS: u32 = 224;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Ssl2,
    Ssl3,
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

impl Version {
    /// The version of that name in any tool: `TLSv1.0` or `TLSv1` (nmap, sslscan), `TLS_1_0` (sslyze), `TLS1` (testssl).
    pub(crate) fn find(name: &str) -> Option<Self> {
        let plain: String =
            name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).filter(|c| *c != 'v').collect();
        match plain.as_str() {
            "ssl2" | "ssl20" => Some(Self::Ssl2),
            "ssl3" | "ssl30" => Some(Self::Ssl3),
            "tls1" | "tls10" => Some(Self::Tls10),
            "tls11" => Some(Self::Tls11),
            "tls12" => Some(Self::Tls12),
            "tls13" => Some(Self::Tls13),
            _ => None,
        }
    }

    /// The name readers see.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ssl2 => "SSL 2.0",
            Self::Ssl3 => "SSL 3.0",
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }

    /// The rule that speaking it breaks.
    pub(crate) const fn rule(self) -> Option<Rule> {
        match self {
            Self::Ssl2 => Some(rules::TLS_WEAK_PROTOCOL_SSLV2),
            Self::Ssl3 => Some(rules::TLS_WEAK_PROTOCOL_SSLV3),
            Self::Tls10 => Some(rules::TLS_WEAK_PROTOCOL_TLSV1_0),
            Self::Tls11 => Some(rules::TLS_WEAK_PROTOCOL_TLSV1_1),
            Self::Tls12 | Self::Tls13 => None,
        }
    }
}

/// The CVE names of rules that are of one CVE each: findings of all tools meet under it.
const CVES: [(Rule, &str); 8] = [
    (rules::HTTP_COMPRESSION_WITH_TLS, "CVE-2013-3587"),
    (rules::TLS_CCS_INJECTION, "CVE-2014-0224"),
    (rules::TLS_COMPRESSION, "CVE-2012-4929"),
    (rules::TLS_DROWN, "CVE-2016-0800"),
    (rules::TLS_HEARTBLEED, "CVE-2014-0160"),
    (rules::TLS_INSECURE_RENEGOTIATION, "CVE-2009-3555"),
    (rules::SSH_TERRAPIN, "CVE-2023-48795"),
    (rules::TLS_TICKETBLEED, "CVE-2016-9244"),
];

/// The weakness of a rule, under its CVE when it has one.
pub(crate) fn weakness(rule: Rule, evidence: &str) -> Weakness {
    let weakness = Weakness::of(rule, evidence);
    match CVES.iter().find(|(known, _)| known.id == rule.id) {
        Some((_, cve)) => weakness.known_as(cve, None),
        None => weakness,
    }
}

/// What was found of one service.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    found: BTreeMap<&'static str, Found>,
    versions: BTreeMap<Version, bool>,
}

#[derive(Debug)]
struct Found {
    rule: Rule,
    lines: Vec<String>,
    bytes: usize,
}

impl Verdicts {
    /// The rule is broken; `evidence` is what shows it.
    pub(crate) fn add(&mut self, rule: Rule, evidence: &str) {
        let found = self.found.entry(rule.id).or_insert_with(|| Found { rule, lines: Vec::new(), bytes: 0 });
        let line = text::lines(evidence, MAX_EVIDENCE_BYTES);
        let has_room = found.lines.len() < MAX_LINES && found.bytes.saturating_add(line.len()) <= MAX_EVIDENCE_BYTES;
        if has_room && !line.is_empty() && !found.lines.contains(&line) {
            found.bytes = found.bytes.saturating_add(line.len());
            found.lines.push(line);
        }
    }

    /// A version is offered.
    pub(crate) fn offers(&mut self, version: Version) {
        self.versions.insert(version, true);
        if let Some(rule) = version.rule() {
            self.add(rule, &format!("{} is offered", version.name()));
        }
    }

    /// A version was asked for and is not offered.
    pub(crate) fn lacks(&mut self, version: Version) {
        self.versions.entry(version).or_insert(false);
    }

    /// A suite is offered, by the name of IANA or of OpenSSL.
    pub(crate) fn offers_suite(&mut self, version: Option<Version>, suite: &str) {
        if let Some(version) = version {
            self.offers(version);
        }
        for rule in suite::weak_rules(suite) {
            self.add(rule, suite);
        }
        if suite::is_cbc(suite) && version.is_some_and(|version| version <= Version::Tls10) {
            self.add(rules::TLS_CBC_IN_TLS10, suite);
        }
    }

    /// A key exchange over a group of integers of that size was seen.
    pub(crate) fn uses_dh_group(&mut self, bits: u32) {
        if bits > 0 && bits < LEAST_DH_BITS {
            self.add(rules::TLS_WEAK_DH_GROUP, &format!("A group of {bits} bits"));
        }
    }

    /// A key exchange over an elliptic curve of that name was seen or is offered.
    pub(crate) fn offers_curve(&mut self, name: &str) {
        if suite::curve_bits(name).is_some_and(|bits| bits < LEAST_CURVE_BITS) {
            self.add(rules::TLS_WEAK_CURVE, name);
        }
    }

    /// A certificate was presented.
    pub(crate) fn presents(&mut self, certificate: &Certificate, clock: Clock) {
        for rule in certificate.judge(clock) {
            self.add(rule, &certificate.evidence());
        }
    }

    /// The findings, in the order of their rules. What the versions as a whole tell comes with them.
    pub(crate) fn weaknesses(mut self) -> Vec<Weakness> {
        let is = |version| self.versions.get(&version).copied();
        let (tls12, tls13) = (is(Version::Tls12), is(Version::Tls13));
        let has_any = self.versions.values().any(|is_offered| *is_offered);
        if has_any && (tls12, tls13) == (Some(false), Some(false)) {
            self.add(rules::TLS_NO_MODERN_PROTOCOL, "Neither TLS 1.2 nor TLS 1.3 is offered");
        } else if has_any && tls13 == Some(false) {
            self.add(rules::TLS_NO_TLS13, "TLS 1.3 is not offered");
        }
        self.found.into_values().map(|found| weakness(found.rule, &found.lines.join("\n"))).collect()
    }
}
