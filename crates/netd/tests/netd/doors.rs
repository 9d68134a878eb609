//! When a door closes: with its client, with its time, with the helper (cases S23, S25, F25).

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Command, Stdio},
    thread,
};

use picket_netd::{NetdSettings, ServeError, serve};
use rustix::process::Signal;

use crate::{
    helper::{OTHER, TARGET, World, grant, settings, spawn, start, start_with},
    inside::inside,
    probe::{
        Outcome::{Reached, Silent},
        tcp, until,
    },
    space::Space,
};

fn target() -> IpAddr {
    TARGET.parse().unwrap()
}

fn has_link(space: &Space, name: &str) -> bool {
    let show = || Command::new("ip").args(["link", "show", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    space.run(|| show().unwrap().success())
}

fn forwards(world: &World) -> String {
    world.node.run(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap())
}

#[test]
fn a_door_closes_with_its_client_and_nothing_of_it_is_left_for_the_next() {
    inside("doors::a_door_closes_with_its_client_and_nothing_of_it_is_left_for_the_next", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, lease) = world.open(&grant(&[TARGET, "127.0.0.1"]));
        assert_eq!(tcp(&run, target(), 80), Reached);
        drop(lease);
        until("the wire is gone", || !has_link(&run, "t0"));
        // The same slot at once, in another namespace and in the very same one.
        let (next, its_lease) = world.open(&grant(&[OTHER]));
        assert_eq!(tcp(&next, target(), 80), Silent);
        assert_eq!(tcp(&next, OTHER.parse().unwrap(), 80), Reached);
        assert_eq!(tcp(&next, "198.18.80.0".parse().unwrap(), 8080), Silent);
        drop(its_lease);
        let again = world.client().open(run.fd(), &grant(&[OTHER])).unwrap();
        assert_eq!(tcp(&run, OTHER.parse().unwrap(), 80), Reached);
        drop(again);
        helper.stop();
    });
}

#[test]
fn a_namespace_that_ends_before_its_lease_leaves_nothing() {
    inside("doors::a_namespace_that_ends_before_its_lease_leaves_nothing", || {
        let world = World::new();
        let helper = start(&world, true);
        for _ in 0..3 {
            let (run, lease) = world.open(&grant(&[TARGET]));
            drop(run);
            drop(lease);
        }
        until("all are gone", || world.client().status().unwrap().slots == 0);
        helper.stop();
    });
}

#[test]
fn a_door_closes_when_its_time_is_over_even_when_the_helper_sleeps() {
    inside("doors::a_door_closes_when_its_time_is_over_even_when_the_helper_sleeps", || {
        let world = World::new();
        let helper = spawn(&world);
        let mut wish = grant(&[TARGET]);
        wish.ttl_ms = 2000;
        let (run, mut lease) = world.open(&wish);
        assert_eq!(tcp(&run, target(), 80), Reached);
        helper.signal(Signal::STOP);
        until("the kernel closes the door", || tcp(&run, target(), 80) == Silent);
        assert!(has_link(&run, "t0"), "the helper slept");
        helper.signal(Signal::CONT);
        until("the helper removes the wire", || !has_link(&run, "t0"));
        assert!(lease.dropped_packets().is_err());
    });
}

#[test]
fn nothing_passes_after_the_helper_was_killed_and_a_successor_starts_clean() {
    inside("doors::nothing_passes_after_the_helper_was_killed_and_a_successor_starts_clean", || {
        let world = World::new();
        assert_eq!(forwards(&world).trim(), "0");
        let mut helper = spawn(&world);
        let (run, lease) = world.open(&grant(&[TARGET]));
        assert_eq!(tcp(&run, target(), 80), Reached);
        helper.signal(Signal::KILL);
        helper.0.wait().unwrap();
        until("the wires are gone", || !has_link(&run, "t0") && !has_link(&world.node, "picket0"));
        assert_eq!(tcp(&run, target(), 80), Silent);
        drop(lease);
        let successor = start(&world, true);
        assert_eq!(world.client().status().unwrap().slots, 0);
        assert_eq!(forwards(&world).trim(), "1");
        let lease = world.client().open(run.fd(), &grant(&[TARGET])).unwrap();
        assert_eq!(tcp(&run, target(), 80), Reached);
        successor.stop();
        until("the wires are gone", || !has_link(&run, "t0") && !has_link(&world.node, "picket0"));
        assert_eq!(forwards(&world).trim(), "0");
        drop(lease);
    });
}

