//! What each level that this machine gives stops of the network (cases S19 to S24, S31): a tool reaches the address it may
//! and no other, at every level with a network of its own.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use picket_domain::{Network, SandboxLevel};
use picket_sandbox::{Sandbox, SandboxSettings};
use rustix::process::geteuid;

use crate::process::children;
use crate::raw::with_a_helper;
use crate::room::{
    HELPER_VARIABLE, LEVELS_VARIABLE, Place, Room, as_ordinary_user, await_ready, finish, invocation, open_folder,
    small, variable,
};

/// A slot for self-tests, far from those of other tests.
pub(crate) const PROVING: u32 = 800;

/// The levels that hold here; the others are named with their reason. One that must hold and does not is an error: a test
/// of nothing is no test.
pub(crate) fn levels(sandbox: &Sandbox) -> Vec<SandboxLevel> {
    let holds = |level: &SandboxLevel| match sandbox.prove_level(*level, PROVING) {
        Ok(()) => true,
        Err(error) => {
            let must_hold = variable(LEVELS_VARIABLE).and_then(|levels| levels.into_string().ok()).unwrap_or_default();
            assert!(!must_hold.split(' ').any(|one| one == level.name()), "level {}: {error:?}", level.name());
            println!("level {} is not tried: {}", level.name(), picket_domain::cause(&error));
            false
        }
    };
    [SandboxLevel::L0, SandboxLevel::L1, SandboxLevel::L2].into_iter().filter(holds).collect()
}

/// Every way in which this machine can lock a run in: without a network, and at each level that holds.
pub(crate) fn places() -> &'static [Place] {
    static PLACES: OnceLock<Vec<Place>> = OnceLock::new();
    PLACES.get_or_init(|| [None].into_iter().chain(levels(&Room::new().sandbox).into_iter().map(Some)).collect())
}

/// A service at every address of the host that says a word to everybody.
fn listener() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"hello"))));
    port
}

#[test]
fn a_machine_with_a_user_mode_stack_gives_level_1() {
    if variable("PICKET_SLIRP").is_none() || std::fs::File::options().write(true).open("/dev/net/tun").is_err() {
        println!("PICKET_SLIRP is not set, or /dev/net/tun cannot be opened: not tried");
        return;
    }
    Room::new().sandbox.prove_level(SandboxLevel::L1, PROVING).unwrap();
}

#[test]
fn the_strongest_level_that_holds_is_the_one_that_runs_keep_to() {
    let room = Room::new();
    assert_eq!(room.sandbox.level(), None);
    let unproven = room.sandbox.start(0, &invocation(Network::Connect, &["identity"]), &small());
    assert_eq!(unproven.unwrap_err().to_string(), "no sandbox level is proven");
    let proof = room.sandbox.prove(PROVING);
    let strongest = levels(&room.sandbox).first().copied().unwrap_or(SandboxLevel::None);
    assert_eq!(proof.level, strongest, "{proof:?}");
    assert_eq!(room.sandbox.level(), Some(strongest));
    let failed = proof.attempts.iter().filter(|attempt| attempt.failure.is_some());
    assert!(failed.clone().all(|attempt| attempt.level <= proof.level), "{proof:?}");
}

#[test]
fn a_tool_reaches_the_listed_address_and_port_and_nothing_else() {
    let (room, open, shut) = (Room::new(), listener(), listener());
    for level in levels(&room.sandbox).into_iter().filter(|level| *level < SandboxLevel::L2) {
        let grant = (&[IpAddr::V4(Ipv4Addr::LOCALHOST)][..], &[(open, open)][..]);
        let run = room.start_at(level, 1, grant, |inside| reaching(inside[0], open, shut));
        let ran = finish(run);
        println!("level {}\n{}dropped {:?}", level.name(), ran.text, ran.outcome.dropped_packets);
        assert_eq!(ran.text.lines().count(), 9, "{}", ran.text);
        for (index, line) in ran.text.lines().enumerate() {
            let is_reached = line.ends_with("\tconnected") || line.ends_with("\tanswered");
            assert_eq!(is_reached, index == 0, "{line}");
        }
        assert!(ran.outcome.dropped_packets.unwrap() > 0);
    }
}

