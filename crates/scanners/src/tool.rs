//! What every adapter offers. Parameters and output are hostile: both are parsed into types of ours, and nothing a client
//! or a scanned host wrote ever reaches a command line.

use std::{io::BufRead, net::IpAddr, time::Duration};

use picket_domain::{Gap, Invocation, Needs, Observation, Pool, SandboxLevel, Shard};
use serde::Serialize;
use serde_json::Value;

use crate::{Context, Format, ParamsError, typed};

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

impl TaskShape {
    /// A task that connects to one port, with parameters of this type.
    pub(crate) fn one_port<P: Serialize>(params: &P, pool: Pool) -> Self {
        let needs = Needs { pool, level: SandboxLevel::L2 };
        Self { params: typed::canonical(params), needs, ports: 1 }
    }
}

/// What became of one output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Why the output does not tell everything; `None` when the tool said itself that it had finished, or when its format
    /// cannot say so ([`Self::is_unmarked`]) and every record is whole.
    pub gap: Option<Gap>,
    /// The gap in words, empty without one.
    pub reason: String,
    /// Observations given to the sink.
    pub observations: u64,
    /// Hosts the tool reported as up.
    pub hosts_up: u64,
    /// Whether the input is no report of this kind at all, or is hostile; the reason says why. An import of it is refused.
    pub is_refused: bool,
    /// Whether the format has no end mark: a report that was cut between two records looks whole. Who ran the tool knows
    /// from its exit how it ended; who has nothing but the file does not ([`Self::of_a_file`]).
    pub is_unmarked: bool,
}

impl Parsed {
    /// What can be said when nothing is known of the run beside this output.
    #[must_use]
    pub fn of_a_file(self) -> Self {
        if !self.is_unmarked || self.gap.is_some() {
            return self;
        }
        let reason = "the format has no end mark, so that nothing tells whether the report is whole".to_owned();
        Self { gap: Some(Gap::OutputIncomplete), reason, ..self }
    }

    /// Whether the output says that the tool saw everything it was asked to see. Never call a target clean without it.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.gap.is_none()
    }
}

/// How a tool takes the addresses of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FanOut {
    /// Many of one family in one run.
    Together,
    /// One in each run.
    OneEach,
}

/// How fast a tool goes: requests or packets in a second, of each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// With its defaults.
    pub usual: u32,
    /// Whatever its parameters say.
    pub most: u32,
}

/// Lowers the number behind each of these options, where there is one and it is larger.
pub(crate) fn lower(args: &mut [String], options: &[&str], most: u32) {
    for option in options {
        let place = args.iter().position(|arg| arg == option).map(|place| place.saturating_add(1));
        let Some(number) = place.and_then(|place| args.get_mut(place)) else { continue };
        if number.parse::<u32>().is_ok_and(|number| number > most) {
            *number = most.to_string();
        }
    }
}

/// What one run of a tool usually needs at most; the worker's own limits may be lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appetite {
    /// Time from start to end.
    pub wall: Duration,
    /// Processors that its threads keep busy: the wall clock times this is the processor time of each of its processes,
    /// so that no tool runs out of that before its time is up.
    pub processors: u32,
    /// Address space of each process in bytes.
    pub memory_bytes: u64,
    /// Processes and threads at a time.
    pub processes: u64,
    /// Bytes of its report.
    pub output_bytes: u64,
    /// Bytes of its scratch directory.
    pub scratch_bytes: u64,
}

impl Appetite {
    /// What fits nmap against one shard of a scan: 15 min, two processors, 1 GiB, 64 processes, 64 MiB of output, 16 MiB of scratch.
    pub const DEFAULT: Self = Self {
        wall: Duration::from_secs(15 * 60),
        processors: 2,
        memory_bytes: 1 << 30,
        processes: 64,
        output_bytes: 64 << 20,
        scratch_bytes: 16 << 20,
    };
}

/// An adapter for one scanner. To add one: a file in `tools/` and its line in the table of `tools.rs`. The module's `//!`
/// text is the page that the catalogue shows of the tool, so it is written for its users.
pub trait Tool: Send + Sync {
    /// The name clients use, e.g. `nmap`.
    fn slug(&self) -> &'static str;

    /// The name readers see.
    fn title(&self) -> &'static str;

    /// The kind of tool, e.g. `network`.
    fn category(&self) -> &'static str;

    /// What it does, in one sentence.
    fn description(&self) -> &'static str;

    /// Whether it may look at any public target without proof of ownership (`docs/contract.md` §14), with its defaults.
    fn is_passive(&self) -> bool;

    /// The same with these canonical parameters.
    fn is_passive_with(&self, _params: &Value) -> bool {
        self.is_passive()
    }

    /// Checks a client's parameters (`None` means the defaults) and tells which tasks they ask for, at least one.
    ///
    /// # Errors
    /// The first field that does not fit, with what was expected of it.
    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError>;

    /// The task in parts that examine at most so many ports of each address, contiguous ones, each port in one part. A tool
    /// of few ports has one part.
    fn by_ports(&self, shape: &TaskShape, _most: u32) -> Vec<TaskShape> {
        vec![shape.clone()]
    }

    /// A JSON Schema of the parameters, for the tool catalogue.
    fn params_schema(&self) -> Value;

    /// The command line of a stored task. Its parameters are checked again: the queue is a trust boundary.
    ///
    /// # Errors
    /// When the parameters are no canonical shape of this tool, or the shard is empty or mixes address families.
    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError>;

    /// How it takes the addresses of a target.
    fn fan_out(&self) -> FanOut {
        FanOut::OneEach
    }

    /// What one run needs at most.
    fn appetite(&self) -> Appetite {
        Appetite::DEFAULT
    }

    /// How fast a run goes; `None` for a tool that cannot be told to go slower.
    fn rate(&self) -> Option<Rate> {
        None
    }

    /// Makes a command line of its own go no faster than that many requests or packets in a second, at least 1. It must never
    /// make it go faster.
    fn slow_down(&self, _args: &mut [String], _per_second: u32) {}

    /// The format in which a run reports, one of those in the module's `FORMATS`.
    fn format(&self) -> &'static dyn Format;

    /// Reads the tool's output while it is written and hands each observation to `sink`. Never panics, and its memory
    /// does not grow with the output.
    fn parse(&self, output: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        self.format().parse(output, context, sink)
    }

    /// Whether the tool ends with this exit code when it did its work.
    fn exit_is_ok(&self, code: i32) -> bool;

    /// Why the result lacks something, when only what the tool said beside its report tells. `said` is the end of its
    /// standard error, which holds its standard output as well when the report is a file.
    fn stopped_early(&self, _said: &str) -> Option<&'static str> {
        None
    }
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
