//! What a client may ask of the list of findings. Every parameter is bounded; all faults are told at once. What the data
//! does not carry is no filter: a list that ignored it would say what nobody knows.

use std::net::IpAddr;

use picket_domain::{Severity, Target};
use picket_store::findings::list::FindingFilter;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::cursor;
use crate::{FieldError, Problem};

const LONGEST_RULE: usize = 200;
const LONGEST_TOOL: usize = 64;
const LONGEST_HOST: usize = 253;
const USUAL: u32 = 50;
const MOST: u32 = 100;

/// Filters, all of which must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingsQuery {
    /// Of this severity.
    #[param(inline)]
    severity: Option<SeverityName>,
    /// At least as bad as this; not beside `severity`.
    #[param(inline)]
    min_severity: Option<SeverityName>,
    /// Of this CVE.
    #[param(example = "CVE-2021-41773", max_length = 32)]
    cve: Option<String>,
    /// Of this rule.
    #[param(example = "port.open", max_length = 200)]
    rule: Option<String>,
    /// At this address or host name.
    #[param(example = "192.0.2.10", max_length = 253)]
    host: Option<String>,
    /// Last seen by a scan of this target.
    #[param(example = "example.com", max_length = 253)]
    target: Option<String>,
    /// Seen by this tool in the scan that saw it last.
    #[param(example = "nmap", max_length = 64)]
    tool: Option<String>,
    /// Seen in this scan.
    scan: Option<String>,
    /// Findings of the page; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum SeverityName {
    Critical,
    High,
    Medium,
    Low,
    Info,
    Unknown,
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Critical => Self::Critical,
            SeverityName::High => Self::High,
            SeverityName::Medium => Self::Medium,
            SeverityName::Low => Self::Low,
            SeverityName::Info => Self::Info,
            SeverityName::Unknown => Self::Unknown,
        }
    }
}

/// Checked filters.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) filter: FindingFilter,
    pub(super) limit: i64,
}

impl FindingsQuery {
    /// All faults of the parameters, or what they ask for.
    pub(super) fn check(self) -> Result<Wanted, Problem> {
        let mut faults = Vec::new();
        let limit = self.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            faults.push(FieldError::new("limit", "out_of_range", "expected 1 to 100"));
        }
        if self.severity.is_some() && self.min_severity.is_some() {
            faults.push(FieldError::new("min_severity", "not_allowed", "expected it without `severity`"));
        }
        let mut read = |field, text: Option<String>, expected, parse: fn(&str) -> Option<String>| {
            let value = text.as_deref().map(parse)?;
            if value.is_none() {
                faults.push(FieldError::new(field, "invalid_value", expected));
            }
            value
        };
        let mut filter = FindingFilter {
            worst: self.severity.map(Severity::from),
            least: self.severity.or(self.min_severity).map(Severity::from),
            cve: read("cve", self.cve, "expected a CVE such as CVE-2021-41773", cve),
            rule: read("rule", self.rule, "expected a rule such as `port.open`", |text| name(text, LONGEST_RULE)),
            host: read("host", self.host, "expected an address or a host name", host),
            target: read("target", self.target, "expected a host name, an address or a network", target),
            tool: read("tool", self.tool, "expected the slug of a tool", |text| name(text, LONGEST_TOOL)),
            scan: None,
            behind: None,
        };
        if let Some(text) = self.scan {
            match text.parse() {
                Ok(scan) => filter.scan = Some(scan),
                Err(_) => faults.push(FieldError::new("scan", "invalid_id", "expected an id that starts with `scan_`")),
            }
        }
        if let Some(text) = self.cursor {
            filter.behind = cursor::read(&text);
            if filter.behind.is_none() {
                faults.push(FieldError::new("cursor", "invalid_cursor", "expected `next_cursor` of a page"));
            }
        }
        if faults.is_empty() { Ok(Wanted { filter, limit: i64::from(limit) }) } else { Err(Problem::Invalid(faults)) }
    }
}

/// In the form in which CVEs are kept.
fn cve(text: &str) -> Option<String> {
    let text = (text.len() <= 32).then(|| text.to_ascii_uppercase())?;
    let (year, number) = text.strip_prefix("CVE-")?.split_once('-')?;
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (year.len() == 4 && number.len() >= 4 && is_digits(year) && is_digits(number)).then_some(text)
}

fn name(text: &str, longest: usize) -> Option<String> {
    let is_name = (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned())
}

/// In the form in which hosts of findings are kept.
fn host(text: &str) -> Option<String> {
    let address = text.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string());
    address.or_else(|| name(text, LONGEST_HOST).map(|name| name.to_ascii_lowercase()))
}

fn target(text: &str) -> Option<String> {
    Target::parse(text).ok().map(|target| target.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let text = |text: &str| Some(text.to_owned());
        let query = FindingsQuery {
            severity: Some(SeverityName::High),
            min_severity: Some(SeverityName::Low),
            cve: text("2021-41773"),
            rule: text(""),
            host: text(&"x".repeat(254)),
            target: text("https://example.com"),
            tool: text("\u{7}"),
            scan: text("7"),
            limit: Some(0),
            cursor: text("!"),
        };
        let Err(Problem::Invalid(errors)) = query.check() else { panic!("nothing was refused") };
        let fields: Vec<String> = errors.into_iter().map(|error| error.field).collect();
        let all = ["limit", "min_severity", "cve", "rule", "host", "target", "tool", "scan", "cursor"];
        assert_eq!(fields, all);
    }

    #[test]
    fn what_is_asked_for_takes_the_form_in_which_it_is_kept() {
        assert_eq!(cve("cve-2021-41773").as_deref(), Some("CVE-2021-41773"));
        assert_eq!(
            (host("2001:DB8:0::1").as_deref(), host("WWW.Example.com").as_deref()),
            (Some("2001:db8::1"), Some("www.example.com"))
        );
        assert_eq!(target("Example.COM").as_deref(), Some("example.com"));
    }
}
