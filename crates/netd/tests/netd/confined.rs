//! The filter of level L1. The namespace `stack` stands for slirp4netns with the whole world behind it.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
    time::Duration,
};

use picket_netd::{Confined, Confinement, Gateway, NetdError, USER_GATEWAY, USER_GATEWAY6};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::{
    inside::inside,
    probe::{
        BRIEFLY,
        Outcome::{self, Reached, Silent},
        PATIENCE, serve, tcp, tcp_within, udp, udp_within,
    },
    space::Space,
};

/// Every address of the world; each answers at some ports.
const ADDRESSES: [&str; 8] = [
    "10.0.2.2",
    "10.0.2.3",
    "203.0.113.10",
    "203.0.113.20",
    "169.254.169.254",
    "10.0.0.5",
    "2001:db8:1::10",
    "2001:db8:1::20",
];

const WORLD: &str = "link set lo up
    addr add 10.0.2.2/24 dev stack0
    addr add 10.0.2.3/24 dev stack0
    addr add 203.0.113.10/32 dev stack0
    addr add 203.0.113.20/32 dev stack0
    addr add 169.254.169.254/32 dev stack0
    addr add 10.0.0.5/32 dev stack0
    addr add fd00::2/64 dev stack0 nodad
    addr add 2001:db8:1::10/128 dev stack0 nodad
    addr add 2001:db8:1::20/128 dev stack0 nodad
    link set stack0 up";

const RUN: &str = "link set lo up
    addr add 10.0.2.100/24 dev tap0
    addr add fd00::100/64 dev tap0 nodad
    link set tap0 up
    route add default via 10.0.2.2
    route add default via fd00::2";

/// A namespace of a run, and the world that it is wired to.
fn wired() -> (Space, Space) {
    let (run, stack) = (Space::new(), Space::new());
    run.wire("tap0", &stack, "stack0");
    stack.ip(WORLD);
    run.ip(RUN);
    for port in [53, 80, 8080, 9000] {
        serve(&stack, &ADDRESSES, port);
    }
    (run, stack)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn egress(addresses: &[&str], ports: Option<&[(u16, u16)]>) -> Confinement {
    let gateway = ports.map(|ports| Gateway { stand_ins: vec![USER_GATEWAY.into()], ports: ports.to_vec() });
    Confinement { addresses: addresses.iter().map(|one| address(one)).collect(), gateway }
}

/// Confines the namespace that the calling thread is in, as a run's first process and its worker do together.
fn confine(egress: &Confinement) -> Result<Confined, NetdError> {
    let family = Some(netlink::NETFILTER);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, family).unwrap();
    Confined::install(socket, egress)
}

/// Every probe and what must come of it; a probe that is dropped must be counted.
fn check(run: &Space, filter: &mut Confined, probes: &[(&str, u16, Outcome)]) {
    for (to, port, expected) in probes {
        let patience = if *expected == Silent { BRIEFLY } else { PATIENCE };
        type Probe = fn(&Space, IpAddr, u16, Duration) -> Outcome;
        for (name, probe) in [("tcp", tcp_within as Probe), ("udp", udp_within)] {
            let before = filter.dropped().unwrap();
            let outcome = probe(run, address(to), *port, patience);
            let counted = filter.dropped().unwrap() - before;
            println!("egress L1 | {name} {to} {port} | {outcome:?} | {counted} dropped");
            assert_eq!(outcome, *expected, "{name} {to} {port}");
            assert_eq!(counted > 0, *expected == Silent, "{name} {to} {port} counted {counted}");
        }
    }
}

