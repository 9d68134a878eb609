//! Runs a tool as a worker would: its adapter writes the command line, the sandbox runs it, its parser reads the report.

use std::{
    fs,
    io::{BufReader, Read},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use picket_domain::{Observation, PinnedHost, SandboxLevel, Shard};
use picket_sandbox::{Limits, Sandbox, SandboxSettings};
use picket_scanners::{Context, Parsed};
use serde_json::Value;

/// The name under which tests reach loopback.
pub(crate) const NAME: &str = "shop.example.com";

/// What a run gave.
pub(crate) struct Ran {
    pub(crate) parsed: Parsed,
    pub(crate) seen: Vec<Observation>,
    /// Whether the tool ended as it does when it did its work.
    pub(crate) is_well: bool,
}

impl Ran {
    /// Whether a finding of that rule at that path was seen.
    pub(crate) fn has(&self, rule: &str, path: &str) -> bool {
        let is_at = |one: &Observation| one.location.url.as_deref().is_some_and(|url| url.ends_with(path));
        self.seen.iter().any(|one| one.rule == rule && is_at(one))
    }

    /// The rules that were seen.
    pub(crate) fn rules(&self) -> Vec<&str> {
        self.seen.iter().map(|seen| seen.rule.as_str()).collect()
    }

    /// For messages of tests.
    pub(crate) fn told(&self) -> String {
        let line = |one: &Observation| format!("{} {:?} {}", one.rule, one.location.url, one.subject);
        format!("{:?}\n{}", self.parsed, self.seen.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

/// The only place where these tests read the environment.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// Runs `slug` against a port of loopback; `None`, with a message, where it is not installed.
pub(crate) fn run(slug: &str, params: &Value) -> Option<Ran> {
    let Some(tools) = variable("PICKET_TOOLS_ROOT").filter(|tools| tools.join(slug).is_dir()) else {
        println!("no {slug} below PICKET_TOOLS_ROOT: not tried");
        return None;
    };
    println!("{slug} {}", fs::read_to_string(tools.join(format!("{slug}.version"))).unwrap_or_default().trim());
    let sandbox = Sandbox::new(SandboxSettings {
        prepared: 0,
        cgroup: None,
        bwrap: variable("PICKET_BWRAP").unwrap_or_else(|| PathBuf::from("/usr/bin/bwrap")),
        tools_root: tools,
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: None,
        netd: None,
        external_egress: true,
    });
    let tool = picket_scanners::find(slug).unwrap();
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let hosts = vec![PinnedHost { name: NAME.to_owned(), address }];
    let shard = Shard { target: NAME.to_owned(), addresses: vec![address], hosts: hosts.clone() };
    let shape = tool.shapes(Some(params)).unwrap().remove(0);
    let invocation = tool.invocation(&shape.params, &shard).unwrap();
    let appetite = tool.appetite();
    let limits = Limits {
        wall: appetite.wall,
        memory_bytes: appetite.memory_bytes,
        processes: appetite.processes,
        output_bytes: appetite.output_bytes,
        scratch_bytes: appetite.scratch_bytes,
        ..Limits::default()
    };
    let sandbox = sandbox.unwrap();
    let route = sandbox.route_at(SandboxLevel::L2, &[address]).unwrap();
    let mut started = sandbox.start_by(&route, 0, &invocation, &limits).unwrap();
    let mut seen = Vec::new();
    let mut output = BufReader::new(started.stdout().unwrap());
    let context = Context { hosts: &hosts, host: Some(NAME), port: None };
    let parsed = tool.parse(&mut output, &context, &mut |observation| seen.push(observation));
    output.read_to_end(&mut Vec::new()).unwrap();
    let outcome = started.wait_blocking();
    // A signal is an end like another: sslscan dies of SIGPIPE where a service hangs up while it writes.
    println!("{slug} ended with {:?} {}", outcome.end, outcome.stderr);
    let is_well = matches!(outcome.end, picket_sandbox::End::Exited(code) if tool.exit_is_ok(code));
    Some(Ran { parsed, seen, is_well })
}
