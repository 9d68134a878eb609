//! Runs a test again inside of namespaces: as root a network and a mount namespace, otherwise also a user namespace.

use std::{
    env,
    process::{Command, Stdio},
};

const INSIDE: &str = "PICKET_NETD_INSIDE";
/// Set where nothing may be skipped: by a stack whose machine lets it make networks.
const MUST: &str = "PICKET_TEST_NETD_MUST";

/// Runs `body` when this process is inside already; otherwise starts this program again for the test `name` alone.
pub(crate) fn inside(name: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    if let Some(reason) = forbidden() {
        assert!(
            env::var_os(MUST).is_none_or(|word| word.is_empty()),
            "{MUST} is set, and {reason} (iproute2, util-linux)"
        );
        println!("skipped: {reason}");
        return;
    }
    let status = unshare()
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    print!("{output}{}", String::from_utf8_lossy(&status.stderr));
    assert!(status.status.success() && output.contains("1 passed"), "{name} failed inside");
}

fn forbidden() -> Option<&'static str> {
    let works = |mut command: Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
    };
    let mut inner = unshare();
    inner.args(["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"]);
    (!works(inner)).then_some("this machine has no `unshare` or `ip`, or forbids namespaces")
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--kill-child"]);
    command
}
