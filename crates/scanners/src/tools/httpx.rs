//! Web servers that httpx (of ProjectDiscovery) looked at (JSON lines): title, software, status. Import only.

use std::io::BufRead;

use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json,
    page::Page,
    rules,
    tally::Tally,
    weakness::Weakness,
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "httpx", name: "jsonl", blanks: &[""], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    let first = Head { text: head.first_line(), is_whole: true };
    let is_probe = first.is_json('{', &["url"]) && first.has_key("input") && !first.has_key("template-id");
    let signs = ["status_code", "status-code", "webserver", "failed", "scheme"];
    is_probe && signs.iter().any(|key| first.has_key(key))
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::objects(input, tally, &mut |value, tally| {
        // A probe that failed says that nothing answered, and nothing of the host.
        if value.get("failed") == Some(&Value::Bool(true)) {
            return true;
        }
        let Some(page) = Page::of(json::text(value, "url"), context) else { return false };
        tally.host_up();
        tally.tell(weakness(value).observed(&page.place()));
        true
    })
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
