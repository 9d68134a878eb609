//! The one door to a tool. Whatever wants a tool to run comes through here: the creates of both versions, the dry run,
//! plans and what repeats them, and the worker with the row of a task, which anybody may have forged. What is not a
//! [`ScanSpec`] has no command line.

use picket_domain::{Invocation, PinnedHost, Shard, Target};
use serde_json::Value;

use crate::{
    FanOut, ParamsError, TaskShape, Tool,
    discovery::{self, DISCOVERY},
    simulate::{self, SIMULATOR, Simulation},
    tools,
};

/// The code of a tool that is not in the catalogue: an older or newer one may know it.
pub const UNKNOWN_TOOL: &str = "unknown_tool";

/// Names that one run may resolve.
const MOST_HOSTS: usize = 4_096;

/// What somebody asks for. Nothing of it is trusted.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The tool's slug, exactly as it is spelled.
    pub tool: &'a str,
    /// Its parameters; `None` means its defaults.
    pub parameters: Option<&'a Value>,
}

/// A tool with parameters that were checked.
#[derive(Clone)]
pub struct ScanSpec {
    tool: &'static dyn Tool,
    shapes: Vec<TaskShape>,
}

impl std::fmt::Debug for ScanSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScanSpec").field("tool", &self.tool.slug()).field("shapes", &self.shapes).finish()
    }
}

impl TryFrom<Asked<'_>> for ScanSpec {
    type Error = ParamsError;

    /// Checks what was asked for.
    fn try_from(asked: Asked<'_>) -> Result<Self, ParamsError> {
        Self::offered(asked, false)
    }
}

impl ScanSpec {
    /// Checks what was asked for, where the operator may have said that the simulator is offered beside the catalogue.
    ///
    /// # Errors
    /// The first field that does not fit. The simulator is an unknown tool like any other where it is not offered.
    pub fn offered(asked: Asked<'_>, is_simulating: bool) -> Result<Self, ParamsError> {
        let simulator = (is_simulating && asked.tool == SIMULATOR.slug()).then_some(SIMULATOR);
        let tool = tools::find(asked.tool).or(simulator).ok_or_else(unknown_tool)?;
        let shapes = tool.shapes(asked.parameters)?;
        if shapes.is_empty() {
            return Err(ParamsError::whole("nothing_to_do", "expected parameters that ask for something"));
        }
        Ok(Self { tool, shapes })
    }

    /// The tool.
    #[must_use]
    pub fn tool(&self) -> &'static dyn Tool {
        self.tool
    }

    /// The tasks that were asked for, at least one.
    #[must_use]
    pub fn shapes(&self) -> &[TaskShape] {
        &self.shapes
    }

    /// Whether every one of its tasks may look at any public target without proof of ownership.
    #[must_use]
    pub fn is_passive(&self) -> bool {
        self.shapes.iter().all(|shape| self.tool.is_passive_with(&shape.params))
    }

    /// The command line of the only task, for the addresses of `shard`.
    ///
    /// # Errors
    /// When this is more than one task, or the shard is not what a planner of ours makes: every address and every name in
    /// it is looked at again.
    pub fn command(&self, shard: &Shard) -> Result<Invocation, ParamsError> {
        let [shape] = self.shapes.as_slice() else {
            return Err(ParamsError::whole("not_canonical", "expected the parameters of one task"));
        };
        self.command_of(shape, shard)
    }

    /// The same, which goes no faster than that many requests or packets in a second; a tool that cannot be told so goes as it
    /// does.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn command_at(&self, shard: &Shard, most_per_second: Option<u32>) -> Result<Invocation, ParamsError> {
        let mut command = self.command(shard)?;
        if let Some(most) = most_per_second {
            self.tool.slow_down(&mut command.args, most.max(1));
        }
        Ok(command)
    }

    /// What the only task does when it is one of the simulator: its worker does that, and runs no command line.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn simulation(&self, shard: &Shard) -> Result<Option<Simulation>, ParamsError> {
        if self.tool.slug() != SIMULATOR.slug() {
            return Ok(None);
        }
        self.command(shard)?;
        self.shapes.first().map(|shape| simulate::simulation(&shape.params)).transpose()
    }

    /// The port whose certificate the only task looks at when it is a search for names: its worker does that, and runs no
    /// command line.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn discovery(&self, shard: &Shard) -> Result<Option<u16>, ParamsError> {
        if self.tool.slug() != DISCOVERY.slug() {
            return Ok(None);
        }
        self.command(shard)?;
        self.shapes.first().map(|shape| discovery::port(&shape.params)).transpose()
    }

    /// The command line of one of its tasks.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn command_of(&self, shape: &TaskShape, shard: &Shard) -> Result<Invocation, ParamsError> {
        check_shard(shard, self.tool.fan_out())?;
        self.tool.invocation(&shape.params, shard)
    }
}

