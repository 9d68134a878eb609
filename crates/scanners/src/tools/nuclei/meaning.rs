//! What a template means: a rule of ours where other tools see the same weakness, else a check of nuclei's own.

use std::collections::BTreeSet;

use picket_domain::{Confidence, Severity};

use super::record::Record;
use crate::{
    headers, import, paths,
    rules::{self, Rule},
    text,
    tls::Version,
    weakness::{Weakness, cve_name},
};

const MAX_EVIDENCE_BYTES: usize = 2000;

/// What a rule of a template is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The service.
    Service,
    /// The cookies that were extracted, of the site.
    Cookies,
    /// The page.
    Page,
    /// The page, by what its path says.
    Path,
    /// The site and what the matcher names.
    Matcher,
}

/// Templates that see what other tools see, sorted by their names.
const TEMPLATES: &[(&str, Rule, About)] = &[
    ("apache-server-status", rules::HTTP_SERVER_STATUS_EXPOSED, About::Page),
    ("cookies-without-httponly", rules::HTTP_COOKIE_WITHOUT_HTTPONLY, About::Cookies),
    ("cookies-without-httponly-secure", rules::HTTP_COOKIE_WITHOUT_HTTPONLY, About::Cookies),
    ("cookies-without-secure", rules::HTTP_COOKIE_WITHOUT_SECURE, About::Cookies),
    ("cors-misconfig", rules::HTTP_CORS_ANY_ORIGIN, About::Page),
    ("dir-listing", rules::HTTP_DIRECTORY_LISTING, About::Page),
    ("exposed-redis", rules::REDIS_NO_AUTHENTICATION, About::Service),
    ("exposed-svn", rules::HTTP_SVN_EXPOSED, About::Path),
    ("expired-ssl", rules::TLS_CERTIFICATE_EXPIRED, About::Service),
    ("ftp-anonymous-login", rules::FTP_ANONYMOUS_LOGIN, About::Service),
    ("generic-env", rules::HTTP_ENV_FILE_EXPOSED, About::Page),
    ("git-config", rules::HTTP_GIT_EXPOSED, About::Path),
    ("git-logs", rules::HTTP_GIT_EXPOSED, About::Path),
    ("http-trace", rules::HTTP_TRACE_ENABLED, About::Service),
    ("laravel-env", rules::HTTP_ENV_FILE_EXPOSED, About::Page),
    ("mismatched-ssl-certificate", rules::TLS_CERTIFICATE_NAME_MISMATCH, About::Service),
    ("missing-cookie-samesite-strict", rules::HTTP_COOKIE_WITHOUT_SAMESITE, About::Cookies),
    ("mongodb-unauth", rules::MONGODB_NO_AUTHENTICATION, About::Service),
    ("open-redirect-generic", rules::WEB_OPEN_REDIRECT, About::Page),
    ("openapi", rules::HTTP_API_DESCRIPTION_EXPOSED, About::Page),
    ("phpinfo-files", rules::HTTP_PHPINFO_EXPOSED, About::Page),
    ("reflected-xss", rules::WEB_CROSS_SITE_SCRIPTING, About::Page),
    ("revoked-ssl-certificate", rules::TLS_CERTIFICATE_REVOKED, About::Service),
    ("robots-txt", rules::HTTP_ROBOTS_TXT, About::Page),
    ("robots-txt-endpoint", rules::HTTP_ROBOTS_TXT, About::Page),
    ("self-signed-ssl", rules::TLS_CERTIFICATE_SELF_SIGNED, About::Service),
    ("server-status", rules::HTTP_SERVER_STATUS_EXPOSED, About::Page),
    ("svnserve-config", rules::HTTP_SVN_EXPOSED, About::Path),
    ("swagger-api", rules::HTTP_API_DESCRIPTION_EXPOSED, About::Page),
    ("tech-detect", rules::WEB_TECHNOLOGY, About::Matcher),
    ("untrusted-root-certificate", rules::TLS_CERTIFICATE_UNTRUSTED, About::Service),
    ("waf-detect", rules::WAF_DETECTED, About::Matcher),
    ("weak-cipher-suites", rules::TLS_WEAK_CIPHER_OTHER, About::Service),
];

/// What a record that matched at `path` tells: cookies are of the site, and together one finding, as the record is one.
pub(super) fn weaknesses(record: &Record<'_>, path: Option<&str>) -> Vec<Weakness> {
    let template = record.template.as_str();
    match TEMPLATES.iter().find(|(name, _, about)| *name == template && *about == About::Cookies) {
        Some((_, rule, _)) => {
            let names = cookies(record).into_iter().collect::<Vec<_>>().join(", ");
            vec![headers::cookie(*rule, &names, &evidence(record))]
        }
        None => vec![weakness(record, path)],
    }
}

