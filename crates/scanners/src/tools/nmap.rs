//! nmap 7.93 and later: port scans with service versions and safe scripts.
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

use std::io::BufRead;

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use crate::{ParamsError, Parsed, TaskShape, Tool};

pub(super) struct Adapter;

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

    fn params_schema(&self) -> Value {
        schema::schema()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        match params::parse(Some(params))?.as_slice() {
            [shape] => argv::invocation(shape, shard),
            _ => Err(ParamsError::whole("not_canonical", "expected the parameters of one task")),
        }
    }

    fn parse(&self, output: &mut dyn BufRead, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(output, sink)
    }

    /// nmap ends with 0 when it wrote its report; what the report lacks, the report says.
    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
