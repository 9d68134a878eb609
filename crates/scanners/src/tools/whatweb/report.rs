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
    let Some(plugins) = target.get("plugins").and_then(Value::as_object) else { return tally.garbled() };
    let found = plugins.iter().map(|(name, found)| {
        let keys = ["version", "string", "os", "module", "model", "firmware", "account"];
        let details = keys.iter().flat_map(|key| values(found, key)).take(10).map(str::to_owned).collect();
        Found { name: name.clone(), version: values(found, "version").next().map(str::to_owned), details }
    });
    tell(json::text(target, "target"), found, context, tally);
}

/// What one plugin recognized, as every format tells it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) details: Vec<String>,
}

/// The finding of one page.
pub(super) fn tell(address: &str, plugins: impl IntoIterator<Item = Found>, context: &Context<'_>, tally: &mut Tally<'_>) {
    let Some(page) = Page::of(address, context) else { return tally.garbled() };
    tally.host_up();
    let (mut evidence, mut names) = (String::new(), String::new());
    for Found { name, version, details } in plugins {
        let colon = if details.is_empty() { "" } else { ": " };
        text::push(&mut evidence, &format!("{name}{colon}{}\n", details.join(", ")), MAX_EVIDENCE_BYTES);
        if !NO_SOFTWARE.contains(&name.as_str()) {
            let version = version.map(|version| format!(" {version}")).unwrap_or_default();
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

fn values<'v>(found: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    json::items(found, key).iter().filter_map(Value::as_str)
}
