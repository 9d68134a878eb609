//! How a run is connected, and to whom. Every way but [`Way::Shared`] gives it a network namespace of its own, in which
//! nothing is reachable but what the worker connects before bwrap starts. It must never connect more than the route says.

mod route;
mod slirp;
mod whole;

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use picket_domain::Network;
use picket_netd::{Confined, Confinement, Forward, Gateway, Grant, Lease, Mode, NetdClient, NetdError, Status, Wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

pub use route::Route;
pub(crate) use slirp::Slirp;
use slirp::TAP;

use crate::{Sandbox, SandboxError};

/// How one run is connected.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Not at all.
    None,
    /// With the worker's own network (level L2).
    Shared,
    /// By a network stack in user mode, behind a filter inside (level L1).
    Slirp(Slirp, Confinement),
    /// By the privileged helper, behind a filter outside (level L0).
    Netd {
        /// The helper.
        client: NetdClient,
        /// What it is asked for.
        grant: Grant,
        /// The stand-ins that the tool was told.
        forwards: Vec<Forward>,
    },
}

/// Where the ways to the outside are found; each is optional.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    pub(crate) slirp: Option<PathBuf>,
    pub(crate) netd: Option<PathBuf>,
}

impl Sandbox {
    /// How the network helper stands; nothing where none is configured. Blocks for less than a second.
    #[must_use]
    pub fn helper(&self) -> Option<Result<Status, NetdError>> {
        self.ways().netd.clone().map(|socket| NetdClient::new(socket).status())
    }
}

/// What the child sends up before it goes on: sockets that belong to its namespaces.
#[derive(Debug)]
pub(crate) struct Handles {
    /// A netlink socket of the packet filter, opened with every right in the namespace.
    pub(crate) filter: OwnedFd,
    /// The network namespace.
    pub(crate) namespace: OwnedFd,
    /// A netlink socket of its interfaces, likewise.
    pub(crate) links: OwnedFd,
}

/// What is the same for every run that is connected in the same way, so that it can be prepared before one is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Whether the child makes a network namespace of its own.
    pub(crate) is_own: bool,
    /// Whether the child is the root of its user namespace, as raw sockets need.
    pub(crate) is_raw: bool,
    /// The stack to attach.
    slirp: Option<Slirp>,
    /// The helper that wires it.
    netd: Option<NetdClient>,
}

/// Whose network is prepared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making {
    /// The sandbox's first process.
    pub(crate) pid: i32,
    /// Whether the worker is root, and the run has a uid of its slot.
    pub(crate) is_slot: bool,
    /// Whether the run comes later.
    pub(crate) ahead: bool,
}

/// A network namespace in which nothing can be reached yet.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// None of its own.
    None,
    /// A stack behind a filter that lets nothing pass.
    Slirp(slirp::Stack, Confined),
    /// A wire of the helper's, to which it has not said what may pass.
    Wired(Wire),
    /// An empty one, for a helper that wires none ahead now.
    Empty(OwnedFd),
}

impl Kind {
    /// Prepares the namespaces of the process `pid`, which waits. Blocks for some ten milliseconds where a stack is
    /// attached. For a run that begins at once nothing is wired `ahead`: what waits for its run is the first that the helper
    /// takes away when its slots are scarce.
    pub(crate) fn prepare(&self, making: Making, handles: Option<Handles>) -> Result<Prepared, SandboxError> {
        match (self, handles) {
            (Self { is_own: false, .. }, _) => Ok(Prepared::None),
            (_, None) => Err(SandboxError::NoWay("the sandbox gave no handle on its network")),
            (Self { slirp: Some(slirp), .. }, Some(handles)) => {
                // The filter first: nothing is ever connected without it.
                let confined = Confined::install(handles.filter, &Confinement::default())?;
                let as_slot = making.is_slot.then_some(handles.namespace);
                let stack = slirp.attach(making.pid, as_slot)?;
                if slirp.v6 {
                    picket_netd::address_user_network(handles.links, TAP)?;
                }
                Ok(Prepared::Slirp(stack, confined))
            }
            (Self { netd: Some(_), .. }, Some(handles)) if !making.ahead => Ok(Prepared::Empty(handles.namespace)),
            (Self { netd: Some(client), .. }, Some(handles)) => match client.wire(handles.namespace.as_fd()) {
                Ok(wire) => Ok(Prepared::Wired(wire)),
                Err(error) => {
                    tracing::debug!(%error, "no wire ahead of a run");
                    Ok(Prepared::Empty(handles.namespace))
                }
            },
            (Self { slirp: None, netd: None, .. }, Some(_)) => Err(SandboxError::NoWay("nobody connects the sandbox")),
        }
    }
}

