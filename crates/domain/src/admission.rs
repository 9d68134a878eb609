//! Which ready tasks are admitted next: oldest first within an organization, organizations in turn by weight, under the
//! limits of each organization, of each target host and of each tool, and under the pool's room. Must never exceed a
//! limit, and never starve an organization that is under its own.
//! What the owner of a target says of it holds for that organization's own tasks.
//!
//! The limit of a host holds over all organizations, since it is the host that bears the load. So that nobody keeps a host
//! from the others who may scan it, a place there goes to whoever has the fewest, whatever its weight.

mod turn;

pub use turn::{Settled, ahead, settle};

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
};

use crate::{OrganizationId, TaskId};

/// A ready task, as far as the choice needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The task.
    pub task_id: TaskId,
    /// Whose task it is.
    pub organization_id: OrganizationId,
    /// How many tasks of that organization are in flight already.
    pub in_flight: u32,
    /// How many of them are of this pool: what runs elsewhere for hours must not cost the organization its turn here.
    pub in_pool: u32,
    /// How many may be in flight.
    pub limit: u32,
    /// Its share against others, at least 1.
    pub weight: u32,
    /// Tasks that it has had above its share in this pool, as [`ahead`] says.
    pub ahead: f64,
    /// The address that it examines; `None` for a task of many, which gives each address only a part of its time.
    pub host: Option<String>,
    /// How many tasks examine that host already, whoever's they are.
    pub host_in_flight: u32,
    /// How many of them are of this organization.
    pub host_in_flight_own: u32,
    /// How many of this organization may be, by the word of the target's owner.
    pub most_at_host: Option<u32>,
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
    /// Tasks that it may have here; of several words the widest, `None` without one that bounds.
    most: Option<u32>,
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
                let before = if share.waiting == 0 { candidate.most_at_host } else { share.most };
                share.most = before.zip(candidate.most_at_host).map(|(one, other)| one.max(other));
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
            let is_polite = share.most.is_none_or(|most| share.running < most);
            *id != candidate.organization_id
                && share.waiting > 0
                && is_polite
                && share.running < own
                && taken < share.limit
        })
    }

    /// Counts the task in, when its host and its tool have room.
    fn take(&mut self, candidate: &'a Candidate) -> bool {
        let tool = self.tools.entry(&candidate.tool).or_default();
        let mut host = candidate.host.as_deref().and_then(|name| self.hosts.get_mut(name));
        let is_tool_full = self.limits.per_tool.get(&candidate.tool).is_some_and(|most| *tool >= *most);
        let is_full = |host: &Host| {
            let own = host.own.get(&candidate.organization_id).map_or(0, |share| share.running);
            host.running >= self.limits.per_host || candidate.most_at_host.is_some_and(|most| own >= most)
        };
        if is_tool_full || host.as_deref().is_some_and(is_full) {
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

/// What waits of one organization.
struct Waiting<'a> {
    tasks: VecDeque<(usize, &'a Candidate)>,
    any: &'a Candidate,
    asked: usize,
    offered: usize,
}

impl<'a> Waiting<'a> {
    const fn of(any: &'a Candidate, asked: usize) -> Self {
        Self { tasks: VecDeque::new(), any, asked, offered: 0 }
    }

    /// The organization's next turn beside what runs; `None` at its limit, and when nothing waits.
    /// Where more may wait than was asked for, there is a turn without a task, as early as it could come.
    fn next(&self, running: &Running<'_>) -> Option<Turn> {
        let is_cut = self.offered >= self.asked;
        let age = self.tasks.front().map(|(age, _)| *age).or(is_cut.then_some(0))?;
        let Candidate { organization_id, in_flight, in_pool, limit, weight, ahead, .. } = *self.any;
        let place = running.organizations.get(&organization_id).copied().unwrap_or(in_flight);
        let here = in_pool.saturating_add(place.saturating_sub(in_flight));
        let rank = (f64::from(here) + ahead.max(0.0)) / f64::from(weight.max(1));
        (place < limit).then_some(Turn { rank, ahead, age, organization_id })
    }
}

/// The place of an organization's next task among those of others. The least goes first.
#[derive(Clone, Copy)]
struct Turn {
    rank: f64,
    ahead: f64,
    age: usize,
    organization_id: OrganizationId,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = self.rank.total_cmp(&other.rank).then(self.ahead.total_cmp(&other.ahead));
        rank.then(self.age.cmp(&other.age)).then(self.organization_id.cmp(&other.organization_id))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

/// Chooses at most `room` of the candidates, which come oldest first within each organization.
///
/// The rank of an organization's next task is `(in flight + ahead) / weight`: whoever has less for its weight goes first. An
/// organization that has nothing in flight and no more than its share behind it has the least rank there is; of such, the
/// one that is owed the most goes first, and of these the one whose task is older. So nobody waits for ever, and over time
/// the starts of those who wait are as their weights. A task whose host or tool has no room is passed over, and so is one
/// whose place at its host is somebody else's turn; those behind it are not. What is left then goes to whoever comes next, so
/// that no room is wasted on one who cannot take its turn.
#[must_use]
pub fn choose(candidates: &[Candidate], limits: &AdmissionLimits, room: usize) -> Vec<TaskId> {
    choose_of_few(candidates, limits, room, usize::MAX).unwrap_or_default()
}

/// The same from the `asked` oldest candidates of each organization. `None` when what comes behind them could have been
/// chosen, too: then more must be asked for. Who waits for a host is known of what was asked for alone.
#[must_use]
pub fn choose_of_few(
    candidates: &[Candidate],
    limits: &AdmissionLimits,
    room: usize,
    asked: usize,
) -> Option<Vec<TaskId>> {
    let mut running = Running::before(candidates, limits);
    let all: Vec<&Candidate> = candidates.iter().collect();
    let (mut chosen, mut waiting) = turns(&all, &mut running, (room, asked), Running::yields)?;
    loop {
        let left = (room.saturating_sub(chosen.len()), usize::MAX);
        let (taken, deferred) = turns(&waiting, &mut running, left, Running::yields)?;
        let is_over = taken.is_empty();
        chosen.extend(taken);
        waiting = deferred;
        if is_over {
            break;
        }
    }
    let left = (room.saturating_sub(chosen.len()), usize::MAX);
    chosen.extend(turns(&waiting, &mut running, left, |_, _| false)?.0);
    Some(chosen)
}

/// What is chosen of those that wait, and what is deferred.
type Pass<'a> = (Vec<TaskId>, Vec<&'a Candidate>);

/// One pass over those that wait; `None` when it is the turn of one that was not asked for.
fn turns<'a>(
    candidates: &[&'a Candidate],
    running: &mut Running<'a>,
    (room, asked): (usize, usize),
    is_deferred: impl Fn(&Running<'a>, &Candidate) -> bool,
) -> Option<Pass<'a>> {
    let mut waiting: HashMap<OrganizationId, Waiting<'a>> = HashMap::new();
    for (age, candidate) in candidates.iter().enumerate() {
        let of = waiting.entry(candidate.organization_id).or_insert_with(|| Waiting::of(candidate, asked));
        of.tasks.push_back((age, candidate));
        of.offered = of.offered.saturating_add(1);
    }
    let mut turns: BinaryHeap<_> = waiting.values().filter_map(|of| of.next(running).map(Reverse)).collect();
    let (mut chosen, mut deferred) = (Vec::new(), Vec::new());
    while let Some(Reverse(turn)) = turns.pop().filter(|_| chosen.len() < room) {
        let of = waiting.get_mut(&turn.organization_id)?;
        let (age, candidate) = of.tasks.pop_front()?;
        if is_deferred(running, candidate) {
            deferred.push((age, candidate));
        } else if running.take(candidate) {
            chosen.push(candidate.task_id);
        }
        turns.extend(of.next(running).map(Reverse));
    }
    deferred.sort_by_key(|(age, _)| *age);
    Some((chosen, deferred.into_iter().map(|(_, candidate)| candidate).collect()))
}

#[cfg(test)]
mod over_time;
#[cfg(test)]
mod tests;
