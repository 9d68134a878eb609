//! The way to the host's `::1` at level L0: its own stand-in, at the task's ports, and nothing else of the host.

use std::net::{IpAddr, Ipv6Addr};

use picket_netd::{Lease, Mode, NetdSettings};

use crate::{
    frame,
    helper::{TARGET, TARGET6, Threaded, World, grant, settings, start_with},
    inside::inside,
    probe::{
        BRIEFLY,
        Outcome::{Reached, Refused, Silent},
        PATIENCE, echo6, serve, tcp, tcp_within, udp_within, until,
    },
    space::Space,
};

const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const STAND_IN: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x6963, 0x6b65, 0xfffe, 0, 0, 0, 1);

fn helper(world: &World, masquerade: bool) -> Threaded {
    let mut with_v6 = settings(&world.socket(), masquerade);
    with_v6.allow_internal.push("::1/128".parse().unwrap());
    start_with(world, with_v6)
}

/// A run of the task's port 8080 of `::1` and others.
fn open(world: &World, addresses: &[&str], mode: Mode) -> (Space, Lease) {
    let mut wish = grant(addresses);
    (wish.ports, wish.mode) = (vec![(8080, 8081)], mode);
    world.open(&wish)
}

#[test]
fn a_stand_in_leads_to_listed_ports_of_the_loopback_of_ipv6_alone() {
    inside("loopback6::a_stand_in_leads_to_listed_ports_of_the_loopback_of_ipv6_alone", || {
        let world = World::new();
        let hits = serve(&world.node, &["::1"], 8080);
        serve(&world.node, &["::1"], 9000);
        world.internet.ip("route add fd70:6963:6b65::/48 via 2001:db8:ffff::2");
        for masquerade in [true, false] {
            let helper = helper(&world, masquerade);
            let (run, mut lease) = open(&world, &["::1", "127.0.0.1", TARGET6], Mode::Connect);
            let [first, second] = lease.granted.forwards[..] else { panic!("{:?}", lease.granted) };
            assert_eq!((first.loopback, first.stand_in), (LOOPBACK, STAND_IN.into()));
            assert!(second.stand_in.is_ipv4());
            // Nobody listens at 8081; 9000 and 80 are not the task's, though somebody listens there.
            for (port, outcome) in [(8080, Reached), (8081, Refused), (9000, Silent), (80, Silent)] {
                for (name, probe) in [("tcp", tcp_within as fn(_, _, _, _) -> _), ("udp", udp_within)] {
                    let before = lease.dropped_packets().unwrap();
                    let found = probe(&run, STAND_IN.into(), port, if outcome == Silent { BRIEFLY } else { PATIENCE });
                    let counted = lease.dropped_packets().unwrap() - before;
                    println!("egress L0 | {name} stand-in of ::1 {port} | {found:?} | {counted} dropped");
                    assert_eq!((found, counted > 0), (outcome, outcome == Silent), "{name} {port}");
                }
            }
            // Beside it: that of IPv4, a target, and the run's own loopback.
            assert_eq!(tcp(&run, second.stand_in, 8080), Reached);
            assert_eq!(tcp(&run, TARGET6.parse().unwrap(), 80), Reached);
            assert_eq!(tcp(&run, LOOPBACK, 8080), Refused);
            // The next address is nobody's.
            assert_eq!(tcp(&run, "fd70:6963:6b65:fffe::2".parse().unwrap(), 8080), Silent);
            helper.stop();
        }
        assert_eq!(hits.count(), 4, "two ways, with masquerading and without");
        // The node's own use of its loopback never changed.
        assert_eq!(tcp(&world.node, LOOPBACK, 8080), Reached);
    });
}

