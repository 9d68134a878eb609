//! Events of OWASP Nettacker (JSON, also as it writes it for DefectDojo, and CSV). Import only.
//!
//! A module named `…_vuln` found a weakness (of the CVE that it is named after, where it is), `…_brute` a login, `port_scan` an
//! open port; every other one tells for information.

use std::io::BufRead;

use picket_domain::{Confidence, Severity};
use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import, first},
    json,
    page::Page,
    rules, table,
    tally::Tally,
    text,
    weakness::{Place, Weakness, cve_name},
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "nettacker", name: "csv", blanks: &[], recognizes: is_table, read: read_table },
    &Import { tool: "nettacker", name: "dd.json", blanks: &[], recognizes: recognizes_findings, read: read_findings },
    &Import { tool: "nettacker", name: "json", blanks: &["[]"], recognizes, read },
];

fn recognizes(head: &Head<'_>) -> bool {
    let is_new = head.is_json('[', &["scan_id", "module_name"]) || head.is_json('[', &["scan_unique_id", "module_name"]);
    let is_old = head.is_json('[', &["scan_id", "category", "type"]) || head.is_json('[', &["SCAN_ID", "CATEGORY", "TYPE"]);
    is_new || is_old
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = json::stream(input, &[&[]], &mut |_, event| {
        if tell(&lower(event), context, &mut tally).is_none() {
            tally.garbled();
        }
    });
    match end {
        Ok(rest) if !rest.is_array() => tally.refuse("expected a list of events"),
        end => import::end(tally, end.err().as_ref()),
    }
}

fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().trim_end().to_ascii_lowercase();
    let names: Vec<&str> = line.split(',').collect();
    ["date", "target", "module_name", "port", "event"].iter().all(|name| names.contains(name))
}

fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::rows(input, "module_name", &mut |row| {
        let names = ["target", "module_name", "port", "event", "json_event"];
        let event = names.into_iter().map(|name| (name.to_owned(), Value::from(row.get(name)))).collect();
        if tell(&Value::Object(event), context, &mut tally).is_none() {
            tally.garbled();
        }
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

/// What it writes for DefectDojo (a file named `.dd.json`): the same events under other names.
fn recognizes_findings(head: &Head<'_>) -> bool {
    head.is_json('{', &["findings", "param", "impact", "severity_justification", "service"])
}

fn read_findings(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = json::stream(input, &[&["findings"]], &mut |_, finding| {
        let names = [("title", "module_name"), ("service", "target"), ("param", "port"), ("impact", "event")];
        let pair = |(from, to): (&str, &str)| Some((to.to_owned(), finding.get(from)?.clone()));
        let mut event: serde_json::Map<String, Value> = names.into_iter().filter_map(pair).collect();
        event.extend(pair(("severity_justification", "json_event")));
        if tell(&Value::Object(event), context, &mut tally).is_none() {
            tally.garbled();
        }
    });
    match end {
        Ok(rest) if !rest.get("findings").is_some_and(Value::is_array) => tally.refuse("expected a list of findings"),
        end => import::end(tally, end.err().as_ref()),
    }
}

/// Early versions wrote the names in capitals.
fn lower(event: Value) -> Value {
    let Value::Object(map) = event else { return event };
    Value::Object(map.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect())
}

fn tell(event: &Value, context: &Context<'_>, tally: &mut Tally<'_>) -> Option<()> {
    let module = first(event, &["module_name", "type"]);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if module.is_empty() || module.len() > 100 || !module.bytes().all(is_plain) {
        return None;
    }
    // The details are a text that holds JSON.
    let details = match event.get("json_event") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    let named = first(event, &["target", "host"]);
    let named = if named.is_empty() { first(&details, &["host", "target"]) } else { named };
    let url = json::text(&details, "url");
    let page = [url, named].into_iter().find_map(|address| Page::of(address, context));
    let host = page.as_ref().map(|page| page.host.clone()).or_else(|| context.host(named))?;
    let port = json::port(event, "port").or_else(|| json::port(&details, "port").or(page.as_ref().map(|page| page.port)));
    let is_tls = page.as_ref().is_some_and(|page| page.is_tls);
    let place = port.map_or(Place::of(&host), |port| Place::tcp(&host, port, is_tls));
    let weakness = weakness(module, event, port);
    let weakness = match page.filter(|page| page.path != "/") {
        Some(page) => weakness.at(&page.path),
        None => weakness,
    };
    tally.tell(weakness.observed(&place));
    Some(())
}

fn weakness(module: &str, event: &Value, port: Option<u16>) -> Weakness {
    let evidence = first(event, &["event", "description"]);
    if module.ends_with("_brute") {
        // Its text holds the password.
        let name = text::line(json::text(event, "username"), 100);
        return Weakness::of(rules::AUTH_GUESSED_CREDENTIALS, &format!("module: {module}\nThe password is not kept."))
            .about(&name)
            .sure(Confidence::High);
    }
    if module == "port_scan" {
        let number = port.map(|port| format!(" {port}/tcp")).unwrap_or_default();
        return Weakness::of(rules::PORT_OPEN, evidence).titled(&format!("Open port{number}"));
    }
    let is_weak = module.ends_with("_vuln");
    let severity = if is_weak { Severity::Medium } else { Severity::Info };
    let title = module.replace('_', " ");
    let description = "A module of Nettacker told of it; its name says what it looks for.";
    // What a search finds is one finding for each name.
    let is_name = evidence.contains('.') && evidence.len() < 254
        && evidence.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let name = if is_name { evidence } else { "" };
    let weakness = Weakness::of_tool(&format!("nettacker:{module}"), severity, &title, description, evidence).about(name);
    match cve(module) {
        Some(cve) if is_weak => weakness.known_as(&cve, None),
        _ => weakness,
    }
}

/// `apache_cve_2021_41773_vuln` is of CVE-2021-41773.
fn cve(module: &str) -> Option<String> {
    let (_, rest) = module.split_once("cve_")?;
    let mut parts = rest.split(['_', '-']);
    cve_name(&format!("CVE-{}-{}", parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use crate::{Head, testing};

    #[test]
    fn what_it_writes_for_others_tells_the_same() {
        let report = include_bytes!("../../testdata/nettacker/findings.dd.json");
        let format = crate::recognize(&Head::new(report, true)).unwrap();
        assert_eq!((format.tool(), format.name()), ("nettacker", "dd.json"));
        let (parsed, seen) = testing::read(format, report);
        assert!(parsed.is_complete(), "{parsed:?}");
        assert_eq!((seen[0].rule.as_str(), seen[0].location.to_string().as_str()), ("port.open", "192.0.2.7:8080/tcp"));
        assert_eq!(seen[1].cve.as_deref(), Some("CVE-2021-41773"));
    }

    #[test]
    fn a_table_tells_what_the_json_tells() {
        let report = "date,target,module_name,scan_id,port,event,json_event\n2026-11-23,192.0.2.7,port_scan,x,8080,\"open, port\",\"{\"\"port\"\": 8080}\"\n\
                      2026-11-23,192.0.2.7,apache_cve_2021_41773_vuln,x,80,seen,{}\n2026-11-23,192.0.2.7,ssh_brute,x,22,\"username: a, password: guess-me-not\",{}\n";
        let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a table of Nettacker");
        let (parsed, seen) = testing::read(format, report.as_bytes());
        assert!(parsed.is_complete(), "{parsed:?}");
        assert_eq!((seen[0].rule.as_str(), seen[0].location.to_string().as_str()), ("port.open", "192.0.2.7:8080/tcp"));
        assert_eq!(seen[1].cve.as_deref(), Some("CVE-2021-41773"));
        assert!(!format!("{seen:?}").contains("guess-me-not"));
    }
}
