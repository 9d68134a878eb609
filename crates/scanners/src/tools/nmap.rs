//! Port scans with service versions and safe scripts (nmap 7.93 and later).
//!
//! A host-name target is scanned by its pinned addresses; scripts that would speak to a virtual host by its name see the
//! address alone for now.

mod argv;
mod document;
mod params;
mod ports;
mod report;
mod schema;
mod script;
mod scripts;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use crate::{
    Appetite, Context, FanOut, Format, Head, ParamsError, Parsed, Rate, TaskShape, Tool, grepable, tally::Tally, tool::lower,
};

pub(super) struct Adapter;
struct Grepable;
struct Xml;

pub(super) const FORMATS: &[&dyn Format] = &[&Grepable, &Xml];

impl Format for Grepable {
    fn tool(&self) -> &'static str {
        "nmap"
    }

    fn name(&self) -> &'static str {
        "grepable"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        grepable::recognizes(head, "nmap")
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        grepable::read(input, context, Tally::new(sink), true)
    }
}

impl Format for Xml {
    fn tool(&self) -> &'static str {
        "nmap"
    }

    fn name(&self) -> &'static str {
        "xml"
    }

    /// masscan writes the same root element under its own name.
    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_xml("nmaprun") && !head.text.contains("scanner=\"masscan\"")
    }

    fn parse(&self, input: &mut dyn BufRead, _: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "nmap"
    }

    fn title(&self) -> &'static str {
        "Nmap"
    }

    fn category(&self) -> &'static str {
        "network"
    }

    fn description(&self) -> &'static str {
        "Finds open ports, the services and versions behind them, and weaknesses that safe scripts can tell."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        Ok(params::parse(params)?.iter().map(params::Shape::task).collect())
    }

    fn by_ports(&self, shape: &TaskShape, most: u32) -> Vec<TaskShape> {
        let parsed = params::parse(Some(&shape.params)).unwrap_or_default();
        let parts = parsed.iter().flat_map(|shape| shape.by_ports(most));
        let parts: Vec<_> = parts.map(|part| part.task()).collect();
        if parts.is_empty() { vec![shape.clone()] } else { parts }
    }

    fn params_schema(&self) -> Value {
        schema::schema()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        match params::parse(Some(params))?.as_slice() {
            [shape] => argv::invocation(shape, shard),
            _ => Err(ParamsError::whole("not_canonical", "expected the parameters of one task")),
        }
    }

    fn fan_out(&self) -> FanOut {
        FanOut::Together
    }

    fn rate(&self) -> Option<Rate> {
        let most = u32::from(params::MAX_RATE);
        Some(Rate { usual: most, most })
    }

    fn slow_down(&self, args: &mut [String], per_second: u32) {
        lower(args, &["--max-rate", "--min-rate"], per_second);
    }

    /// Longer than the half hour that nmap gives one host by itself (`--host-timeout` in `argv.rs`).
    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(35 * 60), ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Xml
    }

    /// nmap ends with 0 when it wrote its report; what the report lacks, the report says.
    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
