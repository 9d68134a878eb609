//! Algorithms, host keys and known weaknesses of one SSH server (ssh-audit 2.5 and 3.x; the results of policy audits can be
//! imported).
//!
//! Algorithms that Picket knows as weak are the findings that nmap makes of them as well. Others that ssh-audit fails are of
//! medium severity, those it warns of are low; the curves of NIST are low, since they are contested and not broken, and what
//! lacks protection against quantum computers alone is information. CVE names come from the version in the banner, which says
//! little where a distribution repairs without changing it: their confidence is low.
//!
//! The test of how fast connections are accepted is left out, since it loads the server.

mod params;
mod report;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use self::params::Params;
use crate::{Context, Format, Head, ParamsError, Parsed, TaskShape, Tool, typed};

pub(super) struct Adapter;
struct Json;

pub(super) const FORMATS: &[&dyn Format] = &[&Json];

impl Format for Json {
    fn tool(&self) -> &'static str {
        "ssh-audit"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    /// An audit, a policy audit, or a list of them.
    fn recognizes(&self, head: &Head<'_>) -> bool {
        let has = |keys: &[&str]| head.is_json('{', keys) || head.is_json('[', keys);
        has(&["banner", "kex", "enc", "mac"]) || (has(&["policy", "passed", "errors", "host"]))
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "ssh-audit"
    }

    fn title(&self) -> &'static str {
        "ssh-audit"
    }

    fn category(&self) -> &'static str {
        "ssh"
    }

    fn description(&self) -> &'static str {
        "Lists the algorithms and keys of an SSH server and tells which of them are weak."
    }

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

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    /// 2: warnings, 3: failures were found. 1: no connection; the output is a line of text then.
    fn exit_is_ok(&self, code: i32) -> bool {
        matches!(code, 0 | 2 | 3)
    }
}