#[test]
fn nobody_else_has_the_stand_in_and_it_goes_with_its_run() {
    inside("loopback6::nobody_else_has_the_stand_in_and_it_goes_with_its_run", || {
        let world = World::new();
        let hits = serve(&world.node, &["::1"], 8080);
        let helper = helper(&world, true);
        let kept = world.client().reserve(&[LOOPBACK]).unwrap();
        assert_eq!(kept.forwards[0].stand_in, IpAddr::V6(STAND_IN));
        let (stranger, mut its) = open(&world, &["127.0.0.1", TARGET6], Mode::Raw);
        let before = its.dropped_packets().unwrap();
        assert_eq!(tcp(&stranger, STAND_IN.into(), 8080), Silent);
        assert!(its.dropped_packets().unwrap() > before);
        let (run, lease) = open(&world, &["::1"], Mode::Connect);
        assert_eq!(tcp(&run, STAND_IN.into(), 8080), Reached);
        drop((lease, kept));
        until("the door is shut", || tcp_within(&run, STAND_IN.into(), 8080, BRIEFLY) == Silent);
        let before = hits.count();
        // The next one of the slot may not either.
        let (next, _its) = open(&world, &[TARGET], Mode::Raw);
        assert_eq!(tcp(&next, STAND_IN.into(), 8080), Silent);
        assert_eq!(hits.count(), before);
        helper.stop();
    });
}

/// Raw runs may ask for an echo; what else they make up does not get as far as the host.
#[test]
fn a_raw_run_asks_the_loopback_of_ipv6_for_an_echo_alone() {
    inside("loopback6::a_raw_run_asks_the_loopback_of_ipv6_for_an_echo_alone", || {
        let world = World::new();
        // Somebody of the node's listens at port 80.
        assert_eq!(tcp(&world.node, LOOPBACK, 80), Reached);
        let hits = serve(&world.node, &["::1"], 8080);
        let helper = helper(&world, true);
        for (mode, answer) in [(Mode::Raw, Reached), (Mode::Connect, Silent)] {
            let (run, lease) = open(&world, &["::1"], mode);
            assert_eq!(echo6(&run, STAND_IN, PATIENCE), answer, "{mode:?}");
            drop(lease);
        }
        let (run, mut lease) = open(&world, &["::1"], Mode::Raw);
        let own = "fd70:6963:6b65::2".parse().unwrap();
        // Of port 80, which is not the task's; a header between hides the port; and another source.
        let lies = [
            frame::udp6(own, STAND_IN, 17, &[]),
            frame::udp6(own, STAND_IN, 60, &[17, 0, 1, 4, 0, 0, 0, 0]),
            frame::udp6("fd70:6963:6b65:1::2".parse().unwrap(), STAND_IN, 17, &[]),
            frame::udp6(own, "fd70:6963:6b65:ffff::1".parse().unwrap(), 17, &[]),
        ];
        for lie in lies {
            let before = lease.dropped_packets().unwrap();
            frame::send(&run, &lie, true);
            until("it is counted", || lease.dropped_packets().unwrap() == before + 1);
        }
        // The kernel throws this one away before any rule.
        frame::send(&run, &frame::udp6(own, Ipv6Addr::LOCALHOST, 17, &[]), true);
        assert_eq!(echo6(&run, STAND_IN, PATIENCE), Reached);
        assert_eq!(hits.count(), 0);
        helper.stop();
    });
}

#[test]
fn a_node_without_ipv6_refuses_its_loopback_and_says_which_setting() {
    inside("loopback6::a_node_without_ipv6_refuses_its_loopback_and_says_which_setting", || {
        let world = World::new();
        let mut v4_only = NetdSettings { ipv6: false, ..settings(&world.socket(), true) };
        v4_only.allow_internal.push("::1/128".parse().unwrap());
        let helper = start_with(&world, v4_only);
        let refused = world.client().reserve(&[LOOPBACK]).unwrap_err().to_string();
        assert!(refused.contains("::1: expected IPv4") && refused.contains("netd.ipv6"), "{refused}");
        helper.stop();
    });
}
