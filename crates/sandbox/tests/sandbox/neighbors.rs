//! What stands beside a run: sockets of the host, abstract ones and files (cases S5 and S6), and another run with its sockets
//! and processes (S24). Each is there, alive and open to everybody, and only the sandbox keeps the run away.

use std::fs::{self, Permissions};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use picket_domain::SandboxLevel;

use crate::levels::places;
use crate::process::with_word;
use crate::room::{Place, Room, await_ready, finish, small};
use crate::verdicts::kernel_has_scope;

/// What a run says of each place that it tried to reach.
fn visits(room: &Room, place: Place, targets: &[String]) -> Vec<String> {
    let words: Vec<&str> = ["visit"].into_iter().chain(targets.iter().map(String::as_str)).collect();
    let ran = finish(room.start_where(place, 2, &words, &small()));
    let said: Vec<String> =
        ran.text.lines().filter_map(|line| line.split_once('\t')).map(|(_, how)| how.into()).collect();
    assert_eq!(said.len(), targets.len(), "{place:?}: {} {}", ran.text, ran.outcome.stderr);
    println!("{place:?}: {targets:?} {said:?}");
    said
}

/// What an abstract name outside says to a run: in a network of its own it is nobody's. In the worker's, Landlock's scope
/// stands before it; before Linux 6.12 it does not, and the name of the host is within reach.
fn of_an_abstract_name(place: Place) -> &'static str {
    match place {
        Some(SandboxLevel::L2 | SandboxLevel::None) if kernel_has_scope() => "EPERM",
        Some(SandboxLevel::L2 | SandboxLevel::None) => "reached",
        Some(SandboxLevel::L0 | SandboxLevel::L1) | None => "ECONNREFUSED",
    }
}

#[test]
fn a_run_reaches_no_socket_of_the_host() {
    let room = Room::new();
    let path = room.folder.path().join("service.sock");
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    let name = format!("{}-host", path.display());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let (stream, datagram) = (UnixListener::bind_addr(&address), UnixDatagram::unbound().unwrap());
    let stream = stream.unwrap();
    let letters = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("{name}-letters")).unwrap()).unwrap();
    let targets = [
        format!("path:{}", path.display()),
        format!("path:/proc/1/root{}", path.display()),
        format!("stream:{name}"),
        format!("datagram:{name}-letters"),
    ];
    for place in places() {
        let said = visits(&room, *place, &targets);
        let expected = of_an_abstract_name(*place);
        assert_eq!((said[0].as_str(), said[2].as_str(), said[3].as_str()), ("ENOENT", expected, expected), "{place:?}");
        assert!(["ENOENT", "EACCES"].contains(&said[1].as_str()), "{place:?}: {said:?}");
    }
    // Both lived all the time, and nobody has come by the file: the first visitor is this one.
    datagram.connect_addr(&letters.local_addr().unwrap()).unwrap();
    drop(UnixStream::connect_addr(&address).unwrap());
    drop(stream);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody came");
    drop(UnixStream::connect(&path).unwrap());
    listener.accept().unwrap();
}

#[test]
fn a_run_reaches_neither_the_sockets_nor_the_processes_of_another_at_any_level() {
    let room = Room::new();
    for place in places() {
        let word = format!("{}-{place:?}", room.folder.path().display());
        let offered = [format!("stream:{word}-a"), format!("datagram:{word}-b"), "path:/scratch/offered".to_owned()];
        let words: Vec<&str> = ["offer"].into_iter().chain(offered.iter().map(String::as_str)).collect();
        let mut first = room.start_where(*place, 1, &words, &small());
        await_ready(&mut first.stdout().unwrap());
        let own = with_word(&offered[0]);
        assert!(!own.is_empty(), "the first run is there");
        let processes = own.iter().map(|pid| format!("process:{}", pid.as_raw_nonzero()));
        let said = visits(&room, *place, &offered.iter().cloned().chain(processes).collect::<Vec<_>>());
        // Another run's name is out of reach as the host's is; two runs have a scope each.
        assert_eq!((said[0].as_str(), said[1].as_str()), (of_an_abstract_name(*place), of_an_abstract_name(*place)));
        assert!(said[2..].iter().all(|how| how == "ENOENT"), "{place:?}: {said:?}");
        // It is alone: bwrap's process and itself.
        let seen = finish(room.start_where(*place, 2, &["processes"], &small())).text;
        assert!(!seen.contains(&word) && seen.lines().count() == 2, "{place:?}: {seen}");
        first.killer().kill("done");
        drop(first.wait_blocking());
    }
}
