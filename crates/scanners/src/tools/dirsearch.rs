//! Paths that dirsearch found (JSON, CSV and plain text). Import only.

use std::io::BufRead;

use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json::{self, EACH},
    page::Page,
    paths,
    table,
    tally::Tally,
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "dirsearch", name: "csv", blanks: &[], recognizes: is_table, read: read_table },
    &Import { tool: "dirsearch", name: "json", blanks: &["{}"], recognizes: is_json, read: read_json },
    &Import { tool: "dirsearch", name: "text", blanks: &[], recognizes: is_text, read: read_text },
];

fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().to_ascii_lowercase();
    line.starts_with("url,status,size,") || line.starts_with("time,url,status,size,")
}

fn is_json(head: &Head<'_>) -> bool {
    let is_entry = head.has_key("status") && head.has_key("content-length");
    let is_list = head.is_json('{', &["results"]) && (is_entry || head.text.contains("dirsearch"));
    let is_by_host = head.text.starts_with('{') && is_entry && head.has_key("path");
    (is_list || is_by_host) && !["commandline", "config", "type", "runs"].iter().any(|key| head.has_key(key))
}

fn is_text(head: &Head<'_>) -> bool {
    head.first_line().starts_with("# Dirsearch")
}

fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::rows(input, "url", &mut |row| {
        tell(row.get("url"), row.get("status"), row.get("size"), row.get("redirection"), context, &mut tally);
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

fn tell(url: &str, status: &str, size: &str, redirect: &str, context: &Context<'_>, tally: &mut Tally<'_>) {
    let Some(page) = Page::of(url, context) else { return tally.garbled() };
    let mut evidence = format!("{}\nstatus: {status}\nsize: {size}", page.path);
    if !redirect.is_empty() {
        evidence = format!("{evidence}\nredirects to: {redirect}");
    }
    tally.tell(paths::found(&page.path, status.trim().parse().ok(), &evidence).observed(&page.place()));
}

/// Entries in `results`; before 0.4.2 each entry of it was an object of lists by address, and before 0.4 the root was that.
fn read_json(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = json::stream(input, &[&["results"], &["results", EACH]], &mut |_, entry| {
        if entry.get("url").is_some() {
            tell_entry(&entry, json::text(&entry, "url"), context, &mut tally);
        } else {
            tell_by_host(&entry, context, &mut tally);
        }
    });
    match end {
        Ok(rest) => {
            if rest.get("results").is_none() {
                tell_by_host(&rest, context, &mut tally);
            }
            tally.end(None)
        }
        Err(fault) => import::end(tally, Some(&fault)),
    }
}

fn tell_by_host(hosts: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
    let Some(hosts) = hosts.as_object() else { return tally.garbled() };
    for (base, entries) in hosts.iter().filter(|(_, entries)| entries.is_array()) {
        for entry in entries.as_array().map(Vec::as_slice).unwrap_or_default() {
            let url = format!("{}/{}", base.trim_end_matches('/'), json::text(entry, "path").trim_start_matches('/'));
            tell_entry(entry, &url, context, tally);
        }
    }
}

fn tell_entry(entry: &Value, url: &str, context: &Context<'_>, tally: &mut Tally<'_>) {
    let number = |key: &str| json::number(entry, key).map(|number| number.to_string()).unwrap_or_default();
    let redirect = json::text(entry, "redirect");
    tell(url, &number("status"), &number("content-length"), redirect, context, tally);
}

/// `200     1KB  http://192.0.2.1/admin    -> REDIRECTS TO: …`
fn read_text(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::texts(input, tally, &mut |line, tally| line.starts_with('#') || read_line(line, context, tally).is_some())
}

fn read_line(line: &str, context: &Context<'_>, tally: &mut Tally<'_>) -> Option<()> {
    let mut words = line.split_whitespace();
    let status = words.next().filter(|word| word.len() == 3 && word.parse::<u16>().is_ok())?;
    let url = line.split_whitespace().find(|word| word.starts_with("http://") || word.starts_with("https://"))?;
    let size = words.take_while(|word| *word != url).collect::<Vec<_>>().join(" ");
    let redirect = line.split_once("REDIRECTS TO:").map_or("", |(_, to)| to.trim());
    tell(url, status, &size, redirect, context, tally);
    Some(())
}
