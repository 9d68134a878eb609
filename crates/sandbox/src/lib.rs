//! Runs one [`Invocation`](picket_domain::Invocation) under limits; knows no tool and no scan.
//!
//! # How a run is locked in
//!
//! ```text
//! worker ──clone──▶ bwrap (pid 1 of an outer pid namespace, uid of the slot, no capability)
//!                     └──▶ bwrap's init (pid 1 of the inner namespaces) ──▶ the tool
//! ```
//!
//! - **Never as root.** Run by root, the sandbox becomes the uid of its slot before bwrap starts: a tool whose uid
//!   *looks* like 65534 but is 0 to the kernel may write `/proc/sys/kernel/core_pattern`. Run by an ordinary user it
//!   keeps that user's uid.
//! - **One kill ends everything.** bwrap itself is pid 1 of a pid namespace made by the worker, so one signal through
//!   its pidfd ends every process at once, at every moment of the start as well; no process can leave the namespace,
//!   ignore the signal or be stopped out of its reach. The kernel sends the same signal when the worker dies
//!   (`PR_SET_PDEATHSIG`), and the handshake of `launch.rs` leaves no moment in which that could be missed.
//! - **Nothing is inherited.** No descriptor but `/dev/null` and two pipes, no environment, no controlling terminal,
//!   no signal handler.
//! - **A file system of its own.** The tool's root, read-only; one scratch directory bounded in bytes and inodes
//!   (bwrap's `--size` bounds bytes only); names from the pinned pairs of the invocation, nothing else resolves.
//! - **A small kernel.** System calls by allow-list (`filter.rs`), no capabilities, no new privileges, no further user
//!   namespace, resource limits, and Landlock's scope where the kernel has it: it closes the abstract unix sockets
//!   and signals that a shared network or pid namespace would leave open.
//! - **Standard output is the only way out.** Nobody ever opens a path inside a sandbox from outside: the report that a
//!   tool writes to a file is copied to standard output by a program of ours inside (`init/`).
//!
//! # The network
//!
//! A run reaches nothing, or what its level connects it to: a namespace of its own behind the privileged helper's filter
//! (L0), one behind a user-mode stack and a filter inside (L1), or the worker's network (L2), which the operator must have
//! fenced. `proof.rs` finds out which of them hold; nobody sets a level. Raw sockets exist at L0 alone.
//!
//! Memory is bounded for each process, and for a run where the operator hands a control group down (`cgroup.rs`).
//! `tests/hostile/expected.tsv` names every door that
//! stays open at each level.

mod bait;
mod canary;
mod cgroup;
mod child;
mod command;
mod error;
mod filter;
mod forgery;
mod init;
mod launch;
mod limits;
mod network;
mod outcome;
mod output;
mod probe;
mod proof;
mod ranking;
mod roots;
mod run;
mod sandbox;
mod supervisor;
mod sys;
mod tail;
mod warm;

pub use error::SandboxError;
pub use limits::Limits;
pub use network::Route;
pub use outcome::{End, Exceeded, Outcome};
pub use output::Output;
pub use picket_netd::{NetdError, Status as NetdStatus};
pub use probe::probe_program;
pub use proof::{Attempt, Proof};
pub use roots::MOUNT_POINTS;
pub use run::{Killer, Run};
pub use sandbox::{Sandbox, SandboxSettings};
