//! What the categories of Wapiti mean. Their names changed between 3.0.4 and 3.2: old and new ones stand side by side.

use picket_domain::Severity;

use crate::{
    headers, json, paths,
    rules::{self, Rule},
    weakness::Weakness,
};

/// Addresses of what a rule of ours is of: it says what to do, and a category has many entries.
const MAX_KNOWN_REFERENCES: usize = 3;

/// One entry of a report.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) info: String,
    /// 1 to 4, 0 when it is not told.
    pub(super) level: u64,
    pub(super) parameter: String,
    pub(super) request: String,
}

/// What Wapiti tells of a category itself.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) description: String,
    pub(super) solution: String,
    pub(super) references: Vec<String>,
}

/// Which part of the report an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Vulnerabilities,
    Anomalies,
    Additionals,
}

/// Categories of injections: of a page and a parameter.
const INJECTIONS: &[(&str, Rule)] = &[
    ("Blind SQL Injection", rules::WEB_SQL_INJECTION),
    ("CRLF", rules::WEB_HEADER_INJECTION),
    ("CRLF Injection", rules::WEB_HEADER_INJECTION),
    ("Command execution", rules::WEB_COMMAND_INJECTION),
    ("Commands execution", rules::WEB_COMMAND_INJECTION),
    ("Cross Site Request Forgery", rules::WEB_CROSS_SITE_REQUEST_FORGERY),
    ("Cross Site Scripting", rules::WEB_CROSS_SITE_SCRIPTING),
    ("File Handling", rules::WEB_PATH_TRAVERSAL),
    ("Open Redirect", rules::WEB_OPEN_REDIRECT),
    ("Path Traversal", rules::WEB_PATH_TRAVERSAL),
    ("Reflected Cross Site Scripting", rules::WEB_CROSS_SITE_SCRIPTING),
    ("SQL Injection", rules::WEB_SQL_INJECTION),
    ("Server Side Request Forgery", rules::WEB_REQUEST_FORGERY),
    ("Stored Cross Site Scripting", rules::WEB_CROSS_SITE_SCRIPTING),
    ("Unrestricted File Upload", rules::WEB_FILE_UPLOAD),
    ("XML External Entity", rules::WEB_XML_EXTERNAL_ENTITY),
    ("XXE", rules::WEB_XML_EXTERNAL_ENTITY),
];

/// Categories that are of one CVE.
const KNOWN: &[(&str, &str, f64)] =
    &[("Log4Shell", "CVE-2021-44228", 10.0), ("Spring4Shell", "CVE-2022-22965", 9.8), ("Shellshock", "CVE-2014-6271", 9.8)];

/// The weakness that an entry of `category` is.
pub(super) fn weakness(part: Part, category: &str, entry: &Entry, about: &About) -> Weakness {
    let request = if entry.request.is_empty() { format!("{} {}", entry.method, entry.path) } else { entry.request.clone() };
    let evidence = format!("{}\n{request}", entry.info);
    let known = injection(category, entry, &evidence)
        .or_else(|| header(category, entry, &evidence))
        .or_else(|| exposure(category, entry, &evidence));
    match known {
        Some(weakness) => weakness.referring(about.references.iter().take(MAX_KNOWN_REFERENCES)),
        None => other(part, category, entry, about, &evidence).referring(&about.references),
    }
}

fn injection(category: &str, entry: &Entry, evidence: &str) -> Option<Weakness> {
    let (_, rule) = INJECTIONS.iter().find(|(name, _)| *name == category)?;
    Some(Weakness::of(*rule, evidence).at(&entry.path).about(&entry.parameter))
}

fn header(category: &str, entry: &Entry, evidence: &str) -> Option<Weakness> {
    let cookie = |rule| {
        let name = entry.info.rsplit_once(" : ").or_else(|| entry.info.rsplit_once(": ")).map_or("", |(_, name)| name);
        headers::cookie(rule, name, evidence)
    };
    match category {
        "HttpOnly Flag cookie" => Some(cookie(rules::HTTP_COOKIE_WITHOUT_HTTPONLY)),
        "Secure Flag cookie" => Some(cookie(rules::HTTP_COOKIE_WITHOUT_SECURE)),
        "Unencrypted Channels" => Some(headers::weakness(rules::HTTP_NO_HTTPS, evidence)),
        _ => match headers::missing_in(&entry.info) {
            Some(rule) => Some(headers::weakness(rule, evidence)),
            None if category == "Content Security Policy Configuration" => Some(headers::weakness(rules::HTTP_HEADER_WEAK_CSP, evidence)),
            None if category.contains("(HSTS)") => Some(headers::weakness(rules::HTTP_HEADER_WEAK_HSTS, evidence)),
            None => None,
        },
    }
}

