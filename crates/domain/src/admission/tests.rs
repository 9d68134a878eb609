//! One choice.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn task(id: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(id))
}

pub(super) fn candidate(id: u128, organization: u128, in_flight: u32, limit: u32, weight: u32) -> Candidate {
    Candidate {
        task_id: task(id),
        organization_id: OrganizationId::from_uuid(Uuid::from_u128(organization)),
        in_flight,
        in_pool: in_flight,
        limit,
        weight,
        ahead: 0.0,
        host: None,
        host_in_flight: 0,
        host_in_flight_own: 0,
        most_at_host: None,
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
        host_in_flight_own: running,
        most_at_host: None,
        ..candidate(id, 1, 1, 9, 1)
    };
    let candidates = [of_host(1, "192.0.2.1", 1), of_host(2, "192.0.2.1", 1), of_host(3, "192.0.2.2", 0)];
    let limits = AdmissionLimits { per_host: 2, ..AdmissionLimits::none() };
    assert_eq!(choose(&candidates, &limits, 9), [task(1), task(3)]);
    let another = Candidate { organization_id: organization(2), host_in_flight_own: 0, ..of_host(4, "192.0.2.1", 1) };
    let both = [candidates.to_vec(), vec![another]].concat();
    assert_eq!(choose(&both, &limits, 9), [task(3), task(4)], "the place is of whoever has none there");
}

fn organization(id: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(id))
}

#[test]
fn a_place_at_a_host_is_of_whoever_has_the_fewest_there_and_can_take_it() {
    let at = |id, of: u128, own, in_flight, limit| Candidate {
        host: Some("192.0.2.1".to_owned()),
        host_in_flight: 3,
        host_in_flight_own: own,
        most_at_host: None,
        ..candidate(id, of, in_flight, limit, 100)
    };
    let limits = AdmissionLimits { per_host: 4, per_tool: BTreeMap::from([("wapiti".to_owned(), 0)]) };
    let busy = at(1, 1, 3, 3, 9);
    // Of small weight and with much to do elsewhere, its turn would be the last.
    let small = Candidate { weight: 1, ..at(2, 2, 0, 7, 9) };
    assert_eq!(choose(&[busy.clone(), small.clone()], &limits, 9), [task(2)]);
    let at_its_limit = Candidate { in_flight: 9, ..small.clone() };
    assert_eq!(choose(&[busy.clone(), at_its_limit], &limits, 9), [task(1)], "nobody waits for who cannot come");
    let without_a_tool = Candidate { tool: "wapiti".to_owned(), ..small };
    assert_eq!(choose(&[busy, without_a_tool], &limits, 9), [task(1)]);
}

#[test]
fn two_who_want_a_whole_host_share_it() {
    let at =
        |id, of: u128, weight| Candidate { host: Some("192.0.2.1".to_owned()), ..candidate(id, of, 0, 40, weight) };
    let candidates: Vec<_> = (0..20).map(|id| at(id, 1, 50)).chain((20..40).map(|id| at(id, 2, 1))).collect();
    let limits = AdmissionLimits { per_host: 6, ..AdmissionLimits::none() };
    let chosen = choose(&candidates, &limits, 30);
    assert_eq!((chosen.len(), chosen.iter().filter(|id| **id < task(20)).count()), (6, 3));
}

