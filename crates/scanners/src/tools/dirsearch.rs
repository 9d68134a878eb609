//! Paths that dirsearch found (JSON, CSV, XML, Markdown and plain text). Import only. Its `simple` list of
//! addresses could be of anything and is refused.

mod markdown;
mod xml;

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
    &Import { tool: "dirsearch", name: "markdown", blanks: &[], recognizes: markdown::recognizes, read: markdown::read },
    &Import { tool: "dirsearch", name: "text", blanks: &[], recognizes: is_text, read: read_text },
    &Import { tool: "dirsearch", name: "xml", blanks: &[], recognizes: xml::recognizes, read: xml::read },
];

fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().to_ascii_lowercase();
    line.starts_with("url,status,size,") || line.starts_with("time,url,status,size,")
}

fn is_json(head: &Head<'_>) -> bool {
    let is_old = head.has_key("status") && head.has_key("content-length");
    let is_entry = is_old || (head.has_key("status") && head.has_key("contentLength") && head.has_key("redirect"));
    let is_list = head.is_json('{', &["results"]) && (is_entry || head.text.contains("dirsearch"));
    let is_by_host = head.text.starts_with('{') && is_old && head.has_key("path");
    (is_list || is_by_host) && !["commandline", "config", "type", "runs"].iter().any(|key| head.has_key(key))
}

fn is_text(head: &Head<'_>) -> bool {
    head.first_line().starts_with("# Dirsearch")
}

fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::rows(input, "url", &mut |row| {
        // Version 0.4.3 and later call them otherwise.
        let of = |names: [&str; 2]| names.into_iter().map(|name| row.get(name)).find(|cell| !cell.is_empty()).unwrap_or_default().to_owned();
        let entry = Entry { url: of(["url"; 2]), status: of(["status"; 2]), size: of(["size", "content length"]), redirect: of(["redirection", "redirect"]) };
        tell(&entry, context, &mut tally);
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

/// One address, as every format tells it.
#[derive(Debug, Default)]
struct Entry {
    url: String,
    status: String,
    size: String,
    redirect: String,
}

fn tell(entry: &Entry, context: &Context<'_>, tally: &mut Tally<'_>) {
    let Some(page) = Page::of(&entry.url, context) else { return tally.garbled() };
    let mut evidence = format!("{}\nstatus: {}\nsize: {}", page.path, entry.status, entry.size);
    if !entry.redirect.is_empty() {
        evidence = format!("{evidence}\nredirects to: {}", entry.redirect);
    }
    tally.tell(paths::found(&page.path, entry.status.trim().parse().ok(), &evidence).observed(&page.place()));
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
    let redirect = json::text(entry, "redirect").to_owned();
    let size = ["content-length", "contentLength"].into_iter().map(number).find(|size| !size.is_empty());
    let entry = Entry { url: url.to_owned(), status: number("status"), size: size.unwrap_or_default(), redirect };
    tell(&entry, context, tally);
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
    let redirect = line.split_once("REDIRECTS TO:").or_else(|| line.split_once("->  ")).map_or("", |(_, to)| to.trim());
    let own = str::to_owned;
    tell(&Entry { url: own(url), status: own(status), size, redirect: own(redirect) }, context, tally);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_format_of_one_run_tells_the_same() {
        let time = "http://192.0.2.7/admin";
        let rows = [
            format!("<?xml version='1.0' encoding='utf-8'?>\n<dirsearchscan args=\"-u x\" time=\"t\"><result url=\"{time}\"><status>301</status><contentLength>0</contentLength><contentType>x</contentType><redirect>/admin/</redirect></result></dirsearchscan>"),
            "<?xml version=\"1.0\"?>\n<dirsearchScan args=\"x\" time=\"t\">\n <target url=\"http://192.0.2.7:80/\">\n  <info path=\"/admin\">\n   <status>301</status>\n   <contentLength>0</contentLength>\n   <redirect>/admin/</redirect>\n  </info>\n </target>\n</dirsearchScan>\n".to_owned(),
            format!("### Information\nCommand: dirsearch -u x\nTime: t\n\nURL | Status | Size | Content Type | Redirection | Elapsed (ms)\n----|--------|------|--------------|-------------|-------------\n{time} | 301 | 0 | text/html | /admin/ | 12\n"),
            format!("### Info\nArgs: x\nTime: t\n\n### Target: http://192.0.2.7:80/\n\nPath | Status | Size | Redirection\n-----|--------|------|------------\n[/admin]({time}) | 301 | 0 | /admin/\n\n"),
            format!("# Dirsearch started at t as: dirsearch -u x\n301     0B {time}  (12ms)  ->  /admin/\n"),
            format!("URL,Status,Size,Content Type,Redirection\n{time},301,0,text/html,/admin/\n"),
        ];
        for report in rows {
            let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a report of dirsearch");
            assert_eq!(format.tool(), "dirsearch");
            let (parsed, seen) = testing::read(format, report.as_bytes());
            assert!(parsed.is_complete(), "{report}\n{parsed:?}");
            assert_eq!(testing::brief(&seen), [("http.interesting_path".into(), "/admin".into(), String::new())], "{report}");
            assert!(seen[0].evidence.contains("redirects to: /admin/"), "{}", seen[0].evidence);
        }
    }

    #[test]
    fn a_list_of_addresses_could_be_of_anything() {
        assert!(crate::recognize(&Head::new(b"http://192.0.2.7/admin\nhttp://192.0.2.7/b\n", true)).is_none());
    }
}
