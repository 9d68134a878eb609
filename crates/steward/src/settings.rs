//! What operators may change of the steward.

use std::collections::BTreeMap;

use picket_domain::AdmissionLimits;
use serde::Deserialize;

/// Settings of the steward's loops.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StewardSettings {
    /// Seconds that a task waits for a worker that has proven what it needs (`docs/contract.md` §13).
    pub capability_wait_seconds: f64,
    /// Seconds after which an admitted task that nobody claimed is admitted anew.
    pub claim_wait_seconds: f64,
    /// Admitted tasks that may wait per slot of a pool; small, so that a small scan never waits behind a large one. Where the
    /// workers end more than that in a tenth of a second, so many may wait, 16 per slot at most.
    pub queue_per_slot: i64,
    /// Tasks that examine one host at once, over all organizations.
    pub tasks_per_host: u32,
    /// Tasks of a tool at once, by its slug, over all organizations; a tool that is not named has no limit.
    pub tasks_per_tool: BTreeMap<String, u32>,
    /// Milliseconds between two turns of the cleaner.
    pub clean_ms: u64,
    /// Milliseconds between two measurements of how long tools take.
    pub measure_ms: u64,
    /// Milliseconds between two turns of retention, which takes results away by their age.
    pub retention_ms: u64,
    /// Milliseconds between two looks of the relay and of admission when no hint wakes them.
    pub poll_ms: u64,
    /// Milliseconds between two looks for proofs of targets that are due; each is due once a week.
    pub proof_ms: u64,
    /// Milliseconds between two rounds of the rescuer.
    pub rescue_ms: u64,
    /// Seconds after which a tick of a schedule that nobody was there for counts as missed.
    pub schedule_grace_seconds: f64,
}

impl Default for StewardSettings {
    fn default() -> Self {
        Self {
            capability_wait_seconds: 60.0,
            claim_wait_seconds: 60.0,
            queue_per_slot: 2,
            tasks_per_host: 4,
            tasks_per_tool: BTreeMap::new(),
            clean_ms: 60_000,
            measure_ms: 600_000,
            retention_ms: 300_000,
            poll_ms: 500,
            proof_ms: 60_000,
            rescue_ms: 2_000,
            schedule_grace_seconds: 300.0,
        }
    }
}

impl StewardSettings {
    /// What admission holds to besides the limit of each organization.
    #[must_use]
    pub fn admission_limits(&self) -> AdmissionLimits {
        AdmissionLimits { per_host: self.tasks_per_host, per_tool: self.tasks_per_tool.clone() }
    }
}
