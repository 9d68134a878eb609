//! Frames that lie (case S21): another source, another destination, past the namespace's own queue, forged ARP.

use std::net::Ipv4Addr;

use crate::{
    frame,
    helper::{TARGET, World, grant, start},
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
        let lies: [(&str, Ipv4Addr, Ipv4Addr); 6] = [
            ("another run's source", Ipv4Addr::new(198, 18, 64, 6), target),
            ("the node's source", Ipv4Addr::new(192, 0, 2, 2), target),
            ("another machine's source", Ipv4Addr::new(203, 0, 113, 20), target),
            ("another destination", own, Ipv4Addr::new(203, 0, 113, 20)),
            ("metadata", own, Ipv4Addr::new(169, 254, 169, 254)),
            ("the node", own, Ipv4Addr::new(192, 0, 2, 2)),
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
        // Martians never come as far as the rules.
        for (source, destination) in
            [(Ipv4Addr::LOCALHOST, target), (own, Ipv4Addr::LOCALHOST), (own, Ipv4Addr::BROADCAST)]
        {
            frame::send(&run, &frame::udp(source, destination), true);
        }
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
