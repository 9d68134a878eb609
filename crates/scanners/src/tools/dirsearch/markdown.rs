//! dirsearch's Markdown: a table of addresses; before 0.4.2 one of paths below each target. Nothing says that it is whole.

use std::io::BufRead;

use super::{Entry, tell};
use crate::{Context, Head, Parsed, import, tally::Tally};

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    let has_table = ["URL | Status | Size", "Path | Status | Size"].iter().any(|names| head.text.contains(names));
    head.first_line().starts_with("### Info") && has_table
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::texts(input, tally, &mut |line, tally| {
        let is_frame = ["### ", "Command: ", "Args: ", "Time: ", "---", "URL | Status", "Path | Status"].iter().any(|begin| line.starts_with(begin));
        is_frame || row(line).map(|entry| tell(&entry, context, tally)).is_some()
    })
}

/// `http://192.0.2.1/a | 200 | 12 | text/html | /b`, `[/a](http://192.0.2.1/a) | 200 | 12 | None`.
fn row(line: &str) -> Option<Entry> {
    let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [address, status, size, behind @ ..] = cells.as_slice() else { return None };
    let linked = address.strip_prefix('[').and_then(|rest| rest.split_once("](")).and_then(|(_, url)| url.strip_suffix(')'));
    let redirect = if linked.is_some() { behind.first() } else { behind.get(1) };
    let redirect = redirect.filter(|text| !matches!(**text, "None" | "")).copied().unwrap_or_default();
    let url = linked.unwrap_or(address);
    let fits = url.contains("://") && status.parse::<u16>().is_ok();
    let own = str::to_owned;
    fits.then(|| Entry { url: own(url), status: own(status), size: own(size), redirect: own(redirect) })
}