fn exposure(category: &str, entry: &Entry, evidence: &str) -> Option<Weakness> {
    match category {
        // The entry names the page; the copy is in its text.
        "Backup file" => Some(Weakness::of(rules::HTTP_BACKUP_EXPOSED, evidence).at(&named_path(entry))),
        "Potentially dangerous file" => Some(paths::weakness(&entry.path, evidence)),
        "Information Disclosure - Full Path" | "Stack Trace Disclosure" => {
            Some(Weakness::of(rules::WEB_ERROR_DISCLOSED, evidence).at(&entry.path))
        }
        "Vulnerable software" => Some(Weakness::of(rules::WEB_OUTDATED_COMPONENT, evidence).at("/").about(unversioned(&product(&entry.info)))),
        "Review Webserver Metafiles for Information Leakage" => Some(paths::weakness(&entry.path, evidence)),
        name if name.starts_with("Fingerprint web") => {
            let product = product(&entry.info);
            let found = Weakness::of(rules::WEB_TECHNOLOGY, evidence).at("/").about(&product);
            Some(found.titled(&format!("Recognized: {product}")))
        }
        _ => None,
    }
}

/// Newer versions print an object such as `{"name": "nginx", "versions": ["1.22.1"]}`.
fn product(info: &str) -> String {
    let object = json::value(info.as_bytes()).ok();
    let name = object.as_ref().and_then(|object| object.get("name")).and_then(serde_json::Value::as_str);
    name.unwrap_or(info).to_owned()
}

/// A name without the version behind it, which would make a finding of its own of every update.
fn unversioned(product: &str) -> &str {
    let version = |word: &str| word.trim_start_matches(['v', '(']).starts_with(|c: char| c.is_ascii_digit());
    let start = product.match_indices([' ', '/']).map(|(at, _)| at).find(|at| product.get(at.saturating_add(1)..).is_some_and(version));
    start.and_then(|at| product.get(..at)).unwrap_or(product).trim()
}

/// The last path of a URL in the text of the entry, else that of the entry.
fn named_path(entry: &Entry) -> String {
    let url = entry.info.split_whitespace().find(|word| word.starts_with("http://") || word.starts_with("https://"));
    let path = url.and_then(|url| url::Url::parse(url).ok()).map(|url| url.path().to_owned());
    path.unwrap_or_else(|| entry.path.clone())
}

/// A category that no rule of ours is of. What Wapiti calls an anomaly is no proof of anything, whatever its level.
fn other(part: Part, category: &str, entry: &Entry, about: &About, evidence: &str) -> Weakness {
    let severity = match (part, entry.level) {
        (Part::Additionals, _) => Severity::Info,
        (Part::Anomalies, _) | (Part::Vulnerabilities, 1) => Severity::Low,
        (Part::Vulnerabilities, 0) => Severity::Info,
        (Part::Vulnerabilities, 2) => Severity::Medium,
        (Part::Vulnerabilities, 3) => Severity::High,
        (Part::Vulnerabilities, _) => Severity::Critical,
    };
    let check = format!("wapiti:{}", slug(category));
    let weakness = Weakness::of_tool(&check, severity, category, &about.description, evidence)
        .at(&entry.path)
        .about(&entry.parameter)
        .remedied(&about.solution)
        .of_kind(cwe(&about.references));
    let known = KNOWN.iter().find(|(name, ..)| *name == category).map(|(_, cve, score)| ((*cve).to_owned(), Some(*score)));
    match known.or_else(|| crate::weakness::cve_name(category).map(|cve| (cve, None))) {
        Some((cve, score)) => weakness.rated(Severity::Critical).known_as(&cve, score),
        None => weakness,
    }
}

/// The first number of the Common Weakness Enumeration among addresses such as `…/definitions/89.html`.
fn cwe(references: &[String]) -> Option<u32> {
    let number = |url: &String| url.split_once("cwe.mitre.org/data/definitions/")?.1.split('.').next()?.parse().ok();
    references.iter().find_map(number)
}

/// `Internal Server Error` is `internal_server_error`.
fn slug(category: &str) -> String {
    let mut slug = String::new();
    for character in category.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_keeps_its_name_whatever_its_version_is() {
        for (text, name) in [("nginx 1.22.1", "nginx"), ("Apache/2.4.49", "Apache"), ("jQuery UI v1.2", "jQuery UI"), ("Log4j 2", "Log4j"), ("nginx", "nginx"), ("", "")] {
            assert_eq!(unversioned(text), name, "{text}");
        }
    }

    #[test]
    fn addresses_of_a_category_do_not_multiply_on_what_our_rules_are_of() {
        let about = About { references: (0..10).map(|n| format!("https://example.org/{n}")).collect(), ..About::default() };
        let count = |category| {
            let place = crate::weakness::Place::tcp("192.0.2.1", 80, false);
            weakness(Part::Vulnerabilities, category, &Entry::default(), &about).observed(&place).references.len()
        };
        assert_eq!((count("SQL Injection"), count("Something new")), (3, 10));
    }
}
