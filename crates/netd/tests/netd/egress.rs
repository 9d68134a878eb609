//! Who is reached from a run at level L0 (cases S19, S20, S22, S24 of the design).

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, TcpStream},
    process::Command,
};

use picket_netd::Lease;

use crate::{
    helper::{OTHERS, TARGET, TARGET6, World, grant, start},
    inside::inside,
    probe::{
        BRIEFLY,
        Outcome::{self, Reached, Refused, Silent},
        PATIENCE, begin_in_pieces, ping, serve, tcp, tcp_within, udp_within, until,
    },
    space::Space,
};

fn check(run: &Space, lease: &mut Lease, probe: &str, to: &str, port: u16, expected: Outcome) {
    let address: IpAddr = to.parse().unwrap();
    let before = lease.dropped_packets().unwrap();
    let patience = if expected == Silent { BRIEFLY } else { PATIENCE };
    let outcome = match (probe, address) {
        ("tcp", _) => tcp_within(run, address, port, patience),
        ("udp", _) => udp_within(run, address, port, patience),
        (_, IpAddr::V4(address)) => ping(run, address, patience),
        (_, IpAddr::V6(_)) => panic!("no ping for IPv6"),
    };
    let counted = lease.dropped_packets().unwrap() - before;
    println!("egress L0 | {probe} {to} {port} | {outcome:?} | {counted} dropped");
    assert_eq!(outcome, expected, "{probe} {to} {port}");
    assert_eq!(counted > 0, expected == Silent, "{probe} {to} {port}: {counted} counted");
}

#[test]
fn a_run_reaches_whom_it_may_and_nobody_else() {
    inside("egress::a_run_reaches_whom_it_may_and_nobody_else", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET]));
        assert_eq!(lease.granted.address, Ipv4Addr::new(198, 18, 64, 2));
        for (probe, port, outcome) in [
            ("tcp", 80, Reached),
            ("tcp", 81, Refused),
            ("udp", 80, Reached),
            ("udp", 81, Refused),
            ("icmp", 0, Reached),
        ] {
            check(&run, &mut lease, probe, TARGET, port, outcome);
        }
        check(&run, &mut lease, "tcp", "::ffff:203.0.113.10", 80, Reached);
        let mapped = OTHERS.iter().filter(|one| !one.contains(':')).map(|one| format!("::ffff:{one}"));
        let own = ["198.18.64.1", "198.18.95.253", "198.18.95.254", "192.0.2.2", "192.0.2.1", "198.18.80.0", TARGET6];
        let closed = OTHERS.iter().chain(&own).map(|one| (*one).to_owned()).chain(mapped);
        for to in closed {
            check(&run, &mut lease, "tcp", &to, 80, Silent);
            check(&run, &mut lease, "udp", &to, 53, Silent);
            if let Ok(IpAddr::V4(_)) = to.parse() {
                check(&run, &mut lease, "icmp", &to, 0, Silent);
            }
        }
        // Its own loopback is its own: nobody listens, and nothing is sent.
        for own in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            assert_eq!(tcp(&run, own.parse().unwrap(), 8080), Refused, "{own}");
        }
        assert_eq!((world.others.count(), world.loopback.count()), (0, 0));
        assert!(world.client().status().unwrap().dropped_packets >= lease.dropped_packets().unwrap());
        helper.stop();
    });
}

#[test]
fn a_run_with_an_ipv6_target_reaches_it_alone() {
    inside("egress::a_run_with_an_ipv6_target_reaches_it_alone", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET6]));
        check(&run, &mut lease, "tcp", TARGET6, 80, Reached);
        check(&run, &mut lease, "udp", TARGET6, 80, Reached);
        check(&run, &mut lease, "tcp", TARGET6, 81, Refused);
        for to in [
            "2001:db8:1::20",
            "fd00:ec2::254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:db8:ffff::2",
            "fd70:6963:6b65::1",
            TARGET,
        ] {
            check(&run, &mut lease, "tcp", to, 80, Silent);
            check(&run, &mut lease, "udp", to, 53, Silent);
        }
        assert_eq!(world.others.count(), 0);
        helper.stop();
    });
}

