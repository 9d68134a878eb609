//! Protocols, cipher suites, key exchange and certificate of one TLS service (sslscan 1.11 and later, 2.x to be run).
//!
//! It connects once per protocol and suite, which takes seconds. Needs nothing but a connection; `starttls` names the
//! protocol that is spoken before TLS begins.
//!
//! sslscan grades nothing: Picket's own rules do, the same ones as for nmap, sslyze and testssl. It does not check the chain
//! of the certificate, says nothing of its name, and tells no time, so a certificate that expires soon is not noticed.

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
struct Xml;

pub(super) const FORMATS: &[&dyn Format] = &[&Xml];

impl Format for Xml {
    fn tool(&self) -> &'static str {
        "sslscan"
    }

    fn name(&self) -> &'static str {
        "xml"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_xml("document") && (head.text.contains("SSLScan Results") || head.text.contains("<ssltest"))
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "sslscan"
    }

    fn title(&self) -> &'static str {
        "sslscan"
    }

    fn category(&self) -> &'static str {
        "tls"
    }

    fn description(&self) -> &'static str {
        "Lists the protocols, cipher suites and the certificate of a TLS service within seconds."
    }

    /// It tries Heartbleed, unless asked not to.
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

    fn format(&self) -> &'static dyn Format {
        &Xml
    }

    /// 0 also when it could not connect; the report says so.
    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
