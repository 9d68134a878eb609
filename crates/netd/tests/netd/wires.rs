//! Namespaces that are wired before anybody says whom they may reach.

use std::{os::fd::AsFd, time::Instant};

use picket_netd::{NetdError, NetdSettings, Wire};

use crate::{
    helper::{OTHERS, TARGET, World, grant, settings, start, start_with},
    inside::inside,
    probe::{
        BRIEFLY,
        Outcome::{Reached, Refused, Silent},
        tcp, tcp_within, udp_within, until,
    },
    space::Space,
};

fn wired(world: &World) -> (Space, Wire) {
    let space = Space::new();
    let wire = world.client().wire(space.fd()).unwrap();
    (space, wire)
}

#[test]
fn a_wire_leads_nowhere_until_it_is_said_where() {
    inside("wires::a_wire_leads_nowhere_until_it_is_said_where", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, wire) = wired(&world);
        assert_eq!(world.client().status().unwrap().slots, 1);
        let others = [TARGET, "192.0.2.2", "198.18.64.1", "198.18.95.253"].into_iter().chain(OTHERS);
        for to in others {
            assert_eq!(tcp_within(&run, to.parse().unwrap(), 80, BRIEFLY), Silent, "{to}");
            assert_eq!(udp_within(&run, to.parse().unwrap(), 53, BRIEFLY), Silent, "{to}");
        }
        assert_eq!((world.target.count(), world.others.count(), world.loopback.count()), (0, 0, 0));
        let begin = Instant::now();
        let mut lease = wire.open(&grant(&[TARGET, "127.0.0.1"])).unwrap();
        println!("opened in {:?}", begin.elapsed());
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        assert_eq!(tcp(&run, lease.granted.forwards[0].stand_in, 8080), Reached);
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 81), Refused);
        assert_eq!(tcp_within(&run, OTHERS[0].parse().unwrap(), 80, BRIEFLY), Silent);
        assert!(lease.dropped_packets().unwrap() > 0);
        drop(lease);
        until("it is gone", || world.client().status().unwrap().slots == 0);
        assert_eq!(tcp_within(&run, TARGET.parse().unwrap(), 80, BRIEFLY), Silent);
        helper.stop();
    });
}

#[test]
fn a_wire_is_opened_within_the_nodes_policy_alone_and_goes_with_its_client() {
    inside("wires::a_wire_is_opened_within_the_nodes_policy_alone_and_goes_with_its_client", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, wire) = wired(&world);
        let refused = wire.open(&grant(&["10.0.0.5"])).unwrap_err();
        assert!(matches!(refused, NetdError::Forbidden(_)), "{refused:?}");
        until("a refused wire is gone", || world.client().status().unwrap().slots == 0);
        assert_eq!(tcp_within(&run, "10.0.0.5".parse().unwrap(), 80, BRIEFLY), Silent);
        let (_run, wire) = wired(&world);
        drop(wire);
        until("a wire that nobody holds is gone", || world.client().status().unwrap().slots == 0);
        // What is wired is no empty namespace any more.
        let (run, wire) = wired(&world);
        assert!(matches!(world.client().open(run.fd(), &grant(&[TARGET])), Err(NetdError::Refused(_))));
        assert!(matches!(world.client().wire(run.fd()), Err(NetdError::Refused(_))));
        helper.stop();
        let mut end = [rustix::event::PollFd::from_borrowed_fd(wire.as_fd(), rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut end, None), Ok(1), "whoever waits sees that the helper has gone");
    });
}

#[test]
fn wires_that_wait_leave_half_of_the_slots_to_runs() {
    inside("wires::wires_that_wait_leave_half_of_the_slots_to_runs", || {
        let world = World::new();
        let helper = start_with(&world, NetdSettings { slots: 4, ..settings(&world.socket(), true) });
        let waiting = [wired(&world), wired(&world)];
        let space = Space::new();
        let refused = world.client().wire(space.fd()).unwrap_err();
        assert!(matches!(&refused, NetdError::Refused(text) if text.contains("half")), "{refused:?}");
        let runs = [world.open(&grant(&[TARGET])), world.open(&grant(&[TARGET]))];
        for (run, wire) in waiting {
            let lease = wire.open(&grant(&[TARGET])).unwrap();
            assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
            drop(lease);
        }
        drop(runs);
        helper.stop();
    });
}

#[test]
fn a_wire_that_waits_makes_room_for_a_run_and_no_run_for_another() {
    inside("wires::a_wire_that_waits_makes_room_for_a_run_and_no_run_for_another", || {
        let world = World::new();
        let helper = start_with(&world, NetdSettings { slots: 4, ..settings(&world.socket(), true) });
        let (begun, waiting) = (wired(&world), wired(&world));
        // The run of the first wire has begun: it waits no more.
        let lease = begun.1.open(&grant(&[TARGET])).unwrap();
        let mut runs = vec![world.open(&grant(&[TARGET])), world.open(&grant(&[TARGET]))];
        runs.push(world.open(&grant(&[TARGET])));
        assert_eq!(tcp(&runs[2].0, TARGET.parse().unwrap(), 80), Reached);
        assert!(matches!(waiting.1.open(&grant(&[TARGET])), Err(NetdError::Unreachable(_))), "it asks anew");
        assert_eq!(tcp(&begun.0, TARGET.parse().unwrap(), 80), Reached, "what has begun goes on");
        let space = Space::new();
        assert!(matches!(world.client().open(space.fd(), &grant(&[TARGET])), Err(NetdError::Refused(_))));
        drop((runs, lease));
        until("all are gone", || world.client().status().unwrap().slots == 0);
        helper.stop();
    });
}

#[test]
fn runs_that_begin_together_take_every_wire_that_waits() {
    inside("wires::runs_that_begin_together_take_every_wire_that_waits", || {
        let world = World::new();
        let helper = start_with(&world, NetdSettings { slots: 8, ..settings(&world.socket(), true) });
        let _waiting: Vec<_> = (0..4).map(|_| wired(&world)).collect();
        let spaces: Vec<Space> = (0..8).map(|_| Space::new()).collect();
        let leases: Vec<_> = std::thread::scope(|scope| {
            let open = |space: &Space| world.client().open(space.fd(), &grant(&[TARGET]));
            let asked: Vec<_> = spaces.iter().map(|space| scope.spawn(move || open(space))).collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(leases.iter().all(Result::is_ok), "{leases:?}");
        helper.stop();
    });
}
