//! What a worker may ask for, and what it gets.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// What a run may do on its end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Connections as any program makes them.
    Connect,
    /// Raw sockets inside the run's own network namespace.
    Raw,
}

/// A request to connect the network namespace whose descriptor comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The addresses that may be reached, at most 4096. Loopback addresses (127.0.0.0/8, `::1`) are reached
    /// through a forward.
    pub addresses: Vec<IpAddr>,
    /// Ports of TCP and UDP that forwards are for, as inclusive ranges; empty means none.
    pub ports: Vec<(u16, u16)>,
    /// After so many milliseconds the door closes by itself, also when everybody else has died.
    pub ttl_ms: u64,
    /// What the run may do.
    pub mode: Mode,
}

/// A loopback address of the host, and the address under which the run reaches it: inside, 127.0.0.1 and `::1` are the
/// run itself. Both are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The address on the host.
    pub loopback: IpAddr,
    /// The address inside.
    pub stand_in: IpAddr,
}

/// The namespace is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The run's own address.
    pub address: Ipv4Addr,
    /// One per loopback address of the request, in its order.
    pub forwards: Vec<Forward>,
}

/// How the helper stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Namespaces that are connected now.
    pub slots: u32,
    /// Packets of runs to addresses they may not reach, dropped since the helper started.
    pub dropped_packets: u64,
}
