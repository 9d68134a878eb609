//! One finding of Trivy. Its own reports and the operator's have the same fields under other names.

use picket_domain::Confidence;
use serde_json::Value;

use super::severity;
use crate::{
    import::{cwe, first},
    json::{items, number, text},
    weakness::{Weakness, cve_name},
};

/// What kind of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vulnerability,
    Misconfiguration,
    Secret,
    License,
}

/// Who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Trivy itself: names begin with a capital.
    Own,
    /// The operator.
    Operator,
}

/// What became of it.
pub(super) enum Read {
    Weakness(Box<Weakness>),
    /// A check that was passed.
    Passed,
    Garbled,
}

/// Reads one; `within` is the file or resource it is in, empty where the artifact says it all.
pub(super) fn read(kind: Kind, style: Style, value: &Value, within: &str) -> Read {
    if !value.is_object() {
        return Read::Garbled;
    }
    let weakness = match kind {
        Kind::Vulnerability => vulnerability(value, within),
        Kind::Misconfiguration if is_passed(value, style) => return Read::Passed,
        Kind::Misconfiguration => misconfiguration(value, within),
        Kind::Secret => secret(value, within),
        Kind::License => license(value, within),
    };
    weakness.map_or(Read::Garbled, |weakness| Read::Weakness(Box::new(weakness)))
}

/// `within: what`, or the one that is there.
fn subject(within: &str, what: &str) -> String {
    if within.is_empty() || what.is_empty() { format!("{within}{what}") } else { format!("{within}: {what}") }
}

fn vulnerability(value: &Value, within: &str) -> Option<Weakness> {
    let id = named(first(value, &["VulnerabilityID", "vulnerabilityID"]))?;
    let package = first(value, &["PkgName", "resource"]);
    let installed = first(value, &["InstalledVersion", "installedVersion"]);
    let fixed = first(value, &["FixedVersion", "fixedVersion"]);
    let title = first(value, &["Title", "title"]);
    let title = if title.is_empty() { format!("{id} in {package}") } else { title.to_owned() };
    let path = first(value, &["PkgPath", "pkgPath", "target"]);
    let mut evidence = format!("{package} {installed} is installed");
    for (label, text) in [("in", within), ("at", path), ("status:", first(value, &["Status"]))] {
        if !text.is_empty() {
            evidence = format!("{evidence}\n{label} {text}");
        }
    }
    let rating = severity(first(value, &["Severity", "severity"]));
    let description = first(value, &["Description", "description"]);
    let weakness = Weakness::of_tool(&format!("trivy:{id}"), rating, &title, description, &evidence)
        .about(&subject(within, package))
        // A version was compared, nothing was tried.
        .sure(Confidence::Medium)
        .of_kind(items(value, "CweIDs").iter().filter_map(Value::as_str).find_map(cwe))
        .remedied(&if fixed.is_empty() { String::new() } else { format!("Update {package} to {fixed} or later.") })
        .referring(references(value));
    Some(match cve_name(&id) {
        Some(cve) => weakness.known_as(&cve, score(value)),
        None => weakness,
    })
}

/// Newer scores before older ones; of one version that of the source of the severity first.
fn score(value: &Value) -> Option<f64> {
    let Some(all) = value.get("CVSS").or_else(|| value.get("cvss")).and_then(Value::as_object) else {
        return number(value, "score");
    };
    let source = text(value, "SeveritySource");
    let mut sources = vec![source, "nvd", "redhat", "ghsa"];
    sources.extend(all.keys().map(String::as_str));
    let at = |name: &str| sources.iter().find_map(|source| number(all.get(*source)?, name));
    ["V40Score", "V3Score", "V2Score"].into_iter().find_map(at).filter(|score| (0.0..=10.0).contains(score))
}

fn is_passed(value: &Value, style: Style) -> bool {
    match style {
        Style::Own => matches!(text(value, "Status"), "PASS" | "EXCEPTION" | "PASSED"),
        Style::Operator => value.get("success") == Some(&Value::Bool(true)),
    }
}

