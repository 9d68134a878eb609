//! What an adapter says of a host in the words of a rule, and how that becomes an observation. All text of the scanned
//! host passes through here, where it is bounded and cleaned.

use jiff::Timestamp;
use picket_domain::{Confidence, Location, Observation, Protocol, Service, Severity};
use sha2::{Digest, Sha256};

use crate::{Context, rules::Rule, text};

const MAX_TITLE_BYTES: usize = 300;
const MAX_SUBJECT_BYTES: usize = 200;
const MAX_PATH_BYTES: usize = 500;
const DIGEST_BYTES: usize = 8;
const MAX_TEXT_BYTES: usize = 4096;
const MAX_REFERENCES: usize = 16;

/// Where something was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// A canonical address or host name (see [`Context::host`](crate::Context::host)).
    pub(crate) host: &'a str,
    pub(crate) port: Option<(u16, Protocol)>,
    pub(crate) service: Option<&'a Service>,
    /// Whether the service speaks TLS from its first byte.
    pub(crate) is_tls: bool,
    /// When the tool started, by its own clock.
    pub(crate) started: Option<Timestamp>,
}

impl<'a> Place<'a> {
    /// A host as a whole.
    pub(crate) const fn of(host: &'a str) -> Self {
        Self { host, port: None, service: None, is_tls: false, started: None }
    }

    /// A service of TCP.
    pub(crate) const fn tcp(host: &'a str, port: u16, is_tls: bool) -> Self {
        Self { port: Some((port, Protocol::Tcp)), is_tls, ..Self::of(host) }
    }

    /// The observation of a weakness that a tool found through a web site: one of the service behind it, not of the site
    /// or of a page, is of the address, where tools that know no sites see it too.
    pub(crate) fn seen(&self, weakness: Weakness, context: &Context<'_>) -> Observation {
        match context.host(self.host).filter(|_| weakness.path.is_none()) {
            Some(host) => weakness.observed(&Place { host: &host, ..*self }),
            None => weakness.observed(self),
        }
    }

    /// The product behind the port, when it is known.
    pub(crate) fn product(&self) -> Option<&str> {
        self.service.and_then(|service| service.product.as_deref())
    }

    fn location(&self, path: Option<&str>) -> Location {
        Location {
            host: self.host.to_owned(),
            port: self.port.map(|(port, _)| port),
            protocol: self.port.map(|(_, protocol)| protocol),
            url: path.and_then(|path| self.url(path)),
        }
    }

    /// The normal form: no default port, no query, no fragment.
    fn url(&self, path: &str) -> Option<String> {
        let (port, _) = self.port?;
        let path = path.split(['?', '#']).next()?;
        let path = path.starts_with('/').then(|| plain_path(path))?;
        let (scheme, default) = if self.is_tls { ("https", 443) } else { ("http", 80) };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_owned() };
        let port = if port == default { String::new() } else { format!(":{port}") };
        Some(format!("{scheme}://{host}{port}{path}"))
    }
}

/// The path as URLs write it, whichever way the tool did. A long one is cut and ends in a hash of the whole, so that
/// different pages stay different findings.
fn plain_path(path: &str) -> String {
    let mut plain = String::new();
    for byte in path.bytes() {
        if plain.len() > MAX_PATH_BYTES {
            return cut_path(&plain, path);
        }
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'`' | b'{' | b'}' => plain.push_str(&format!("%{byte:02X}")),
            _ if byte.is_ascii_graphic() => plain.push(char::from(byte)),
            _ => plain.push_str(&format!("%{byte:02X}")),
        }
    }
    if plain.len() > MAX_PATH_BYTES { cut_path(&plain, path) } else { plain }
}

fn cut_path(plain: &str, whole: &str) -> String {
    let kept = text::prefix(plain, MAX_PATH_BYTES.saturating_sub(1 + 2 * DIGEST_BYTES));
    // Never the half of an escape.
    let start = kept.len().saturating_sub(2);
    let end = kept.get(start..).and_then(|tail| tail.find('%')).map_or(kept.len(), |at| start.saturating_add(at));
    format!("{}~{}", text::prefix(kept, end), digest(whole))
}

/// A short name for a long text: the same in every version and on every machine.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// One weakness before it has a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weakness {
    rule: String,
    severity: Severity,
    title: String,
    description: String,
    remediation: String,
    subject: String,
    evidence: String,
    path: Option<String>,
    cve: Option<String>,
    cvss: Option<f64>,
    confidence: Confidence,
    cwe: Option<u32>,
    references: Vec<String>,
}

impl Weakness {
    /// What the rule says, with what the tool saw.
    pub(crate) fn of(rule: Rule, evidence: &str) -> Self {
        Self {
            rule: rule.id.to_owned(),
            severity: rule.severity,
            title: rule.title.to_owned(),
            description: rule.description.to_owned(),
            remediation: rule.remediation.to_owned(),
            subject: String::new(),
            evidence: text::lines(evidence, MAX_TEXT_BYTES),
            path: None,
            cve: None,
            cvss: None,
            confidence: Confidence::default(),
            cwe: rule.cwe,
            references: Vec::new(),
        }
    }

    /// What no rule of ours knows: a check of the tool's own.
    pub(crate) fn of_tool(check: &str, severity: Severity, title: &str, description: &str, evidence: &str) -> Self {
        Self {
            rule: text::line(check, MAX_SUBJECT_BYTES),
            severity,
            title: text::line(title, MAX_TITLE_BYTES),
            description: text::lines(description, MAX_TEXT_BYTES),
            remediation: String::new(),
            subject: String::new(),
            evidence: text::lines(evidence, MAX_TEXT_BYTES),
            path: None,
            cve: None,
            cvss: None,
            confidence: Confidence::default(),
            cwe: None,
            references: Vec::new(),
        }
    }

