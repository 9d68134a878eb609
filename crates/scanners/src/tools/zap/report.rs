//! ZAP's traditional JSON: sites with their alerts, written at the end. A site may be an object or one of an array.

use std::io::BufRead;

use picket_domain::{Gap, Observation};
use serde_json::Value;

use super::alert::{Alert, Instance, MAX_PIECE_BYTES, MAX_TEXT_BYTES};
use crate::{
    Context, Parsed,
    json::{self, EACH, Fault},
    page::Page,
    tally::Tally,
    text,
};

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut tally = Tally::new(sink);
    let arrays: &[&[&str]] = &[&["site", EACH, "alerts"], &["site", "alerts"]];
    // The alerts name their pages themselves.
    let read = json::stream(input, arrays, &mut |_, alert| alert_of(&alert).tell(None, context, &mut tally));
    let report = match read {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => return tally.refuse(fault.to_string()),
        Err(fault) => return tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(report) => report,
    };
    let sites = match report.get("site") {
        Some(Value::Array(sites)) => sites.as_slice(),
        Some(site @ Value::Object(_)) => std::slice::from_ref(site),
        _ => return tally.refuse("expected the sites of ZAP"),
    };
    for _ in sites.iter().filter_map(|site| Page::of(json::text(site, "@name"), context)) {
        tally.host_up();
    }
    let nothing = sites.is_empty().then(|| (Gap::OutputIncomplete, "no site was examined".to_owned()));
    tally.end(nothing)
}

fn alert_of(alert: &Value) -> Alert {
    let text = |key: &str| text_of(alert, key, MAX_TEXT_BYTES);
    let mut read = Alert {
        plugin: text("pluginid"),
        reference: text("alertRef"),
        name: if json::text(alert, "name").is_empty() { text("alert") } else { text("name") },
        risk: text("riskcode"),
        confidence: text("confidence"),
        description: text("desc"),
        other: text("otherinfo"),
        solution: text("solution"),
        references: text("reference"),
        cwe: text("cweid"),
        instances: Vec::new(),
        left_out: 0,
    };
    for instance in json::items(alert, "instances") {
        read.push(instance_of(instance));
    }
    if !json::text(alert, "uri").is_empty() {
        read.push(instance_of(alert));
    }
    read
}

fn instance_of(instance: &Value) -> Instance {
    let text = |key: &str| text_of(instance, key, MAX_PIECE_BYTES);
    Instance { uri: text("uri"), method: text("method"), param: text("param"), attack: text("attack"), evidence: text("evidence") }
}

/// A text of bounded length, also one that is written as a number.
fn text_of(value: &Value, key: &str, max_bytes: usize) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text::prefix(text, max_bytes).to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}
