//! Crawls a web site, watches what passes, and with `mode` `full` attacks it as well (ZAP 2.12 and later).
//!
//! `mode` `baseline` (the default) sends no attacks. `minutes` bounds the crawl, and the attack, each. Only pages that need
//! no login are seen.
//!
//! ZAP is in no package of Debian: it is offered where the operator has put a root of it, with Java, into
//! `PICKET_TOOLS_ROOT`. Reports in ZAP's traditional JSON and XML can be imported from everywhere.
//!
//! An alert is one finding of its site, however many pages it was seen on; they are listed in its evidence. Injections and
//! files that should not be served are findings of each page. What ZAP calls a false positive is left out.

mod alert;
mod meaning;
mod report;
mod run;
mod xml;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use crate::{Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool, site, typed};

pub(super) struct Adapter;
struct Json;
struct Xml;

pub(super) const FORMATS: &[&dyn Format] = &[&Json, &Xml];

impl Format for Json {
    fn tool(&self) -> &'static str {
        "zap"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_json('{', &["@version", "@generated", "site"])
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Format for Xml {
    fn tool(&self) -> &'static str {
        "zap"
    }

    fn name(&self) -> &'static str {
        "xml"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_xml("OWASPZAPReport")
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        xml::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "zap"
    }

    fn title(&self) -> &'static str {
        "ZAP"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Crawls a web site, watches its answers and, where asked to, attacks it."
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

    /// Java reserves far more address space than it uses; ZAP takes 2 GiB of memory.
    fn appetite(&self) -> Appetite {
        Appetite {
            wall: Duration::from_secs(90 * 60),
            memory_bytes: 8 << 30,
            processes: 256,
            scratch_bytes: 512 << 20,
            ..Appetite::DEFAULT
        }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    /// 2 is a plan that ended with warnings; what the report lacks, the report says.
    fn exit_is_ok(&self, code: i32) -> bool {
        matches!(code, 0 | 2)
    }
}
