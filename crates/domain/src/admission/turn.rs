//! Whose turn it is over time. A pool has a clock that goes on by one task for everybody who waits, in parts of their
//! weights, and each organization a turn: the moment by that clock until which it has had its share. Pure; the store keeps
//! both. Must never let an organization lag or lead without bound: what is owed for ever would be paid by others.

use std::collections::{BTreeMap, HashMap};

use super::Candidate;
use crate::OrganizationId;

/// Tasks by which an organization counts as ahead of its share at most; what it had beyond is forgiven. One more than what a
/// start costs, so that the weights hold where a pool runs fewer tasks than the largest weight.
const MOST_AHEAD: f64 = 2.0;
/// Tasks by which it counts as behind at most: who was away has no claim on what others had meanwhile.
const MOST_BEHIND: f64 = 1.0;

/// Tasks that an organization has had above its share, less than 0 when it is owed some; 0 when it never had a turn.
#[must_use]
pub fn ahead(turn: Option<f64>, clock: f64, weight: u32) -> f64 {
    let tasks = turn.map_or(0.0, |turn| (turn - clock) * f64::from(weight.max(1)));
    if tasks.is_nan() { 0.0 } else { tasks.clamp(-MOST_BEHIND, MOST_AHEAD) }
}

/// What is to be kept after tasks were admitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The pool's clock.
    pub clock: f64,
    /// The turns of those whose tasks were admitted.
    pub turns: Vec<(OrganizationId, f64)>,
}

/// Charges the admitted tasks, named by their organizations, to these, and lets the clock go on for everybody who waited.
#[must_use]
pub fn settle(clock: f64, candidates: &[Candidate], admitted: &[OrganizationId]) -> Settled {
    let waited: HashMap<_, _> = candidates
        .iter()
        .filter(|one| one.in_flight < one.limit)
        .map(|one| (one.organization_id, (f64::from(one.weight.max(1)), one.ahead)))
        .collect();
    // In the order of their ids: sums of the same numbers are the same then.
    let mut turns: BTreeMap<OrganizationId, f64> = BTreeMap::new();
    let (mut total, mut tasks) = (0.0, 0.0);
    for (weight, _) in waited.values() {
        total += weight;
    }
    for organization in admitted {
        let Some((weight, ahead)) = waited.get(organization) else { continue };
        tasks += 1.0;
        *turns.entry(*organization).or_insert(clock + ahead / weight) += 1.0 / weight;
    }
    let passed = if total > 0.0 { tasks / total } else { 0.0 };
    Settled { clock: clock + passed, turns: turns.into_iter().collect() }
}
