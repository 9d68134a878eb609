//! Injections that sqlmap confirmed (its file `results-*.csv` of several targets). Import only.
//!
//! Rows without a technique are targets in which nothing was found. A row that a later run wrote again is told once.

use std::io::BufRead;

use picket_domain::Confidence;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import, Seen},
    page::Page,
    rules,
    table::{self, Row},
    tally::Tally,
    weakness::Weakness,
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "sqlmap", name: "csv", blanks: &[], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    let line = head.first_line().to_ascii_lowercase();
    line.starts_with("target url,place,parameter,technique")
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut seen = Seen::default();
    let end = table::rows(input, "target url", &mut |row| tell(row, context, &mut seen, &mut tally));
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

fn tell(row: &Row<'_>, context: &Context<'_>, seen: &mut Seen, tally: &mut Tally<'_>) {
    let techniques = [row.get("technique(s)"), row.get("techniques")].concat();
    let (parameter, place, notes) = (row.get("parameter"), row.get("place"), row.get("note(s)"));
    if techniques.is_empty() && parameter.is_empty() {
        return;
    }
    let address = row.get("target url");
    let Some(page) = Page::of_loose(address, context) else { return tally.garbled() };
    if !seen.is_new(&(address, place, parameter, &techniques)) {
        return;
    }
    let is_doubted = notes.to_ascii_lowercase().contains("false positive");
    let evidence = format!("place: {place}\ntechniques: {}\n{notes}", spelled(&techniques));
    let weakness = Weakness::of(rules::WEB_SQL_INJECTION, &evidence)
        .at(&page.path)
        .about(parameter)
        .sure(if is_doubted { Confidence::Low } else { Confidence::High });
    tally.tell(weakness.observed(&page.place()));
}

fn spelled(techniques: &str) -> String {
    let name = |letter: char| match letter {
        'B' => Some("boolean-based blind"),
        'E' => Some("error-based"),
        'U' => Some("UNION query"),
        'S' => Some("stacked queries"),
        'T' => Some("time-based blind"),
        'Q' => Some("inline query"),
        _ => None,
    };
    techniques.chars().filter_map(name).collect::<Vec<_>>().join(", ")
}