#[test]
fn a_full_tool_holds_up_its_own_tasks_alone() {
    let slow = |id| Candidate { tool: "wapiti".to_owned(), tool_in_flight: 2, ..candidate(id, 1, 0, 9, 1) };
    let candidates = [slow(1), slow(2), candidate(3, 1, 0, 9, 1)];
    let limits = AdmissionLimits { per_tool: BTreeMap::from([("wapiti".to_owned(), 3)]), ..AdmissionLimits::none() };
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
            // Of what runs there, the first organization has all.
            host_in_flight_own: u32::try_from(host.filter(|_| *organization == 0).unwrap_or(0)).unwrap(),
            most_at_host: None,
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
            let of_host = one.host_in_flight + count(&|other| other.host == one.host);
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
    fn nobody_keeps_a_host_from_another_who_may_have_it(
        tasks in proptest::collection::vec((1_u32..20, 1_u32..50), 2..5),
        per_host in 1_u32..9,
        turns in 1_usize..40,
    ) {
        // Every organization wants one host; of what runs there one task at a time ends, the oldest first.
        let mut waiting: Vec<u32> = tasks.iter().map(|(tasks, _)| *tasks).collect();
        let mut running: VecDeque<usize> = VecDeque::new();
        for _ in 0..turns {
            let mut candidates = Vec::new();
            for (of, (left, (_, weight))) in waiting.iter().zip(&tasks).enumerate() {
                let own = u32::try_from(running.iter().filter(|one| **one == of).count()).unwrap();
                let one = |id: u32| Candidate {
                    host: Some("host".to_owned()),
                    host_in_flight: u32::try_from(running.len()).unwrap(),
                    host_in_flight_own: own,
                    most_at_host: None,
                    ..candidate(of as u128 * 1_000 + u128::from(id), of as u128, own, 40, *weight)
                };
                candidates.extend((0..*left).map(one));
            }
            let limits = AdmissionLimits { per_host, ..AdmissionLimits::none() };
            for id in choose(&candidates, &limits, 40) {
                let of = candidates.iter().find(|one| one.task_id == id).unwrap().organization_id;
                let of = usize::try_from(of.uuid().as_u128()).unwrap();
                waiting[of] -= 1;
                running.push_back(of);
            }
            prop_assert!(running.len() <= usize::try_from(per_host).unwrap());
            let own = |of: usize| running.iter().filter(|one| **one == of).count();
            for (of, left) in waiting.iter().enumerate() {
                let most = (0..waiting.len()).map(own).max().unwrap_or(0);
                // What runs ends in its order, so whoever waits is behind by what has just ended, at most.
                prop_assert!(*left == 0 || own(of) + 2 >= most, "{of} has {} of {running:?}", own(of));
            }
            running.pop_front();
        }
    }

    #[test]
    fn nobody_is_more_than_a_task_ahead_of_its_share_before_another_has_its_turn(
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
                let before = u64::from(taken.saturating_sub(1));
                let is_fair = got == tasks || before * u64::from(its_weight) <= u64::from(got) * u64::from(weight);
                prop_assert!(is_fair, "{taken}/{weight} ahead of {got}/{its_weight}");
            }
        }
    }

    #[test]
    fn a_few_of_each_lead_to_the_same_choice_or_to_asking_for_more(
        case in case(),
        owed in proptest::collection::vec(-1.0_f64..2.0, 6),
        per_host in 0_u32..6,
        room in 0_usize..50,
        asked in 1_usize..12,
    ) {
        let mut all = candidates(&case);
        for one in &mut all {
            one.ahead = owed[usize::try_from(one.organization_id.uuid().as_u128()).unwrap()];
            // Of hosts that several wait for, what was asked for alone is known.
            one.host = one.host.as_ref().map(|host| format!("{host} of {}", one.organization_id));
            one.host_in_flight_own = one.host_in_flight;
        }
        let limits = AdmissionLimits { per_host, per_tool: BTreeMap::from([("1".to_owned(), 3)]) };
        let mut seen: HashMap<OrganizationId, usize> = HashMap::new();
        let mut is_few = |one: &&Candidate| {
            let place = seen.entry(one.organization_id).or_default();
            *place += 1;
            *place <= asked
        };
        let few: Vec<Candidate> = all.iter().filter(|one| is_few(one)).cloned().collect();
        if let Some(chosen) = choose_of_few(&few, &limits, room, asked) {
            prop_assert_eq!(chosen, choose(&all, &limits, room));
        } else {
            prop_assert!(few.len() < all.len() || few.iter().any(|one| {
                few.iter().filter(|other| other.organization_id == one.organization_id).count() == asked
            }), "more was asked for although nothing was cut");
        }
    }
}

#[test]
fn what_runs_in_another_pool_costs_no_turn_in_this_one() {
    let elsewhere = Candidate { in_pool: 0, ..candidate(1, 1, 1, 2, 1) };
    let large = candidate(2, 2, 3, 40, 8);
    assert_eq!(choose(&[large, elsewhere], &AdmissionLimits::none(), 1), [task(1)]);
}
