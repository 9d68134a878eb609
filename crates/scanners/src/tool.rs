//! What every adapter offers. Parameters and output are hostile: both are parsed into types of ours, and nothing a client
//! or a scanned host wrote ever reaches a command line.

use std::{io::BufRead, net::IpAddr};

use picket_domain::{Gap, Invocation, Needs, Observation, Shard};
use serde_json::Value;

use crate::ParamsError;

/// One task that a request asks for: flags that need more than the others become a shape of their own, so that the rest
/// completes where their need is not met (`docs/contract.md` §13).
#[derive(Debug, Clone, PartialEq)]
pub struct TaskShape {
    /// Canonical parameters; parsing them gives this very shape again.
    pub params: Value,
    /// What a worker must have proven.
    pub needs: Needs,
    /// Ports examined per address, for limits on addresses × ports.
    pub ports: u32,
}

/// What became of one output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Why the output does not tell everything; `None` only when the tool said itself that it had finished.
    pub gap: Option<Gap>,
    /// The gap in words, empty without one.
    pub reason: String,
    /// Observations given to the sink.
    pub observations: u64,
    /// Hosts the tool reported as up.
    pub hosts_up: u64,
}

impl Parsed {
    /// Whether the output says that the tool saw everything it was asked to see. Never call a target clean without it.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.gap.is_none()
    }
}

/// An adapter for one scanner. To add one: a file in `tools/` and its line in the table of `tools.rs`.
pub trait Tool: Send + Sync {
    /// The name clients use, e.g. `nmap`.
    fn slug(&self) -> &'static str;

    /// The name readers see.
    fn title(&self) -> &'static str;

    /// The kind of tool, e.g. `network`.
    fn category(&self) -> &'static str;

    /// What it does, in one sentence.
    fn description(&self) -> &'static str;

    /// Whether it may look at any public target without proof of ownership (`docs/contract.md` §14).
    fn is_passive(&self) -> bool;

    /// Checks a client's parameters (`None` means the defaults) and tells which tasks they ask for, at least one.
    ///
    /// # Errors
    /// The first field that does not fit, with what was expected of it.
    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError>;

    /// A JSON Schema of the parameters, for the tool catalogue.
    fn params_schema(&self) -> Value;

    /// The command line of a stored task. Its parameters are checked again: the queue is a trust boundary.
    ///
    /// # Errors
    /// When the parameters are no canonical shape of this tool, or the shard is empty or mixes address families.
    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError>;

    /// Reads the tool's output while it is written and hands each observation to `sink`. Never panics, and its memory
    /// does not grow with the output.
    fn parse(&self, output: &mut dyn BufRead, sink: &mut dyn FnMut(Observation)) -> Parsed;

    /// Whether the tool ends with this exit code when it did its work.
    fn exit_is_ok(&self, code: i32) -> bool;
}

/// Cuts a shard into one per address family, since some tools (nmap) cannot mix them in one run. Empty parts are left out.
#[must_use]
pub fn split_by_family(shard: &Shard) -> Vec<Shard> {
    [IpAddr::is_ipv4, IpAddr::is_ipv6]
        .into_iter()
        .map(|is_family| Shard {
            target: shard.target.clone(),
            addresses: shard.addresses.iter().copied().filter(is_family).collect(),
            hosts: shard.hosts.iter().filter(|host| is_family(&host.address)).cloned().collect(),
        })
        .filter(|part| !part.addresses.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_cut_by_address_family() {
        let shard = |addresses: &[&str]| Shard {
            target: "example.com".to_owned(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            hosts: Vec::new(),
        };
        assert_eq!(
            split_by_family(&shard(&["192.0.2.1", "2001:db8::1", "192.0.2.2"])),
            [shard(&["192.0.2.1", "192.0.2.2"]), shard(&["2001:db8::1"])]
        );
        assert!(split_by_family(&shard(&[])).is_empty());
    }
}
