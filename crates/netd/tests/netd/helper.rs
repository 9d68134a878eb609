//! A helper on a small node: the namespace of the test is the node, another one is the Internet behind it.

use std::{
    env,
    net::IpAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use picket_netd::{Grant, Lease, Mode, NetdClient, NetdError, NetdSettings, ServeError, serve};
use tempfile::TempDir;

use crate::{
    probe::{self, Hits, until},
    space::Space,
};

/// Tells a process that a test starts where the helper listens.
pub(crate) const SOCKET: &str = "PICKET_NETD_SOCKET";
const MASQUERADE: &str = "PICKET_NETD_MASQUERADE";

/// Who may be reached in the tests.
pub(crate) const TARGET: &str = "203.0.113.10";
/// Another customer's machine.
pub(crate) const OTHER: &str = "203.0.113.20";
/// The same for IPv6.
pub(crate) const TARGET6: &str = "2001:db8:1::10";

/// Everything that answers in the Internet but the target.
pub(crate) const OTHERS: [&str; 6] =
    [OTHER, "169.254.169.254", "10.0.0.5", "198.51.100.7", "2001:db8:1::20", "fd00:ec2::254"];

/// The node and the Internet. `target` and `others` count what came.
pub(crate) struct World {
    pub(crate) node: Space,
    pub(crate) internet: Space,
    pub(crate) target: Hits,
    pub(crate) others: Hits,
    pub(crate) loopback: Hits,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let (node, internet) = (Space::here(), Space::new());
        for space in [&node, &internet] {
            // Otherwise a link's own IPv6 address cannot be used in its first second.
            let at_once =
                |which: &str| std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/accept_dad"), "0").unwrap();
            space.run(|| ["all", "default"].map(at_once));
            // A new namespace takes this from the machine, where a container engine may have switched it on.
            space.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap());
        }
        node.wire("eth0", &internet, "world0");
        node.ip("link set lo up\n addr add 192.0.2.2/24 dev eth0\n addr add 2001:db8:ffff::2/64 dev eth0 nodad\n link set eth0 up");
        node.ip("route add default via 192.0.2.1\n route add default via 2001:db8:ffff::1");
        internet
            .ip("link set lo up\n addr add 192.0.2.1/24 dev world0\n addr add 2001:db8:ffff::1/64 dev world0 nodad");
        for address in OTHERS.iter().chain([&TARGET, &TARGET6]) {
            let (prefix, rest) = if address.contains(':') { ("128", "nodad") } else { ("32", "") };
            internet.ip(&format!("addr add {address}/{prefix} dev world0 {rest}"));
        }
        // Looking at a link makes the kernel look at it too.
        internet.ip("link set world0 up\n -oneline link show dev world0");
        node.ip("-oneline link show dev eth0");
        let target = probe::serve(&internet, &[TARGET, TARGET6], 80);
        let others = probe::serve(&internet, &OTHERS, 80);
        probe::serve(&internet, &OTHERS, 53);
        let loopback = probe::serve(&node, &["127.0.0.1"], 8080);
        probe::serve(&node, &["127.0.0.1", "127.0.0.2"], 9000);
        probe::serve(&node, &["192.0.2.2", "::1"], 80);
        Self { node, internet, target, others, loopback, folder: TempDir::new().unwrap() }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("netd.sock")
    }

    pub(crate) fn client(&self) -> NetdClient {
        NetdClient::new(self.socket())
    }

    /// Connects a new namespace.
    pub(crate) fn open(&self, grant: &Grant) -> (Space, Lease) {
        let space = Space::new();
        let lease = self.client().open(space.fd(), grant).unwrap();
        (space, lease)
    }
}

/// The settings of every helper in the tests.
pub(crate) fn settings(socket: &Path, masquerade: bool) -> NetdSettings {
    let listed = ["203.0.113.0/24", "2001:db8:1::/48", "127.0.0.1/32", "192.0.2.2/32"];
    // An ordinary user's namespace has no such group.
    let gid = std::fs::read_to_string("/proc/self/gid_map").unwrap().contains("4294967295").then_some(10_003);
    NetdSettings {
        socket: socket.to_owned(),
        allow_internal: listed.iter().map(|net| net.parse().unwrap()).collect(),
        ipv6: true,
        masquerade,
        uids: gid.iter().map(|_| 10_002).collect(),
        gid,
        ..NetdSettings::default()
    }
}

/// A request for some addresses, for ten minutes.
pub(crate) fn grant(addresses: &[&str]) -> Grant {
    let addresses = addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()).collect();
    Grant { addresses, ports: vec![(8080, 8080)], ttl_ms: 600_000, mode: Mode::Raw }
}

/// A helper in a thread of the test.
pub(crate) struct Threaded {
    stop: UnixStream,
    served: JoinHandle<Result<(), ServeError>>,
}

pub(crate) fn start(world: &World, masquerade: bool) -> Threaded {
    start_with(world, settings(&world.socket(), masquerade))
}

pub(crate) fn start_with(world: &World, settings: NetdSettings) -> Threaded {
    let (stop, told) = UnixStream::pair().unwrap();
    let served = thread::spawn(move || serve(&settings, told.as_fd()));
    ready(world);
    Threaded { stop, served }
}

impl Threaded {
    pub(crate) fn stop(self) {
        drop(self.stop);
        self.served.join().unwrap().unwrap();
    }
}

fn ready(world: &World) {
    until("the helper answers", || match world.client().status() {
        Ok(_) => true,
        Err(NetdError::Unreachable(_)) => false,
        Err(error) => panic!("{error}"),
    });
}

/// A helper in a process of its own, which can be stopped and killed. It dies with the test.
pub(crate) struct Process(pub(crate) Child);

pub(crate) fn spawn(world: &World) -> Process {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "helper::process", "--include-ignored", "--nocapture"])
        .env(SOCKET, world.socket())
        .env(MASQUERADE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    ready(world);
    Process(child)
}

impl Process {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test: the helper as a process, when a test starts it. It stops when the test closes its standard input.
#[test]
#[ignore = "the helper that other tests start"]
fn process() {
    let Some(socket) = env::var_os(SOCKET) else { return };
    let settings = settings(Path::new(&socket), env::var_os(MASQUERADE).is_some());
    serve(&settings, rustix::stdio::stdin()).unwrap();
}