#[test]
fn only_listed_addresses_and_ports_of_the_gateway_are_reached() {
    inside("confined::only_listed_addresses_and_ports_of_the_gateway_are_reached", || {
        let (run, _stack) = wired();
        check_open(&run);
        let mut filter = run.run(|| {
            confine(&egress(&["203.0.113.10", "::ffff:203.0.113.10"], Some(&[(80, 80), (8000, 8100)]))).unwrap()
        });
        check(
            &run,
            &mut filter,
            &[
                ("203.0.113.10", 80, Reached),
                ("203.0.113.10", 9000, Reached),
                ("::ffff:203.0.113.10", 80, Reached),
                ("10.0.2.2", 80, Reached),
                ("10.0.2.2", 8080, Reached),
                ("10.0.2.2", 9000, Silent),
                ("10.0.2.3", 53, Silent),
                ("203.0.113.20", 80, Silent),
                ("::ffff:203.0.113.20", 80, Silent),
                ("::ffff:169.254.169.254", 80, Silent),
                ("169.254.169.254", 80, Silent),
                ("10.0.0.5", 80, Silent),
                ("2001:db8:1::10", 80, Silent),
                ("2001:db8:1::20", 80, Silent),
            ],
        );
    });
}

#[test]
fn only_listed_ports_of_the_gateway_of_ipv6_are_reached() {
    inside("confined::only_listed_ports_of_the_gateway_of_ipv6_are_reached", || {
        let (run, stack) = wired();
        for port in [53, 80, 8080] {
            serve(&stack, &["fd00::2"], port);
        }
        let stand_ins = [USER_GATEWAY6.into(), USER_GATEWAY.into()];
        let mut filter = run.run(|| confine(&Confinement::default()).unwrap());
        for (stand_ins, v4) in [(&stand_ins[..1], Silent), (&stand_ins, Reached)] {
            let gateway = Gateway { stand_ins: stand_ins.to_vec(), ports: vec![(80, 80), (8000, 8100)] };
            let egress = Confinement { addresses: vec![address("2001:db8:1::10")], gateway: Some(gateway) };
            filter.replace(&egress).unwrap();
            let expected = [
                ("fd00::2", 80, Reached),
                ("fd00::2", 8080, Reached),
                ("fd00::2", 53, Silent),
                ("fd00::3", 53, Silent),
                ("2001:db8:1::10", 53, Reached),
                ("2001:db8:1::20", 80, Silent),
                ("10.0.2.2", 80, v4),
                ("::ffff:10.0.2.2", 80, v4),
                ("10.0.2.2", 9000, Silent),
                ("10.0.2.3", 53, Silent),
            ];
            check(&run, &mut filter, &expected);
            filter.replace(&Confinement::default()).unwrap();
            check(&run, &mut filter, &[("fd00::2", 80, Silent), ("10.0.2.2", 80, Silent)]);
        }
    });
}

/// The stack would carry some of them on.
#[test]
fn groups_and_link_local_addresses_are_dropped_and_counted() {
    inside("confined::groups_and_link_local_addresses_are_dropped_and_counted", || {
        let (run, _stack) = wired();
        let mut filter = run.run(|| confine(&egress(&["2001:db8:1::10", "203.0.113.10"], Some(&[(80, 80)]))).unwrap());
        let links = run.run(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap());
        let link = links.lines().find(|line| line.ends_with(" tap0")).and_then(|line| line.split(' ').nth(1)).unwrap();
        let link = u32::from_str_radix(link, 16).unwrap();
        let v6 = ["ff02::1", "ff02::fb", "ff05::2", "fe80::2", "fe80::99"].map(|one| (one, "[::]:0"));
        let v4 = ["224.0.0.251", "239.255.255.250", "255.255.255.255", "10.0.2.255"].map(|one| (one, "0.0.0.0:0"));
        for (to, own) in v6.into_iter().chain(v4) {
            let before = filter.dropped().unwrap();
            let place = match address(to) {
                IpAddr::V6(to) => SocketAddrV6::new(to, 80, 0, link).into(),
                IpAddr::V4(to) => SocketAddr::from((to, 80)),
            };
            let refused = run.run(|| {
                let socket = UdpSocket::bind(own).unwrap();
                socket.set_broadcast(true).unwrap();
                socket.send_to(b"?", place).is_err()
            });
            let counted = filter.dropped().unwrap() - before;
            println!("egress L1 | udp {to} 80 | refused {refused} | {counted} dropped");
            assert!(refused && counted > 0, "{to}: refused {refused}, counted {counted}");
        }
    });
}

