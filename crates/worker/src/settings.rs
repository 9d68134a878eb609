//! What operators may change of a worker.

use std::{path::PathBuf, time::Duration};

use picket_domain::{Pool, RunLimits, SandboxLevel};
use picket_sandbox::{Limits, SandboxSettings};
use picket_scanners::Appetite;
use serde::{Deserialize, Deserializer, de};

/// Settings of one worker process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// The pools that it serves.
    pub pools: Vec<Pool>,
    /// Whether the pool `simulate` may be served, whose tasks run no tool; only tests of load and faults switch it on.
    pub simulator: bool,
    /// Tasks of each pool that it runs at once.
    pub slots: u32,
    /// The program that makes namespaces.
    pub bwrap: PathBuf,
    /// The folder with one read-only root per tool.
    pub tools_root: PathBuf,
    /// As root: the uid of slot 0; the others follow, and one more for the self-test.
    pub first_slot_uid: u32,
    /// slirp4netns, the network of level L1.
    pub slirp: PathBuf,
    /// The socket of the privileged network helper, for level L0.
    pub netd_socket: Option<PathBuf>,
    /// The weakest level with which the worker may work.
    pub sandbox_level_min: LevelMin,
    /// What the operator declares of the worker's own network; only `enforced` makes level L2 count.
    pub sandbox_external_egress: ExternalEgress,
    /// The operator's second word for running tools of which nothing is proven; see `sandbox_level_min`.
    pub i_accept_unsandboxed_scans: Consent,
    /// Sandboxes that wait for a task at most, each for a minute after the last task of its slot; as many as there are
    /// slots where it is missing.
    pub prepared_slots: Option<u32>,
    /// A folder of control groups (v2) that was handed down to this worker (systemd: `Delegate=`): memory, processes and
    /// processor time of each run as a whole.
    pub cgroup: Option<PathBuf>,
    /// Seconds between two self-tests of the sandbox.
    pub prove_seconds: u64,
    /// Milliseconds between two heartbeats; far below the lease.
    pub heartbeat_ms: u64,
    /// Seconds that a task stays ours without a heartbeat; after that another worker may take it up.
    pub lease_seconds: u32,
    /// Seconds that running tools may go on after SIGTERM.
    pub drain_seconds: u64,
    /// Bytes of a tool's raw output that are kept, before they are compressed; 0 keeps none.
    pub artifact_bytes: u64,
    /// Bytes, compressed, up to which a raw output is kept in its row rather than in the object store; 8,192 at most, 0: none.
    pub artifact_row_bytes: u16,
    /// Seconds that one task may take; above the time that a tool gives one host by itself (nmap: 30 minutes).
    #[serde(deserialize_with = "wall")]
    pub wall_seconds: u64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            pools: vec![Pool::Net, Pool::Tls, Pool::Web],
            simulator: false,
            slots: 2,
            bwrap: PathBuf::from("/usr/bin/bwrap"),
            tools_root: PathBuf::from("/opt/picket/tools"),
            first_slot_uid: 200_000,
            slirp: PathBuf::from("/usr/bin/slirp4netns"),
            netd_socket: None,
            sandbox_level_min: LevelMin::L2,
            sandbox_external_egress: ExternalEgress::Unknown,
            i_accept_unsandboxed_scans: Consent::No,
            prepared_slots: None,
            cgroup: None,
            prove_seconds: 300,
            heartbeat_ms: 2_000,
            lease_seconds: 30,
            drain_seconds: 20,
            artifact_bytes: 64 * 1024 * 1024,
            artifact_row_bytes: 8192,
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
            slirp: Some(self.slirp.clone()),
            netd: self.netd_socket.clone(),
            external_egress: self.sandbox_external_egress == ExternalEgress::Enforced,
            prepared: usize::try_from(self.prepared_slots.unwrap_or_else(|| self.proving_slot())).unwrap_or(0),
            cgroup: self.cgroup.clone(),
        }
    }

    /// What a run of a tool with that appetite may use. The wall clock is the operator's, in both directions: how long a
    /// task takes depends on its shard, which a tool bounds by itself. The processor time follows it: only what keeps more
    /// processors busy than its appetite names, where no control group holds it, is ended by that.
    pub(crate) fn limits(&self, appetite: &Appetite, asked: RunLimits) -> Limits {
        let wall = Duration::from_secs(self.wall_seconds).max(appetite.wall);
        // Who made the scan may have it shorter, and never longer.
        let wall = asked.seconds.map_or(wall, |seconds| wall.min(Duration::from_secs(seconds.max(1).into())));
        Limits {
            wall,
            cpu: wall.saturating_mul(appetite.processors.max(1)),
            processors_percent: u64::from(appetite.processors).saturating_mul(100),
            memory_bytes: appetite.memory_bytes,
            processes: appetite.processes,
            scratch_bytes: appetite.scratch_bytes,
            output_bytes: appetite.output_bytes,
            ..Limits::default()
        }
    }

    /// Whether tools may run although no level is proven: said twice, since each alone could be a slip.
    pub(crate) fn accepts_unsandboxed(&self) -> bool {
        self.sandbox_level_min == LevelMin::None && self.i_accept_unsandboxed_scans == Consent::Yes
    }

    /// A slot that no task uses.
    pub(crate) fn proving_slot(&self) -> u32 {
        u32::try_from(self.pools.len()).unwrap_or(u32::MAX).saturating_mul(self.slots)
    }

    pub(crate) const fn prove_interval(&self) -> Duration {
        // A loop of self-tests would leave no room for work.
        Duration::from_secs(if self.prove_seconds < 5 { 5 } else { self.prove_seconds })
    }
}

