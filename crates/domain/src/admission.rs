//! Which ready tasks are admitted next: oldest first within an organization, organizations in turn by weight, under the
//! limits of each organization, of each target host and of each tool, and under the pool's room. Must never exceed a
//! limit, and never starve an organization that is under its own.

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
    /// How many tasks of that organization examine that host already.
    pub host_in_flight: u32,
    /// The tool's slug.
    pub tool: String,
    /// How many tasks of that tool are in flight already, whoever's they are.
    pub tool_in_flight: u32,
}

/// What holds besides the limit of each organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Tasks of one organization that examine one host at once, so that a scan is no flood.
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
    hosts: HashMap<(OrganizationId, &'a str), u32>,
    tools: HashMap<&'a str, u32>,
}

impl<'a> Running<'a> {
    /// Counts the task in, when its host and its tool have room.
    fn take(&mut self, candidate: &'a Candidate) -> bool {
        let tool = self.tools.entry(&candidate.tool).or_insert(candidate.tool_in_flight);
        let is_tool_full = self.limits.per_tool.get(&candidate.tool).is_some_and(|most| *tool >= *most);
        let mut host = candidate
            .host
            .as_deref()
            .map(|host| self.hosts.entry((candidate.organization_id, host)).or_insert(candidate.host_in_flight));
        if is_tool_full || host.as_deref().is_some_and(|running| *running >= self.limits.per_host) {
            return false;
        }
        *tool = tool.saturating_add(1);
        if let Some(running) = host.as_mut() {
            **running = running.saturating_add(1);
        }
        true
    }
}

/// Chooses at most `room` of the candidates, which come oldest first within each organization.
///
/// The rank of an organization's next task is `(in flight + 1) / weight`: whoever has less for its weight goes first, and
/// of two the one whose task is older. A task whose host or tool has no room is passed over; those behind it are not.
#[must_use]
pub fn choose(candidates: &[Candidate], limits: &AdmissionLimits, room: usize) -> Vec<TaskId> {
    let mut waiting: HashMap<OrganizationId, VecDeque<(usize, &Candidate)>> = HashMap::new();
    for (age, candidate) in candidates.iter().enumerate() {
        waiting.entry(candidate.organization_id).or_default().push_back((age, candidate));
    }
    let mut running = Running { limits, hosts: HashMap::new(), tools: HashMap::new() };
    let next = |of: &VecDeque<(usize, &Candidate)>, taken: u32| {
        of.front().and_then(|(age, first)| turn(first, taken).map(|rank| Reverse((rank, *age, taken))))
    };
    let mut turns: BinaryHeap<_> = waiting.values().filter_map(|of| next(of, 0)).collect();
    let mut chosen = Vec::new();
    while let Some(Reverse((_, age, taken))) = turns.pop().filter(|_| chosen.len() < room) {
        let Some(of) = candidates.get(age).and_then(|first| waiting.get_mut(&first.organization_id)) else { continue };
        let Some((_, candidate)) = of.pop_front() else { continue };
        let is_taken = running.take(candidate);
        if is_taken {
            chosen.push(candidate.task_id);
        }
        turns.extend(next(of, taken.saturating_add(u32::from(is_taken))));
    }
    chosen
}

