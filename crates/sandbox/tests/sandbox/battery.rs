//! The battery (cases S1 to S6, S18, S19, S22, S26, S30 of `docs/security.md`): every door, one by one.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use picket_domain::{Network, SandboxLevel};
use picket_sandbox::{End, Limits};

use crate::levels::levels;
use crate::room::{LEVELS_VARIABLE, Room, as_ordinary_user, finish, invocation, open_folder, small, this_test};
use crate::verdicts::{Column, differences, found};

/// What the battery looks for outside: listeners of every kind, a file, and descriptors that a careless worker leaks.
struct Bait {
    words: Vec<String>,
    _listeners: (TcpListener, TcpListener, UdpSocket, UnixListener, UnixDatagram),
    _leaked: Vec<OwnedFd>,
}

fn bait(room: &Room) -> Bait {
    let secret = room.folder.path().join("secret");
    fs::write(&secret, "of the host").unwrap();
    let (tcp4, tcp6) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
    let udp4 = UdpSocket::bind("127.0.0.1:0").unwrap();
    let names = ["stream", "datagram"].map(|kind| format!("{}-{kind}", secret.display()));
    let [stream, datagram] = names.each_ref().map(|name| SocketAddr::from_abstract_name(name).unwrap());
    let (stream, datagram) = (UnixListener::bind_addr(&stream).unwrap(), UnixDatagram::bind_addr(&datagram).unwrap());
    let words = vec![
        format!("secret={}", secret.display()),
        format!("worker={}", std::process::id()),
        format!("tcp4={}", tcp4.local_addr().unwrap().port()),
        format!("tcp6={}", tcp6.local_addr().unwrap().port()),
        format!("udp4={}", udp4.local_addr().unwrap().port()),
        format!("abstract={}", names[0]),
        format!("abstract_datagram={}", names[1]),
    ];
    // `dup` does not set close-on-exec.
    let leaked = vec![rustix::io::dup(File::open(&secret).unwrap()).unwrap(), rustix::io::dup(&tcp4).unwrap()];
    Bait { words, _listeners: (tcp4, tcp6, udp4, stream, datagram), _leaked: leaked }
}

fn tries_every_door(column: Column) {
    assert!(std::env::vars_os().count() > 0, "without an environment nothing could be inherited");
    let room = Room::new();
    let bait = bait(&room);
    let words: Vec<&str> = ["battery"].into_iter().chain(bait.words.iter().map(String::as_str)).collect();
    // Enough of everything: a probe must be refused by a rule, not by an empty purse.
    let limits = Limits { wall: Duration::from_secs(60), ..small() };
    let (level, network) = match column {
        Column::Level(level) => (level, Network::Connect),
        Column::Raw => (SandboxLevel::L0, Network::Raw),
        Column::None => (SandboxLevel::None, Network::None),
    };
    let route = room.sandbox.route_at(level, &[]).unwrap();
    let mut trying = invocation(network, &words);
    trying.egress.addresses = vec![[1, 1, 1, 1].into()];
    let ran = finish(room.sandbox.start_by(&route, 0, &trying, &limits).unwrap());
    assert_eq!(ran.outcome.end, End::Exited(0), "{}", ran.outcome.stderr);
    let differences = differences(column, &found(&ran.text));
    assert!(differences.is_empty(), "{column:?} differs from tests/hostile/expected.tsv:\n{}", differences.join("\n"));
}

#[test]
fn every_door_without_a_network_is_as_the_table_says() {
    tries_every_door(Column::None);
}

#[test]
fn every_door_of_every_level_is_as_the_table_says() {
    for level in levels(&Room::new().sandbox) {
        tries_every_door(Column::Level(level));
    }
}

/// The right to raw sockets opens their doors and no other.
#[test]
fn every_door_of_a_run_with_raw_sockets_is_as_the_table_says() {
    if levels(&Room::new().sandbox).contains(&SandboxLevel::L0) {
        tries_every_door(Column::Raw);
    }
}

/// Whoever runs the tests: the sandbox of root and that of an ordinary user differ in who maps the ids.
#[test]
fn every_door_is_the_same_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: the battery runs as an ordinary user anyway");
        return;
    }
    for test in ["of_every_level", "without_a_network"] {
        let folder = open_folder();
        let test = format!("battery::every_door_{test}_is_as_the_table_says");
        let output = as_ordinary_user(folder.path(), &test).unwrap_or_else(|| {
            // Without a tunnel device of its own it has the weaker levels alone.
            let mut plain = this_test(folder.path(), &test);
            plain.env_remove(LEVELS_VARIABLE).uid(10_001).gid(10_001).output().unwrap()
        });
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{test}:\n{text}{said}");
    }
}
