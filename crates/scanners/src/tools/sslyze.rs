//! Protocols, cipher suites, certificate chain and known attacks of one TLS service within seconds (sslyze 5 and 6; reports of
//! 3 and 4 can be imported).
//!
//! Beside what sslscan sees it checks the chain of the certificate against the trust stores of Android, Apple, Java, Mozilla
//! and Windows, as they were when it was released. `starttls` names the protocol that is spoken before TLS begins.
//!
//! A check that failed makes the result incomplete. Picket's own rules grade what it saw, and no profile of Mozilla's.

mod certificates;
mod numbers;
mod params;
mod report;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use self::params::Params;
use crate::{Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool, typed};

pub(super) struct Adapter;
struct Json;

pub(super) const FORMATS: &[&dyn Format] = &[&Json];

impl Format for Json {
    fn tool(&self) -> &'static str {
        "sslyze"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_json('{', &["server_scan_results"])
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "sslyze"
    }

    fn title(&self) -> &'static str {
        "SSLyze"
    }

    fn category(&self) -> &'static str {
        "tls"
    }

    fn description(&self) -> &'static str {
        "Examines protocols, suites, certificate chain and known attacks of a TLS service within seconds."
    }

    /// Every run tries named attacks (Heartbleed, ROBOT, early CCS).
    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        typed::read(params).map(|params: Params| vec![params.task()])
    }

    fn params_schema(&self) -> Value {
        typed::schema::<Params>()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        typed::read::<Params>(Some(params))?.invocation(shard)
    }

    /// Each of its many threads reserves address space.
    fn appetite(&self) -> Appetite {
        Appetite { memory_bytes: 4 << 30, processes: 128, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    /// 1 would mean that the server does not fit a profile of Mozilla's, which is not asked for; so it is a failure.
    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
