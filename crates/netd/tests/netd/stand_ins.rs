//! The one way to the host's loopback: a stand-in, at the task's ports.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

use picket_netd::{Grant, Mode, NetdError, NetdSettings};

use crate::{
    helper::{TARGET, World, grant, settings, start, start_with},
    inside::inside,
    probe::{
        Outcome::{Reached, Refused, Silent},
        PATIENCE, icmp, ping, serve, tcp, udp, until,
    },
};

fn v4(address: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(address) = address else { panic!("expected IPv4: {address}") };
    address
}

#[test]
fn a_stand_in_leads_to_listed_ports_of_the_loopback_address_alone() {
    inside("stand_ins::a_stand_in_leads_to_listed_ports_of_the_loopback_address_alone", || {
        let world = World::new();
        let helper = start(&world, true);
        let mut wish = grant(&["127.0.0.1", TARGET, "::ffff:127.0.0.1"]);
        wish.ports = vec![(8080, 8081)];
        let (run, mut lease) = world.open(&wish);
        let forwards = lease.granted.forwards.clone();
        assert_eq!(forwards.len(), 2);
        assert_eq!(forwards[0], forwards[1]);
        let stand_in = forwards[0].stand_in;
        let to = stand_in;
        // Nobody listens at 8081; 9000 is not the task's.
        let expected = [(8080, Reached), (8081, Refused), (9000, Silent), (80, Silent)];
        for (port, outcome) in expected {
            for (name, probe) in [("tcp", tcp(&run, to, port)), ("udp", udp(&run, to, port))] {
                println!("egress L0 | {name} stand-in {port} | {probe:?}");
                assert_eq!(probe, outcome, "{name} {port}");
            }
        }
        assert_eq!(ping(&run, v4(stand_in), PATIENCE), Reached);
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        // The next stand-in is nobody's, and the loopback address itself is the run's own.
        assert_eq!(tcp(&run, "198.18.80.1".parse().unwrap(), 8080), Silent);
        assert_eq!(tcp(&run, "127.0.0.1".parse().unwrap(), 8080), Refused);
        assert!(lease.dropped_packets().unwrap() > 0);
        assert_eq!(world.loopback.count(), 2);
        // A run that was granted something else has no stand-in.
        let (stranger, _its_lease) = world.open(&grant(&[TARGET]));
        assert_eq!(tcp(&stranger, to, 8080), Silent);
        helper.stop();
    });
}

/// Of ICMP, raw runs may ask the node's loopback for an echo and the time; others may ask nobody anything.
#[test]
fn a_stand_in_is_asked_for_an_echo_and_the_time_alone_and_only_by_raw_runs() {
    inside("stand_ins::a_stand_in_is_asked_for_an_echo_and_the_time_alone_and_only_by_raw_runs", || {
        let world = World::new();
        let helper = start(&world, true);
        let raw = grant(&["127.0.0.1", TARGET]);
        let plain = Grant { mode: Mode::Connect, ..raw.clone() };
        for (wish, asks) in [(raw, true), (plain, false)] {
            let (run, mut lease) = world.open(&wish);
            let stand_in = v4(lease.granted.forwards[0].stand_in);
            let target = TARGET.parse().unwrap();
            // Echo and time; then: no such host, redirect, router, mask.
            let listed = wish.mode == Mode::Raw;
            let tries = [(8, asks), (13, asks), (3, false), (5, false), (9, false), (17, false)];
            for (to, kind, passes) in
                tries.map(|(kind, passes)| (stand_in, kind, passes)).into_iter().chain([(target, 8, listed)])
            {
                let before = lease.dropped_packets().unwrap();
                icmp(&run, to, kind);
                // Behind it: something that is dropped for certain, so that both have been judged when that is counted.
                udp(&run, "192.0.2.1".parse().unwrap(), 53);
                until("both were judged", || lease.dropped_packets().unwrap() > before);
                let expected = before + 1 + u64::from(!passes);
                assert_eq!(lease.dropped_packets().unwrap(), expected, "{:?}: kind {kind} to {to}", wish.mode);
            }
            let answer = if asks { Reached } else { Silent };
            assert_eq!(ping(&run, stand_in, PATIENCE), answer);
            assert_eq!(ping(&run, target, PATIENCE), answer);
            // Connections, and what comes back about them, are the same for both.
            assert_eq!(tcp(&run, stand_in.into(), 8080), Reached);
            assert_eq!(udp(&run, stand_in.into(), 8080), Reached);
            assert_eq!(
                (tcp(&run, TARGET.parse().unwrap(), 80), udp(&run, TARGET.parse().unwrap(), 81)),
                (Reached, Refused)
            );
        }
        helper.stop();
    });
}

