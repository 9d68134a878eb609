//! The same for an ordinary user: raw frames (S21), doors whose time is over (S23) and every other case of this crate once
//! more in a user namespace, where the helper has its rights from that namespace alone, as it has on no node. On a node it
//! is root whoever the worker is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

/// Each begins the names of a file's tests. The rest of this crate is about who may ask, which needs more than one user.
const CASES: [&str; 8] =
    ["confined::", "connections::", "doors::", "egress::", "lies::", "loopback6::", "stand_ins::", "stray::"];

#[test]
fn every_case_holds_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: every test runs as an ordinary user anyway");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "10001", "--regid", "10001", "--clear-groups", "--"]).arg(&program);
    let output = command.args(CASES).args(["--nocapture", "--test-threads=4"]).current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", text.lines().rfind(|line| line.starts_with("test result")).unwrap_or_default());
    assert!(text.contains(" passed") && !text.contains(" 0 passed"), "{text}");
    for line in text.lines().filter(|line| line.starts_with("skipped: ")) {
        println!("{line} (as an ordinary user)");
    }
}
