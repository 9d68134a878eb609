//! Wapiti's JSON: one object, written at the end of the run. The part that names the site stands behind the entries, so
//! the object is read as a whole; it is bounded by the reader at 4 MiB, many times what Wapiti writes.

use std::io::BufRead;

use picket_domain::{Gap, Observation};
use serde_json::Value;

use super::category::{self, About, Entry, Part};
use crate::{
    Context, Parsed,
    json::{self, Fault},
    page::Page,
    tally::Tally,
    text,
};

pub(super) const MAX_TEXT_BYTES: usize = 8 << 10;
pub(super) const MAX_REFERENCES: usize = 16;
const PARTS: [(&str, Part); 3] = [
    ("vulnerabilities", Part::Vulnerabilities),
    ("anomalies", Part::Anomalies),
    ("additionals", Part::Additionals),
];

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let tally = Tally::new(sink);
    match json::stream(input, &[], &mut |_, _| {}) {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => tally.refuse(fault.to_string()),
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(report) => read(&report, context, tally),
    }
}

fn read(report: &Value, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    if !report.get("vulnerabilities").is_some_and(Value::is_object) {
        return tally.refuse("expected the vulnerabilities of Wapiti");
    }
    let infos = report.get("infos");
    let Some(start) = infos.and_then(|infos| Page::of(json::text(infos, "target"), context)) else {
        return tally.end(Some((Gap::OutputIncomplete, "the report does not name its site".to_owned())));
    };
    tally.host_up();
    for (key, part) in PARTS {
        for (category, entries) in report.get(key).and_then(Value::as_object).into_iter().flatten() {
            let about = about(report, category);
            for entry in entries.as_array().into_iter().flatten() {
                let weakness = category::weakness(part, category, &entry_of(entry), &about);
                tally.tell(weakness.observed(&start.place()));
            }
        }
    }
    tally.end(crawled(infos.and_then(|infos| json::number(infos, "crawled_pages_nbr"))))
}

/// Whether anything was looked at. Versions before 3.1 do not tell.
pub(super) fn crawled(pages: Option<f64>) -> Option<(Gap, String)> {
    let nothing = pages.is_some_and(|pages| pages < 1.0);
    nothing.then(|| (Gap::OutputIncomplete, "no page was crawled".to_owned()))
}

fn entry_of(entry: &Value) -> Entry {
    let text = |key: &str| text::prefix(json::text(entry, key), MAX_TEXT_BYTES).to_owned();
    Entry {
        method: text("method"),
        path: text("path"),
        info: text("info"),
        level: entry.get("level").and_then(Value::as_u64).unwrap_or_default(),
        parameter: text("parameter"),
        request: text("http_request"),
    }
}

fn about(report: &Value, category: &str) -> About {
    let Some(class) = report.get("classifications").and_then(|classes| classes.get(category)) else {
        return About::default();
    };
    let references = class.get("ref").and_then(Value::as_object).into_iter().flatten();
    About {
        description: text::prefix(json::text(class, "desc"), MAX_TEXT_BYTES).to_owned(),
        solution: text::prefix(json::text(class, "sol"), MAX_TEXT_BYTES).to_owned(),
        references: references.filter_map(|(_, url)| url.as_str()).take(MAX_REFERENCES).map(|url| text::prefix(url, 501).to_owned()).collect(),
    }
}