fn misconfiguration(value: &Value, within: &str) -> Option<Weakness> {
    let id = check_name(&named(first(value, &["ID", "AVDID", "checkID"]))?);
    let cause = value.get("CauseMetadata").unwrap_or(&Value::Null);
    let resource = text(cause, "Resource");
    let messages = items(value, "messages").iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
    let message = if messages.is_empty() { text(value, "Message") } else { &messages };
    let evidence = match (number(cause, "StartLine"), number(cause, "EndLine")) {
        (Some(start), Some(end)) if start > 0.0 => format!("{message}\n{within}, lines {start} to {end}"),
        _ => format!("{message}\n{within}"),
    };
    // Two containers of one file are told apart by the message alone; it holds no lines and no versions.
    let what = if resource.is_empty() { message } else { resource };
    let rating = severity(first(value, &["Severity", "severity"]));
    let (title, description) = (first(value, &["Title", "title"]), first(value, &["Description", "description"]));
    let title = if title.is_empty() { id.as_str() } else { title };
    let weakness = Weakness::of_tool(&format!("trivy:{id}"), rating, title, description, &evidence)
        .about(&subject(within, what))
        .remedied(first(value, &["Resolution", "remediation"]))
        .referring(references(value));
    Some(weakness)
}

/// `DS002`, `AVD-DS-0002` and `DS-0002` are one check in three versions of Trivy.
fn check_name(id: &str) -> String {
    let bare = id.strip_prefix("AVD-").unwrap_or(id);
    let letters = bare.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = bare.get(letters.len()..).unwrap_or_default();
    let group = letters.trim_end_matches('-');
    let is_short = !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if is_short && (1..=4).contains(&digits.len()) { format!("{group}-{digits:0>4}") } else { bare.to_owned() }
}

fn secret(value: &Value, within: &str) -> Option<Weakness> {
    let id = named(first(value, &["RuleID", "ruleID"]))?;
    let within = if within.is_empty() { text(value, "target") } else { within };
    let title = first(value, &["Title", "title"]);
    let title = if title.is_empty() { "A secret is stored in a file" } else { title };
    // Trivy masks the secret in the match; the line is kept without it all the same.
    let evidence = match number(value, "StartLine") {
        Some(line) => format!("{within}, line {line}"),
        None => within.to_owned(),
    };
    let rating = severity(first(value, &["Severity", "severity"]));
    let description = "A secret in a file is known to everybody who can read the file or a copy of it.";
    let weakness = Weakness::of_tool(&format!("trivy:secret.{id}"), rating, title, description, &evidence)
        .about(within)
        .of_kind(Some(798))
        .remedied("Withdraw the secret, issue a new one, and keep it outside of the files that are shipped.");
    Some(weakness)
}

fn license(value: &Value, within: &str) -> Option<Weakness> {
    let name = named(text(value, "Name"))?;
    let package = first(value, &["PkgName", "FilePath"]);
    let category = text(value, "Category");
    let title = format!("License {name} of {package}");
    let description = format!("The license's category is: {category}.");
    let weakness = Weakness::of_tool("trivy:license", severity(text(value, "Severity")), &title, &description, within)
        .about(&subject(package, &name))
        .referring([text(value, "Link")]);
    Some(weakness)
}

/// An identifier in the characters of one.
fn named(id: &str) -> Option<String> {
    let id = id.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/ +()".contains(c);
    (!id.is_empty() && id.len() <= 150 && id.chars().all(is_plain)).then(|| id.to_owned())
}

fn references(value: &Value) -> Vec<&str> {
    let first = first(value, &["PrimaryURL", "primaryLink"]);
    let all = items(value, "References").iter().chain(items(value, "links")).filter_map(Value::as_str);
    std::iter::once(first).chain(all.filter(|url| *url != first)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_has_one_name_in_all_versions() {
        for (id, name) in [
            ("DS002", "DS-0002"),
            ("AVD-DS-0002", "DS-0002"),
            ("KSV-0001", "KSV-0001"),
            ("AVD-AWS-0143", "AWS-0143"),
            ("CUSTOM-policy", "CUSTOM-policy"),
            ("ID12345", "ID12345"),
        ] {
            assert_eq!(check_name(id), name, "{id}");
        }
    }
}
