//! IPv6 at the levels with a network of their own (cases S19, S20): the host's `::1` through its stand-in, a target of
//! IPv6, and nobody else of that family.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use picket_domain::SandboxLevel;

use crate::levels::levels;
use crate::room::{Room, finish};

const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// Addresses of the test's own, where it has its own network.
const OWN: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 2)];

/// A service at every address of the host, over TCP and UDP; nothing where the machine has no IPv6.
fn service() -> Option<u16> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    let port = listener.local_addr().unwrap().port();
    // Of the loopback alone: a socket of every address answers from the address that the kernel likes best.
    let socket = UdpSocket::bind((LOOPBACK, port)).ok()?;
    thread::spawn(move || listener.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"hello"))));
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 512]) {
            let _ = socket.send_to(b"hello", from);
        }
    });
    Some(port)
}

fn places(list: &[(&str, IpAddr, u16)]) -> Vec<String> {
    let place = |(protocol, address, port): &(&str, IpAddr, u16)| format!("{protocol}:{address}:{port}");
    ["reach".to_owned()].into_iter().chain(list.iter().map(place)).collect()
}

/// Starts a run that may reach `allowed` at one port and tries `tried`, of which it must reach the first ones alone.
fn reaches_alone(
    room: &Room,
    level: SandboxLevel,
    (allowed, port): (&[IpAddr], u16),
    tried: impl Fn(&[IpAddr]) -> (Vec<(&'static str, IpAddr, u16)>, usize),
) {
    let counted = std::cell::Cell::new((0, 0));
    let run = room.start_at(level, 1, (allowed, &[(port, port)]), |inside| {
        let (list, reached) = tried(inside);
        counted.set((list.len(), reached));
        places(&list)
    });
    let ran = finish(run);
    let (all, reached) = counted.get();
    for line in ran.text.lines() {
        println!("egress {} | {}", level.name(), line.replace('\t', " | "));
    }
    println!("egress {} | {:?} dropped", level.name(), ran.outcome.dropped_packets);
    assert_eq!(ran.text.lines().count(), all, "{}", ran.text);
    for (index, line) in ran.text.lines().enumerate() {
        let is_reached = line.ends_with("\tconnected") || line.ends_with("\tanswered");
        assert_eq!(is_reached, index < reached, "{}: {line}", level.name());
    }
    // A run without any IPv6 sends nothing of it: what is left are four tries of IPv4.
    assert!(ran.outcome.dropped_packets.unwrap() >= 4, "{:?}", ran.outcome.dropped_packets);
}

/// Whom no run of IPv6 may reach: the stack's name server and its link, the wire's far side, others, in every disguise.
fn others(port: u16) -> Vec<(&'static str, IpAddr, u16)> {
    let of = |(protocol, text, port): (&'static str, &str, u16)| (protocol, text.parse().unwrap(), port);
    [
        ("tcp", "fd00::3", 53),
        ("udp", "fd00::3", 53),
        ("tcp", "fd70:6963:6b65::1", port),
        ("tcp", "fd70:6963:6b65:ffff::1", port),
        ("tcp", "fd70:6963:6b65:fffe::2", port),
        ("tcp", "2001:db8::7", 80),
        ("udp", "2001:db8::53", 53),
        ("tcp", "fd00:ec2::254", 80),
        ("tcp", "64:ff9b::a9fe:a9fe", 80),
        ("tcp", "::ffff:169.254.169.254", 80),
        ("tcp", "::ffff:192.0.2.7", 80),
        ("tcp", "192.0.2.7", 80),
        ("udp", "192.0.2.53", 53),
    ]
    .map(of)
    .into()
}

#[test]
fn a_tool_reaches_the_listed_port_of_the_loopback_of_ipv6_and_nothing_else() {
    let (Some(open), Some(shut)) = (service(), service()) else {
        println!("this machine has no IPv6: not tried");
        return;
    };
    let room = Room::new();
    for level in levels(&room.sandbox).into_iter().filter(|level| *level < SandboxLevel::L2) {
        reaches_alone(&room, level, (&[LOOPBACK], open), |inside| {
            assert_ne!(inside, [LOOPBACK]);
            let reached = vec![("tcp", inside[0], open), ("udp", inside[0], open)];
            // Its own loopback is another one, and so is that of IPv4.
            let shut = [("tcp", inside[0], shut), ("udp", inside[0], shut), ("tcp", LOOPBACK, open)];
            let v4 = ["10.0.2.2", "198.18.80.0"].map(|text| ("tcp", text.parse().unwrap(), open));
            (reached.into_iter().chain(shut).chain(v4).chain(others(open)).collect(), 2)
        });
    }
}

/// Both at once, and a run of one of them that does not reach the other.
#[test]
fn the_loopbacks_of_both_families_are_two_targets() {
    let Some(open) = service() else {
        println!("this machine has no IPv6: not tried");
        return;
    };
    let (room, v4) = (Room::new(), IpAddr::from([127, 0, 0, 1]));
    for level in levels(&room.sandbox).into_iter().filter(|level| *level < SandboxLevel::L2) {
        reaches_alone(&room, level, (&[LOOPBACK, v4], open), |inside| {
            let reached = vec![("tcp", inside[0], open), ("tcp", inside[1], open)];
            (reached.into_iter().chain(others(open)).collect(), 2)
        });
        let route = room.sandbox.route_at(level, &[LOOPBACK]).unwrap();
        let stand_in = route.inside(LOOPBACK);
        reaches_alone(&room, level, (&[v4], open), |inside| {
            let reached = vec![("tcp", inside[0], open), ("tcp", stand_in, open)];
            (reached.into_iter().chain(others(open)).collect(), 1)
        });
        // Somebody was there all the time.
        TcpStream::connect((LOOPBACK, open)).unwrap();
        drop(route);
    }
}

/// The way to other machines: at level L0 the tests of `picket-netd` have a whole Internet for it.
#[test]
fn a_tool_reaches_its_target_of_ipv6_through_the_user_mode_stack_and_no_other_address() {
    let Some(open) = service().filter(|_| TcpListener::bind((OWN[1], 0)).is_ok()) else {
        println!("no address of IPv6 of the test's own: not tried");
        return;
    };
    let room = Room::new();
    for level in levels(&room.sandbox).into_iter().filter(|level| *level == SandboxLevel::L1) {
        reaches_alone(&room, level, (&[OWN[0].into()], open), |inside| {
            assert_eq!(inside, [IpAddr::from(OWN[0])]);
            let reached = vec![("tcp", inside[0], open), ("tcp", OWN[1].into(), open), ("tcp", LOOPBACK, open)];
            let gateways = ["fd00::2", "10.0.2.2"].map(|text| ("tcp", text.parse().unwrap(), open));
            (reached.into_iter().chain(gateways).chain(others(open)).collect(), 1)
        });
        TcpStream::connect((OWN[1], open)).unwrap();
    }
}
