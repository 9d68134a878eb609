//! How a run is connected, and to whom. Every way but [`Way::Shared`] gives it a network namespace of its own, in which
//! nothing is reachable but what the worker connects before bwrap starts. It must never connect more than the route says.

mod route;
mod slirp;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use picket_domain::Network;
use picket_netd::{Confined, Confinement, Forward, Gateway, Grant, Lease, Mode, NetdClient};

pub use route::Route;
pub(crate) use route::StandIns;
pub(crate) use slirp::Slirp;

use crate::SandboxError;

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

/// What the child sends up before it goes on: sockets that belong to its namespaces.
#[derive(Debug)]
pub(crate) struct Handles {
    /// A netlink socket of the packet filter, opened with every right in the namespace.
    pub(crate) filter: OwnedFd,
    /// The network namespace.
    pub(crate) namespace: OwnedFd,
}

/// A run's connection; dropping it ends it.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Nothing was connected.
    None,
    /// A user-mode stack and the filter in front of it.
    Slirp {
        /// Only held.
        _stack: slirp::Stack,
        /// Counts.
        filter: Confined,
    },
    /// The helper's.
    Netd(Lease),
}

impl Way {
    /// Whether the child makes a network namespace of its own.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Slirp(..) | Self::Netd { .. })
    }

    /// Whether the child is the root of its user namespace, as raw sockets need.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self, Self::Netd { grant, .. } if grant.mode == Mode::Raw)
    }

    /// The way that `route` leads, for a run that may reach `addresses`, as the tool sees them.
    pub(crate) fn new(
        ways: &Ways,
        route: &Route,
        slot: u32,
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
                let grant = Grant { slot, addresses, ports: egress.ports.clone(), ttl_ms, mode };
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
        let stand_ins: Vec<Ipv4Addr> = route.forwards().iter().map(|forward| forward.stand_in).collect();
        let is_forward = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if stand_ins.contains(v4));
        let (through, direct): (Vec<IpAddr>, Vec<IpAddr>) = egress.addresses.iter().partition(|one| is_forward(one));
        let stand_in = stand_ins.first().copied().filter(|_| !through.is_empty());
        let gateway = stand_in.map(|stand_in| Gateway { stand_in, ports: egress.ports.clone() });
        let slirp = Slirp { program, loopback: gateway.is_some(), v6: direct.iter().any(IpAddr::is_ipv6) };
        Self::Slirp(slirp, Confinement { addresses: direct, gateway })
    }

    /// Connects the namespaces of the process `pid`, which waits. Blocks for some milliseconds.
    pub(crate) fn connect(&self, pid: i32, handles: Option<Handles>) -> Result<Connection, SandboxError> {
        let missing = || SandboxError::NoWay("the sandbox gave no handle on its network");
        match (self, handles) {
            (Self::None | Self::Shared, _) => Ok(Connection::None),
            (_, None) => Err(missing()),
            (Self::Slirp(slirp, confinement), Some(handles)) => {
                // The filter first: nothing is ever connected without it.
                let confined = Confined::install(handles.filter, confinement)?;
                Ok(Connection::Slirp { _stack: slirp.attach(pid)?, filter: confined })
            }
            (Self::Netd { client, grant, forwards }, Some(handles)) => {
                let lease = client.open(handles.namespace.as_fd(), grant)?;
                if lease.granted.forwards == *forwards {
                    return Ok(Connection::Netd(lease));
                }
                Err(SandboxError::Moved(lease.granted.forwards.clone()))
            }
        }
    }
}

impl Connection {
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
