//! Paths that feroxbuster found (`--json`, lines). Import only. Its last line, the statistics, says that it finished.

use std::io::BufRead;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json,
    page::Page,
    paths,
    tally::Tally,
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "feroxbuster", name: "jsonl", blanks: &[""], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    let first = Head { text: head.first_line(), is_whole: true };
    let is_start = first.is_json('{', &["type", "wordlist", "target_url"]);
    is_start || first.is_json('{', &["type", "original_url", "wildcard", "status"])
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut is_ended = false;
    let mut tally = tally;
    let (mut all, mut whole) = (0_u64, 0_u64);
    let lines = json::lines(input, &mut |line| {
        all = all.saturating_add(1);
        let Ok(value) = json::value(line) else { return };
        match json::text(&value, "type") {
            "response" => {
                let Some(page) = Page::of(json::text(&value, "url"), context) else { return };
                let number = |key: &str| json::number(&value, key).unwrap_or_default();
                let status = value.get("status").and_then(serde_json::Value::as_u64);
                let status = status.and_then(|status| u16::try_from(status).ok());
                let evidence = format!("{}\nstatus: {}\nsize: {}", page.path, number("status"), number("content_length"));
                tally.tell(paths::found(&page.path, status, &evidence).observed(&page.place()));
            }
            "statistics" => is_ended = true,
            _ => {}
        }
        whole = whole.saturating_add(1);
    });
    if lines.is_ok() && whole > 0 && whole == all && !is_ended {
        return import::incomplete(tally, "feroxbuster did not say that it finished");
    }
    // The end is known by the record: it needs no line feed.
    let lines = lines.map(|lines| json::Lines { is_cut: lines.is_cut && !is_ended, ..lines });
    Parsed { is_unmarked: false, ..import::end_lines(tally, lines, whole, all) }
}
