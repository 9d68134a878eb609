//! Runs thousands of small signed checks (templates) against a web site (nuclei 3.10 and later).
//!
//! `severity` and `tags` choose among the templates that the operator has put into the tool's root below `/templates`;
//! `rate_limit` is the most requests per second. Templates of a client's own cannot be run, and templates that are not
//! signed, that run code or a browser, or that read files are left out.
//!
//! nuclei is in no package of Debian: it is offered where the operator has put a root of it into `PICKET_TOOLS_ROOT`.
//! It writes a line for what it finds and none when it ends, so a run that finds nothing is never called clean.

mod meaning;
mod record;
mod report;
mod run;
mod screen;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use crate::{
    Appetite, Context, Format, Head, ParamsError, Parsed, Rate, TaskShape, Tool, import::Import, tool::lower, typed,
};

pub(super) struct Adapter;
struct Lines;
struct Array;

pub(super) const FORMATS: &[&dyn Format] = &[
    &Lines,
    &Array,
    &Import { tool: "nuclei", name: "text", blanks: &[], recognizes: screen::recognizes, read: screen::read },
];

/// What every record of every version has, and no other tool's.
fn is_record(head: &Head<'_>) -> bool {
    let has_template = ["template-id", "templateID", "template_id"].iter().any(|key| head.has_key(key));
    // A template that is told whole stands before `info` and can be longer than the head.
    has_template && ["info", "template-encoded"].iter().any(|key| head.has_key(key))
}

impl Format for Lines {
    fn tool(&self) -> &'static str {
        "nuclei"
    }

    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn blanks(&self) -> &'static [&'static str] {
        &[""]
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.text.starts_with('{') && is_record(head)
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::lines(input, context, sink)
    }
}

impl Format for Array {
    fn tool(&self) -> &'static str {
        "nuclei"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn blanks(&self) -> &'static [&'static str] {
        &["[]"]
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.text.starts_with('[') && is_record(head)
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::array(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "nuclei"
    }

    fn title(&self) -> &'static str {
        "nuclei"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Runs thousands of small signed checks for known weaknesses against a web site."
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

    fn rate(&self) -> Option<Rate> {
        Some(Rate { usual: run::DEFAULT_RATE, most: run::MAX_RATE })
    }

    fn slow_down(&self, args: &mut [String], per_second: u32) {
        lower(args, &["-rl"], per_second);
    }

    /// Go reserves far more address space than it uses.
    fn appetite(&self) -> Appetite {
        Appetite {
            wall: Duration::from_secs(60 * 60),
            memory_bytes: 8 << 30,
            processes: 128,
            scratch_bytes: 256 << 20,
            ..Appetite::DEFAULT
        }
    }

    fn format(&self) -> &'static dyn Format {
        &Lines
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