/// The one place that may be reached, and those that may not.
fn reaching(host: IpAddr, open: u16, shut: u16) -> Vec<String> {
    assert_ne!(host, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let places = [
        format!("tcp:{host}:{open}"),
        format!("tcp:{host}:{shut}"),
        format!("tcp:127.0.0.1:{open}"),
        "tcp:169.254.169.254:80".into(),
        "tcp:::ffff:169.254.169.254:80".into(),
        "tcp:192.0.2.7:80".into(),
        "tcp:2001:db8::7:80".into(),
        "udp:10.0.2.3:53".into(),
        "udp:192.0.2.53:53".into(),
    ];
    ["reach".to_owned()].into_iter().chain(places).collect()
}

#[test]
fn a_run_that_may_reach_another_address_reaches_nothing_of_the_host() {
    let (room, open) = (Room::new(), listener());
    for level in levels(&room.sandbox).into_iter().filter(|level| *level < SandboxLevel::L2) {
        // Another run may reach the host's loopback at this very moment: its stand-in is nobody's here.
        let route = room.sandbox.route_at(level, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
        let stand_in = route.inside(IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_ne!(stand_in, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let places = [stand_in, IpAddr::V4(Ipv4Addr::LOCALHOST)].into_iter().chain(hosts_own(level));
        let places = places.map(|place| format!("tcp:{place}:{open}"));
        let words: Vec<String> = ["reach".to_owned()].into_iter().chain(places).collect();
        let ran = finish(room.start_at(level, 1, (&[IpAddr::from([1, 1, 1, 1])], &[]), |_| words.clone()));
        println!("level {}\n{}", level.name(), ran.text);
        assert!(!ran.text.contains("connected") && ran.text.lines().count() + 1 == words.len(), "{}", ran.text);
        // Somebody was there all the time.
        TcpStream::connect((Ipv4Addr::LOCALHOST, open)).unwrap();
        drop(route);
    }
}

/// Where else the host could be found: its ends of the helper's wires and of the way out, and its own addresses.
fn hosts_own(level: SandboxLevel) -> Vec<IpAddr> {
    let fixed = if level == SandboxLevel::L0 { ["198.18.64.0", "198.18.64.1"] } else { ["10.0.2.2", "10.0.2.3"] };
    let output = Command::new("ip").args(["-oneline", "-4", "address", "show"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let listed = words.windows(2).filter(|pair| pair[0] == "inet").filter_map(|pair| pair[1].split('/').next());
    fixed.into_iter().chain(listed).map(|text| text.parse().unwrap()).collect()
}

/// Two runs at a time (S24): the one listens where the other would find it in a network of theirs both, and on the
/// abstract sockets of a shared one.
#[test]
fn runs_cannot_reach_each_other() {
    let room = Room::new();
    for level in levels(&room.sandbox).into_iter().filter(|level| *level < SandboxLevel::L2) {
        let grant = (&[IpAddr::from([1, 1, 1, 1])][..], &[][..]);
        // At level L1 every run has the same address, so the other one would only find itself: then it must find nobody there
        // although the first one listens, and the stack's gateway must not lead to it either.
        let mut first = room.start_at(level, 1, grant, |_| vec!["listen".into(), "4242".into()]);
        let mut output = first.stdout().unwrap();
        let mut said = [0; 64];
        let count = std::io::Read::read(&mut output, &mut said).unwrap();
        let addresses = String::from_utf8_lossy(&said[..count]).trim().to_owned();
        let places = addresses.split(' ').filter(|text| !text.is_empty()).map(|address| format!("tcp:{address}:4242"));
        let beyond = ["tcp:10.0.2.2:4242".to_owned(), "tcp:10.0.2.15:4242".to_owned()];
        let words: Vec<String> = ["reach".to_owned()].into_iter().chain(places).chain(beyond).collect();
        assert!(words.len() > 3, "the first run has an address: {addresses:?}");
        let ran = finish(room.start_at(level, 2, grant, |_| words.clone()));
        assert!(!ran.text.contains("connected") && !ran.text.is_empty(), "level {}: {}", level.name(), ran.text);
        // Nor does the host (S22), neither at its own loopback nor at the run's end of the helper's wire.
        let ways = |address: &&str| address.starts_with("127.") || address.starts_with("198.18.");
        for address in addresses.split(' ').filter(ways) {
            let to = SocketAddr::new(address.parse().unwrap(), 4242);
            let reached = TcpStream::connect_timeout(&to, Duration::from_millis(500));
            assert!(reached.is_err(), "level {}: the host reaches {to}", level.name());
        }
        first.killer().kill("done");
        drop(first.wait_blocking());
    }
}

#[test]
fn two_runs_at_a_time_leave_nothing_where_the_other_sees_it_at_any_level() {
    let room = Room::new();
    for place in places() {
        let mut first = room.start_where(*place, 1, &["leave-and-hold"], &small());
        await_ready(&mut first.stdout().unwrap());
        let second = finish(room.start_where(*place, 2, &["leave-traces"], &small()));
        assert_eq!(second.text, "0\n", "{place:?}");
        first.killer().kill("done");
        drop(first.wait_blocking());
    }
}

#[test]
fn a_slot_that_is_used_again_holds_nothing_of_the_run_before_at_any_level() {
    let room = Room::new();
    for level in levels(&room.sandbox) {
        for _ in 0..2 {
            let grant = (&[IpAddr::from([1, 1, 1, 1])][..], &[][..]);
            let ran = finish(room.start_at(level, 3, grant, |_| vec!["leave-traces".into()]));
            assert_eq!(ran.text, "0\n", "level {}", level.name());
        }
    }
}

/// An ordinary user cannot enter the namespaces of its own runs, and filters them all the same. Where the tunnel device is
/// root's own, the test gives it another one, as `udev` does by default.
#[test]
fn an_ordinary_user_gets_level_1_where_it_may_open_the_tunnel_device() {
    if !rustix::process::geteuid().is_root() || variable("PICKET_SLIRP").is_none() {
        println!("not root, or PICKET_SLIRP is not set: not tried");
        return;
    }
    let folder = open_folder();
    let test = "levels::a_machine_with_a_user_mode_stack_gives_level_1";
    let Some(output) = as_ordinary_user(folder.path(), test) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("not tried"), "{text}");
}

/// All of this file at level L0: again in a process whose network is a namespace of the test's own, in which a network
/// helper may do what only root may.
#[test]
fn every_test_of_levels_holds_with_the_network_helper_too() {
    let folder = open_folder();
    // Not one by its name: all of them.
    let words = ["levels::", "nmap::", "battery::", "death::", "limits::", "loopback6::", "neighbors::", "warm::"];
    let Some(output) = with_a_helper(folder.path(), &words, "") else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(" passed"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("level L0 is not tried"), "{text}");
}

#[test]
fn raw_sockets_are_confined_where_the_network_helper_is() {
    let room = Room::new();
    if variable(HELPER_VARIABLE).is_none() {
        println!("no network helper: not tried");
        return;
    }
    let proof = room.sandbox.prove(PROVING);
    assert_eq!((proof.level, proof.raw), (SandboxLevel::L0, true), "{proof:?}");
}

/// The stack reads what hostile targets send: under a worker that is root it has the uid of the slot, and no way back.
#[test]
fn the_stack_of_a_run_is_nobody_while_it_runs() {
    let room = Room::new();
    if !levels(&room.sandbox).contains(&SandboxLevel::L1) {
        return;
    }
    let mut run = room.start_at(SandboxLevel::L1, 9, (&[IpAddr::from([1, 1, 1, 1])], &[]), |_| vec!["daemon".into()]);
    await_ready(&mut run.stdout().unwrap());
    let stacks: Vec<String> = children(std::process::id())
        .into_iter()
        .filter(|pid| command_line(*pid).contains("--configure"))
        .map(|pid| std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap())
        .collect();
    let uid = geteuid().as_raw();
    let expected = if uid == 0 { SandboxSettings::FIRST_SLOT_UID + 9 } else { uid };
    let of = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let own: Vec<&String> =
        stacks.iter().filter(|status| of(status, "Uid:") == vec![expected.to_string(); 4]).collect();
    let [stack] = own[..] else { panic!("expected one stack of uid {expected}: {stacks:#?}") };
    if uid == 0 {
        assert_eq!((of(stack, "Groups:"), of(stack, "Gid:")), (vec![], vec![expected.to_string(); 4]));
        assert_eq!(of(stack, "NoNewPrivs:"), ["1"]);
        assert!(stacks.iter().all(|status| of(status, "Uid:") != vec!["0"; 4]), "none is root: {stacks:#?}");
    }
    assert_eq!(of(stack, "Seccomp:"), ["2"]);
    println!("{:?} {:?} {:?}", of(stack, "Uid:"), of(stack, "CapEff:"), of(stack, "CapBnd:"));
    run.killer().kill("done");
    drop(run.wait_blocking());
}

fn command_line(pid: rustix::process::Pid) -> String {
    std::fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default()
}
