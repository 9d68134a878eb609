//! Tells whether a web application firewall stands before a site, and which (WAFW00F 2.2 and later).
//!
//! It sends requests that look like attacks and compares the answers. Redirects are not followed. A firewall that is
//! not found may still be there.

mod report;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool,
    import::Import,
    site::{self, Start},
    typed::{self, Port, RootPath},
};

const REPORT: &str = "/scratch/report.json";

pub(super) struct Adapter;
struct Json;

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "wafw00f", name: "csv", blanks: &[], recognizes: report::is_table, read: report::read_table },
    &Json,
];

/// What a client may ask for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Params {
    /// The port; 80 without it, 443 with `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
    /// Whether to speak TLS; true on port 443 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    /// The page to begin with.
    path: RootPath,
}

impl Format for Json {
    fn tool(&self) -> &'static str {
        "wafw00f"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn blanks(&self) -> &'static [&'static str] {
        &["[]"]
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_json('[', &["url", "detected", "firewall", "manufacturer"])
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "wafw00f"
    }

    fn title(&self) -> &'static str {
        "WAFW00F"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Tells which web application firewall stands before a site."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        site::shapes::<Params>(params)
    }

    fn params_schema(&self) -> Value {
        typed::schema::<Params>()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        let params: Params = typed::read(Some(params))?;
        let start = Start::of(params.port, params.tls, &params.path, shard)?;
        let mut args = site::words(&["-a", "-r", "-f", "json", "-o", REPORT]);
        args.push(start.url());
        Ok(Invocation { output: ToolOutput::File(REPORT), ..start.run("wafw00f", "/usr/bin/wafw00f", args, shard) })
    }

    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(3 * 60), output_bytes: 1 << 20, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
