//! What one item of Nikto means. The numbers of its checks changed between versions, so most are known by their text.

use picket_domain::{Confidence, Severity};

use crate::{headers, paths, rules, weakness::{Weakness, cve_name, digest}};

const MAX_MESSAGE_BYTES: usize = 4000;

/// One item of a report.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) osvdb: String,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) message: String,
    pub(super) references: String,
}

/// What an item is.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Something that was seen.
    Seen(Box<Weakness>),
    /// Nikto could not do its work; why.
    Failed(String),
    /// Nikto stopped before it had tried everything.
    RanOutOfTime,
}

impl Item {
    /// What the item says.
    pub(super) fn meaning(&self, is_tls: bool) -> Meaning {
        let message = self.message();
        if let Some(failure) = message.strip_prefix("ERROR: ") {
            return if failure.contains("maximum execution time") { Meaning::RanOutOfTime } else { Meaning::Failed(failure.to_owned()) };
        }
        Meaning::Seen(Box::new(self.weakness(message, is_tls)))
    }

    /// The text behind the path, which newer versions repeat in front.
    fn message(&self) -> &str {
        let message = crate::text::prefix(self.message.trim(), MAX_MESSAGE_BYTES);
        let behind = message.strip_prefix(self.url.as_str()).and_then(|rest| rest.strip_prefix(": "));
        behind.unwrap_or(message)
    }

    fn path(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        if path.starts_with('/') { path } else { "/" }
    }

    fn weakness(&self, message: &str, is_tls: bool) -> Weakness {
        let evidence = format!("{} {}: {message}", self.method, self.url);
        let lower = message.to_ascii_lowercase();
        let known = header(message, &lower, &evidence, is_tls)
            .or_else(|| self.server(message, &lower, &evidence))
            .or_else(|| self.exposure(&lower, &evidence));
        let weakness = known.unwrap_or_else(|| self.other(message, &lower, &evidence));
        let urls = self.references.split([' ', ',', '\n']).filter(|word| word.starts_with("http"));
        weakness.of_kind(self.cwe()).referring(urls)
    }

    /// What concerns the server as a whole.
    fn server(&self, message: &str, lower: &str, evidence: &str) -> Option<Weakness> {
        if lower.contains("appears to be outdated") {
            let product = message.split(['/', ' ']).next().unwrap_or_default();
            return Some(Weakness::of(rules::WEB_OUTDATED_COMPONENT, evidence).at("/").about(product).sure(Confidence::Low));
        }
        if lower.contains("trace method is active") || lower.contains("trace method active") {
            return Some(Weakness::of(rules::HTTP_TRACE_ENABLED, evidence));
        }
        let is_method = lower.contains("method could allow") || lower.contains("' method indicates");
        if let Some(method) = ["PUT", "DELETE", "CONNECT"].into_iter().find(|method| is_method && message.contains(&format!("'{method}'"))) {
            let title = format!("The web server announces the method {method}");
            return Some(Weakness::of(rules::HTTP_RISKY_METHOD, evidence).about(method).titled(&title));
        }
        let is_powered = lower.contains("x-powered-by header") || lower.starts_with("server banner");
        if is_powered && message.bytes().any(|byte| byte.is_ascii_digit()) {
            return Some(headers::weakness(rules::HTTP_VERSION_DISCLOSED, evidence));
        }
        let is_internal = lower.contains("rfc-1918") || lower.contains("internal ip") || lower.contains("ip address found in the");
        is_internal.then(|| headers::weakness(rules::HTTP_INTERNAL_ADDRESS_DISCLOSED, evidence))
    }

