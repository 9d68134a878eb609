//! Crawls a web site and looks for injections, scripting, open redirects, careless cookies and missing headers
//! (Wapiti 3.0.4 and later).
//!
//! `scope` is how far it crawls: `page`, `folder` (the default) or `url`. `modules` are the checks to run, `level` 2 also
//! tries parameters that pages do not name, `max_scan_time` is how long it crawls, in seconds; a site that is larger than that is
//! incomplete. Only forms and links that need no login are seen.
//!
//! Checks that need a server of somebody else, a database from the Internet or guessed passwords cannot be chosen.

mod category;
mod report;
mod run;
mod table;
mod xml;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use crate::{Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool, import::Import, typed};

pub(super) struct Adapter;
struct Json;
struct Xml;

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "wapiti", name: "csv", blanks: &[], recognizes: table::recognizes, read: table::read },
    &Json,
    &Xml,
];

impl Format for Json {
    fn tool(&self) -> &'static str {
        "wapiti"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        // The part that names the tool stands at the end, far behind the head.
        head.is_json('{', &["classifications", "desc", "sol", "ref"])
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Format for Xml {
    fn tool(&self) -> &'static str {
        "wapiti"
    }

    fn name(&self) -> &'static str {
        "xml"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_xml("report") && head.text.contains("<report_infos>") && head.text.contains("generatorName\">wapiti<")
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        xml::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "wapiti"
    }

    fn title(&self) -> &'static str {
        "Wapiti"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Crawls a web site and looks for injections and other weaknesses of the application."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        run::shapes(params)
    }

    fn params_schema(&self) -> Value {
        typed::schema::<run::Params>()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        run::invocation(params, shard)
    }

    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(40 * 60), output_bytes: 16 << 20, scratch_bytes: 64 << 20, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }

    /// The report of a crawl or a check that ran out of time looks like any other.
    fn stopped_early(&self, said: &str) -> Option<&'static str> {
        let is_cut = ["Max scan time was reached", "Max attack time was reached"].iter().any(|text| said.contains(text));
        is_cut.then_some("Wapiti came to its time limit before it had seen the whole site")
    }
}