/// The network helper opens no door for more than a day, and a run's stays open for a minute more than the run may last.
const MAX_WALL_SECONDS: u64 = 24 * 60 * 60 - 60;

fn wall<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if (1..=MAX_WALL_SECONDS).contains(&seconds) {
        return Ok(seconds);
    }
    Err(de::Error::custom(format_args!("expected wall_seconds from 1 to {MAX_WALL_SECONDS}, got {seconds}")))
}

/// The weakest acceptable level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum LevelMin {
    /// With the privileged helper.
    L0,
    /// With a network of its own.
    L1,
    /// With a network that the operator has fenced.
    L2,
    /// Whatever there is, when `i_accept_unsandboxed_scans` says so too.
    #[serde(rename = "none")]
    None,
}

impl LevelMin {
    pub(crate) const fn level(self) -> SandboxLevel {
        match self {
            Self::L0 => SandboxLevel::L0,
            Self::L1 => SandboxLevel::L1,
            // Without consent, none is no more than this.
            Self::L2 | Self::None => SandboxLevel::L2,
        }
    }
}

/// What is known of the network around the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalEgress {
    /// Nothing.
    Unknown,
    /// It lets runs reach what they may and nothing else (a network policy, a firewall, a machine of its own).
    Enforced,
}

/// An answer in words, so that a stray `true` does not give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// No.
    No,
    /// Yes.
    Yes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_may_not_last_longer_than_its_network() {
        let read =
            |seconds: u64| serde_json::from_value::<WorkerSettings>(serde_json::json!({ "wall_seconds": seconds }));
        assert!(read(0).is_err() && read(86_341).is_err());
        assert_eq!(read(86_340).unwrap().wall_seconds, 86_340);
    }

    #[test]
    fn no_tool_runs_out_of_processor_time_before_its_time_is_up() {
        for wall in [1, 900, MAX_WALL_SECONDS] {
            let settings: WorkerSettings = serde_json::from_value(serde_json::json!({ "wall_seconds": wall })).unwrap();
            for tool in picket_scanners::offered() {
                let limits = settings.limits(&tool.appetite(), RunLimits::default());
                assert!(limits.cpu >= limits.wall, "{}: {limits:?}", tool.slug());
                assert!(limits.processors_percent >= 100, "{}", tool.slug());
            }
        }
    }

    #[test]
    fn whoever_makes_a_scan_may_have_its_runs_shorter_and_never_longer() {
        let settings = WorkerSettings { wall_seconds: 100, ..WorkerSettings::default() };
        let appetite = Appetite { wall: Duration::from_secs(50), ..Appetite::DEFAULT };
        let wall = |seconds| settings.limits(&appetite, RunLimits { seconds, rate: None }).wall.as_secs();
        assert_eq!([None, Some(30), Some(100), Some(101), Some(0)].map(wall), [100, 30, 100, 100, 1]);
        let short = settings.limits(&appetite, RunLimits { seconds: Some(30), rate: None });
        assert_eq!(short.cpu, Duration::from_secs(30 * u64::from(appetite.processors)));
    }
}