/// What is in a shard that a planner of ours made.
fn check_shard(shard: &Shard, fan_out: FanOut) -> Result<(), ParamsError> {
    let fault = |field: &str, code, message: &str| {
        Err(ParamsError { field: field.to_owned(), code, message: message.to_owned() })
    };
    if !Target::parse(&shard.target).is_ok_and(|target| target.to_string() == shard.target) {
        return fault("shard.target", "invalid_target", "expected a canonical target");
    }
    match (fan_out, shard.addresses.len()) {
        (_, 0) => return fault("shard.addresses", "empty", "expected at least one address"),
        (FanOut::OneEach, 2..) => return fault("shard.addresses", "too_many", "expected one address in one run"),
        (FanOut::OneEach | FanOut::Together, _) => {}
    }
    let is_pinned = |host: &PinnedHost| {
        shard.addresses.contains(&host.address)
            && Target::parse(&host.name).is_ok_and(|name| name.host().is_some_and(|one| one.ascii() == host.name))
    };
    if shard.hosts.len() > MOST_HOSTS || !shard.hosts.iter().all(is_pinned) {
        return fault("shard.hosts", "invalid", "expected canonical names of the addresses of the run");
    }
    Ok(())
}

/// A tool that is not in the catalogue. What was written does not come back.
fn unknown_tool() -> ParamsError {
    let known: Vec<_> = tools::offered().map(Tool::slug).collect();
    let message = format!("expected one of: {}", known.join(", "));
    ParamsError { field: "tool".to_owned(), code: UNKNOWN_TOOL, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shard(target: &str, addresses: &[&str], name: Option<(&str, &str)>) -> Shard {
        let pin =
            |(name, address): (&str, &str)| PinnedHost { name: name.to_owned(), address: address.parse().unwrap() };
        Shard {
            target: target.to_owned(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            hosts: name.map(pin).into_iter().collect(),
        }
    }

    fn of(tool: &str) -> ScanSpec {
        ScanSpec::try_from(Asked { tool, parameters: None }).unwrap()
    }

    #[test]
    fn a20_only_the_exact_slug_of_a_tool_opens_it() {
        for tool in ["nmap;id", "../../bin/sh", "NMAP", "nmap ", "nmap\0", ""] {
            let refused = ScanSpec::try_from(Asked { tool, parameters: None }).unwrap_err();
            assert_eq!((refused.field.as_str(), refused.code), ("tool", "unknown_tool"), "{tool:?}");
        }
    }

    #[test]
    fn every_tool_runs_with_its_defaults_and_reads_its_own_canonical_parameters_again() {
        for tool in tools::ALL {
            let spec = of(tool.slug());
            for shape in spec.shapes() {
                let again = ScanSpec::try_from(Asked { tool: tool.slug(), parameters: Some(&shape.params) }).unwrap();
                assert_eq!(again.shapes(), std::slice::from_ref(shape), "{}", tool.slug());
                let at = shard("example.com", &["192.0.2.7"], Some(("example.com", "192.0.2.7")));
                let command = again.command(&at).unwrap();
                assert!(command.program.starts_with('/'), "{}", tool.slug());
                assert!(command.egress.addresses.iter().all(|one| at.addresses.contains(one)), "{}", tool.slug());
            }
        }
    }

    #[test]
    fn a_run_is_slowed_down_and_never_hurried() {
        let at = shard("192.0.2.7", &["192.0.2.7"], None);
        let args = |tool: &str, parameters: Value, rate| {
            let spec = ScanSpec::try_from(Asked { tool, parameters: Some(&parameters) }).unwrap();
            spec.command_at(&at, rate).unwrap().args
        };
        let behind = |args: &[String], option: &str| {
            let place = args.iter().position(|arg| arg == option).unwrap();
            args[place + 1].clone()
        };
        let nmap = json!({"ports": "80", "min_rate": 300});
        let slow = args("nmap", nmap.clone(), Some(7));
        assert_eq!((behind(&slow, "--max-rate"), behind(&slow, "--min-rate")), ("7".to_owned(), "7".to_owned()));
        assert_eq!(args("nmap", nmap.clone(), Some(5_000)), args("nmap", nmap, None));
        assert_eq!(behind(&args("nuclei", json!({}), Some(3)), "-rl"), "3");
        assert_eq!(behind(&args("nuclei", json!({"rate_limit": 2}), Some(3)), "-rl"), "2");
        // Five threads, each of which waits between its requests.
        assert_eq!(behind(&args("ffuf", json!({}), Some(1)), "-p"), "5.00");
        assert_eq!(behind(&args("ffuf", json!({}), Some(50)), "-p"), "0.25");
        for tool in tools::ALL {
            let usual = of(tool.slug()).command(&at).unwrap().args;
            for rate in [1, 10, u32::MAX] {
                let slowed = of(tool.slug()).command_at(&at, Some(rate)).unwrap().args;
                assert_eq!(slowed.len(), usual.len(), "{}", tool.slug());
                assert!(tool.rate().is_some() && rate < 20 || slowed == usual, "{}", tool.slug());
            }
            assert!(tool.rate().is_none_or(|rate| (1..=rate.most).contains(&rate.usual)), "{}", tool.slug());
        }
    }

    #[test]
    fn a_forged_shard_has_no_command_line() {
        let pinned = |name| shard("192.0.2.7", &["192.0.2.7"], Some((name, "192.0.2.7")));
        let mut forged = vec![
            ("shard.target", shard("-iL/etc/passwd", &["192.0.2.7"], None)),
            ("shard.target", shard("$(id)", &["192.0.2.7"], None)),
            ("shard.target", shard("", &["192.0.2.7"], None)),
            ("shard.target", shard("EXAMPLE.com", &["192.0.2.7"], None)),
            ("shard.addresses", shard("192.0.2.7", &[], None)),
            ("shard.hosts", shard("example.com", &["192.0.2.7"], Some(("example.com", "10.0.0.1")))),
        ];
        let names = ["-oN", "a b", "a\n127.0.0.1 b", "a;id", "A.example", "", "a..b", "localhost"];
        forged.extend(names.map(|name| ("shard.hosts", pinned(name))));
        for tool in tools::ALL {
            for (field, shard) in &forged {
                let refused = of(tool.slug()).command(shard).unwrap_err();
                assert_eq!(&refused.field, field, "{} {shard:?}", tool.slug());
            }
            let many = of(tool.slug()).command(&shard("192.0.2.0/31", &["192.0.2.0", "192.0.2.1"], None));
            assert_eq!(many.is_ok(), tool.fan_out() == FanOut::Together, "{}", tool.slug());
        }
    }

    #[test]
    fn parameters_of_several_tasks_are_no_stored_task() {
        let parameters = json!({"scan_type": "-sV -O"});
        let spec = ScanSpec::try_from(Asked { tool: "nmap", parameters: Some(&parameters) }).unwrap();
        assert_eq!(spec.shapes().len(), 2);
        assert_eq!(spec.command(&shard("192.0.2.7", &["192.0.2.7"], None)).unwrap_err().code, "not_canonical");
    }
}
