//! Frames that lie (case S21): another source, another destination, past the namespace's own queue, forged ARP.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    frame,
    helper::{TARGET, TARGET6, World, grant, start},
    inside::inside,
    probe::{Outcome::Reached, tcp, until},
};

#[test]
fn a_frame_with_another_source_or_destination_is_dropped_and_counted() {
    inside("lies::a_frame_with_another_source_or_destination_is_dropped_and_counted", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET]));
        let (own, target) = (lease.granted.address, TARGET.parse::<Ipv4Addr>().unwrap());
        frame::send(&run, &frame::udp(own, target), false);
        until("an honest frame arrives", || world.target.count() == 1);
        let lies: [(&str, Ipv4Addr, Ipv4Addr); 11] = [
            ("another run's source", Ipv4Addr::new(198, 18, 64, 6), target),
            ("the node's source", Ipv4Addr::new(192, 0, 2, 2), target),
            ("another machine's source", Ipv4Addr::new(203, 0, 113, 20), target),
            ("another destination", own, Ipv4Addr::new(203, 0, 113, 20)),
            ("metadata", own, Ipv4Addr::new(169, 254, 169, 254)),
            ("the node", own, Ipv4Addr::new(192, 0, 2, 2)),
            ("the router", own, Ipv4Addr::new(198, 18, 64, 1)),
            ("a loopback source", Ipv4Addr::LOCALHOST, target),
            ("a loopback destination", own, Ipv4Addr::LOCALHOST),
            ("everybody", own, Ipv4Addr::BROADCAST),
            ("a group", own, Ipv4Addr::new(224, 0, 0, 251)),
        ];
        for (what, source, destination) in lies {
            for bypass in [false, true] {
                let before = lease.dropped_packets().unwrap();
                frame::send(&run, &frame::udp(source, destination), bypass);
                until(what, || lease.dropped_packets().unwrap() == before + 1);
                println!("egress L0 | frame, {what}, bypass {bypass} | Silent | 1 dropped");
            }
        }
        let before = lease.dropped_packets().unwrap();
        frame::send(&run, &frame::datagram(own, target, &[1, 1, 1, 0]), true);
        until("options", || lease.dropped_packets().unwrap() == before + 1);
        println!("egress L0 | frame, with options of IP | Silent | 1 dropped");
        frame::send(&run, &frame::udp(own, target), true);
        until("another honest frame arrives behind all of them", || world.target.count() == 2);
        assert_eq!((world.others.count(), world.loopback.count()), (0, 0));
        helper.stop();
    });
}

#[test]
fn arp_that_claims_another_address_is_dropped_and_changes_nothing() {
    inside("lies::arp_that_claims_another_address_is_dropped_and_changes_nothing", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, _lease) = world.open(&grant(&[TARGET]));
        let (other, _its_lease) = world.open(&grant(&[TARGET]));
        let dropped = || world.client().status().unwrap().dropped_packets;
        let before = dropped();
        let gateway = Ipv4Addr::new(198, 18, 64, 1);
        let claims =
            [gateway, Ipv4Addr::new(198, 18, 64, 6), Ipv4Addr::new(198, 18, 95, 253), Ipv4Addr::new(203, 0, 113, 10)];
        for (count, claim) in (1..).zip(claims) {
            frame::send(&run, &frame::arp(claim, gateway), true);
            until("the lie is counted", || dropped() >= before + count);
            println!("egress L0 | arp, claims {claim} | Silent | 1 dropped");
        }
        for space in [&run, &other] {
            assert_eq!(tcp(space, TARGET.parse().unwrap(), 80), Reached);
        }
        helper.stop();
    });
}

/// Source routing, hop-by-hop options and pieces: whatever stands between the address and the datagram.
#[test]
fn headers_between_address_and_datagram_do_not_pass() {
    inside("lies::headers_between_address_and_datagram_do_not_pass", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET6]));
        let (own, target) = ("fd70:6963:6b65::2".parse().unwrap(), TARGET6.parse().unwrap());
        frame::send(&run, &frame::udp6(own, target, 17, &[]), true);
        until("an honest frame arrives", || world.target.count() == 1);
        let options = [17, 0, 1, 4, 0, 0, 0, 0];
        // Routing of the kind that has no segments left, of one that has, and the kind for segments.
        let routes = [[17, 0, 0, 0, 0, 0, 0, 0], [17, 0, 2, 1, 0, 0, 0, 0], [17, 0, 4, 0, 0, 0, 0, 0]];
        let whole = [17, 0, 0, 0, 0, 0, 0, 7];
        let headers = routes.map(|route| (43, route)).into_iter().chain([(60, options), (44, whole)]);
        for (kind, header) in headers {
            let before = lease.dropped_packets().unwrap();
            frame::send(&run, &frame::udp6(own, target, kind, &header), true);
            until("it is counted", || lease.dropped_packets().unwrap() == before + 1);
        }
        frame::send(&run, &frame::udp6(own, target, 17, &[]), true);
        until("another honest frame arrives behind all of them", || world.target.count() == 2);
        helper.stop();
    });
}

#[test]
fn the_router_answers_no_run_who_asks_for_its_neighbors() {
    inside("lies::the_router_answers_no_run_who_asks_for_its_neighbors", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET6]));
        let router: Ipv6Addr = "fd70:6963:6b65::1".parse().unwrap();
        let told = || {
            let counters = run.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap());
            let line = counters.lines().find(|line| line.starts_with("Icmp6InNeighborAdvertisements"));
            line.and_then(|line| line.split_whitespace().nth(1)).unwrap().parse::<u64>().unwrap()
        };
        let before = (told(), lease.dropped_packets().unwrap());
        for claim in ["fd70:6963:6b65::2", "fd70:6963:6b65::5", "fd70:6963:6b65:1::2"] {
            frame::send(&run, &frame::solicitation(claim.parse().unwrap(), router), true);
        }
        // Behind them, something that is counted.
        let own = "fd70:6963:6b65::2".parse().unwrap();
        frame::send(&run, &frame::udp6(own, "2001:db8:1::20".parse().unwrap(), 17, &[]), true);
        until("all were judged", || lease.dropped_packets().unwrap() > before.1);
        assert_eq!(tcp(&run, TARGET6.parse().unwrap(), 80), Reached);
        assert_eq!(told(), before.0, "the router answered");
        helper.stop();
    });
}
