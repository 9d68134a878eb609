//! What a run may take of the node's table of connections: a run that begins one after the other leaves room for others.

use std::{
    fs,
    io::ErrorKind,
    net::UdpSocket,
    time::{Duration, Instant},
};

use crate::{
    helper::{TARGET, World, grant, start},
    inside::inside,
    probe::{Outcome::Reached, tcp, udp, until},
    space::Space,
};

/// More than one run may begin at once by far, and fewer than the table has room for.
const BEGUN: u16 = 20_000;

/// The table's lines of connections of this protocol; nothing where the kernel does not show it.
fn table(world: &World, protocol: &str) -> Option<Vec<String>> {
    let text = world.node.run(|| fs::read_to_string("/proc/thread-self/net/nf_conntrack")).ok()?;
    Some(text.lines().filter(|line| line.split_whitespace().nth(2) == Some(protocol)).map(str::to_owned).collect())
}

/// Who has a slot next has its address too (case S25).
#[test]
fn what_still_answers_a_run_that_has_ended_does_not_come_to_the_next_one() {
    inside("connections::what_still_answers_a_run_that_has_ended_does_not_come_to_the_next_one", || {
        let world = World::new();
        let helper = start(&world, true);
        let asked = world.internet.run(|| UdpSocket::bind((TARGET, 7777)).unwrap());
        let bound = |run: &Space| {
            let socket = run.run(|| UdpSocket::bind("0.0.0.0:4321").unwrap());
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        };
        let (first, lease) = world.open(&grant(&[TARGET]));
        let (address, question) = (lease.granted.address, bound(&first));
        question.send_to(b"?", (TARGET, 7777)).unwrap();
        let (_, from) = asked.recv_from(&mut [0; 8]).unwrap();
        asked.send_to(b"yours", from).unwrap();
        assert_eq!(question.recv(&mut [0; 8]).unwrap(), 5, "the flow is answered");
        drop((question, lease, first));
        until("its slot is free", || world.client().status().unwrap().slots == 0);

        let (next, lease) = world.open(&grant(&[TARGET]));
        assert_eq!(lease.granted.address, address, "the same slot");
        let heard = bound(&next);
        asked.send_to(b"for the one before", from).unwrap();
        // What is asked afterwards is answered afterwards, by the same way.
        assert_eq!(udp(&next, TARGET.parse().unwrap(), 80), Reached);
        heard.set_nonblocking(true).unwrap();
        assert_eq!(heard.recv(&mut [0; 32]).unwrap_err().kind(), ErrorKind::WouldBlock);
        helper.stop();
    });
}

/// More than the helper holds of them at a time.
const FORGOTTEN: u16 = 2_500;

#[test]
fn every_connection_of_a_run_that_has_ended_is_forgotten_however_many_there_are() {
    inside("connections::every_connection_of_a_run_that_has_ended_is_forgotten_however_many_there_are", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, lease) = world.open(&grant(&[TARGET]));
        let source = format!("src={} ", lease.granted.address);
        run.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for port in 1..=FORGOTTEN {
                // The target refuses most of them, which the next call says.
                let _ = socket.send_to(b"?", (TARGET, port));
            }
        });
        let ours = || table(&world, "udp").map(|lines| lines.iter().filter(|line| line.contains(&source)).count());
        let Some(before) = ours() else {
            println!("skipped: the kernel does not show its table of connections");
            return;
        };
        drop((lease, run));
        until("its slot is free", || world.client().status().unwrap().slots == 0);
        let after = ours().unwrap();
        println!("{before} connections, {after} when the slot was free");
        assert!(before > 2_048, "{before}: too few were begun for three rounds");
        assert_eq!(after, 0);
        helper.stop();
    });
}

#[test]
fn a_run_that_begins_many_connections_leaves_room_in_the_nodes_table() {
    inside("connections::a_run_that_begins_many_connections_leaves_room_in_the_nodes_table", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, mut lease) = world.open(&grant(&[TARGET]));
        let before = world.client().status().unwrap().dropped_packets;
        let began = Instant::now();
        run.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for port in 1..=BEGUN {
                // The target refuses most of them, which the next call says.
                let _ = socket.send_to(b"?", (TARGET, port));
            }
        });
        let Some(lines) = table(&world, "udp") else {
            println!("skipped: the kernel does not show its table of connections");
            return;
        };
        let most = 3_000 + 1_500 * usize::try_from(began.elapsed().as_secs() + 1).unwrap();
        println!("{} of {BEGUN} are in the table after {:?}", lines.len(), began.elapsed());
        assert!(!lines.is_empty() && lines.len() <= most, "{} connections, expected at most {most}", lines.len());
        let seconds = |line: &String| line.split_whitespace().nth(4).unwrap().parse::<u64>().unwrap();
        let (unanswered, answered): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("[UNREPLIED]"));
        assert!(
            unanswered.into_iter().all(|line| seconds(line) <= 5)
                && answered.into_iter().all(|line| seconds(line) <= 30)
        );
        let dropped = || world.client().status().unwrap().dropped_packets - before;
        assert!(most > usize::from(BEGUN) || dropped() > 0, "what was not begun is counted");
        assert!(most > usize::from(BEGUN) || lease.dropped_packets().unwrap() >= dropped(), "and it is the run's own");
        let (_other, mut others) = world.open(&grant(&[TARGET]));
        assert_eq!(others.dropped_packets().unwrap(), 0, "no other run's");
        // Whoever waits a moment goes on, and is remembered as long as he speaks.
        until("the run reaches its target again", || tcp(&run, TARGET.parse().unwrap(), 80) == Reached);
        let tcp = table(&world, "tcp").unwrap();
        assert!(tcp.iter().all(|line| seconds(line) <= 300), "{tcp:?}");
        let forgotten =
            || table(&world, "udp").unwrap().iter().filter(|line| line.contains("[UNREPLIED]")).count() == 0;
        let end = Instant::now() + Duration::from_secs(20);
        while !forgotten() {
            assert!(Instant::now() < end, "what nobody answered is not forgotten");
            std::thread::yield_now();
        }
        helper.stop();
    });
}
