//! What a tool found, before and after it is known to an organization.
//! A fingerprint never depends on severity, description, version or time: those change while the weakness stays.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Severity;

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// A canonical address or host name.
    pub host: String,
    /// The port, when the finding is of a service.
    pub port: Option<u16>,
    /// `tcp` or `udp`, with a port.
    pub protocol: Option<Protocol>,
    /// The URL, when the finding is of a page; without query values.
    pub url: Option<String>,
}

/// The transport of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The protocol of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.name() == name)
    }
}

impl fmt::Display for Location {
    /// `https://example.com/login`, `10.0.0.5:443/tcp` or `10.0.0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.url, self.port) {
            (Some(url), _) => f.write_str(url),
            (None, Some(port)) => write!(f, "{}:{port}/{}", self.host, self.protocol.map_or("tcp", Protocol::name)),
            (None, None) => f.write_str(&self.host),
        }
    }
}

/// One thing a tool reported; all text in it is the target's and hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The canonical rule (`tls.certificate_expired`, `port.open`), or `<tool>:<check>` where none is known.
    pub rule: String,
    /// One line for the reader.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The CVE, when the finding is of one.
    pub cve: Option<String>,
    /// CVSS base score, 0.0 to 10.0.
    pub cvss: Option<f64>,
    /// Where it is.
    pub location: Location,
    /// What exactly at that location: a component, parameter or cipher. Empty when the rule says it all.
    pub subject: String,
    /// What it means.
    pub description: String,
    /// What the tool saw, bounded text.
    pub evidence: String,
    /// What to do about it.
    pub remediation: String,
    /// Product, version and CPE of the service, when known.
    pub service: Option<Service>,
    /// How sure the tool is.
    #[serde(default)]
    pub confidence: Confidence,
    /// The kind of weakness by its number in the Common Weakness Enumeration (<https://cwe.mitre.org>).
    #[serde(default)]
    pub cwe: Option<u32>,
    /// Where to read more: URLs of `http` or `https`, at most 16.
    #[serde(default)]
    pub references: Vec<String>,
}

/// Under which a finding is known in its organization ([`Observation::fingerprint`]); written in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How sure a tool is of what it reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Derived, for instance from a version in a banner, or contradicted by something else that is known.
    Low,
    /// The tool says so and nothing speaks against it.
    #[default]
    Medium,
    /// Seen: the weakness was shown, not derived.
    High,
}

impl Confidence {
    /// All, the surest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The confidence of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|confidence| confidence.name() == name)
    }
}

/// The software behind a port, as far as the tool could tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The protocol spoken, e.g. `http`.
    pub name: Option<String>,
    /// The product, e.g. `Apache httpd`.
    pub product: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Further text of the banner.
    pub extra_info: Option<String>,
    /// CPE names as the tool gave them (2.2 URIs).
    pub cpe: Vec<String>,
}

impl Observation {
    /// The text whose SHA-256 identifies the finding inside its organization: scheme version, rule (or CVE), normalized
    /// location, subject. Parts are separated by a control character that no part can hold.
    #[must_use]
    pub fn identity(&self) -> String {
        let rule = self.cve.as_deref().unwrap_or(&self.rule);
        let location = &self.location;
        let place = location.url.clone().unwrap_or_else(|| {
            let port = location.port.map(|port| port.to_string()).unwrap_or_default();
            format!("{}\u{1e}{}\u{1e}{port}", location.host, location.protocol.map_or("", Protocol::name))
        });
        let clean = |text: &str| text.replace('\u{1f}', "");
        format!("v1\u{1f}{}\u{1f}{}\u{1f}{}", clean(rule), clean(&place), clean(&self.subject))
    }

    /// SHA-256 of [`Self::identity`], under which a finding is known: in the database, and in what `picket parse` prints.
    /// Postgres has no text with NUL, so one counts as the character that is stored in its place.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.identity().replace('\0', "\u{fffd}")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation() -> Observation {
        Observation {
            rule: "port.open".to_owned(),
            title: "Open port 80/tcp (http)".to_owned(),
            severity: Severity::Info,
            cve: None,
            cvss: None,
            location: Location {
                host: "127.0.0.1".to_owned(),
                port: Some(80),
                protocol: Some(Protocol::Tcp),
                url: None,
            },
            subject: String::new(),
            description: String::new(),
            evidence: String::new(),
            remediation: String::new(),
            service: None,
            confidence: Confidence::default(),
            cwe: None,
            references: Vec::new(),
        }
    }

    #[test]
    fn the_identity_ignores_what_changes_between_scans() {
        let first = observation();
        let second = Observation {
            severity: Severity::High,
            title: "other".to_owned(),
            description: "other".to_owned(),
            evidence: "other".to_owned(),
            cvss: Some(9.8),
            ..observation()
        };
        assert_eq!(first.identity(), second.identity());
        assert_eq!(first.fingerprint(), second.fingerprint());
    }

    #[test]
    fn the_identity_tells_places_rules_and_subjects_apart() {
        let base = observation();
        let elsewhere = Observation { location: Location { port: Some(81), ..base.location.clone() }, ..observation() };
        let other_rule = Observation { rule: "x".to_owned(), ..observation() };
        let other_subject = Observation { subject: "x".to_owned(), ..observation() };
        for other in [elsewhere, other_rule, other_subject] {
            assert_ne!(base.identity(), other.identity());
            assert_ne!(base.fingerprint(), other.fingerprint());
        }
    }
}
