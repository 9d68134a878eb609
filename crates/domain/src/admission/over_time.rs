//! Many choices one after another: that nobody waits for ever, and that shares are as weights.

use proptest::prelude::*;
use uuid::Uuid;

use super::{tests::candidate, *};

/// A pool of `most` tasks in flight, and organizations whose backlogs never end.
struct Pool {
    most: usize,
    clock: f64,
    organizations: Vec<Backlog>,
    next: u128,
}

#[derive(Clone)]
struct Backlog {
    weight: u32,
    limit: u32,
    turn: Option<f64>,
    in_flight: u32,
    started: u32,
    /// Ends of others' tasks since it had something in flight; it waits all the time.
    waited: u32,
    waits: bool,
}

impl Backlog {
    const fn new(weight: u32, limit: u32) -> Self {
        Self { weight, limit, turn: None, in_flight: 0, started: 0, waited: 0, waits: true }
    }
}

impl Pool {
    fn id(place: usize) -> OrganizationId {
        OrganizationId::from_uuid(Uuid::from_u128(place as u128))
    }

    fn admit(&mut self) {
        let running: u32 = self.organizations.iter().map(|one| one.in_flight).sum();
        let room = self.most - usize::try_from(running).unwrap();
        let mut candidates = Vec::new();
        for (place, one) in self.organizations.iter().enumerate().filter(|(_, one)| one.waits) {
            for _ in 0..room {
                self.next += 1;
                let ahead = ahead(one.turn, self.clock, one.weight);
                let of_it = candidate(self.next, place as u128, one.in_flight, one.limit, one.weight);
                candidates.push(Candidate { ahead, ..of_it });
            }
        }
        let chosen = choose(&candidates, &AdmissionLimits::none(), room);
        let whose = |id: &TaskId| candidates.iter().find(|one| one.task_id == *id).unwrap().organization_id;
        let admitted: Vec<OrganizationId> = chosen.iter().map(whose).collect();
        let settled = settle(self.clock, &candidates, &admitted);
        for (place, one) in self.organizations.iter_mut().enumerate() {
            let started = admitted.iter().filter(|id| **id == Self::id(place)).count();
            let started = u32::try_from(started).unwrap();
            one.in_flight += started;
            one.started += started;
            one.waited = if one.in_flight > 0 || !one.waits { 0 } else { one.waited };
            one.turn =
                settled.turns.iter().find(|(id, _)| *id == Self::id(place)).map_or(one.turn, |(_, turn)| Some(*turn));
            assert!(one.in_flight <= one.limit, "a limit is exceeded");
        }
        self.clock = settled.clock;
    }

    /// Ends one of the tasks in flight, whichever `pick` hits.
    fn end(&mut self, pick: u32) {
        let running: u32 = self.organizations.iter().map(|one| one.in_flight).sum();
        let mut at = pick % running.max(1);
        for one in &mut self.organizations {
            if at < one.in_flight {
                one.in_flight -= 1;
                break;
            }
            at -= one.in_flight;
        }
        for one in self.organizations.iter_mut().filter(|one| one.waits && one.in_flight == 0) {
            one.waited += 1;
        }
    }
}

/// Whatever has come to its share starts again after as many ends as it takes everybody to have theirs, thrice: once for
/// what it may be ahead, and for who is owed something at that moment.
fn bound(organizations: &[Backlog]) -> u32 {
    let weights: u32 = organizations.iter().map(|one| one.weight).sum();
    let least = organizations.iter().map(|one| one.weight).min().unwrap();
    4 * weights.div_ceil(least) + 2 * u32::try_from(organizations.len()).unwrap()
}

proptest! {
    // Each goes through hundreds of rounds.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whoever_waits_starts_within_a_bounded_number_of_ends(
        large in 1_usize..12,
        small in proptest::collection::vec((0_usize..4, 1_u32..3), 1..4),
        most in 1_usize..13,
        picks in proptest::collection::vec((any::<u32>(), any::<u32>()), 600),
    ) {
        let weight = |plan: usize| [1, 2, 4, 8][plan];
        let mut organizations = vec![Backlog::new(8, 40); large];
        organizations.extend(small.iter().map(|(plan, limit)| Backlog::new(weight(*plan), *limit)));
        let bound = bound(&organizations);
        let mut pool = Pool { most, clock: 0.0, organizations, next: 0 };
        for (pick, comes) in picks {
            // One of them has nothing to do for a while, now and then.
            let place = usize::try_from(comes / 50).unwrap() % pool.organizations.len();
            if comes % 50 == 0 {
                pool.organizations[place].waits ^= true;
            }
            pool.admit();
            pool.end(pick);
            for one in &pool.organizations {
                prop_assert!(one.waited <= bound, "{} ends without a start, {bound} at most", one.waited);
            }
        }
    }

    #[test]
    fn over_time_the_starts_of_those_who_wait_are_as_their_weights(
        weights in proptest::collection::vec(0_usize..4, 2..7),
        most in 1_usize..13,
        picks in proptest::collection::vec(any::<u32>(), 1_000),
    ) {
        let organizations: Vec<_> = weights.iter().map(|plan| Backlog::new([1, 2, 4, 8][*plan], 40)).collect();
        let total: f64 = organizations.iter().map(|one| f64::from(one.weight)).sum();
        let mut pool = Pool { most, clock: 0.0, organizations, next: 0 };
        for pick in picks {
            pool.admit();
            pool.end(pick);
        }
        let started: f64 = pool.organizations.iter().map(|one| f64::from(one.started)).sum();
        for one in &pool.organizations {
            let (share, due) = (f64::from(one.started) / started, f64::from(one.weight) / total);
            prop_assert!((share / due - 1.0).abs() < 0.25, "a weight of {} of {total} had {share}, {due} is due", one.weight);
        }
    }
}

#[test]
fn a_pool_of_one_slot_serves_a_small_organization_beside_many_large_backlogs() {
    for most in [1, 3, 6] {
        let mut organizations = vec![Backlog::new(8, 40); 9];
        organizations.push(Backlog::new(1, 2));
        let mut pool = Pool { most, clock: 0.0, organizations, next: 0 };
        for pick in 0..730 {
            pool.admit();
            pool.end(pick * 7);
        }
        let small = pool.organizations[9].started;
        assert!((8..=14).contains(&small), "{small} of 730 starts, 10 are its share, with {most} in flight");
    }
}

#[test]
fn an_organization_whose_tasks_last_for_hours_does_not_take_the_slots_of_one_with_short_ones() {
    let mut pool = Pool { most: 8, clock: 0.0, organizations: vec![Backlog::new(4, 40), Backlog::new(4, 40)], next: 0 };
    for _ in 0..200 {
        pool.admit();
        // The first one's never end.
        let [long, short] = &mut pool.organizations[..] else { unreachable!() };
        assert!(long.in_flight <= 6, "{} of 8 places", long.in_flight);
        short.in_flight = short.in_flight.saturating_sub(1);
    }
}
