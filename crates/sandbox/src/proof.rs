//! Which level a machine gives: never what a setting claims, always what a probe finds in a real sandbox of that level.
//! A level counts when the probe is nobody, finds every door closed, reaches whom it may and nobody else, and each packet
//! that it tried elsewhere was counted as dropped.

use std::error::Error;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use picket_domain::{Egress, Network, SandboxLevel};
use picket_netd::NetdError;

use crate::bait::Bait;
use crate::canary::Canary;
use crate::command::Program;
use crate::network::Way;
use crate::probe::{self, Reached, Rights};
use crate::{Limits, Outcome, Route, Sandbox, SandboxError, forgery};

/// An address that anybody may scan and nobody is sent anything at in a self-test: a helper whose policy forbids loopback
/// addresses needs one to connect a namespace for.
const UNUSED: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

/// What a self-test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The strongest level that holds; [`SandboxLevel::None`] when none does.
    pub level: SandboxLevel,
    /// Whether raw sockets are confined as well.
    pub raw: bool,
    /// What was tried, strongest first, up to the first level that holds.
    pub attempts: Vec<Attempt>,
}

/// One level that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The level.
    pub level: SandboxLevel,
    /// Why it does not hold; nothing when it does.
    pub failure: Option<String>,
}

impl Proof {
    /// Why there is no stronger level, for an operator.
    #[must_use]
    pub fn reasons(&self) -> String {
        let failed = self.attempts.iter().filter_map(|one| Some((one.level.name(), one.failure.as_deref()?)));
        failed.map(|(level, failure)| format!("{level}: {failure}")).collect::<Vec<_>>().join("; ")
    }
}

/// Tries the levels from the strongest on. `slot` must not be one that runs use.
pub(crate) fn prove(sandbox: &Sandbox, slot: u32) -> Proof {
    let mut attempts = Vec::new();
    for level in [SandboxLevel::L0, SandboxLevel::L1, SandboxLevel::L2] {
        let tried = prove_level(sandbox, level, slot);
        let failure = tried.as_ref().err().map(in_full);
        attempts.push(Attempt { level, failure });
        if let Ok(reach) = tried {
            attempts.extend(reach.open().map(|open| Attempt { level, failure: Some(open.to_owned()) }));
            let raw = level == SandboxLevel::L0 && is_raw_proven(sandbox, slot, &mut attempts);
            return Proof { level, raw, attempts };
        }
    }
    Proof { level: SandboxLevel::None, raw: false, attempts }
}

/// Whether a proof shows that what may be reached is, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It does, or the level promises nothing.
    Proven,
    /// There was nobody of ours whom the helper's policy lets runs speak to.
    NotTried,
    /// The kernel cannot shut a network that is shared against names without files.
    AbstractSockets,
}

impl Reach {
    /// What the proof leaves open, for an operator.
    const fn open(self) -> Option<&'static str> {
        match self {
            Self::Proven => None,
            Self::NotTried => {
                Some("that an allowed address is reached is not proven: netd.allow_internal forbids 127.0.0.1")
            }
            Self::AbstractSockets => Some("abstract sockets of the host can be reached: Linux 6.12 would shut them"),
        }
    }
}

