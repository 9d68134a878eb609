//! A sandbox of a test: a folder of tool roots that holds the hostile program, and short ways to run it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::Read;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use picket_domain::{Egress, Invocation, Network, SandboxLevel};
use picket_netd::{NetdClient, NetdSettings, serve};
use picket_sandbox::{Limits, MOUNT_POINTS, Outcome, Run, Sandbox, SandboxError, SandboxSettings};
use tempfile::TempDir;

/// Where a program that was compiled before lies; set for child processes that must not compile again.
pub(crate) const HOSTILE_VARIABLE: &str = "PICKET_TEST_HOSTILE";

/// The only place where these tests read the environment.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Set for a process that is in a network namespace of the test's own and may run a network helper there.
pub(crate) const HELPER_VARIABLE: &str = "PICKET_TEST_NETD";

/// The levels that must hold here, separated by blanks: a stack that has everything they need sets it.
pub(crate) const LEVELS_VARIABLE: &str = "PICKET_TEST_LEVELS";

/// The socket of a network helper that another process serves.
pub(crate) const SOCKET_VARIABLE: &str = "PICKET_TEST_NETD_SOCKET";

/// The socket of this process's network helper, if it may have one; it serves until the process ends.
pub(crate) fn helper() -> Option<PathBuf> {
    if let Some(socket) = variable(SOCKET_VARIABLE) {
        return Some(socket.into());
    }
    static SERVING: OnceLock<PathBuf> = OnceLock::new();
    let folder = PathBuf::from(variable(HELPER_VARIABLE)?);
    Some(SERVING.get_or_init(|| serve_network(&folder)).clone())
}

fn serve_network(folder: &Path) -> PathBuf {
    let socket = folder.join("netd.sock");
    let settings = NetdSettings {
        socket: socket.clone(),
        allow_internal: ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).into(),
        ipv6: has_ipv6(),
        slots: 1024,
        ..NetdSettings::default()
    };
    std::thread::spawn(move || {
        // Never told to stop: its end is the process's.
        let (stop, _kept) = UnixStream::pair().unwrap();
        panic!("the network helper ended: {:?}", serve(&settings, stop.as_fd()));
    });
    crate::process::eventually("the network helper", || NetdClient::new(socket.clone()).status().is_ok());
    socket
}

/// Whether the kernel has IPv6 at all.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6/conf/all/forwarding").exists()
}

/// Another helper beside the first, and what ends it when it is dropped.
pub(crate) fn second_helper(folder: &Path) -> (PathBuf, UnixStream) {
    let socket = folder.join("second.sock");
    let settings = NetdSettings {
        socket: socket.clone(),
        name: "pksecond".into(),
        range: "198.19.128.0/19".parse().unwrap(),
        ..NetdSettings::default()
    };
    let (stop, kept) = UnixStream::pair().unwrap();
    std::thread::spawn(move || serve(&settings, stop.as_fd()).unwrap());
    crate::process::eventually("the second helper", || NetdClient::new(socket.clone()).status().is_ok());
    (socket, kept)
}

pub(crate) fn bwrap() -> PathBuf {
    let path = variable("PICKET_BWRAP").map_or_else(|| PathBuf::from("/usr/bin/bwrap"), PathBuf::from);
    assert!(path.exists(), "bubblewrap is missing at {}: install it, or set PICKET_BWRAP", path.display());
    path
}

/// The compiled hostile program.
pub(crate) fn hostile() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| variable(HOSTILE_VARIABLE).map_or_else(compile, PathBuf::from))
}

fn compile() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/hostile.c");
    // Other processes may compile at the same time: each under its own name, and the last one wins.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
    let unfinished = target.with_extension(std::process::id().to_string());
    let compiled = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Wextra", "-o"])
        .args([unfinished.as_os_str(), source.as_os_str()])
        .status()
        .expect("a C compiler `cc` with a static C library is needed");
    assert!(compiled.success(), "cannot compile {}", source.display());
    fs::rename(unfinished, &target).unwrap();
    target
}

/// A temporary folder that every uid can reach.
pub(crate) fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

pub(crate) struct Room {
    pub(crate) folder: TempDir,
    pub(crate) sandbox: Sandbox,
}