/// The names of the cookies, never their values.
fn cookies<'r>(record: &'r Record<'_>) -> BTreeSet<&'r str> {
    let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    record.extracted.iter().map(headers::cookie_name).filter(is_name).collect()
}

fn weakness(record: &Record<'_>, path: Option<&str>) -> Weakness {
    let (template, matcher, evidence) = (record.template.as_str(), record.part(), evidence(record));
    let path = path.unwrap_or("/");
    if template == "http-missing-security-headers" && let Some(rule) = headers::missing(matcher) {
        return headers::weakness(rule, &evidence);
    }
    if template == "deprecated-tls" && let Some(rule) = old_tls(record) {
        return Weakness::of(rule, &evidence);
    }
    let Some((_, rule, about)) = TEMPLATES.iter().find(|(name, ..)| *name == template) else {
        return own(record, path, &evidence);
    };
    let weakness = Weakness::of(*rule, &evidence);
    match about {
        About::Service => weakness,
        About::Cookies => weakness.at("/"),
        About::Page => weakness.at(path).about(record.parameter.as_str()),
        About::Path => weakness.at(&paths::exposed(path).map_or_else(|| path.to_owned(), |(_, place)| place)),
        About::Matcher => weakness.at("/").about(matcher).titled(&format!("{}: {matcher}", record.info.name.as_str())),
    }
}

fn old_tls(record: &Record<'_>) -> Option<Rule> {
    record.extracted.iter().chain([record.part()]).find_map(|name| Version::find(name)?.rule())
}

/// A template that no rule of ours is of.
fn own(record: &Record<'_>, path: &str, evidence: &str) -> Weakness {
    let (info, matcher) = (&record.info, record.part());
    let check = format!("nuclei:{}", record.template.as_str());
    let name = if info.name.as_str().is_empty() { record.template.as_str() } else { info.name.as_str() };
    let title = if matcher.is_empty() { name.to_owned() } else { format!("{name} ({matcher})") };
    let severity = severity(info.severity.as_str());
    // A template that matched saw what it looked for; one that only recognizes software did not see a weakness.
    let confidence = if severity >= Severity::Medium { Confidence::High } else { Confidence::Medium };
    let subject = if record.parameter.as_str().is_empty() { matcher } else { record.parameter.as_str() };
    let weakness = Weakness::of_tool(&check, severity, &title, info.description.as_str(), evidence)
        .at(path)
        .about(subject)
        .sure(confidence)
        .remedied(info.remediation.as_str())
        .of_kind(info.classification.cwe.iter().find_map(import::cwe))
        .referring(info.reference.iter().flat_map(|text| text.split(['\n', ' ', ','])).map(|url| url.trim_start_matches("- ")));
    match cve(record) {
        Some(cve) => weakness.known_as(&cve, score(record)),
        None => weakness,
    }
}

/// Templates are of one CVE, or of none; a list of several is of neither.
fn cve(record: &Record<'_>) -> Option<String> {
    let mut names = record.info.classification.cve.iter().filter_map(cve_name);
    match (names.next(), names.next()) {
        (Some(name), None) => Some(name),
        (Some(_), Some(_)) => None,
        (None, _) => cve_name(record.template.as_str()),
    }
}

fn score(record: &Record<'_>) -> Option<f64> {
    record.info.classification.score.as_str().parse().ok().filter(|score| (0.0..=10.0).contains(score))
}

fn severity(name: &str) -> Severity {
    Severity::find(&name.to_ascii_lowercase()).unwrap_or(Severity::Unknown)
}

/// Where it matched and by what. What was extracted is kept of templates that name software or protocols alone: of others
/// it can be a password or a token.
fn evidence(record: &Record<'_>) -> String {
    let mut evidence = String::new();
    let place = plain_place(record.matched.as_str());
    let extracts = record.extracted.iter().filter(|_| names_software(record));
    for piece in [place.as_str(), record.part()].into_iter().chain(extracts) {
        if !piece.is_empty() {
            let separator = if evidence.is_empty() { "" } else { "\n" };
            text::push(&mut evidence, separator, MAX_EVIDENCE_BYTES);
            text::push(&mut evidence, piece, MAX_EVIDENCE_BYTES);
        }
    }
    evidence
}

/// Whether a template only tells which software or protocol it met.
fn names_software(record: &Record<'_>) -> bool {
    let mut tags = record.info.tags.iter().flat_map(|tags| tags.split(',')).map(str::trim);
    let is_listed = matches!(record.template.as_str(), "deprecated-tls" | "tech-detect" | "waf-detect" | "weak-cipher-suites");
    let is_info = severity(record.info.severity.as_str()) == Severity::Info;
    is_listed || (is_info && tags.any(|tag| matches!(tag, "tech" | "ssl" | "tls" | "waf")))
}

/// An address without its query and without user information, which may be secrets.
fn plain_place(place: &str) -> String {
    let place = place.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = place.split_once("://") else { return place.to_owned() };
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}
