//! A worker: takes admitted tasks, runs their tools in sandboxes, and stores what they found.
//!
//! The lease in Postgres is the truth. A delivery is acknowledged once the claim is committed; from then on the heartbeat
//! holds the task, and what the heartbeat does not get back was cancelled or taken away: its tool is killed. A result is
//! stored under its fence, so that a worker that comes back from the dead changes nothing.

mod artifact;
mod claims;
mod discovery;
mod ending;
mod ends;
mod execution;
mod heartbeat;
mod leases;
mod leavings;
mod node;
mod not_run;
mod patience;
mod running;
mod settings;
mod simulated;
mod slot;
mod standing;
mod story;
mod together;
mod unsandboxed;
mod verdict;
mod worker;

pub use settings::{Consent, ExternalEgress, LevelMin, WorkerSettings};
pub use worker::{Parts, WorkerError, prove, run};
