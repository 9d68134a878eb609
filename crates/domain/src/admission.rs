//! Which ready tasks are admitted next: oldest first within an organization, organizations in turn by weight, under the
//! limits of each organization, of each target host and of each tool, and under the pool's room. Must never exceed a
//! limit, and never starve an organization that is under its own.
//!
//! The limit of a host holds over all organizations, since it is the host that bears the load. So that nobody keeps a host
//! from the others who may scan it, a place there goes to whoever has the fewest, whatever its weight.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
};

use crate::{OrganizationId, TaskId};

/// A ready task, as far as the choice needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub task_id: TaskId,
    /// Whose task it is.
    pub organization_id: OrganizationId,
    /// How many tasks of that organization are in flight already.
    pub in_flight: u32,
    /// How many may be.
    pub limit: u32,
    /// Its share against others, at least 1.
    pub weight: u32,
    /// The address that it examines; `None` for a task of many, which gives each address only a part of its time.
    pub host: Option<String>,
    /// How many tasks examine that host already, whoever's they are.
    pub host_in_flight: u32,
    /// How many of them are of this organization.
    pub host_in_flight_own: u32,
    /// The tool's slug.
    pub tool: String,
    /// How many tasks of that tool are in flight already, whoever's they are.
    pub tool_in_flight: u32,
}

/// What holds besides the limit of each organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Tasks that examine one host at once, over all organizations, so that scans are no flood.
    pub per_host: u32,
    /// Tasks of one tool at once, over all organizations; a tool that is not named has no limit.
    pub per_tool: BTreeMap<String, u32>,
}

impl AdmissionLimits {
    /// No limit but those of the organizations.
    #[must_use]
    pub const fn none() -> Self {
        Self { per_host: u32::MAX, per_tool: BTreeMap::new() }
    }
}

/// What runs after each choice.
struct Running<'a> {
    limits: &'a AdmissionLimits,
    hosts: HashMap<&'a str, Host>,
    tools: HashMap<&'a str, u32>,
    organizations: HashMap<OrganizationId, u32>,
}

/// What runs at a host, and what waits for it.
#[derive(Default)]
struct Host {
    running: u32,
    waiting: u32,
    own: BTreeMap<OrganizationId, Share>,
}

/// Of one organization at a host.
#[derive(Default)]
struct Share {
    running: u32,
    waiting: u32,
    /// Tasks that the organization may have, wherever they are.
    limit: u32,
}

impl<'a> Running<'a> {
    fn before(candidates: &'a [Candidate], limits: &'a AdmissionLimits) -> Self {
        let mut running = Self { limits, hosts: HashMap::new(), tools: HashMap::new(), organizations: HashMap::new() };
        for candidate in candidates {
            running.tools.insert(&candidate.tool, candidate.tool_in_flight);
            running.organizations.insert(candidate.organization_id, candidate.in_flight);
            if let Some(name) = candidate.host.as_deref() {
                let host = running.hosts.entry(name).or_default();
                (host.running, host.waiting) = (candidate.host_in_flight, host.waiting.saturating_add(1));
                let share = host.own.entry(candidate.organization_id).or_default();
                (share.running, share.limit) = (candidate.host_in_flight_own, candidate.limit);
                share.waiting = share.waiting.saturating_add(1);
            }
        }
        running
    }

    /// Whether somebody else who waits for a place at the host, and may have one more task, has fewer there.
    fn yields(&self, candidate: &Candidate) -> bool {
        let Some(host) = candidate.host.as_deref().and_then(|name| self.hosts.get(name)) else { return false };
        if host.waiting <= self.limits.per_host.saturating_sub(host.running) {
            return false;
        }
        let own = host.own.get(&candidate.organization_id).map_or(0, |share| share.running);
        host.own.iter().any(|(id, share)| {
            let taken = self.organizations.get(id).copied().unwrap_or_default();
            *id != candidate.organization_id && share.waiting > 0 && share.running < own && taken < share.limit
        })
    }

