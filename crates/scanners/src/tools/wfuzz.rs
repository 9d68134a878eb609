//! Answers that wfuzz kept (`-o json`). Import only. The request that it stores is left out: it can hold cookies.

use std::io::BufRead;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json,
    page::Page,
    paths,
    tally::Tally,
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "wfuzz", name: "json", blanks: &["[]"], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    head.is_json('[', &["chars", "words", "url", "payload"])
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = json::stream(input, &[&[]], &mut |_, answer| {
        let Some(page) = Page::of(json::text(&answer, "url"), context) else { return tally.garbled() };
        let status = answer.get("code").and_then(serde_json::Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let shown = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        let size = json::number(&answer, "chars").unwrap_or_default();
        let evidence = format!("{} {}\nstatus: {shown}\nsize: {size}", json::text(&answer, "method"), page.path);
        tally.tell(paths::found(&page.path, status, &evidence).observed(&page.place()));
    });
    match end {
        Ok(rest) if !rest.is_array() => tally.refuse("expected a list of answers"),
        end => import::end(tally, end.err().as_ref()),
    }
}
