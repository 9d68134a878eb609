//! What a run at level L2 reaches: all that the network around its worker lets pass. Here that network is the test's own: one
//! namespace is the world, another at the end of a cable is the worker's, once without a filter and once with an operator's.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use picket_domain::SandboxLevel;
use picket_netd::{Confined, Confinement};
use rustix::net::{AddressFamily, SocketType, netlink, socket};

use crate::room::{Room, finish, has_ipv6, may_unshare, open_folder, this_test, variable};

/// Where the process is: `world`, or `worker` with the world's port.
const WHERE_VARIABLE: &str = "PICKET_TEST_AROUND";
const TEST: &str = "around::a_run_at_level_2_reaches_what_the_network_around_its_worker_lets_pass";
/// The one that the run may reach, and others: a neighbor, metadata services, a private address, a name server.
const TARGET: &str = "192.0.2.10";
const OTHERS: [&str; 4] = ["192.0.2.20", "169.254.169.254", "10.1.2.3", "192.0.2.53"];
const OTHERS6: [&str; 2] = ["2001:db8::20", "fd00:ec2::254"];
const WORLD: &str = "ip link set lo up || exit 77
    for address in 192.0.2.10 192.0.2.20 169.254.169.254 10.1.2.3 192.0.2.53; do ip addr add $address/32 dev lo; done
    for address in 2001:db8::20 fd00:ec2::254; do ip addr add $address/128 dev lo nodad; done 2>/dev/null
    exec \"$@\"";
/// Its end of the cable comes when the world has made it.
const WORKER: &str = "echo made; read there; ip link set lo up
    ip addr add 10.9.0.2/30 dev cable && ip link set cable up && ip route add default via 10.9.0.1
    ip addr add 2001:db8:9::2/64 dev cable nodad 2>/dev/null && ip -6 route add default via 2001:db8:9::1
    exec \"$@\"";

fn again(folder: &Path, script: &str, place: &str) -> Command {
    let tests = this_test(folder, TEST);
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "sh"]).arg(tests.get_program()).args(tests.get_args());
    command.envs(tests.get_envs().filter_map(|(name, value)| Some((name, value?)))).env(WHERE_VARIABLE, place);
    command.current_dir("/");
    command
}

#[test]
fn a_run_at_level_2_reaches_what_the_network_around_its_worker_lets_pass() {
    let place = variable(WHERE_VARIABLE).and_then(|place| place.into_string().ok());
    match place.as_deref() {
        Some("world") => world(),
        Some(port) => worker(port.parse().unwrap()),
        None => {
            if !rustix::process::geteuid().is_root() || !may_unshare("--net") {
                let must = variable("PICKET_TEST_NETD_MUST").is_some_and(|word| !word.is_empty());
                assert!(!must, "PICKET_TEST_NETD_MUST is set, and no network can be made");
                println!("no network can be made here: not tried");
                return;
            }
            let folder = open_folder();
            let output = again(folder.path(), WORLD, "world").output().unwrap();
            if output.status.code() == Some(77) {
                println!("`ip` cannot bring up a network: not tried");
                return;
            }
            print(&output);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).contains("egress L2 enforced"), "the worker's part ran");
        }
    }
}

fn print(output: &Output) {
    println!("{}", String::from_utf8_lossy(&output.stdout));
}

/// Listens at all of its addresses, and makes the cable to the worker.
fn world() {
    let mut addresses: Vec<IpAddr> = [TARGET].iter().chain(&OTHERS).map(|text| text.parse().unwrap()).collect();
    addresses.extend(OTHERS6.iter().filter(|_| has_ipv6()).map(|text| text.parse::<IpAddr>().unwrap()));
    let first = TcpListener::bind((addresses[0], 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let listeners: Vec<_> = addresses[1..].iter().map(|address| TcpListener::bind((*address, port)).unwrap()).collect();
    let folder = open_folder();
    let mut worker = again(folder.path(), WORKER, &port.to_string());
    let mut worker = worker.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(worker.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "made\n");
    let pid = worker.id();
    let cable = format!(
        "ip link add world type veth peer name cable netns {pid} && ip addr add 10.9.0.1/30 dev world &&
         ip link set world up && (ip addr add 2001:db8:9::1/64 dev world nodad 2>/dev/null || true)"
    );
    assert!(Command::new("sh").args(["-c", &cable]).status().unwrap().success(), "the cable");
    worker.stdin.take().unwrap().write_all(b"there\n").unwrap();
    output.lines().map_while(Result::ok).for_each(|line| println!("{line}"));
    assert!(worker.wait().unwrap().success());
    drop((first, listeners));
}

fn worker(port: u16) {
    let room = Room::new();
    let own = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let own_port = own.local_addr().unwrap().port();
    thread::spawn(move || own.incoming().flatten().for_each(drop));
    let target = format!("tcp:{TARGET}:{port}");
    let mapped = format!("tcp:::ffff:{TARGET}:{port}");
    let mut others: Vec<String> = OTHERS.iter().map(|address| format!("tcp:{address}:{port}")).collect();
    others.extend(OTHERS.iter().map(|address| format!("tcp:::ffff:{address}:{port}")));
    others.extend(OTHERS6.iter().filter(|_| has_ipv6()).map(|address| format!("tcp:{address}:{port}")));
    // Nobody listens there: who is reached says so.
    others.extend(["192.0.2.53", "192.0.2.20"].map(|address| format!("udp:{address}:53")));
    let loopback = ["127.0.0.1", "10.9.0.2"].map(|address| format!("tcp:{address}:{own_port}"));
    let words: Vec<String> = [target, mapped].into_iter().chain(loopback).chain(others).collect();
    let reached = |what: &str| {
        let grant = (&[TARGET.parse().unwrap()][..], &[][..]);
        let all = ["reach".to_owned()].into_iter().chain(words.clone()).collect::<Vec<_>>();
        let ran = finish(room.start_at(SandboxLevel::L2, 1, grant, |_| all.clone()));
        println!("egress L2 {what}\n{}", ran.text);
        assert_eq!((ran.text.lines().count(), ran.outcome.dropped_packets), (words.len(), None), "{}", ran.text);
        let is_reached = |line: &str| line.ends_with("\tconnected") || line.ends_with("\tECONNREFUSED");
        ran.text.lines().map(is_reached).collect::<Vec<bool>>()
    };
    assert!(reached("open").iter().all(|is| *is), "nobody enforces anything");
    // What an operator may do around a worker: whom it may speak to is listed, and all else is dropped.
    let filter = socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::NETFILTER)).unwrap();
    let listed = Confinement { addresses: vec![TARGET.parse().unwrap()], gateway: None };
    let mut confined = Confined::install(filter, &listed).unwrap();
    let enforced = reached("enforced");
    assert!(enforced[..4].iter().all(|is| *is), "the target, and the worker's own machine");
    assert!(enforced[4..].iter().all(|is| !*is), "{enforced:?}");
    let dropped = confined.dropped().unwrap();
    println!("dropped {dropped}");
    assert!(dropped >= u64::try_from(enforced.len() - 4).unwrap(), "{dropped}");
}