    /// Counts the task in, when its host and its tool have room.
    fn take(&mut self, candidate: &'a Candidate) -> bool {
        let tool = self.tools.entry(&candidate.tool).or_default();
        let mut host = candidate.host.as_deref().and_then(|name| self.hosts.get_mut(name));
        let is_tool_full = self.limits.per_tool.get(&candidate.tool).is_some_and(|most| *tool >= *most);
        if is_tool_full || host.as_deref().is_some_and(|host| host.running >= self.limits.per_host) {
            return false;
        }
        *tool = tool.saturating_add(1);
        let taken = self.organizations.entry(candidate.organization_id).or_default();
        *taken = taken.saturating_add(1);
        if let Some(host) = host.as_mut() {
            (host.running, host.waiting) = (host.running.saturating_add(1), host.waiting.saturating_sub(1));
            let share = host.own.entry(candidate.organization_id).or_default();
            share.running = share.running.saturating_add(1);
            share.waiting = share.waiting.saturating_sub(1);
        }
        true
    }
}

/// Chooses at most `room` of the candidates, which come oldest first within each organization.
///
/// The rank of an organization's next task is `(in flight + 1) / weight`: whoever has less for its weight goes first, and
/// of two the one whose task is older. A task whose host or tool has no room is passed over, and so is one whose place at its
/// host is somebody else's turn; those behind it are not. What is left then goes to whoever comes next, so that no room is
/// wasted on one who cannot take its turn.
#[must_use]
pub fn choose(candidates: &[Candidate], limits: &AdmissionLimits, room: usize) -> Vec<TaskId> {
    let mut running = Running::before(candidates, limits);
    let (mut chosen, mut waiting) = (Vec::new(), candidates.iter().collect::<Vec<_>>());
    loop {
        let left = room.saturating_sub(chosen.len());
        let (taken, deferred) = turns(&waiting, &mut running, left, Running::yields);
        let is_over = taken.is_empty() || deferred.is_empty();
        chosen.extend(taken);
        waiting = deferred;
        if is_over {
            break;
        }
    }
    let left = room.saturating_sub(chosen.len());
    chosen.extend(turns(&waiting, &mut running, left, |_, _| false).0);
    chosen
}

/// One pass over those that wait: what is chosen, and what was deferred.
fn turns<'a>(
    candidates: &[&'a Candidate],
    running: &mut Running<'a>,
    room: usize,
    is_deferred: impl Fn(&Running<'a>, &Candidate) -> bool,
) -> (Vec<TaskId>, Vec<&'a Candidate>) {
    let mut waiting: HashMap<OrganizationId, VecDeque<(usize, &'a Candidate)>> = HashMap::new();
    for (age, candidate) in candidates.iter().enumerate() {
        waiting.entry(candidate.organization_id).or_default().push_back((age, *candidate));
    }
    let next = |of: &VecDeque<(usize, &Candidate)>, running: &Running<'_>| {
        of.front().and_then(|(age, first)| turn(first, running).map(|rank| Reverse((rank, *age))))
    };
    let mut turns: BinaryHeap<_> = waiting.values().filter_map(|of| next(of, running)).collect();
    let (mut chosen, mut deferred) = (Vec::new(), Vec::new());
    while let Some(Reverse((_, age))) = turns.pop().filter(|_| chosen.len() < room) {
        let Some(of) = candidates.get(age).and_then(|first| waiting.get_mut(&first.organization_id)) else { continue };
        let Some((age, candidate)) = of.pop_front() else { continue };
        if is_deferred(running, candidate) {
            deferred.push((age, candidate));
        } else if running.take(candidate) {
            chosen.push(candidate.task_id);
        }
        turns.extend(next(of, running));
    }
    deferred.sort_by_key(|(age, _)| *age);
    (chosen, deferred.into_iter().map(|(_, candidate)| candidate).collect())
}

/// The rank of an organization's next task; `None` at its limit.
fn turn(candidate: &Candidate, running: &Running<'_>) -> Option<u64> {
    let place = running.organizations.get(&candidate.organization_id).copied().unwrap_or(candidate.in_flight);
    // Scaled so that weights up to a million keep their order in whole numbers.
    let rank = u64::from(place).saturating_add(1).saturating_mul(1_000_000) / u64::from(candidate.weight.max(1));
    (place < candidate.limit).then_some(rank)
}

#[cfg(test)]
mod tests;