impl Prepared {
    /// Whether it is as it was prepared.
    pub(crate) fn is_alive(&mut self) -> bool {
        match self {
            Self::None | Self::Empty(_) => true,
            Self::Slirp(stack, _) => stack.is_alive(),
            Self::Wired(wire) => {
                // The helper says nothing unasked: what can be read is the end.
                let mut end = [PollFd::new(wire, PollFlags::IN)];
                matches!(poll(&mut end, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
            }
        }
    }
}

/// A run's connection; dropping it ends it.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Nothing was connected.
    None,
    /// A user-mode stack and the filter in front of it.
    Slirp {
        /// The stack.
        stack: slirp::Stack,
        /// Counts.
        filter: Confined,
    },
    /// The helper's.
    Netd(Lease),
}

impl Way {
    /// What of it can be prepared.
    pub(crate) fn kind(&self) -> Kind {
        let (slirp, netd) = match self {
            Self::None | Self::Shared => (None, None),
            Self::Slirp(slirp, _) => (Some(slirp.clone()), None),
            Self::Netd { client, .. } => (None, Some(client.clone())),
        };
        Kind { is_own: slirp.is_some() || netd.is_some(), is_raw: self.is_raw(), slirp, netd }
    }

    /// Whether the child is the root of its user namespace, as raw sockets need.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self, Self::Netd { grant, .. } if grant.mode == Mode::Raw)
    }

    /// The way that `route` leads, for a run that may reach `addresses`, as the tool sees them.
    pub(crate) fn new(
        ways: &Ways,
        route: &Route,
        network: Network,
        egress: &picket_domain::Egress,
        ttl: Duration,
    ) -> Result<Self, SandboxError> {
        let mode = match network {
            Network::None => return Ok(Self::None),
            Network::Connect => Mode::Connect,
            Network::Raw => Mode::Raw,
        };
        match (route.level(), mode) {
            (picket_domain::SandboxLevel::L0, mode) => {
                let socket = ways.netd.clone().ok_or(SandboxError::NoWay("no network helper is configured"))?;
                let addresses = egress.addresses.iter().map(|address| route.outside(*address)).collect();
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let grant = Grant { addresses, ports: egress.ports.clone(), ttl_ms, mode };
                Ok(Self::Netd { client: NetdClient::new(socket), grant, forwards: route.forwards().to_vec() })
            }
            (_, Mode::Raw) => Err(SandboxError::RawUnavailable),
            (picket_domain::SandboxLevel::L1, Mode::Connect) => {
                let program = ways.slirp.clone().ok_or(SandboxError::NoWay("no slirp4netns is configured"))?;
                Ok(Self::slirp(program, route, egress))
            }
            (picket_domain::SandboxLevel::L2 | picket_domain::SandboxLevel::None, Mode::Connect) => Ok(Self::Shared),
        }
    }

    fn slirp(program: PathBuf, route: &Route, egress: &picket_domain::Egress) -> Self {
        let is_forward = |address: &IpAddr| route.forwards().iter().any(|forward| forward.stand_in == *address);
        let v6 = egress.addresses.iter().any(|address| address.to_canonical().is_ipv6());
        let (mut stand_ins, direct): (Vec<IpAddr>, Vec<IpAddr>) =
            egress.addresses.iter().partition(|one| is_forward(one));
        // The kernel refuses elements that overlap.
        stand_ins.sort_unstable();
        stand_ins.dedup();
        let gateway = (!stand_ins.is_empty()).then(|| Gateway { stand_ins, ports: egress.ports.clone() });
        let slirp = Slirp { program, loopback: gateway.is_some(), v6 };
        Self::Slirp(slirp, Confinement { addresses: direct, gateway })
    }

    /// Opens what was prepared to those that the run may reach. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`SandboxError::Network`] also when the helper has taken a wire away that waited: then it is another one's turn.
    pub(crate) fn connect(&self, prepared: Prepared) -> Result<Connection, SandboxError> {
        match (self, prepared) {
            (Self::None | Self::Shared, Prepared::None) => Ok(Connection::None),
            (Self::Slirp(_, confinement), Prepared::Slirp(stack, mut filter)) => {
                filter.replace(confinement)?;
                Ok(Connection::Slirp { stack, filter })
            }
            (Self::Netd { grant, forwards, .. }, Prepared::Wired(wire)) => kept(forwards, wire.open(grant)?),
            (Self::Netd { client, grant, forwards }, Prepared::Empty(namespace)) => {
                kept(forwards, client.open(namespace.as_fd(), grant)?)
            }
            (Self::None | Self::Shared | Self::Slirp(..) | Self::Netd { .. }, _) => {
                Err(SandboxError::NoWay("the sandbox was prepared for another level"))
            }
        }
    }
}