/// Without the filter everything answers: what is silent afterwards is silent because of it.
fn check_open(run: &Space) {
    for to in ["203.0.113.20", "169.254.169.254", "10.0.2.3", "2001:db8:1::20", "::ffff:10.0.0.5"] {
        assert_eq!(tcp(run, address(to), 80), Reached, "{to}");
        assert_eq!(udp(run, address(to), 53), Reached, "{to}");
    }
}

#[test]
fn a_listed_ipv6_address_is_reached_and_no_ipv4_one() {
    inside("confined::a_listed_ipv6_address_is_reached_and_no_ipv4_one", || {
        let (run, _stack) = wired();
        let mut filter = run.run(|| confine(&egress(&["2001:db8:1::10"], None)).unwrap());
        let expected = [
            ("2001:db8:1::10", 80, Reached),
            ("2001:db8:1::20", 80, Silent),
            ("203.0.113.10", 80, Silent),
            ("10.0.2.2", 80, Silent),
        ];
        check(&run, &mut filter, &expected);
    });
}

#[test]
fn nothing_listed_is_nothing_reached_and_a_second_filter_is_refused() {
    inside("confined::nothing_listed_is_nothing_reached_and_a_second_filter_is_refused", || {
        let (run, _stack) = wired();
        let mut filter = run.run(|| confine(&Confinement::default()).unwrap());
        check(&run, &mut filter, &[("203.0.113.10", 80, Silent), ("10.0.2.2", 80, Silent)]);
        let again = run.run(|| confine(&egress(&["203.0.113.10"], None)));
        assert!(matches!(again, Err(NetdError::Kernel { .. })), "{again:?}");
        check(&run, &mut filter, &[("203.0.113.10", 80, Silent)]);
    });
}

#[test]
fn a_filter_that_is_replaced_opens_what_is_listed_then_and_nothing_else() {
    inside("confined::a_filter_that_is_replaced_opens_what_is_listed_then_and_nothing_else", || {
        let (run, _stack) = wired();
        let mut filter = run.run(|| confine(&Confinement::default()).unwrap());
        check(&run, &mut filter, &[("203.0.113.10", 80, Silent)]);
        filter.replace(&egress(&["203.0.113.10"], Some(&[(80, 80)]))).unwrap();
        let expected = [
            ("203.0.113.10", 80, Reached),
            ("10.0.2.2", 80, Reached),
            ("10.0.2.2", 8080, Silent),
            ("203.0.113.20", 80, Silent),
        ];
        check(&run, &mut filter, &expected);
        filter.replace(&Confinement::default()).unwrap();
        check(&run, &mut filter, &[("203.0.113.10", 80, Silent), ("10.0.2.2", 80, Silent)]);
    });
}

#[test]
fn four_thousand_addresses_and_overlapping_ports_fit_and_more_are_refused() {
    inside("confined::four_thousand_addresses_and_overlapping_ports_fit_and_more_are_refused", || {
        let many = |count: u32| (0..count).map(|n| IpAddr::from((0xcb00_0000 + n).to_be_bytes())).collect::<Vec<_>>();
        let gateway = Gateway {
            stand_ins: vec![USER_GATEWAY.into()],
            ports: vec![(1, 100), (50, 200), (65_535, 65_535), (201, 300)],
        };
        let fits = Confinement { addresses: many(4096), gateway: Some(gateway) };
        Space::new().run(|| confine(&fits).unwrap());
        let too_many = Space::new().run(|| confine(&Confinement { addresses: many(4097), gateway: None }));
        assert!(matches!(too_many, Err(NetdError::Refused(_))), "{too_many:?}");
    });
}

#[test]
fn the_user_mode_networks_own_addresses_are_refused() {
    // Inside, since a refusal that were none would lock the machine itself up.
    inside("confined::the_user_mode_networks_own_addresses_are_refused", || {
        for own in ["10.0.2.3", "10.0.2.2", "::ffff:10.0.2.2", "127.0.0.1", "::1", "0.0.0.0"] {
            let refused = confine(&egress(&[own], None));
            assert!(matches!(refused, Err(NetdError::Refused(_))), "{own}: {refused:?}");
        }
    });
}
