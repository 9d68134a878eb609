//! Reports of WPScan (JSON): what a WordPress site gives away, and known weaknesses of it, its themes and its plugins.
//! Import only. Guessed passwords are never kept.

use std::io::BufRead;

use picket_domain::{Confidence, Gap, Severity};
use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import, first},
    json::{items, number, text, watch},
    page::Page,
    rules::{self, Rule},
    tally::Tally,
    weakness::{Weakness, cve_name},
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "wpscan", name: "json", blanks: &["{}"], recognizes, read }];

const PATHS: &[&[&str]] = &[&["effective_url"], &["target_url"], &["interesting_findings"]];

fn recognizes(head: &Head<'_>) -> bool {
    let is_banner = head.has_key("banner") && head.text.contains("WPScan");
    let is_named = is_banner || head.has_key("interesting_findings") || head.has_key("scan_aborted");
    let is_run = ["start_time", "target_url", "effective_url", "db_update_started"].iter().any(|key| head.has_key(key));
    head.text.starts_with('{') && is_named && (is_run || head.is_whole) && !head.has_key("runs")
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut site = None;
    let end = watch(input, PATHS, &mut |path, value| match path {
        0 | 1 => site = value.as_str().and_then(|url| Page::of(url, context)).or_else(|| site.take()),
        _ if value.is_null() => {}
        _ => interesting(&value, context, &mut tally),
    });
    let rest = match end {
        Ok(rest) => rest,
        Err(fault) => return import::end(tally, Some(&fault)),
    };
    let aborted = text(&rest, "scan_aborted");
    if let Some(site) = &site {
        Site { site, tally: &mut tally }.tell(&rest, context);
    }
    if !aborted.is_empty() {
        return tally.end(Some((Gap::ToolFailed, format!("WPScan gave up: {aborted}"))));
    }
    let is_ended = ["stop_time", "elapsed"].iter().any(|key| rest.get(*key).is_some());
    match (site.is_some(), is_ended) {
        (true, true) => tally.end(None),
        (false, _) => import::incomplete(tally, "the report names no site"),
        (true, false) => import::incomplete(tally, "WPScan did not say that it finished"),
    }
}

fn confidence(value: &Value) -> Confidence {
    match number(value, "confidence") {
        Some(sure) if sure >= 90.0 => Confidence::High,
        Some(sure) if sure < 50.0 => Confidence::Low,
        _ => Confidence::Medium,
    }
}

fn interesting(finding: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
    let Some(page) = Page::of(text(finding, "url"), context) else { return tally.garbled() };
    let (kind, says) = (text(finding, "type"), text(finding, "to_s"));
    let entries = items(finding, "interesting_entries").iter().filter_map(Value::as_str).take(50);
    let evidence = std::iter::once(says).chain(entries).collect::<Vec<_>>().join("\n");
    let weakness = match rule(kind) {
        Some(rule) => Weakness::of(rule, &evidence),
        None => {
            let title = if says.is_empty() { kind } else { says };
            let description = "WPScan found it worth a look.";
            Weakness::of_tool(&format!("wpscan:{}", plain(kind)), Severity::Info, title, description, &evidence)
        }
    };
    let weakness = weakness.at(&page.path).sure(confidence(finding)).referring(links(finding));
    tally.tell(weakness.observed(&page.place()));
}

fn rule(kind: &str) -> Option<Rule> {
    Some(match kind {
        "headers" => rules::HTTP_SERVER_HEADER,
        "robots_txt" => rules::HTTP_ROBOTS_TXT,
        "upload_directory_listing" => rules::HTTP_DIRECTORY_LISTING,
        "backup_db" | "db_export" | "db_exports" => rules::HTTP_DATABASE_DUMP_EXPOSED,
        "debug_log" | "search_replace_db_2" => rules::HTTP_LOG_EXPOSED,
        _ => return None,
    })
}

/// A name in the characters of one.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    name.chars().take(100).map(plain).collect()
}