/// Where a run is: without a network, or at a level.
pub(crate) type Place = Option<SandboxLevel>;

/// Output and end of a run.
pub(crate) struct Ran {
    pub(crate) text: String,
    pub(crate) outcome: Outcome,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::furnished(open_folder())
    }

    /// A room whose folder lies in another one, and goes with it should this process be killed.
    pub(crate) fn new_in(parent: &Path) -> Self {
        let folder = tempfile::tempdir_in(parent).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Self::furnished(folder)
    }

    fn furnished(folder: TempDir) -> Self {
        furnish(&folder.path().join("hostile"));
        let sandbox = Sandbox::new(settings(folder.path())).unwrap();
        Self { folder, sandbox }
    }

    pub(crate) fn start(&self, words: &[&str], limits: &Limits) -> Run {
        self.start_in(0, Network::None, words, limits).unwrap()
    }

    pub(crate) fn start_in(
        &self,
        slot: u32,
        network: Network,
        words: &[&str],
        limits: &Limits,
    ) -> Result<Run, SandboxError> {
        let route = self.sandbox.route_at(SandboxLevel::L2, &[])?;
        self.sandbox.start_by(&route, slot, &invocation(network, words), limits)
    }

    /// Starts a run that may reach these addresses at `level`; `words` get the addresses under which it sees them.
    pub(crate) fn start_at(
        &self,
        level: SandboxLevel,
        slot: u32,
        (addresses, ports): (&[IpAddr], &[(u16, u16)]),
        words: impl Fn(&[IpAddr]) -> Vec<String>,
    ) -> Run {
        let route = self.sandbox.route_at(level, addresses).unwrap();
        let inside: Vec<IpAddr> = addresses.iter().map(|address| route.inside(*address)).collect();
        let mut reaching = invocation(Network::Connect, &[]);
        reaching.args = words(&inside);
        reaching.egress = Egress { addresses: inside, ports: ports.to_vec() };
        self.sandbox.start_by(&route, slot, &reaching, &small()).unwrap()
    }

    /// Starts a run without a network, or connected as a level does it.
    pub(crate) fn start_where(&self, place: Place, slot: u32, words: &[&str], limits: &Limits) -> Run {
        let Some(level) = place else { return self.start_in(slot, Network::None, words, limits).unwrap() };
        let mut connected = invocation(Network::Connect, words);
        connected.egress.addresses = vec![[1, 1, 1, 1].into()];
        let route = self.sandbox.route_at(level, &[]).unwrap();
        self.sandbox.start_by(&route, slot, &connected, limits).unwrap()
    }

    /// Runs to the end and reads everything.
    pub(crate) fn run(&self, words: &[&str], limits: &Limits) -> Ran {
        finish(self.start(words, limits))
    }
}

pub(crate) fn invocation(network: Network, words: &[&str]) -> Invocation {
    let args = words.iter().map(ToString::to_string).collect();
    Invocation { args, network, ..Invocation::of("hostile", "/usr/bin/hostile") }
}

/// Limits that end a test within seconds whatever happens.
pub(crate) fn small() -> Limits {
    Limits { wall: Duration::from_secs(20), ..Limits::default() }
}

pub(crate) fn settings(tools_root: &Path) -> SandboxSettings {
    SandboxSettings {
        bwrap: bwrap(),
        tools_root: tools_root.to_owned(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: variable("PICKET_SLIRP").map(PathBuf::from),
        netd: helper(),
        external_egress: true,
        prepared: 0,
        cgroup: None,
    }
}

pub(crate) fn finish(mut run: Run) -> Ran {
    let mut bytes = Vec::new();
    run.stdout().unwrap().read_to_end(&mut bytes).unwrap();
    let outcome = run.wait_blocking();
    Ran { text: String::from_utf8_lossy(&bytes).into_owned(), outcome }
}

/// Waits for the word `ready`, which a mode says when it has done what it does.
pub(crate) fn await_ready(output: &mut impl Read) {
    let mut word = [0; 6];
    output.read_exact(&mut word).expect("the program ended before it was ready");
    assert_eq!(&word, b"ready\n");
}

/// A tool root of mount points and the hostile program, once as it is and once setuid.
fn furnish(root: &Path) {
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    for place in MOUNT_POINTS {
        match place.strip_prefix("etc/") {
            Some(_) => fs::write(root.join(place), "not covered").unwrap(),
            None => fs::create_dir(root.join(place)).unwrap(),
        }
    }
    fs::write(root.join("etc/passwd"), "tool:x:65534:65534::/scratch:/\n").unwrap();
    for (name, mode) in [("hostile", 0o755), ("setuid", 0o6755)] {
        let program = root.join("usr/bin").join(name);
        copy(hostile(), &program);
        fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
    }
}

/// Copies a program in another process. A copy made here would be open for writing in every process that a test beside
/// this one starts at that moment, and what is open for writing cannot be executed.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("--").arg(from).arg(to).status().unwrap().success());
}

