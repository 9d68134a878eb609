//! Runs a tool as a worker would: its adapter writes the command line, the sandbox runs it, its parser reads the report, and
//! what it says of addresses is translated back.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufReader, Read},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use picket_domain::{Observation, PinnedHost, SandboxLevel, Shard};
use picket_sandbox::{Limits, Outcome, Sandbox, SandboxSettings};
use picket_scanners::{Appetite, Context, Parsed};
use serde_json::Value;

use crate::node;

/// The name under which tests reach loopback.
pub(crate) const NAME: &str = "shop.example.com";
/// A slot for self-tests, far from those of runs.
const PROVING: u32 = 900;
/// Each run of this process has one of its own.
static SLOTS: AtomicU32 = AtomicU32::new(0);

/// What a run gave.
pub(crate) struct Ran {
    pub(crate) parsed: Parsed,
    pub(crate) seen: Vec<Observation>,
    pub(crate) outcome: Outcome,
    /// The most that it may print.
    pub(crate) output_bytes: u64,
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

    /// What is the same in every run that sees the same, whatever the order.
    pub(crate) fn findings(&self) -> BTreeSet<String> {
        self.seen.iter().map(|one| format!("{} {} {}", one.rule, one.severity.name(), one.identity())).collect()
    }

    /// For messages of tests.
    pub(crate) fn told(&self) -> String {
        let line = |one: &Observation| format!("{} {:?} {}", one.rule, one.location.url, one.subject);
        format!("{:?}\n{}", self.parsed, self.seen.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

/// The only place where these tests read the environment.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// The sandbox of these tests.
pub(crate) struct Room {
    sandbox: Sandbox,
    tools: PathBuf,
}

impl Room {
    /// `None`, with a message, where that tool is not installed.
    pub(crate) fn with(slug: &str) -> Option<Self> {
        let Some(tools) = variable("PICKET_TOOLS_ROOT").filter(|tools| tools.join(slug).is_dir()) else {
            println!("no {slug} below PICKET_TOOLS_ROOT: not tried");
            return None;
        };
        let sandbox = Sandbox::new(SandboxSettings {
            prepared: 0,
            cgroup: None,
            bwrap: variable("PICKET_BWRAP").unwrap_or_else(|| PathBuf::from("/usr/bin/bwrap")),
            tools_root: tools.clone(),
            first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
            slirp: variable("PICKET_SLIRP"),
            netd: node::helper(),
            external_egress: true,
        });
        Some(Self { sandbox: sandbox.unwrap(), tools })
    }

    /// The levels that this machine proves, strongest first.
    pub(crate) fn levels(&self) -> &'static [SandboxLevel] {
        static LEVELS: OnceLock<Vec<SandboxLevel>> = OnceLock::new();
        let holds = |level: &SandboxLevel| match self.sandbox.prove_level(*level, PROVING) {
            Ok(()) => true,
            Err(error) => {
                let must = variable("PICKET_TEST_LEVELS").unwrap_or_default().to_string_lossy().into_owned();
                assert!(!must.split(' ').any(|one| one == level.name()), "level {}: {error:?}", level.name());
                println!("level {} is not tried: {}", level.name(), picket_domain::cause(&error));
                false
            }
        };
        let all = [SandboxLevel::L0, SandboxLevel::L1, SandboxLevel::L2];
        LEVELS.get_or_init(|| all.into_iter().filter(holds).collect())
    }

    /// Runs `slug` against a port of loopback at that level; `wall` instead of the tool's own time.
    pub(crate) fn run_at(&self, level: SandboxLevel, slug: &str, params: &Value, wall: Option<Duration>) -> Ran {
        let version = fs::read_to_string(self.tools.join(format!("{slug}.version"))).unwrap_or_default();
        println!("{slug} {} at {}", version.trim(), level.name());
        let tool = picket_scanners::find(slug).unwrap();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let hosts = vec![PinnedHost { name: NAME.to_owned(), address }];
        let shard = Shard { target: NAME.to_owned(), addresses: vec![address], hosts };
        let shape = tool.shapes(Some(params)).unwrap().remove(0);
        let limits = limits(&tool.appetite(), wall);
        let route = self.sandbox.route_at(level, &shard.addresses).unwrap();
        let inside = route.shard(&shard);
        let invocation = tool.invocation(&shape.params, &inside).unwrap();
        let slot = SLOTS.fetch_add(1, Ordering::Relaxed);
        let mut started = self.sandbox.start_by(&route, slot, &invocation, &limits).unwrap();
        let mut seen = Vec::new();
        let mut output = BufReader::new(started.stdout().unwrap());
        let context = Context { hosts: &inside.hosts, host: Some(NAME), port: None };
        let mut parsed = tool.parse(&mut output, &context, &mut |one| seen.push(route.observation(one)));
        output.read_to_end(&mut Vec::new()).unwrap();
        let outcome = started.wait_blocking();
        if let Some(reason) = tool.stopped_early(&outcome.stderr).filter(|_| parsed.is_complete()) {
            parsed = Parsed { gap: Some(picket_domain::Gap::TimedOut), reason: reason.to_owned(), ..parsed };
        }
        // A signal is an end like another: sslscan dies of SIGPIPE where a service hangs up while it writes.
        println!("{slug} at {} ended with {:?} {}", level.name(), outcome.end, outcome.stderr);
        let is_well = matches!(outcome.end, picket_sandbox::End::Exited(code) if tool.exit_is_ok(code));
        Ran { parsed, seen, outcome, output_bytes: limits.output_bytes, is_well }
    }
}

/// What a worker allows a tool of that appetite, but for the wall clock.
fn limits(appetite: &Appetite, wall: Option<Duration>) -> Limits {
    Limits {
        wall: wall.unwrap_or(appetite.wall),
        memory_bytes: appetite.memory_bytes,
        processes: appetite.processes,
        output_bytes: appetite.output_bytes,
        scratch_bytes: appetite.scratch_bytes,
        ..Limits::default()
    }
}

impl Room {
    /// Runs it until it has seen all, three times at most, as a worker would: on a busy machine a handshake may come too late,
    /// and testssl.sh hangs up before a ticket of TLS 1.3 may have come.
    pub(crate) fn run_whole(&self, level: SandboxLevel, slug: &str, params: &Value) -> Ran {
        let once = || self.run_at(level, slug, params, None);
        let again = |ran: Ran| if ran.parsed.is_complete() { ran } else { once() };
        again(again(once()))
    }
}

/// The same against a port of loopback, in the network of the test; `None`, with a message, where it is not installed.
pub(crate) fn run_whole(slug: &str, params: &Value) -> Option<Ran> {
    Some(Room::with(slug)?.run_whole(SandboxLevel::L2, slug, params))
}

/// Runs `slug` against a port of loopback, in the network of the test; `None`, with a message, where it is not installed.
pub(crate) fn run(slug: &str, params: &Value) -> Option<Ran> {
    Some(Room::with(slug)?.run_at(SandboxLevel::L2, slug, params, None))
}