/// The error with its causes, for an operator: nothing of a tenant is in it.
fn in_full(error: &SandboxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Errors that only pass another one on say the same.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Proves one level.
pub(crate) fn prove_level(sandbox: &Sandbox, level: SandboxLevel, slot: u32) -> Result<Reach, SandboxError> {
    match level {
        SandboxLevel::L0 | SandboxLevel::L1 => prove_network(sandbox, level, slot, Network::Connect),
        SandboxLevel::L2 if !sandbox.external_egress() => Err(SandboxError::NotProven(
            "nobody has declared that egress is enforced outside (worker.sandbox_external_egress)".into(),
        )),
        SandboxLevel::L2 => prove_files(sandbox, slot),
        SandboxLevel::None => Ok(Reach::Proven),
    }
}

/// Where the network is shared, all that keeps a run from the worker's neighbors are files and names.
fn prove_files(sandbox: &Sandbox, slot: u32) -> Result<Reach, SandboxError> {
    let bait = Bait::new()?;
    let words: Vec<String> = ["probe".to_owned()].into_iter().chain(bait.words()).collect();
    let (outcome, text) = run(sandbox, slot, Network::Connect, &Way::Shared, &words)?;
    probe::judge(outcome.end, &text, Rights::None)?;
    probe::files_are_locked(&text)?;
    match (probe::reached_abstract(&text)?, sandbox.has_scope()) {
        (false, _) => Ok(Reach::Proven),
        (true, false) => Ok(Reach::AbstractSockets),
        (true, true) => Err(SandboxError::NotProven("an abstract socket of the host is reached".into())),
    }
}

fn is_raw_proven(sandbox: &Sandbox, slot: u32, attempts: &mut Vec<Attempt>) -> bool {
    let tried = prove_network(sandbox, SandboxLevel::L0, slot, Network::Raw);
    let failure = tried.err().map(|error| format!("raw sockets: {}", in_full(&error)));
    let is_proven = failure.is_none();
    attempts.extend(failure.map(|failure| Attempt { level: SandboxLevel::L0, failure: Some(failure) }));
    is_proven
}

/// A network of its own: the listener on the host's loopback answers, and nobody else.
fn prove_network(sandbox: &Sandbox, level: SandboxLevel, slot: u32, network: Network) -> Result<Reach, SandboxError> {
    let canary = Canary::new()?;
    if level == SandboxLevel::L1 {
        prove_ipv6(sandbox, slot, &canary)?;
    }
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    match try_network(sandbox, level, slot, network, &canary, loopback) {
        // The policy of the helper's node forbids loopback addresses: then only what must be closed can be tried.
        Err(SandboxError::Network(NetdError::Forbidden(_))) if level == SandboxLevel::L0 => {
            try_network(sandbox, level, slot, network, &canary, UNUSED).map(|()| Reach::NotTried)
        }
        tried => tried.map(|()| Reach::Proven),
    }
}

/// The user-mode stack speaks IPv6 only for runs with such a target: then nobody else of that family may be reached either.
/// Where it cannot speak it at all (a machine without IPv6) there is nothing to prove, and such runs do not start.
fn prove_ipv6(sandbox: &Sandbox, slot: u32, canary: &Canary) -> Result<(), SandboxError> {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let (level, network) = (SandboxLevel::L1, Network::Connect);
    let route = sandbox.route_at(level, &[loopback])?;
    pass_without_ipv6(try_route(sandbox, &route, slot, network, canary, (route.inside(loopback), None)))
}

/// Only a kernel that refuses says that there is no IPv6. Whatever else keeps the probe from looking around proves nothing.
fn pass_without_ipv6(tried: Result<(), SandboxError>) -> Result<(), SandboxError> {
    match tried {
        Err(error @ SandboxError::Network(NetdError::Kernel { .. })) => {
            tracing::debug!(error = picket_domain::cause(&error), "runs have no IPv6 here");
            Ok(())
        }
        tried => tried,
    }
}

fn try_network(
    sandbox: &Sandbox,
    level: SandboxLevel,
    slot: u32,
    network: Network,
    canary: &Canary,
    address: IpAddr,
) -> Result<(), SandboxError> {
    let route = sandbox.route_at(level, &[address])?;
    let inside = route.inside(address);
    let stand_in = (inside != address).then_some(inside);
    try_route(sandbox, &route, slot, network, canary, (inside, stand_in))
}

/// Looks around in a run that may reach `inside`; who answers there is expected behind the stand-in.
fn try_route(
    sandbox: &Sandbox,
    route: &Route,
    slot: u32,
    network: Network,
    canary: &Canary,
    (inside, stand_in): (IpAddr, Option<IpAddr>),
) -> Result<(), SandboxError> {
    let egress = Egress { addresses: vec![inside], ports: vec![(canary.port(), canary.port())] };
    let way = Way::new(sandbox.ways(), route, network, &egress, limits().wall)?;
    let bait = Bait::new()?;
    let words: Vec<String> = canary.words(stand_in).into_iter().chain(bait.words()).collect();
    let (outcome, text) = run(sandbox, slot, network, &way, &words)?;
    let rights = if network == Network::Raw { Rights::Raw } else { Rights::None };
    let reached: Vec<Reached> = probe::judge(outcome.end, &text, rights)?;
    if probe::reached_abstract(&text)? {
        return Err(SandboxError::NotProven("an abstract socket of the host is reached".into()));
    }
    all_dropped(&outcome, canary.judge(stand_in, &reached)?)?;
    if network == Network::Raw { try_forgeries(sandbox, slot, &way, (inside, canary.port())) } else { Ok(()) }
}

/// A run of its own: among other packets one that was not dropped could hide behind one that was sent twice.
fn try_forgeries(sandbox: &Sandbox, slot: u32, way: &Way, (to, port): (IpAddr, u16)) -> Result<(), SandboxError> {
    let words = forgery::words(to, port);
    let (outcome, text) = run(sandbox, slot, Network::Raw, way, &words)?;
    let reached = probe::judge(outcome.end, &text, Rights::Raw)?;
    all_dropped(&outcome, forgery::judge(&words, &reached)?)
}

fn all_dropped(outcome: &Outcome, sent: u64) -> Result<(), SandboxError> {
    match outcome.dropped_packets {
        Some(count) if count >= sent => Ok(()),
        count => {
            Err(SandboxError::NotProven(format!("expected {sent} packets to be dropped and counted, got {count:?}")))
        }
    }
}

fn limits() -> Limits {
    Limits { wall: Duration::from_secs(10), output_bytes: 64 << 10, ..Limits::default() }
}

fn run(
    sandbox: &Sandbox,
    slot: u32,
    network: Network,
    way: &Way,
    words: &[String],
) -> Result<(Outcome, String), SandboxError> {
    let mut run = sandbox.start_program(slot, &Program::probe(words, network), way, &limits())?;
    let mut text = String::new();
    if let Some(mut output) = run.stdout() {
        output.read_to_string(&mut text).map_err(SandboxError::set_up("read the probe's answer"))?;
    }
    let outcome = run.wait_blocking();
    if outcome.stderr.is_empty() { Ok((outcome, text)) } else { Err(SandboxError::NotProven(outcome.stderr)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_refuses_says_that_there_is_no_ipv6() {
        let io = || std::io::Error::from_raw_os_error(95);
        let kernel = NetdError::Kernel { step: "give the run an IPv6 address", source: io() };
        assert!(pass_without_ipv6(Ok(())).is_ok() && pass_without_ipv6(Err(kernel.into())).is_ok());
        for error in [
            SandboxError::NotProven("somebody else answers".to_owned()),
            SandboxError::NoWay("no slirp4netns is configured"),
            SandboxError::set_up("attach slirp4netns")(io()),
            NetdError::Unreachable(io()).into(),
            NetdError::Refused("too many".to_owned()).into(),
        ] {
            let said = error.to_string();
            assert_eq!(pass_without_ipv6(Err(error)).unwrap_err().to_string(), said);
        }
    }
}
