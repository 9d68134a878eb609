//! Looks for thousands of known files, default installations and settings of web servers (Nikto 2.1.5 and later).
//!
//! `tuning` chooses kinds of checks by Nikto's own letters; denial of service (6) and uploads (0) cannot be chosen.
//! Checks that are also of a kind that was not chosen are left out. Many checks judge by a name alone, so findings without a CVE are seldom more than worth a look.
//!
//! Nikto's data is not free software: its root is built only where the operator sets `PICKET_NONFREE=1`.

mod item;
mod lines;
mod report;
mod run;
mod xml;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use crate::{Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool, import::Import, lossy::Lossy, site, typed};

pub(super) struct Adapter;
struct Json;
struct Xml;

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "nikto", name: "csv", blanks: &[], recognizes: lines::is_table, read: lines::read_table },
    &Json,
    &Import { tool: "nikto", name: "text", blanks: &[], recognizes: lines::is_text, read: lines::read_text },
    &Xml,
];

/// What every version says of a scan that it ended before all checks were done.
fn is_terminated(said: &str) -> bool {
    said.to_ascii_lowercase().contains("scan terminated:")
}

impl Format for Json {
    fn tool(&self) -> &'static str {
        "nikto"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn blanks(&self) -> &'static [&'static str] {
        &["[]"]
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        (head.text.starts_with('{') || head.text.starts_with('['))
            && ["host", "ip", "port", "vulnerabilities"].iter().all(|key| head.has_key(key))
            && (head.has_key("banner") || head.has_key("server_banner"))
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(&mut Lossy::new(input), context, sink)
    }
}

impl Format for Xml {
    fn tool(&self) -> &'static str {
        "nikto"
    }

    fn name(&self) -> &'static str {
        "xml"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_xml("niktoscan") || head.is_xml("niktoscans")
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        xml::parse(&mut Lossy::new(input), context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "nikto"
    }

    fn title(&self) -> &'static str {
        "Nikto"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Looks for known files, default installations and settings of web servers."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        site::shapes::<run::Params>(params)
    }

    fn params_schema(&self) -> Value {
        typed::schema::<run::Params>()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        run::invocation(params, shard)
    }

    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(40 * 60), ..Appetite::DEFAULT }
    }

    /// Every version writes XML; JSON came later and changed.
    fn format(&self) -> &'static dyn Format {
        &Xml
    }

    /// Newer versions end with 1 when they found something; what the report lacks, the report says.
    fn exit_is_ok(&self, code: i32) -> bool {
        matches!(code, 0 | 1)
    }

    fn stopped_early(&self, said: &str) -> Option<&'static str> {
        if said.contains("maximum execution time of") {
            return Some("the time limit ended the checks before they were done");
        }
        is_terminated(said).then_some("nikto ended the checks before they were done")
    }
}
