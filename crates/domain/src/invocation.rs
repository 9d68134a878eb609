//! What a sandbox is told to run. No text of a client is in here that was not parsed into a domain type first.

use std::{borrow::Cow, net::IpAddr};

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
    /// Whom the run may speak to; every other address is out of reach where the sandbox has its own network.
    pub egress: Egress,
    /// Ports beyond those of `egress` that the tool takes from a list of its own.
    pub top_ports: Option<TopPorts>,
    /// Files of ours that the tool reads, such as word lists and request headers.
    pub input_files: Vec<InputFile>,
    /// Where the tool writes what the parser reads.
    pub output: ToolOutput,
}

impl Invocation {
    /// A run of `program` without arguments, network and files.
    #[must_use]
    pub const fn of(tool: &'static str, program: &'static str) -> Self {
        Self {
            tool,
            program,
            args: Vec::new(),
            hosts: Vec::new(),
            network: Network::None,
            egress: Egress { addresses: Vec::new(), ports: Vec::new() },
            top_ports: None,
            input_files: Vec::new(),
            output: ToolOutput::Stdout,
        }
    }
}

/// The addresses, and for forwards the ports, that a run may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// The pinned addresses of the task.
    pub addresses: Vec<IpAddr>,
    /// The ports that the task examines, as inclusive ranges of TCP and UDP. They bound what of the host itself is
    /// reached when one of the addresses is a loopback address on the operator's list. Empty means no port;
    /// [`Egress::EVERY_PORT`] means every one.
    pub ports: Vec<(u16, u16)>,
}

impl Egress {
    /// All of them, said aloud: a forgotten list must open nothing.
    pub const EVERY_PORT: (u16, u16) = (0, u16::MAX);
}

/// The ports that are most often open, as a tool's own list has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopPorts {
    /// How many.
    pub count: u16,
    /// `tcp` or `udp`, as the list writes it.
    pub protocol: &'static str,
    /// The list's absolute path in the tool's root, in the format of nmap-services(5).
    pub ranking: &'static str,
}

/// A file that the sandbox shows to the tool, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Its absolute path inside, directly below `/input/`.
    pub path: &'static str,
    /// What is in it.
    pub content: Cow<'static, [u8]>,
}

/// How a tool hands over its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolOutput {
    /// On standard output.
    Stdout,
    /// In a file below `/scratch`, which must not be there before the run. The sandbox's init copies it to standard
    /// output from the inside after the tool has ended, a regular file alone; what the tool itself prints goes to
    /// standard error.
    File(&'static str),
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
