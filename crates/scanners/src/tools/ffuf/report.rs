//! ffuf's JSON: one object, written at the end of the run (versions before 2.0 tell neither type nor duration); its lines
//! (`-json`), one object for each answer; and its CSV. The latter two have no end mark.

use std::io::BufRead;

use picket_domain::{Confidence, Gap, Observation};
use serde_json::{Value, json};

use crate::{
    Context, Head, Parsed, import,
    json::{self, Fault},
    page::Page,
    paths, rules, table,
    tally::Tally,
    weakness::Weakness,
};

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut tally = Tally::new(sink);
    let mut results = 0_u64;
    let read = json::stream(input, &[&["results"]], &mut |_, result| {
        results = results.saturating_add(1);
        read_result(&result, context, &mut tally);
    });
    match read {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => tally.refuse(fault.to_string()),
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(report) if !report.get("results").is_some_and(|results| results.is_array() || results.is_null()) => {
            tally.refuse("expected the results of ffuf")
        }
        // The report does not tell how many requests were answered at all.
        Ok(_) if results == 0 => {
            tally.end(Some((Gap::OutputIncomplete, "no answer was matched, and ffuf does not tell whether there was any".to_owned())))
        }
        Ok(_) => tally.end(None),
    }
}

pub(super) fn is_lines(head: &Head<'_>) -> bool {
    head.is_json('{', &["input", "position", "status", "redirectlocation", "url"]) && !head.has_key("results")
}

pub(super) fn read_lines(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::objects(input, tally, &mut |result, tally| {
        read_result(result, context, tally);
        true
    })
}

/// The names of the word lists come first.
pub(super) fn is_csv(head: &Head<'_>) -> bool {
    head.first_line().contains(",url,redirectlocation,position,status_code,content_length,")
}

pub(super) fn read_csv(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::rows(input, "redirectlocation", &mut |row| {
        let number = |name: &str| row.get(name).parse::<u64>().ok();
        let result = json!({
            "url": row.get("url"),
            "status": number("status_code"),
            "length": number("content_length"),
            "content-type": row.get("content_type"),
            "redirectlocation": row.get("redirectlocation"),
        });
        read_result(&result, context, &mut tally);
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

fn read_result(result: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
    let (Some(page), Some(status)) = (Page::of(json::text(result, "url"), context), result.get("status").and_then(Value::as_u64)) else {
        tally.garbled();
        return;
    };
    let length = result.get("length").and_then(Value::as_u64).unwrap_or_default();
    let content = json::text(result, "content-type");
    let redirect = json::text(result, "redirectlocation");
    let evidence = format!("{} answered {status} with {length} bytes {content} {redirect}", page.path);
    // An empty answer serves nothing.
    let status = if (200..300).contains(&status) && length == 0 { 204 } else { status };
    let weakness = match status {
        204 => Weakness::of(rules::HTTP_INTERESTING_PATH, &evidence).at(&page.path),
        _ => paths::found(&page.path, u16::try_from(status).ok(), &evidence).sure(Confidence::Low),
    };
    tally.tell(weakness.observed(&page.place()));
}