fn links(value: &Value) -> Vec<String> {
    let references = value.get("references").unwrap_or(&Value::Null);
    items(references, "url").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What is told of the site as a whole.
struct Site<'r, 's> {
    site: &'r Page,
    tally: &'r mut Tally<'s>,
}

impl Site<'_, '_> {
    fn tell(&mut self, rest: &Value, context: &Context<'_>) {
        self.tally.host_up();
        self.component("wordpress", rest.get("version"));
        self.component("theme", rest.get("main_theme"));
        for (group, kind) in [("plugins", "plugin"), ("themes", "theme")] {
            for component in members(rest.get(group)) {
                self.component(kind, Some(component));
            }
        }
        for (group, rule) in
            [("config_backups", rules::HTTP_BACKUP_EXPOSED), ("db_exports", rules::HTTP_DATABASE_DUMP_EXPOSED)]
        {
            let named = rest.get(group).and_then(Value::as_object).into_iter().flatten();
            for page in named.filter_map(|(url, _)| Page::of(url, context)) {
                let weakness = Weakness::of(rule, &page.path).at(&page.path);
                self.tally.tell(weakness.observed(&page.place()));
            }
        }
        for (login, _) in rest.get("password_attack").and_then(Value::as_object).into_iter().flatten() {
            let evidence = "The password is not kept.";
            let weakness = Weakness::of(rules::AUTH_GUESSED_CREDENTIALS, evidence).about(login).sure(Confidence::High);
            self.tally.tell(weakness.observed(&self.site.place()));
        }
    }

    fn component(&mut self, kind: &str, component: Option<&Value>) {
        let Some(component) = component.filter(|component| component.is_object()) else { return };
        let slug = text(component, "slug");
        let subject = if slug.is_empty() { kind.to_owned() } else { format!("{kind} {slug}") };
        let own = if kind == "wordpress" { component } else { component.get("version").unwrap_or(&Value::Null) };
        let version = text(own, "number");
        // Without a version every weakness that the component ever had is listed.
        let sure = if version.is_empty() { Confidence::Low } else { Confidence::Medium };
        let all = items(component, "vulnerabilities").iter().chain(if kind == "wordpress" { &[] } else { items(own, "vulnerabilities") });
        for vulnerability in all {
            let weakness = weakness(vulnerability, &subject, version).sure(sure);
            self.tally.tell(weakness.observed(&self.site.place()));
        }
    }
}

fn members(group: Option<&Value>) -> Vec<&Value> {
    match group {
        Some(Value::Object(map)) => map.values().collect(),
        Some(Value::Array(list)) => list.iter().collect(),
        _ => Vec::new(),
    }
}

fn weakness(value: &Value, subject: &str, version: &str) -> Weakness {
    let references = value.get("references").unwrap_or(&Value::Null);
    let texts = |key: &str| items(references, key).iter().filter_map(Value::as_str).collect::<Vec<_>>();
    let cves: Vec<String> = texts("cve").iter().filter_map(|number| cve_name(&format!("CVE-{number}"))).collect();
    let score = value.get("cvss").and_then(|cvss| number(cvss, "score")).filter(|score| (0.0..=10.0).contains(score));
    let severity = score.map_or(Severity::Medium, Severity::of_cvss);
    let title = first(value, &["title"]);
    let id = [texts("wpvulndb").first().copied().unwrap_or_default(), text(value, "id"), title];
    let id = id.into_iter().find(|id| !id.is_empty()).unwrap_or("vulnerability");
    let evidence = format!("{subject} {version}\n{}", cves.join(" "));
    let description = "WPScan's database lists the weakness for the version that was seen.";
    let fixed = text(value, "fixed_in");
    let remedy = if fixed.is_empty() { "Remove or replace it.".to_owned() } else { format!("Update to {fixed} or later.") };
    let weakness = Weakness::of_tool(&format!("wpscan:{}", plain(id)), severity, title, description, &evidence)
        .about(subject)
        .remedied(&remedy)
        .referring(links(value));
    match cves.as_slice() {
        [cve] => weakness.known_as(cve, score),
        _ => weakness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_the_tool_makes_no_report_of_it() {
        let is_known = |text: &str| recognizes(&Head::new(text.as_bytes(), true));
        assert!(is_known("{\"banner\":{\"description\":\"by the WPScan Team\"},\"start_time\":1}"));
        assert!(is_known("{\"scan_aborted\":\"no\",\"target_url\":\"http://a.example/\"}"));
        assert!(!is_known("{\"note\":\"WPScan\"}") && !is_known("{\"tools\":[\"WPScan\"],\"start_time\":1}"));
    }
}