/// What two workers of one node do: each learns the stand-in before it writes a command line, and nothing that the other
/// does meanwhile changes it.
#[test]
fn a_reserved_stand_in_stays_that_of_its_address_until_it_is_given_back() {
    inside("stand_ins::a_reserved_stand_in_stays_that_of_its_address_until_it_is_given_back", || {
        let world = World::new();
        let listed = vec!["127.0.0.0/8".parse().unwrap()];
        let helper = start_with(&world, NetdSettings { allow_internal: listed, ..settings(&world.socket(), true) });
        let [one, other]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        let (first, second) = (world.client(), world.client());
        let kept = first.reserve(&[one]).unwrap();
        let beside = second.reserve(&[other, one]).unwrap();
        assert_eq!(beside.forwards[1], kept.forwards[0]);
        assert_ne!(beside.forwards[0].stand_in, kept.forwards[0].stand_in);
        // Nobody reaches anything by a reservation alone.
        let (run, lease) = world.open(&grant(&["127.0.0.2"]));
        assert_eq!(lease.granted.forwards, beside.forwards[..1]);
        assert_eq!(tcp(&run, kept.forwards[0].stand_in, 8080), Silent);
        drop(lease);
        // The second client gives both back; the first one's stays.
        drop(beside);
        until("one is given back", || {
            second.reserve(&[other]).is_ok_and(|again| again.forwards[0] != kept.forwards[0])
        });
        let (run, lease) = world.open(&grant(&["127.0.0.1"]));
        assert_eq!(lease.granted.forwards, kept.forwards);
        assert_eq!(tcp(&run, kept.forwards[0].stand_in, 8080), Reached);
        // It outlives the reservation, since the run has it too.
        drop(kept);
        assert_eq!(tcp(&run, lease.granted.forwards[0].stand_in, 8080), Reached);
        helper.stop();
    });
}

#[test]
fn only_loopback_addresses_that_the_node_allows_get_a_stand_in() {
    inside("stand_ins::only_loopback_addresses_that_the_node_allows_get_a_stand_in", || {
        let world = World::new();
        let helper = start(&world, true);
        let many: Vec<IpAddr> = (1..=17).map(|last| [127, 0, 0, last].into()).collect();
        for wrong in [
            &[][..],
            &[[127, 0, 0, 2].into()],
            &[[192, 0, 2, 2].into()],
            &[[0_u16, 0, 0, 0, 0, 0, 0, 1].into()],
            &[[127, 0, 0, 1].into(), [8, 8, 8, 8].into()],
            &many,
        ] {
            assert!(matches!(world.client().reserve(wrong), Err(NetdError::Forbidden(_))), "{wrong:?}");
        }
        helper.stop();
    });
}

#[test]
fn nmaps_raw_packets_reach_the_loopback_through_its_stand_in() {
    inside("stand_ins::nmaps_raw_packets_reach_the_loopback_through_its_stand_in", || {
        if Command::new("nmap").arg("--version").output().is_err() {
            println!("skipped: this machine has no nmap");
            return;
        }
        let world = World::new();
        serve(&world.node, &["127.0.0.1"], 8090);
        let helper = start(&world, true);
        let mut wish = grant(&["127.0.0.1"]);
        wish.ports = vec![(8080, 8090)];
        let (run, lease) = world.open(&wish);
        let stand_in = lease.granted.forwards[0].stand_in.to_string();
        let nmap = |arguments: &[&str]| {
            let output = run.run(|| Command::new("nmap").args(arguments).arg(&stand_in).output().unwrap());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            println!("nmap {}\n{text}", arguments.join(" "));
            text
        };
        let text = nmap(&["-n", "-Pn", "-sS", "-O", "-T4", "--max-retries", "1", "-p", "8080,8085,9000"]);
        for row in ["8080/tcp open", "8085/tcp closed", "9000/tcp filtered"] {
            assert!(text.contains(row), "{row}");
        }
        // The node's own answers, and enough of them to tell whose they are.
        let guesses = ["OS details: Linux", "Aggressive OS guesses: Linux", "Running: Linux"];
        assert!(
            text.lines().any(|line| guesses.iter().any(|guess| line.starts_with(guess))),
            "the fingerprint is taken"
        );
        let text = nmap(&["-n", "-Pn", "-sU", "-T4", "--max-retries", "1", "-p", "8090,8086,9000"]);
        for row in ["8086/udp closed", "9000/udp open|filtered"] {
            assert!(text.contains(row), "{row}");
        }
        helper.stop();
    });
}