/// The rank of an organization's next task after `taken` were chosen; `None` at its limit.
fn turn(candidate: &Candidate, taken: u32) -> Option<u64> {
    let place = candidate.in_flight.saturating_add(taken);
    // Scaled so that weights up to a million keep their order in whole numbers.
    let rank = u64::from(place).saturating_add(1).saturating_mul(1_000_000) / u64::from(candidate.weight.max(1));
    (place < candidate.limit).then_some(rank)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn task(id: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(id))
    }

    fn candidate(id: u128, organization: u128, in_flight: u32, limit: u32, weight: u32) -> Candidate {
        Candidate {
            task_id: task(id),
            organization_id: OrganizationId::from_uuid(Uuid::from_u128(organization)),
            in_flight,
            limit,
            weight,
            host: None,
            host_in_flight: 0,
            tool: "nmap".to_owned(),
            tool_in_flight: 0,
        }
    }

    #[test]
    fn a_small_organization_does_not_wait_behind_a_large_one() {
        let mut candidates: Vec<_> = (0..1_000).map(|id| candidate(id, 1, 0, 500, 1)).collect();
        candidates.push(candidate(5_000, 2, 0, 5, 1));
        assert!(choose(&candidates, &AdmissionLimits::none(), 2).contains(&task(5_000)));
    }

    #[test]
    fn within_an_organization_the_oldest_goes_first() {
        let candidates = [candidate(3, 1, 0, 2, 1), candidate(1, 1, 0, 2, 1), candidate(2, 1, 0, 2, 1)];
        assert_eq!(choose(&candidates, &AdmissionLimits::none(), 1), [task(3)]);
    }

    #[test]
    fn a_full_host_holds_up_its_own_tasks_alone() {
        let of_host = |id, host: &str, running| Candidate {
            host: Some(host.to_owned()),
            host_in_flight: running,
            ..candidate(id, 1, 1, 9, 1)
        };
        let candidates = [of_host(1, "192.0.2.1", 1), of_host(2, "192.0.2.1", 1), of_host(3, "192.0.2.2", 0)];
        let limits = AdmissionLimits { per_host: 2, ..AdmissionLimits::none() };
        assert_eq!(choose(&candidates, &limits, 9), [task(1), task(3)]);
        let another = Candidate { host_in_flight: 0, ..of_host(4, "192.0.2.1", 0) };
        let another = Candidate { organization_id: OrganizationId::from_uuid(Uuid::from_u128(2)), ..another };
        let both = [candidates.to_vec(), vec![another]].concat();
        assert!(choose(&both, &limits, 9).contains(&task(4)), "what one organization does holds up no other one");
    }

    #[test]
    fn a_full_tool_holds_up_its_own_tasks_alone() {
        let slow = |id| Candidate { tool: "wapiti".to_owned(), tool_in_flight: 2, ..candidate(id, 1, 0, 9, 1) };
        let candidates = [slow(1), slow(2), candidate(3, 1, 0, 9, 1)];
        let limits =
            AdmissionLimits { per_tool: BTreeMap::from([("wapiti".to_owned(), 3)]), ..AdmissionLimits::none() };
        assert_eq!(choose(&candidates, &limits, 9), [task(1), task(3)]);
    }

    /// (organization, host or none, tool) of each task; (in flight, limit, weight) of each organization.
    type Case = (Vec<(usize, Option<usize>, usize)>, Vec<(u32, u32, u32)>);

    fn case() -> impl Strategy<Value = Case> {
        (
            proptest::collection::vec((0_usize..6, proptest::option::of(0_usize..4), 0_usize..3), 0..200),
            proptest::collection::vec((0_u32..10, 0_u32..10, 0_u32..9), 6),
        )
    }

    fn candidates((tasks, organizations): &Case) -> Vec<Candidate> {
        let one = |(id, (organization, host, tool)): (usize, &(usize, Option<usize>, usize))| {
            let (in_flight, limit, weight) = organizations[*organization];
            Candidate {
                host: host.map(|host| host.to_string()),
                host_in_flight: u32::try_from(host.unwrap_or(0)).unwrap(),
                tool: tool.to_string(),
                tool_in_flight: u32::try_from(*tool).unwrap(),
                ..candidate(id as u128, *organization as u128, in_flight, limit, weight)
            }
        };
        tasks.iter().enumerate().map(one).collect()
    }

    proptest! {
        #[test]
        fn no_limit_is_exceeded_and_no_room_is_wasted(
            case in case(),
            per_host in 0_u32..6,
            of_tool in 0_u32..12,
            room in 0_usize..50,
        ) {
            let candidates = candidates(&case);
            let limits = AdmissionLimits { per_host, per_tool: BTreeMap::from([("1".to_owned(), of_tool)]) };
            let chosen = choose(&candidates, &limits, room);
            prop_assert!(chosen.len() <= room);
            let count = |is: &dyn Fn(&Candidate) -> bool| {
                let of_it = candidates.iter().filter(|one| chosen.contains(&one.task_id) && is(one)).count();
                u32::try_from(of_it).unwrap()
            };
            for one in &candidates {
                let is_chosen = chosen.contains(&one.task_id);
                let of_organization = one.in_flight + count(&|other| other.organization_id == one.organization_id);
                let of_host = one.host_in_flight + count(&|other| {
                    other.organization_id == one.organization_id && other.host == one.host
                });
                let of_tool = one.tool_in_flight + count(&|other| other.tool == one.tool);
                let tool_limit = limits.per_tool.get(&one.tool).copied().unwrap_or(u32::MAX);
                if is_chosen {
                    prop_assert!(of_organization <= one.limit && of_tool <= tool_limit);
                    prop_assert!(one.host.is_none() || of_host <= per_host);
                } else {
                    let is_full = of_organization >= one.limit || of_tool >= tool_limit;
                    let is_host_full = one.host.is_some() && of_host >= per_host;
                    prop_assert!(chosen.len() == room || is_full || is_host_full, "{one:?} could have gone");
                }
            }
        }

        #[test]
        fn whoever_may_gets_its_turn_before_anybody_is_a_task_ahead_of_its_share(
            in_flight in proptest::collection::vec((1_u32..5, 1_u32..200), 2..6),
            room in 1_usize..60,
        ) {
            let mut candidates = Vec::new();
            for (organization, (weight, tasks)) in in_flight.iter().enumerate() {
                let of_it = (0..*tasks).map(|id| {
                    candidate((organization as u128) * 1_000 + u128::from(id), organization as u128, 0, 1_000, *weight)
                });
                candidates.extend(of_it);
            }
            let chosen = choose(&candidates, &AdmissionLimits::none(), room);
            let share = |organization: usize| {
                let id = OrganizationId::from_uuid(Uuid::from_u128(organization as u128));
                let of_it = candidates.iter().filter(|one| one.organization_id == id);
                let taken = u32::try_from(of_it.filter(|one| chosen.contains(&one.task_id)).count()).unwrap();
                (taken, in_flight[organization].0, in_flight[organization].1)
            };
            for ahead in 0..in_flight.len() {
                for behind in 0..in_flight.len() {
                    let (taken, weight, _) = share(ahead);
                    let (got, its_weight, tasks) = share(behind);
                    // Weighted: nobody took its n-th before another, who still waits, took what its weight gives it.
                    let is_fair = got == tasks || u64::from(taken) * u64::from(its_weight) <= u64::from(got + 1) * u64::from(weight);
                    prop_assert!(is_fair, "{taken}/{weight} ahead of {got}/{its_weight}");
                }
            }
        }
    }
}