#[test]
fn while_the_helper_forwards_the_node_forwards_for_nobody_else() {
    inside("doors::while_the_helper_forwards_the_node_forwards_for_nobody_else", || {
        let world = World::new();
        let neighbor = Space::new();
        world.node.wire("lan0", &neighbor, "eth0");
        world.node.ip("addr add 192.0.3.1/24 dev lan0\n link set lan0 up");
        neighbor.ip("addr add 192.0.3.2/24 dev eth0\n link set eth0 up\n route add default via 192.0.3.1");
        world.internet.ip("route add 192.0.3.0/24 via 192.0.2.2");
        let helper = start(&world, true);
        assert_eq!(forwards(&world).trim(), "1");
        assert_eq!(tcp(&neighbor, target(), 80), Silent);
        helper.stop();
    });
}

#[test]
fn a_start_that_fails_half_way_leaves_nothing_on_the_node() {
    inside("doors::a_start_that_fails_half_way_leaves_nothing_on_the_node", || {
        let world = World::new();
        let neighbor = Space::new();
        world.node.wire("lan0", &neighbor, "eth0");
        world.node.ip("addr add 192.0.3.1/24 dev lan0\n link set lan0 up");
        neighbor.ip("addr add 192.0.3.2/24 dev eth0\n link set eth0 up\n route add default via 192.0.3.1");
        world.internet.ip("route add 192.0.3.0/24 via 192.0.2.2");
        // New interfaces of this node take no IPv6 address, and that comes after the rules.
        let write = |path: &str, what: &str| world.node.run(|| std::fs::write(path, what).unwrap());
        write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        let (_stop, told) = UnixStream::pair().unwrap();
        let failed = serve(&settings(&world.socket(), true), told.as_fd());
        assert!(matches!(failed, Err(ServeError::Network(_))), "{failed:?}");
        until("the interface is gone", || !has_link(&world.node, "picket0"));
        // The rules that would forward for runs alone are gone too.
        write("/proc/sys/net/ipv4/ip_forward", "1");
        assert_eq!(tcp(&neighbor, target(), 80), Reached);
    });
}

#[test]
fn of_many_who_come_at_once_each_gets_a_slot_of_its_own_while_there_are_any() {
    inside("doors::of_many_who_come_at_once_each_gets_a_slot_of_its_own_while_there_are_any", || {
        let world = World::new();
        let helper = start_with(&world, NetdSettings { slots: 12, ..settings(&world.socket(), true) });
        for _ in 0..3 {
            let spaces: Vec<Space> = (0..20).map(|_| Space::new()).collect();
            let leases: Vec<_> = thread::scope(|scope| {
                let world = &world;
                // Each asks with a client of its own, as workers that do not know of each other do.
                let ask = |space: &Space| world.client().open(space.fd(), &grant(&[TARGET, "127.0.0.1"]));
                let asking: Vec<_> = spaces.iter().map(|space| scope.spawn(move || ask(space))).collect();
                asking.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let addresses: BTreeSet<_> = leases.iter().flatten().map(|lease| lease.granted.address).collect();
            assert_eq!(addresses.len(), 12);
            for refused in leases.iter().filter_map(|lease| lease.as_ref().err()) {
                assert!(refused.to_string().contains("all 12 are taken"), "{refused}");
            }
            let connected = spaces.iter().filter(|space| tcp(space, target(), 80) == Reached).count();
            assert_eq!(connected, 12);
            drop(leases);
            until("all are free again", || world.client().status().unwrap().slots == 0);
        }
        helper.stop();
    });
}

#[test]
fn clients_that_say_nothing_keep_others_out_for_a_moment_at_most() {
    inside("doors::clients_that_say_nothing_keep_others_out_for_a_moment_at_most", || {
        let world = World::new();
        let helper = start(&world, true);
        let silent: Vec<_> = (0..200).filter_map(|_| UnixStream::connect(world.socket()).ok()).collect();
        assert!(silent.len() > 96);
        until("the helper answers again", || world.client().status().is_ok());
        helper.stop();
    });
}