/// Which of the addresses, as the run sees them, cannot be reached: at level L1 those of IPv6 where the kernel has none, or
/// has it switched off.
pub(crate) fn without_ipv6(error: SandboxError, route: &Route, addresses: &[IpAddr]) -> SandboxError {
    let codes = [Errno::OPNOTSUPP, Errno::AFNOSUPPORT, Errno::ACCESS].map(Errno::raw_os_error);
    let is_without = route.level() == picket_domain::SandboxLevel::L1
        && matches!(&error, SandboxError::Network(NetdError::Kernel { source, .. })
            if source.raw_os_error().is_some_and(|code| codes.contains(&code)));
    match addresses.iter().find(|address| is_without && address.to_canonical().is_ipv6()) {
        Some(address) => SandboxError::Unreachable { address: route.outside(*address), level: route.level() },
        None => error,
    }
}

/// The stand-ins of a connection are those that the tool was told: they are reserved while the route lives, and only another
/// helper would give out others.
fn kept(forwards: &[Forward], lease: Lease) -> Result<Connection, SandboxError> {
    if lease.granted.forwards.iter().all(|forward| forwards.contains(forward)) {
        Ok(Connection::Netd(lease))
    } else {
        Err(SandboxError::NoWay("the network helper is another one"))
    }
}

impl Connection {
    /// How many processes it adds to those of the run's user.
    pub(crate) fn processes(&self) -> u64 {
        match self {
            Self::Slirp { stack, .. } => stack.processes(),
            Self::None | Self::Netd(_) => 0,
        }
    }

    /// Becomes readable when the connection ends by itself; nothing where nobody would notice (level L2).
    pub(crate) fn end_of(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::None => None,
            Self::Slirp { stack, .. } => Some(stack.end_of()),
            Self::Netd(lease) => Some(lease.as_fd()),
        }
    }

    /// Packets that were dropped so far; nothing where nobody counts.
    pub(crate) fn dropped(&mut self) -> Option<u64> {
        let counted = match self {
            Self::None => return None,
            Self::Slirp { filter, .. } => filter.dropped(),
            Self::Netd(lease) => lease.dropped_packets(),
        };
        counted.inspect_err(|error| tracing::warn!(%error, "dropped packets cannot be counted")).ok()
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::SandboxLevel;

    use super::*;

    #[test]
    fn an_ipv6_target_is_unreachable_at_l1_where_the_kernel_has_no_ipv6() {
        let told = |level, targets: &[&str], code: Errno| {
            let addresses: Vec<IpAddr> = targets.iter().map(|text| text.parse().unwrap()).collect();
            let route = Route::new(level, &addresses, &Ways::default()).unwrap();
            let inside: Vec<IpAddr> = addresses.iter().map(|address| route.inside(*address)).collect();
            let source = std::io::Error::from_raw_os_error(code.raw_os_error());
            let error = NetdError::Kernel { step: "give the run an IPv6 address", source };
            without_ipv6(error.into(), &route, &inside)
        };
        for (targets, first) in [(["192.0.2.1", "2001:db8::1"], "2001:db8::1"), (["::1", "2001:db8::1"], "::1")] {
            for code in [Errno::OPNOTSUPP, Errno::ACCESS] {
                let SandboxError::Unreachable { address, level } = told(SandboxLevel::L1, &targets, code) else {
                    panic!("{targets:?}: not unreachable")
                };
                assert_eq!((address, level), (first.parse().unwrap(), SandboxLevel::L1));
            }
        }
        let both = ["192.0.2.1", "2001:db8::1"];
        assert!(matches!(told(SandboxLevel::L1, &both, Errno::NOMEM), SandboxError::Network(_)));
        assert!(matches!(told(SandboxLevel::L1, &both[..1], Errno::OPNOTSUPP), SandboxError::Network(_)));
        assert!(matches!(told(SandboxLevel::L0, &both, Errno::OPNOTSUPP), SandboxError::Network(_)));
    }
}
