//! Packets that no router carries (cases S19 to S21): link-local addresses, groups, addresses of one machine, IPv4 in the
//! clothes of IPv6. None leaves the run's wire, and each is counted although the kernel would throw it away by itself.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};

use crate::{
    frame,
    helper::{TARGET6, World, grant, start},
    inside::inside,
    probe::until,
};

const OWN: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x6963, 0x6b65, 0, 0, 0, 0, 2);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);

#[test]
fn every_frame_of_ipv6_to_somebody_else_is_dropped_and_counted() {
    inside("stray::every_frame_of_ipv6_to_somebody_else_is_dropped_and_counted", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET6]));
        let target: Ipv6Addr = TARGET6.parse().unwrap();
        let tries: [(&str, Ipv6Addr, &str); 18] = [
            ("another address", OWN, "2001:db8:1::20"),
            ("metadata", OWN, "fd00:ec2::254"),
            ("a mapped address", OWN, "::ffff:203.0.113.20"),
            ("a mapped address of the target's family", OWN, "::ffff:203.0.113.10"),
            ("a translated address", OWN, "64:ff9b::a9fe:a9fe"),
            ("the router's end of the wire", OWN, "fd70:6963:6b65::1"),
            ("the router's link-local address", LINK_LOCAL, "fe80::ff:fe00:1"),
            ("another link-local address", LINK_LOCAL, "fe80::99"),
            ("a link-local address from ours", OWN, "fe80::99"),
            ("the target from a link-local address", LINK_LOCAL, TARGET6),
            ("the node's end of the way out", OWN, "fd70:6963:6b65:ffff::1"),
            ("the node", OWN, "2001:db8:ffff::2"),
            ("everybody on the link", LINK_LOCAL, "ff02::1"),
            ("every router", OWN, "ff02::2"),
            ("a group that nobody is in", OWN, "ff02::fb"),
            ("a group of the site", OWN, "ff05::2"),
            ("another run's source", "fd70:6963:6b65:1::2".parse().unwrap(), TARGET6),
            ("the node's source", "2001:db8:ffff::2".parse().unwrap(), TARGET6),
        ];
        for (what, source, destination) in tries {
            let before = lease.dropped_packets().unwrap();
            frame::send(&run, &frame::udp6(source, destination.parse().unwrap(), 17, &[]), true);
            until(what, || lease.dropped_packets().unwrap() == before + 1);
            println!("egress L0 | frame of IPv6, {what} | Silent | 1 dropped");
        }
        // The kernel ends these before any rule: nobody counts them, and nobody gets them.
        for (source, destination) in [(OWN, Ipv6Addr::LOCALHOST), (Ipv6Addr::LOCALHOST, target)] {
            frame::send(&run, &frame::udp6(source, destination, 17, &[]), true);
        }
        frame::send(&run, &frame::udp6(OWN, target, 17, &[]), true);
        until("an honest frame arrives behind all of them", || world.target.count() == 1);
        assert_eq!((world.others.count(), world.loopback.count()), (0, 0));
        helper.stop();
    });
}

/// As a tool without raw sockets does it.
#[test]
fn a_datagram_to_a_group_is_dropped_and_counted() {
    inside("stray::a_datagram_to_a_group_is_dropped_and_counted", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET6]));
        let links = run.run(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap());
        // Address, number in hexadecimal, …, name.
        let link = links.lines().find(|line| line.ends_with(" t0")).and_then(|line| line.split(' ').nth(1)).unwrap();
        let link = u32::from_str_radix(link, 16).unwrap();
        for group in ["ff02::1", "ff02::fb", "ff05::1"] {
            let before = lease.dropped_packets().unwrap();
            let to = SocketAddrV6::new(group.parse().unwrap(), 5353, 0, link);
            run.run(|| UdpSocket::bind("[::]:0").unwrap().send_to(b"?", to).unwrap());
            until(group, || lease.dropped_packets().unwrap() > before);
            println!("egress L0 | udp {group} 5353 | Silent | counted");
        }
        let before = lease.dropped_packets().unwrap();
        run.run(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", "224.0.0.251:5353").unwrap());
        until("a group of IPv4", || lease.dropped_packets().unwrap() > before);
        println!("egress L0 | udp 224.0.0.251 5353 | Silent | counted");
        helper.stop();
    });
}
