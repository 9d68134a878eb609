//! What operators may change of a worker.

use std::{path::PathBuf, time::Duration};

use picket_domain::Pool;
use picket_sandbox::{Limits, SandboxSettings};
use serde::Deserialize;

/// Settings of one worker process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// The pools that it serves.
    pub pools: Vec<Pool>,
    /// Tasks of each pool that it runs at once.
    pub slots: u32,
    /// The program that makes namespaces.
    pub bwrap: PathBuf,
    /// The folder with one read-only root per tool.
    pub tools_root: PathBuf,
    /// As root: the uid of slot 0; the others follow.
    pub first_slot_uid: u32,
    /// Milliseconds between two heartbeats; far below the lease.
    pub heartbeat_ms: u64,
    /// Seconds that a task stays ours without a heartbeat; after that another worker may take it up.
    pub lease_seconds: u32,
    /// Seconds that running tools may go on after SIGTERM.
    pub drain_seconds: u64,
    /// Seconds that one task may take; above the time that a tool gives one host by itself (nmap: 30 minutes).
    pub wall_seconds: u64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            pools: vec![Pool::Net],
            slots: 2,
            bwrap: PathBuf::from("/usr/bin/bwrap"),
            tools_root: PathBuf::from("/opt/picket/tools"),
            first_slot_uid: 200_000,
            heartbeat_ms: 2_000,
            lease_seconds: 30,
            drain_seconds: 20,
            wall_seconds: 35 * 60,
        }
    }
}

impl WorkerSettings {
    pub(crate) fn sandbox(&self) -> SandboxSettings {
        SandboxSettings {
            bwrap: self.bwrap.clone(),
            tools_root: self.tools_root.clone(),
            first_slot_uid: self.first_slot_uid,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { wall: Duration::from_secs(self.wall_seconds), ..Limits::default() }
    }
}