/// A copy of this test program where every uid can run it, and the command that runs one of its tests.
pub(crate) fn this_test(folder: &Path, test: &str) -> Command {
    let program = folder.join("tests");
    if !program.exists() {
        copy(&std::env::current_exe().unwrap(), &program);
        copy(hostile(), &folder.join("hostile.program"));
        for name in ["tests", "hostile.program"] {
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o755)).unwrap();
        }
    }
    let mut command = Command::new(program);
    command.args(one(test));
    command.env("PICKET_BWRAP", bwrap()).env(HOSTILE_VARIABLE, folder.join("hostile.program")).current_dir("/");
    command.env("TMPDIR", OsStr::new("/tmp"));
    command.envs(variable("PICKET_SLIRP").map(|slirp| ("PICKET_SLIRP", slirp)));
    command
}

/// The words that run one test.
const fn one(test: &str) -> [&str; 5] {
    ["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"]
}

/// Whether root may make such a namespace here: in a container without `CAP_SYS_ADMIN` it may not.
pub(crate) fn may_unshare(kind: &str) -> bool {
    let may = Command::new("unshare").args([kind, "true"]).status().is_ok_and(|status| status.success());
    if !may {
        println!("unshare {kind} is not allowed here: not tried");
    }
    may
}

/// Runs one of these tests as an ordinary user. Where the tunnel device is root's own it gets another one, as `udev` makes
/// it by default. Nothing when none can be made.
pub(crate) fn as_ordinary_user(folder: &Path, test: &str) -> Option<Output> {
    with_a_tunnel(folder, &one(test), "")
}

/// The same for all tests whose names begin so.
pub(crate) fn all_as_ordinary_user(folder: &Path, tests: &str) -> Option<Output> {
    with_a_tunnel(folder, &[tests, "--nocapture", "--test-threads=1"], "")
}

/// The same in a network that has nothing but the addresses of IPv6 that [`OWN_ADDRESSES`] gives it.
pub(crate) fn all_as_ordinary_user_with_ipv6(folder: &Path, tests: &str) -> Option<Output> {
    with_a_tunnel(folder, &[tests, "--nocapture", "--test-threads=1"], OWN_ADDRESSES)
}

/// Shell that gives a new network namespace its loopback, and addresses that nobody else has (RFC 3849) where it has IPv6.
pub(crate) const OWN_ADDRESSES: &str = "ip link set lo up || exit 77
    for address in 2001:db8:5::1 2001:db8:5::2; do ip addr add $address/128 dev lo nodad; done 2>/dev/null
";

fn with_a_tunnel(folder: &Path, words: &[&str], network: &str) -> Option<Output> {
    let kinds = if network.is_empty() { ["--mount"].as_slice() } else { &["--mount", "--net"] };
    if !kinds.iter().all(|kind| may_unshare(kind)) {
        return None;
    }
    let tests = this_test(folder, "");
    let script = "mknod -m 666 $0/tun c 10 200 && mount --bind $0/tun /dev/net/tun || exit 77
        exec setpriv --reuid 10001 --regid 10001 --clear-groups -- \"$@\"";
    let mut command = Command::new("unshare");
    let script = format!("{network}{script}");
    command.args(kinds).args(["sh", "-c", &script]).arg(folder).arg(tests.get_program()).args(words);
    command.envs(tests.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.env_remove(HELPER_VARIABLE).current_dir("/").output().unwrap();
    if output.status.code() == Some(77) {
        println!("no device can be made here: not tried");
        return None;
    }
    Some(output)
}
