//! The most thorough look at one TLS service: protocols, cipher suites, certificate, headers and the named attacks
//! (testssl.sh 3.0 and later; flat JSON, pretty JSON and CSV can be imported).
//!
//! It takes minutes. `checks` limits it to some of its parts, `starttls` names the protocol that is spoken before TLS
//! begins. Needs nothing but a connection.
//!
//! Rows of the severity OK are no findings, also when they name a CVE, and the rating at the end is none; rows of INFO are
//! findings that only inform. Rows of WARN and FATAL tell that something could not be tested: the result is then incomplete, but for the notice that the local OpenSSL has no GOST engine. Whether
//! a certificate is for the right name is not judged when the target is an address. CSV does not tell whether testssl.sh
//! finished, so an import of it is always incomplete.

mod params;
mod report;
mod rows;
#[cfg(test)]
mod tests;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard};
use serde_json::Value;

use self::params::Params;
use crate::{Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool, typed};

pub(super) struct Adapter;
struct Json;
struct Csv;

pub(super) const FORMATS: &[&dyn Format] = &[&Json, &Csv];

impl Format for Json {
    fn tool(&self) -> &'static str {
        "testssl"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn blanks(&self) -> &'static [&'static str] {
        &["[]"]
    }

    /// Flat: a list of rows. Pretty: an object with the results of each service.
    fn recognizes(&self, head: &Head<'_>) -> bool {
        let is_flat = head.is_json('[', &["id", "ip", "port", "severity", "finding"]);
        let is_pretty = head.is_json('{', &["scanResult"])
            && (head.has_key("Invocation") || head.has_key("openssl") || head.has_key("targetHost"));
        is_flat || is_pretty
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse_json(input, context, sink)
    }
}

impl Format for Csv {
    fn tool(&self) -> &'static str {
        "testssl"
    }

    fn name(&self) -> &'static str {
        "csv"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        let line: String = head.first_line().chars().filter(|c| *c != '"' && *c != ' ').collect();
        line.starts_with("id,fqdn/ip,port,severity,finding")
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse_csv(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "testssl"
    }

    fn title(&self) -> &'static str {
        "testssl.sh"
    }

    fn category(&self) -> &'static str {
        "tls"
    }

    fn description(&self) -> &'static str {
        "Examines a TLS service thoroughly: protocols, suites, certificate, headers and the named attacks; takes minutes."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn is_passive_with(&self, params: &Value) -> bool {
        typed::read::<Params>(Some(params)).is_ok_and(|params| params.only_looks())
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

    /// A shell that starts openssl some thousand times.
    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(30 * 60), processes: 256, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    /// Up to 49 it counts what was found at severities, from 242 on it names errors; what the report lacks, the report says.
    fn exit_is_ok(&self, code: i32) -> bool {
        (0..242).contains(&code)
    }
}
