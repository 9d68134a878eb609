//! What can go wrong before a tool runs. What goes wrong afterwards is an [`Outcome`](crate::Outcome), not an error.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// Why a sandbox cannot be made, or a run cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// bwrap is not where the settings say, or cannot be executed by the uid that must run it.
    #[error("expected an executable bwrap that every uid can reach at {path}")]
    Bwrap {
        /// Where it was looked for.
        path: PathBuf,
        /// What the file system answered, when it answered with an error.
        #[source]
        source: Option<io::Error>,
    },
    /// The folder of tool roots is missing or closed to the uid that must read it.
    #[error("expected a folder that every uid can reach at {path}")]
    ToolsRoot {
        /// The folder, or the first of its parents that is closed.
        path: PathBuf,
        /// What the file system answered, when it answered with an error.
        #[source]
        source: Option<io::Error>,
    },
    /// No root of that tool is installed.
    #[error("expected an installed tool, got {tool}")]
    UnknownTool {
        /// The tool's slug.
        tool: String,
    },
    /// The tool's root lacks a mount point or the program.
    #[error("expected {missing} in the root of {tool}")]
    IncompleteRoot {
        /// The tool's slug.
        tool: String,
        /// A path inside the root.
        missing: String,
    },
    /// The run needs raw sockets, which this form of the sandbox cannot confine.
    #[error("raw sockets are not available in this sandbox")]
    RawUnavailable,
    /// No level is proven (any more): the sandbox must not run what reaches a network.
    #[error("no sandbox level is proven")]
    Unproven,
    /// A way to the network that the level needs is not there.
    #[error("cannot connect the sandbox: {0}")]
    NoWay(&'static str),
    /// The address has another meaning inside the sandbox, and no stand-in.
    #[error("{address} cannot be reached from a sandbox of level {}", .level.name())]
    Unreachable {
        /// The address.
        address: IpAddr,
        /// The level.
        level: picket_domain::SandboxLevel,
    },
    /// The network helper, or the packet filter.
    #[error(transparent)]
    Network(#[from] picket_netd::NetdError),
    /// The invocation holds something no program can be started with.
    #[error("invalid invocation: {0}")]
    Invocation(&'static str),
    /// `first_slot_uid + slot` is not a uid that may be used.
    #[error("slot {0} has no uid of its own")]
    Slot(u32),
    /// A step between the creation of the sandbox's process and bwrap failed.
    #[error("cannot set up the sandbox: {step}")]
    SetUp {
        /// The step.
        step: Cow<'static, str>,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The system call filter cannot be built for this machine.
    #[error("cannot build the system call filter")]
    Filter(#[from] seccompiler::BackendError),
    /// Landlock refused the scope although the kernel has it.
    #[error("cannot build the landlock scope")]
    Scope(#[from] landlock::RulesetError),
    /// The self-test found a door open, or could not run; no task may be taken.
    #[error("the sandbox does not hold: {0}")]
    NotProven(String),
}

impl SandboxError {
    /// The failure of one step of the set-up.
    pub(crate) fn set_up(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::SetUp { step: step.into(), source }
    }
}
