//! WhatWeb's JSON: an array with one object per page, closed when the run ends.

use std::io::BufRead;

use picket_domain::{Gap, Observation};
use serde_json::Value;

use crate::{
    Context, Parsed,
    json::{self, Fault},
    rules,
    page::Page,
    tally::Tally,
    text,
    weakness::Weakness,
};

const MAX_EVIDENCE_BYTES: usize = 4000;
/// What WhatWeb tells of every site and what says nothing about its software.
const NO_SOFTWARE: [&str; 6] = ["Country", "IP", "Script", "Title", "HTML5", "PasswordField"];

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut tally = Tally::new(sink);
    let read = json::stream(input, &[&[]], &mut |_, target| read_target(&target, context, &mut tally));
    match read {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => tally.refuse(fault.to_string()),
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(Value::Array(_)) if tally.hosts() == 0 => {
            tally.end(Some((Gap::OutputIncomplete, "no page was answered".to_owned())))
        }
        Ok(Value::Array(_)) => tally.end(None),
        Ok(_) => tally.refuse("expected an array of pages"),
    }
}

fn read_target(target: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
    // Older versions end their array with an empty object.
    if target.as_object().is_some_and(serde_json::Map::is_empty) {
        return;
    }
    let page = Page::of(json::text(target, "target"), context);
    let (Some(page), Some(plugins)) = (page, target.get("plugins").and_then(Value::as_object)) else {
        tally.garbled();
        return;
    };
    tally.host_up();
    let (mut evidence, mut names) = (String::new(), String::new());
    for (name, found) in plugins {
        let line = format!("{name}{}\n", details(found));
        text::push(&mut evidence, &line, MAX_EVIDENCE_BYTES);
        if !NO_SOFTWARE.contains(&name.as_str()) {
            let version = values(found, "version").next().map(|version| format!(" {version}")).unwrap_or_default();
            let separator = if names.is_empty() { "" } else { ", " };
            text::push(&mut names, &format!("{separator}{name}{version}"), 200);
        }
    }
    let mut weakness = Weakness::of(rules::WEB_TECHNOLOGY, &evidence).at(&page.path);
    if !names.is_empty() {
        weakness = weakness.titled(&format!("Recognized: {names}"));
    }
    tally.tell(weakness.observed(&page.place()));
}

/// What a plugin found, behind its name.
fn details(found: &Value) -> String {
    let keys = ["version", "string", "os", "module", "model", "firmware", "account"];
    let found: Vec<&str> = keys.iter().flat_map(|key| values(found, key)).take(10).collect();
    if found.is_empty() { String::new() } else { format!(": {}", found.join(", ")) }
}

fn values<'v>(found: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    json::items(found, key).iter().filter_map(Value::as_str)
}
