//! What a sandbox is told to run. No text of a client is in here that was not parsed into a domain type first.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A command line without a shell: nothing in it is ever interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The tool whose read-only root the program runs in, e.g. `nmap`.
    pub tool: &'static str,
    /// The absolute path of the program inside that root.
    pub program: &'static str,
    /// Its arguments, one by one.
    pub args: Vec<String>,
    /// Names and addresses the tool may resolve; everything else does not resolve.
    pub hosts: Vec<PinnedHost>,
    /// What the run may do to the network.
    pub network: Network,
}

/// A name with the address it had when the scan was authorized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedHost {
    /// A canonical host name (A-label).
    pub name: String,
    /// The address it is pinned to.
    pub address: IpAddr,
}

/// What a run needs of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing: an empty network namespace.
    None,
    /// TCP and UDP connections as any program makes them.
    Connect,
    /// Raw sockets (`nmap -sS`, `-O`).
    Raw,
}