#[test]
fn two_runs_reach_their_own_targets_and_never_each_other() {
    inside("egress::two_runs_reach_their_own_targets_and_never_each_other", || {
        let world = World::new();
        let helper = start(&world, true);
        let (first, mut one) = world.open(&grant(&[TARGET]));
        let (second, two) = world.open(&grant(&["203.0.113.20"]));
        let address = two.granted.address.to_string();
        serve(&second, &[&address], 80);
        check(&first, &mut one, "tcp", TARGET, 80, Reached);
        check(&first, &mut one, "tcp", "203.0.113.20", 80, Silent);
        for probe in ["tcp", "udp", "icmp"] {
            check(&first, &mut one, probe, &address, 80, Silent);
        }
        assert_eq!(tcp(&second, "203.0.113.20".parse().unwrap(), 80), Reached);
        assert_eq!(world.client().status().unwrap().slots, 2);
        drop((one, two));
        until("both are gone", || world.client().status().unwrap().slots == 0);
        helper.stop();
    });
}

#[test]
fn a_run_that_listens_is_not_reached_even_by_its_target() {
    inside("egress::a_run_that_listens_is_not_reached_even_by_its_target", || {
        let world = World::new();
        // Without masquerading the Internet has a way to the run's own address.
        world.internet.ip("route add 198.18.64.0/19 via 192.0.2.2 src 203.0.113.10");
        let helper = start(&world, false);
        let (run, lease) = world.open(&grant(&[TARGET]));
        let address = IpAddr::V4(lease.granted.address);
        let hits = serve(&run, &[&address.to_string()], 80);
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        assert_eq!(tcp(&world.internet, address, 80), Silent);
        assert_eq!(tcp(&world.node, address, 80), Silent);
        assert_eq!(hits.count(), 0);
        helper.stop();
    });
}

#[test]
fn a_connection_that_begins_in_pieces_does_not_come_to_a_run() {
    inside("egress::a_connection_that_begins_in_pieces_does_not_come_to_a_run", || {
        let world = World::new();
        world.internet.ip("route add 198.18.64.0/19 via 192.0.2.2 src 203.0.113.10");
        let helper = start(&world, false);
        let (run, lease) = world.open(&grant(&[TARGET]));
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        begin_in_pieces(&world.internet, TARGET.parse().unwrap(), lease.granted.address);
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        let counters = run.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let mut rows = counters.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
        let place = rows.next().unwrap().position(|name| name == "ReasmReqds").unwrap();
        assert_eq!(rows.next().unwrap().nth(place), Some("0"), "a piece came");
        helper.stop();
    });
}

#[test]
fn what_others_report_about_a_runs_packets_comes_back_to_it() {
    inside("egress::what_others_report_about_a_runs_packets_comes_back_to_it", || {
        let world = World::new();
        // Only a router says that there is no way.
        for family in ["ipv4", "ipv6"] {
            let path = format!("/proc/sys/net/{family}/conf/all/forwarding");
            world.internet.run(|| std::fs::write(path, "1").unwrap());
        }
        world.internet.ip("route add unreachable 203.0.113.30\n route add unreachable 2001:db8:1::30");
        let helper = start(&world, true);
        let (run, _lease) = world.open(&grant(&["203.0.113.30", "2001:db8:1::30"]));
        let connect = |to: &str| run.run(|| TcpStream::connect_timeout(&to.parse().unwrap(), PATIENCE).unwrap_err());
        assert_eq!(connect("203.0.113.30:80").kind(), ErrorKind::HostUnreachable);
        // Linux goes on trying where IPv6 has no way, but counts what it was told.
        until("the run is told of IPv6", || {
            connect("[2001:db8:1::30]:80");
            let counters = run.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap());
            counters.lines().any(|line| line.starts_with("Icmp6InDestUnreachs") && !line.ends_with("\t0"))
        });
        helper.stop();
    });
}

#[test]
fn a_wire_carries_packets_as_long_as_the_nodes_and_no_longer() {
    inside("egress::a_wire_carries_packets_as_long_as_the_nodes_and_no_longer", || {
        let world = World::new();
        world.node.ip("link set eth0 mtu 1400");
        let helper = start(&world, true);
        let (run, _lease) = world.open(&grant(&[TARGET]));
        let show = || Command::new("ip").args(["link", "show", "t0"]).output().unwrap();
        let shown = String::from_utf8(run.run(show).stdout).unwrap();
        assert!(shown.contains("mtu 1400 "), "{shown}");
        helper.stop();
    });
}

#[test]
fn the_nodes_own_address_answers_nobody_even_when_it_is_listed() {
    inside("egress::the_nodes_own_address_answers_nobody_even_when_it_is_listed", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, _lease) = world.open(&grant(&["192.0.2.2", TARGET]));
        let (own, own_v4) = ("192.0.2.2".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for port in [22, 80] {
            assert_eq!(tcp(&run, own, port), Silent);
            assert_eq!(udp_within(&run, own, port, PATIENCE), Silent);
        }
        assert_eq!(ping(&run, own_v4, PATIENCE), Silent);
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        helper.stop();
    });
}
