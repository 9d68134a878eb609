//! Web servers that httpx (of ProjectDiscovery) looked at (JSON lines and CSV): title, software, status. Import only.

use std::io::BufRead;

use serde_json::{Value, json};

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json,
    page::Page,
    rules, table,
    tally::Tally,
    weakness::Weakness,
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "httpx", name: "csv", blanks: &[], recognizes: is_table, read: read_table },
    &Import { tool: "httpx", name: "jsonl", blanks: &[""], recognizes, read },
];

fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().trim_end().to_ascii_lowercase();
    let names: Vec<&str> = line.split(',').collect();
    ["url", "input", "webserver", "failed"].iter().all(|name| names.contains(name))
        && ["status_code", "status-code"].iter().any(|name| names.contains(name))
}

fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::rows(input, "url", &mut |row| {
        // Lists stand in brackets, with spaces between.
        let software: Vec<&str> = row.get("tech").trim_matches(['[', ']']).split_whitespace().collect();
        let status = [row.get("status_code"), row.get("status-code")].concat();
        let value = json!({
            "url": row.get("url"), "title": row.get("title"), "webserver": row.get("webserver"), "status_code": status,
            "tech": software, "failed": row.get("failed") == "true",
        });
        if !tell(&value, context, &mut tally) {
            tally.garbled();
        }
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

fn recognizes(head: &Head<'_>) -> bool {
    let first = Head { text: head.first_line(), is_whole: true };
    let is_probe = first.is_json('{', &["url"]) && first.has_key("input") && !first.has_key("template-id");
    let signs = ["status_code", "status-code", "webserver", "failed", "scheme"];
    is_probe && signs.iter().any(|key| first.has_key(key))
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::objects(input, tally, &mut |value, tally| tell(value, context, tally))
}

/// Whether the record could be understood.
fn tell(value: &Value, context: &Context<'_>, tally: &mut Tally<'_>) -> bool {
    // A probe that failed says that nothing answered, and nothing of the host.
    if value.get("failed") == Some(&Value::Bool(true)) {
        return true;
    }
    let Some(page) = Page::of(json::text(value, "url"), context) else { return false };
    tally.host_up();
    tally.tell(weakness(value).observed(&page.place()));
    true
}

fn weakness(value: &Value) -> Weakness {
    let title = json::text(value, "title");
    let software = json::items(value, "tech").iter().chain(json::items(value, "technologies"));
    let software: Vec<&str> = software.filter_map(Value::as_str).take(32).collect();
    let server = json::text(value, "webserver");
    let mut known = vec![("title", title.to_owned()), ("server", server.to_owned()), ("software", software.join(", "))];
    let status = json::number(value, "status_code").or_else(|| json::number(value, "status-code"));
    known.extend(status.map(|status| ("status", status.to_string())));
    known.retain(|(_, text)| !text.is_empty());
    let evidence: Vec<String> = known.iter().map(|(label, text)| format!("{label}: {text}")).collect();
    let shown = if title.is_empty() { server } else { title };
    Weakness::of(rules::HTTP_TITLE, &evidence.join("\n")).titled(&format!("Web page: {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_what_the_lines_tell() {
        let report = "timestamp,port,url,input,title,scheme,webserver,tech,words,status_code,failed\nt,443,https://www.example.com/,www.example.com,Shop,https,nginx,[nginx PHP:8.2],5,200,false\n\
                      t,80,http://b.example/,b.example,,http,,[],0,0,true\n";
        let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a table of httpx");
        let (parsed, seen) = crate::testing::read(format, report.as_bytes());
        assert!(parsed.is_complete() && seen.len() == 1, "{parsed:?}");
        assert_eq!(seen[0].title, "Web page: Shop");
        assert!(seen[0].evidence.contains("software: nginx, PHP:8.2") && seen[0].evidence.contains("status: 200"), "{}", seen[0].evidence);
    }
}