    /// What is served and should not be.
    fn exposure(&self, lower: &str, evidence: &str) -> Option<Weakness> {
        let path = self.path();
        if lower.contains("directory indexing found") {
            return Some(Weakness::of(rules::HTTP_DIRECTORY_LISTING, evidence).at(path));
        }
        if lower.starts_with("default account found") {
            return Some(Weakness::of(rules::AUTH_GUESSED_CREDENTIALS, evidence).at(path));
        }
        if lower.contains("manually viewed") && lower.contains("entr") {
            return Some(Weakness::of(rules::HTTP_ROBOTS_TXT, evidence).at("/robots.txt"));
        }
        if lower.contains("default file found") || lower.contains("default page") {
            return Some(Weakness::of(rules::HTTP_DEFAULT_PAGE, evidence).at(path));
        }
        if lower.contains("phpinfo()") {
            return Some(Weakness::of(rules::HTTP_PHPINFO_EXPOSED, evidence).at(path));
        }
        let is_served = lower.contains("found") || lower.contains("might be interesting") || lower.contains("reveals") || lower.contains("status page");
        if is_served && let Some((rule, place)) = paths::exposed(path) {
            return Some(Weakness::of(rule, evidence).at(&place));
        }
        if lower.contains("admin") && lower.contains("found") && lower.contains("login") {
            return Some(Weakness::of(rules::HTTP_ADMIN_INTERFACE, evidence).at(path));
        }
        lower.contains("might be interesting").then(|| paths::weakness(path, evidence))
    }

    /// A check that no rule of ours is of.
    fn other(&self, message: &str, lower: &str, evidence: &str) -> Weakness {
        let cve = self.cve();
        let severity = self.severity(lower, cve.is_some());
        let title = message.split(". ").next().unwrap_or(message);
        let check = self.check(message);
        let weakness = Weakness::of_tool(&check, severity, title, message, evidence).at(self.path()).about(quoted(message)).sure(Confidence::Low);
        match cve {
            Some(cve) => weakness.known_as(&cve, None),
            None => weakness,
        }
    }

    /// The check, by its number; where an output has none (2.1.5 in its texts and tables), by the number of the old database of
    /// weaknesses, or by what is said without what stands for this one site.
    fn check(&self, message: &str) -> String {
        match (self.id.trim(), self.osvdb.trim()) {
            ("", "" | "0") => {
                let words = message.split('\'').step_by(2).flat_map(str::chars).filter(|c| !c.is_ascii_digit());
                format!("nikto:text-{}", digest(&words.collect::<String>()))
            }
            ("", number) => format!("nikto:osvdb-{number}"),
            (id, _) => format!("nikto:{id}"),
        }
    }

    /// By the ranges of Nikto's numbers; most of its checks are no more than worth a look.
    fn severity(&self, lower: &str, has_cve: bool) -> Severity {
        let id: u32 = self.id.parse().unwrap_or_default();
        let is_listed = !matches!(self.osvdb.trim(), "" | "0");
        match id {
            521_000..=521_999 | 700_000..=700_999 => Severity::High,
            600_000..=699_999 => Severity::Medium,
            _ if has_cve || lower.contains("cross site scripting") || lower.contains("remote file inclusion") => Severity::Medium,
            _ if is_listed => Severity::Low,
            _ => Severity::Info,
        }
    }

    /// The only CVE that the item names.
    fn cve(&self) -> Option<String> {
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
        let mut names = self.message.split(is_end).chain(self.references.split(is_end)).filter_map(cve_name);
        let first = names.next()?;
        names.all(|name| name == first).then_some(first)
    }

    fn cwe(&self) -> Option<u32> {
        let mut words = self.references.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.find_map(|word| word.strip_prefix("CWE-")?.parse().ok())
    }
}

/// What a message says of headers and cookies of the site.
fn header(message: &str, lower: &str, evidence: &str, is_tls: bool) -> Option<Weakness> {
    if let Some(rest) = message.strip_prefix("Cookie ") {
        let name = rest.split(' ').next().unwrap_or_default();
        let rule = match lower {
            _ if lower.contains("without the httponly flag") => rules::HTTP_COOKIE_WITHOUT_HTTPONLY,
            _ if lower.contains("without the secure flag") => rules::HTTP_COOKIE_WITHOUT_SECURE,
            _ => return None,
        };
        return Some(headers::cookie(rule, name, evidence));
    }
    if lower.contains("breach attack") && is_tls {
        return Some(headers::weakness(rules::HTTP_COMPRESSION_WITH_TLS, evidence));
    }
    headers::missing_in(message).map(|rule| headers::weakness(rule, evidence))
}

/// What stands in the first quotes, for checks that say the same of many things at one place.
fn quoted(message: &str) -> &str {
    message.split('\'').nth(1).filter(|text| text.len() < 100).unwrap_or_default()
}
