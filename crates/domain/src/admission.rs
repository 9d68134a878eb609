//! Which ready tasks are admitted next. First form: oldest first within an organization, organizations in turn, under
//! each one's limit and the pool's room. Must never exceed a limit, and never starve an organization that is under its own.

use std::collections::{BTreeMap, HashMap};

use crate::{OrganizationId, TaskId};

/// A ready task, as far as the choice needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// Chooses at most `room` of the candidates, which come oldest first within each organization.
///
/// The rank of an organization's n-th task is `(in flight + n) / weight`: whoever has less for its weight goes first.
#[must_use]
pub fn choose(candidates: &[Candidate], room: usize) -> Vec<TaskId> {
    let mut taken: HashMap<OrganizationId, u32> = HashMap::new();
    let mut ranked: BTreeMap<(u64, usize), TaskId> = BTreeMap::new();
    for (age, candidate) in candidates.iter().enumerate() {
        let position = taken.entry(candidate.organization_id).or_default();
        let place = candidate.in_flight.saturating_add(*position);
        if place >= candidate.limit {
            continue;
        }
        *position = position.saturating_add(1);
        // Scaled so that weights up to a million keep their order in whole numbers.
        let rank = u64::from(place).saturating_add(1).saturating_mul(1_000_000) / u64::from(candidate.weight.max(1));
        ranked.insert((rank, age), candidate.task_id);
    }
    ranked.into_values().take(room).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn candidate(task: u128, organization: u128, in_flight: u32, limit: u32, weight: u32) -> Candidate {
        Candidate {
            task_id: TaskId::from_uuid(Uuid::from_u128(task)),
            organization_id: OrganizationId::from_uuid(Uuid::from_u128(organization)),
            in_flight,
            limit,
            weight,
        }
    }

    #[test]
    fn a_small_organization_does_not_wait_behind_a_large_one() {
        let mut candidates: Vec<_> = (0..1_000).map(|task| candidate(task, 1, 0, 500, 1)).collect();
        candidates.push(candidate(5_000, 2, 0, 5, 1));
        let chosen = choose(&candidates, 2);
        assert!(chosen.contains(&TaskId::from_uuid(Uuid::from_u128(5_000))));
    }

    #[test]
    fn within_an_organization_the_oldest_goes_first() {
        let candidates = [candidate(3, 1, 0, 2, 1), candidate(1, 1, 0, 2, 1), candidate(2, 1, 0, 2, 1)];
        assert_eq!(choose(&candidates, 1), [TaskId::from_uuid(Uuid::from_u128(3))]);
    }

    proptest! {
        #[test]
        fn no_limit_is_exceeded_and_no_room_is_wasted(
            tasks in proptest::collection::vec(0_u128..6, 0..200),
            limits in proptest::collection::vec((0_u32..10, 0_u32..10, 0_u32..9), 6),
            room in 0_usize..50,
        ) {
            let candidates: Vec<_> = tasks.iter().enumerate().map(|(task, organization)| {
                let (in_flight, limit, weight) = limits[usize::try_from(*organization).unwrap()];
                candidate(u128::try_from(task).unwrap(), *organization, in_flight, limit, weight)
            }).collect();
            let chosen = choose(&candidates, room);
            prop_assert!(chosen.len() <= room);
            let mut possible = 0;
            for (organization, (in_flight, limit, _)) in limits.iter().enumerate() {
                let id = OrganizationId::from_uuid(Uuid::from_u128(u128::try_from(organization).unwrap()));
                let of = |ids: &[TaskId]| candidates.iter()
                    .filter(|one| one.organization_id == id && ids.contains(&one.task_id)).count();
                let all: Vec<_> = candidates.iter().map(|one| one.task_id).collect();
                let free = usize::try_from(limit.saturating_sub(*in_flight)).unwrap();
                prop_assert!(of(&chosen) <= free);
                possible += of(&all).min(free);
            }
            prop_assert_eq!(chosen.len(), possible.min(room));
        }
    }
}
