//! A network helper of the test's own, in a network namespace where it may do what only root may: for level L0.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::{Duration, Instant},
};

use picket_netd::{NetdClient, NetdSettings, serve};

use crate::room::variable;

/// Set for a process that is in such a namespace: the folder of its socket.
const HELPER_VARIABLE: &str = "PICKET_TEST_NETD";
/// Set where nothing of level L0 may be skipped: by a stack whose machine lets root make networks.
const MUST_VARIABLE: &str = "PICKET_TEST_NETD_MUST";

/// The socket of this process's helper, if it may have one; it serves until the process ends.
pub(crate) fn helper() -> Option<PathBuf> {
    static SERVING: OnceLock<PathBuf> = OnceLock::new();
    let folder = variable(HELPER_VARIABLE)?;
    Some(SERVING.get_or_init(|| serve_network(&folder)).clone())
}

fn serve_network(folder: &Path) -> PathBuf {
    let socket = folder.join("netd.sock");
    let settings = NetdSettings {
        socket: socket.clone(),
        allow_internal: vec!["127.0.0.0/8".parse().unwrap()],
        ..NetdSettings::default()
    };
    std::thread::spawn(move || {
        // Never told to stop: its end is the process's.
        let (stop, _kept) = UnixStream::pair().unwrap();
        panic!("the network helper ended: {:?}", serve(&settings, stop.as_fd()));
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while NetdClient::new(socket.clone()).status().is_err() {
        assert!(Instant::now() < deadline, "the network helper: not within 20 s");
        std::thread::yield_now();
    }
    socket
}

/// Whether this process has a helper.
pub(crate) fn is_here() -> bool {
    variable(HELPER_VARIABLE).is_some()
}

/// Runs these tests of this program again where they have a helper. Nothing, with a message, where that is not possible.
pub(crate) fn with_a_helper(tests: &[&str]) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up || exit 77; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap()).arg("--exact").args(tests);
    command.args(["--nocapture", "--test-threads=1"]);
    let output = command.env(HELPER_VARIABLE, folder.path()).output().unwrap();
    let is_there = String::from_utf8_lossy(&output.stdout).contains(&format!("running {} test", tests.len()));
    if is_there {
        return Some(output);
    }
    let must = variable(MUST_VARIABLE).is_some_and(|word| !word.as_os_str().is_empty());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!must, "{MUST_VARIABLE} is set, and no network namespace can be made: {said}");
    println!("no network namespace can be made here: level L0 is not tried");
    None
}
