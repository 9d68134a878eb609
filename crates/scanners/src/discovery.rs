//! Looks for names below a host name, such as `www.example.com` below `example.com`.
//!
//! It asks the name servers for a short list of usual names and for those that the target's own certificate lists
//! (`port`, 443 by default), and it runs no program. A domain that answers to every name (a wildcard) is recognized; then
//! only names of the certificate count. At most 100 names are kept of one target.
//!
//! In a plan with `include_subdomain`, each name that was found becomes a target of the scan where it may be one: it passes
//! the same checks as the target itself, under the same proof or authorization. What was refused is in the coverage, with
//! the reason. Where a name server does not answer, a handshake fails, a name is refused or the domain is a wildcard, the
//! search is not whole: then nobody says that a missing name is gone. As a tool of its own it only lists the names. Names that neither the list nor the certificate has stay
//! unknown.

use std::{io::BufRead, net::IpAddr, time::Duration};

use picket_domain::{Gap, Invocation, Needs, Observation, Pool, SandboxLevel, Severity, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Appetite, Context, FanOut, Format, Head, ParamsError, Parsed, TaskShape, Tool, json,
    tally::Tally,
    typed::{self, Port},
    weakness::{Place, Weakness},
};

/// The search for names below a target. A worker does it by itself, without a root.
pub const DISCOVERY: &dyn Tool = &Discovery;

/// Its name.
const SLUG: &str = "subdomains";
/// Where certificates usually are.
const HTTPS: u16 = 443;

/// What is said of a search that does not know of every name.
const NOT_WHOLE: &str = "not every name was answered or may be looked at: a name that is missing may still be there";

/// The page of the catalogue, by the head of this file.
pub(crate) const SOURCE: &str = include_str!("discovery.rs");

struct Discovery;

/// What a client may ask for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Params {
    /// The port whose certificate is looked at; 443 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
}

/// One line of what a search prints: a name that was found, or its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameLine {
    /// A name below the target.
    Name {
        /// The name.
        name: String,
        /// Where it leads.
        addresses: Vec<IpAddr>,
        /// Whether the target's certificate lists it.
        is_certified: bool,
    },
    /// The search is over.
    End {
        /// Names that the name servers were asked for.
        asked: u64,
        /// Whether the domain answers to every name.
        is_wildcard: bool,
        /// Whether a name that was not found is not there.
        is_whole: bool,
    },
}

/// The port whose certificate a stored task looks at.
///
/// # Errors
/// When the parameters are not those of one task.
pub(crate) fn port(params: &Value) -> Result<u16, ParamsError> {
    let params: Params = typed::read(Some(params))?;
    Ok(params.port.map_or(HTTPS, |port| port.0))
}

impl Tool for Discovery {
    fn slug(&self) -> &'static str {
        SLUG
    }

    fn title(&self) -> &'static str {
        "Subdomains"
    }

    fn category(&self) -> &'static str {
        "network"
    }

    fn description(&self) -> &'static str {
        "Looks for names below a domain: usual ones, and those of its certificate."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        let params: Params = typed::read(params)?;
        let needs = Needs { pool: Pool::Net, level: SandboxLevel::L2 };
        Ok(vec![TaskShape { params: typed::canonical(&params), needs, ports: 1 }])
    }

    fn params_schema(&self) -> Value {
        typed::schema::<Params>()
    }

    /// Nobody runs it: it shows what the task would do, in a dry run.
    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        let port = port(params)?;
        if shard.hosts.is_empty() {
            return Err(ParamsError::of("target", "not_a_name", "expected a host name, which can have names below it"));
        }
        Ok(Invocation { args: vec![shard.target.clone(), port.to_string()], ..Invocation::of(SLUG, "/subdomains") })
    }

    fn fan_out(&self) -> FanOut {
        FanOut::Together
    }

    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(5 * 60), ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Lines
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}

/// What a search prints. No file is ever recognized as one.
struct Lines;

impl Format for Lines {
    fn tool(&self) -> &'static str {
        SLUG
    }

    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn recognizes(&self, _head: &Head<'_>) -> bool {
        false
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        let mut tally = Tally::new(sink);
        let mut ended = None;
        let target = context.hosts.first().map(|host| host.name.as_str());
        let read = json::lines(input, &mut |line| match (serde_json::from_slice(line), target) {
            (Ok(NameLine::End { is_whole, .. }), _) => ended = Some(is_whole),
            (Ok(NameLine::Name { name, addresses, is_certified }), Some(target)) => {
                tally.tell(found(target, &name, &addresses, is_certified));
            }
            _ => tally.garbled(),
        });
        let reason = match (read, ended) {
            (Err(fault), _) => Some(fault.to_string()),
            (Ok(_), None) => Some("the search breaks off before its end".to_owned()),
            (Ok(_), Some(false)) => Some(NOT_WHOLE.to_owned()),
            (Ok(_), Some(true)) => None,
        };
        tally.end(reason.map(|reason| (Gap::OutputIncomplete, reason)))
    }
}

/// Of the target, whose name it is; so that a later search without it says that it is gone.
fn found(target: &str, name: &str, addresses: &[IpAddr], is_certified: bool) -> Observation {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let source = if is_certified { "listed by the target's certificate" } else { "a usual name" };
    let evidence = format!("{name} leads to {} ({source})", addresses.join(", "));
    let description = "The domain has this name, and it leads to an address.";
    Weakness::of_tool(
        "subdomains:name",
        Severity::Info,
        &format!("Name below the target: {name}"),
        description,
        &evidence,
    )
    .about(name)
    .observed(&Place::of(target))
}

#[cfg(test)]
mod tests {
    use picket_domain::PinnedHost;

    use super::*;

    fn parsed(output: &str) -> (Parsed, Vec<Observation>) {
        let hosts = [PinnedHost { name: "example.com".to_owned(), address: "192.0.2.7".parse().unwrap() }];
        let context = Context { hosts: &hosts, host: None, port: None };
        let mut seen = Vec::new();
        let parsed = Lines.parse(&mut output.as_bytes(), &context, &mut |one| seen.push(one));
        (parsed, seen)
    }

    #[test]
    fn each_name_is_a_finding_of_the_target_and_only_an_ended_search_is_complete() {
        let name = r#"{"name":{"name":"www.example.com","addresses":["192.0.2.8"],"is_certified":true}}"#;
        let end = r#"{"end":{"asked":3,"is_wildcard":false,"is_whole":true}}"#;
        let (whole, seen) = parsed(&format!("{name}\n{end}\n"));
        assert!(whole.is_complete());
        assert_eq!((seen[0].location.host.as_str(), seen[0].subject.as_str()), ("example.com", "www.example.com"));
        assert!(seen[0].evidence.contains("192.0.2.8"), "{}", seen[0].evidence);
        assert_eq!(parsed(&format!("{name}\n")).0.gap, Some(Gap::OutputIncomplete));
        let (partial, seen) = parsed(&format!("{name}\n{}\n", end.replace("true", "false")));
        assert_eq!((partial.gap, partial.reason.as_str(), seen.len()), (Some(Gap::OutputIncomplete), NOT_WHOLE, 1));
        assert!(!parsed(&format!("garbage\n{end}\n")).0.is_complete());
    }

    #[test]
    fn an_address_has_no_names_below_it() {
        let shard =
            Shard { target: "192.0.2.7".to_owned(), addresses: vec!["192.0.2.7".parse().unwrap()], hosts: Vec::new() };
        assert_eq!(Discovery.invocation(&serde_json::json!({}), &shard).unwrap_err().code, "not_a_name");
    }
}
