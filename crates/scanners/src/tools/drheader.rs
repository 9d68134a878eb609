//! Headers that drHeader judged (JSON). Import only.
//!
//! Its report names no host: what the import names is taken, else `unnamed`. The lists of several sites name each site.
//! What a header lacks is one of Picket's own rules where there is one, with that rule's severity.

use std::io::BufRead;

use picket_domain::{Observation, Severity};
use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed, headers,
    import::{self, Import, first},
    json,
    page::Page,
    rules::{self, Rule},
    tally::Tally,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "drheader", name: "json", blanks: &["", "[]"], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    head.is_json('[', &["rule", "severity", "message"]) || head.is_json('[', &["url", "report"])
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = json::stream(input, &[&[]], &mut |_, entry| {
        let page = Page::of(first(&entry, &["url", "target"]), context);
        let site = Site { page, host: context.host.and_then(|host| context.host(host)), port: context.port };
        if entry.get("report").is_some() || entry.get("issues").is_some() {
            for issue in json::items(&entry, "report").iter().chain(json::items(&entry, "issues")) {
                tell(issue, &site, &mut tally);
            }
        } else {
            tell(&entry, &site, &mut tally);
        }
    });
    match end {
        Ok(rest) if !rest.is_array() => tally.refuse("expected a list of rules"),
        end => import::end(tally, end.err().as_ref()),
    }
}

/// Whose headers they are, as far as it is known.
struct Site {
    page: Option<Page>,
    host: Option<String>,
    port: Option<u16>,
}

impl Site {
    fn observed(&self, weakness: Weakness) -> Observation {
        match (&self.page, &self.host, self.port) {
            (Some(page), ..) => weakness.at("/").observed(&page.place()),
            (None, Some(host), Some(port)) => weakness.at("/").observed(&Place::tcp(host, port, port == 443)),
            (None, Some(host), None) => weakness.observed(&Place::of(host)),
            (None, None, _) => weakness.observed(&Place::of(import::UNNAMED)),
        }
    }
}

fn tell(issue: &Value, site: &Site, tally: &mut Tally<'_>) {
    let (header, message) = (json::text(issue, "rule"), json::text(issue, "message"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_ :".contains(&byte);
    if header.is_empty() || header.len() > 100 || !header.bytes().all(is_name) {
        return tally.garbled();
    }
    let lower = header.to_ascii_lowercase();
    let anomaly = plain(issue, "anomaly").or_else(|| plain(issue, "anomalies")).unwrap_or_default();
    let expected = plain(issue, "expected").unwrap_or_default();
    // The value of a cookie is a secret.
    let value = if lower == "set-cookie" { "" } else { json::text(issue, "value") };
    let mut evidence = format!("{header}: {message}");
    for (label, text) in [("value", value), ("expected", &expected), ("anomaly", &anomaly)] {
        if !text.is_empty() {
            evidence = format!("{evidence}\n{label}: {text}");
        }
    }
    let weakness = match rule(&lower, message, &anomaly) {
        Some(rule) => Weakness::of(rule, &evidence),
        None => of_drheader(issue, header, message, &anomaly, &evidence),
    };
    let is_cookie = lower == "set-cookie";
    let weakness = if is_cookie { weakness.about(headers::cookie_name(json::text(issue, "value"))) } else { weakness };
    tally.tell(site.observed(weakness));
}

fn of_drheader(issue: &Value, header: &str, message: &str, anomaly: &str, evidence: &str) -> Weakness {
    let severity = Severity::find(&json::text(issue, "severity").to_ascii_lowercase()).unwrap_or(Severity::Unknown);
    let check = format!("drheader:{}", header.to_ascii_lowercase().replace(' ', "-"));
    let description = "The header does not fit the policy that drHeader was given.";
    Weakness::of_tool(&check, severity, &format!("{header}: {message}"), description, evidence).about(anomaly)
}

/// A word, or several.
fn plain(issue: &Value, key: &str) -> Option<String> {
    match issue.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).take(16).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn rule(header: &str, message: &str, anomaly: &str) -> Option<Rule> {
    if message.contains("not included")
        && let Some(rule) = headers::missing(header)
    {
        return Some(rule);
    }
    let is_unwanted = message.contains("should not be returned");
    Some(match header {
        "content-security-policy" => rules::HTTP_HEADER_WEAK_CSP,
        "strict-transport-security" => rules::HTTP_HEADER_WEAK_HSTS,
        "server" | "x-powered-by" | "x-aspnet-version" if is_unwanted => rules::HTTP_VERSION_DISCLOSED,
        "set-cookie" if anomaly.eq_ignore_ascii_case("httponly") => rules::HTTP_COOKIE_WITHOUT_HTTPONLY,
        "set-cookie" if anomaly.eq_ignore_ascii_case("secure") => rules::HTTP_COOKIE_WITHOUT_SECURE,
        "set-cookie" if anomaly.to_ascii_lowercase().starts_with("samesite") => rules::HTTP_COOKIE_WITHOUT_SAMESITE,
        _ => return None,
    })
}