    /// Which of several things at the place it is; part of the finding's identity.
    pub(crate) fn about(self, subject: &str) -> Self {
        Self { subject: text::line(subject, MAX_SUBJECT_BYTES), ..self }
    }

    /// Which part of the place it is in, in front of what it is about.
    pub(crate) fn within(self, part: &str) -> Self {
        let colon = if part.is_empty() || self.subject.is_empty() { "" } else { ": " };
        let subject = format!("{part}{colon}{}", self.subject);
        self.about(&subject)
    }

    /// The page it is about; part of the finding's identity. Ignored when it is no plain path.
    pub(crate) fn at(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// A title that says more than the rule's.
    pub(crate) fn titled(self, title: &str) -> Self {
        Self { title: text::line(title, MAX_TITLE_BYTES), ..self }
    }

    /// Another severity than the rule's.
    pub(crate) fn rated(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// What to do, where no rule says it.
    pub(crate) fn remedied(self, remediation: &str) -> Self {
        Self { remediation: text::lines(remediation, MAX_TEXT_BYTES), ..self }
    }

    /// The CVE that it is, with its score.
    pub(crate) fn known_as(self, cve: &str, cvss: Option<f64>) -> Self {
        Self { cve: Some(cve.to_owned()), cvss, ..self }
    }

    /// How sure the tool is.
    pub(crate) fn sure(self, confidence: Confidence) -> Self {
        Self { confidence, ..self }
    }

    /// Its kind, when the tool tells one.
    pub(crate) fn of_kind(self, cwe: Option<u32>) -> Self {
        Self { cwe: cwe.or(self.cwe), ..self }
    }

    /// Where to read more; what is no plain web address is left out.
    pub(crate) fn referring<S: AsRef<str>>(self, references: impl IntoIterator<Item = S>) -> Self {
        let plain = |text: &str| {
            let text = text.trim();
            let is_web = text.starts_with("https://") || text.starts_with("http://");
            (is_web && text.len() <= MAX_PATH_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()))
                .then(|| text.to_owned())
        };
        let references = references.into_iter().filter_map(|text| plain(text.as_ref())).take(MAX_REFERENCES).collect();
        Self { references, ..self }
    }

    /// The observation of it at `place`.
    pub(crate) fn observed(self, place: &Place<'_>) -> Observation {
        Observation {
            location: place.location(self.path.as_deref()),
            service: place.service.cloned(),
            rule: self.rule,
            title: self.title,
            severity: self.severity,
            cve: self.cve,
            cvss: self.cvss,
            subject: self.subject,
            description: self.description,
            evidence: self.evidence,
            remediation: self.remediation,
            confidence: self.confidence,
            cwe: self.cwe,
            references: self.references,
        }
    }
}

/// The CVE name that a text is, in its normal form.
pub(crate) fn cve_name(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let (year, number) = text.strip_prefix("CVE-")?.split_once('-')?;
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let fits = year.len() == 4 && (4..=12).contains(&number.len()) && is_number(year) && is_number(number);
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn a_page_has_its_normal_url() {
        let url =
            |place: Place<'_>, path: &str| Weakness::of(rules::HTTP_TITLE, "").at(path).observed(&place).location.url;
        assert_eq!(url(Place::tcp("192.0.2.1", 80, false), "/a?b=c").as_deref(), Some("http://192.0.2.1/a"));
        assert_eq!(url(Place::tcp("192.0.2.1", 443, true), "/").as_deref(), Some("https://192.0.2.1/"));
        assert_eq!(url(Place::tcp("2001:db8::1", 8443, true), "/").as_deref(), Some("https://[2001:db8::1]:8443/"));
        for (path, plain) in [("/a b", "/a%20b"), ("/\u{1b}", "/%1B"), ("/ü/%20", "/%C3%BC/%20"), ("/<x>", "/%3Cx%3E")]
        {
            let place = Place::tcp("192.0.2.1", 80, false);
            assert_eq!(url(place, path), Some(format!("http://192.0.2.1{plain}")), "{path:?}");
        }
        for path in ["", "a", "javascript:x"] {
            assert_eq!(url(Place::tcp("192.0.2.1", 80, false), path), None, "{path:?}");
        }
    }

    #[test]
    fn long_paths_are_cut_and_stay_different() {
        let place = Place::tcp("192.0.2.1", 80, false);
        let url = |path: &str| Weakness::of(rules::HTTP_TITLE, "").at(path).observed(&place).location.url.unwrap();
        for fill in ["a", "ü", "%C3%BC", "x%20"] {
            let long = format!("/{}", fill.repeat(600));
            let (one, other) = (url(&format!("{long}1")), url(&format!("{long}2")));
            assert_ne!(one, other);
            assert_eq!(one, url(&format!("{long}1?q=1")));
            let (path, _) = one.rsplit_once('~').unwrap();
            assert!(
                one.len() < 600 && path.rsplit('%').next().is_none_or(|tail| fill == "a" || tail.len() >= 2),
                "{one}"
            );
        }
        let huge = url(&format!("/{}", "\u{1}".repeat(8 << 20)));
        assert!(huge.len() < 600, "and only its beginning is written anew");
    }

    #[test]
    fn only_a_cve_name_is_one() {
        assert_eq!(cve_name("cve-2021-44228").as_deref(), Some("CVE-2021-44228"));
        for text in
            ["CVE-2021-1", "CVE-21-44228", "CVE-2021-44228x", "MSF:CVE-2021-44228", "", "CVE-2021-", "CVE-٢٠٢١-44228"]
        {
            assert_eq!(cve_name(text), None, "{text}");
        }
    }
}
