//! A scan that grows: what is planned from the result of one of its tasks. Nothing here names an address; whoever plans may
//! only take those that were judged: when the scan was made, or, of names below the target, when they were found.

use serde_json::Value;

use crate::{Authority, NewTask, Plan, PlanGap};

/// How far a scan has grown, as of the transaction that ends one of its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growing {
    /// Its plan.
    pub plan: Plan,
    /// What was asked for, as it was stored.
    pub request: Value,
    /// Tasks that it may still get under the organization's subscription.
    pub tasks_left: u64,
    /// Hosts × ports that it may still examine.
    pub probes_left: u64,
}

/// What grows from one task. Everything that does not fit is a gap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grown {
    /// The next tasks.
    pub tasks: Vec<NewTask>,
    /// Their hosts × ports.
    pub probes: u64,
    /// What is not planned, and why.
    pub gaps: Vec<PlanGap>,
    /// What the whole scan relies on from here on, where that is less than before.
    pub authority: Option<Authority>,
}
