//! Raw sockets are a proof of their own: what speaks in another's name must be dropped, and counted (case S21).

use std::path::Path;
use std::process::{Command, Output};

use picket_domain::SandboxLevel;

use crate::levels::PROVING;
use crate::room::{HELPER_VARIABLE, OWN_ADDRESSES, Room, may_unshare, open_folder, this_test, variable};

/// Set where nothing of level L0 may be skipped: by a stack whose machine lets root make networks.
const MUST_VARIABLE: &str = "PICKET_TEST_NETD_MUST";

/// Runs tests of this program in a network namespace of their own, in which a network helper may do what only root may.
/// Nothing where that is not possible, or in a process that is there already.
pub(crate) fn with_a_helper(folder: &Path, words: &[&str], failpoints: &str) -> Option<Output> {
    if !rustix::process::geteuid().is_root() || variable(HELPER_VARIABLE).is_some() {
        println!("not root, or this is the second process: not tried");
        return None;
    }
    if !may_unshare("--net") {
        assert!(
            variable(MUST_VARIABLE).is_none_or(|word| word.is_empty()),
            "{MUST_VARIABLE} is set, and no network namespace can be made"
        );
        return None;
    }
    let tests = this_test(folder, "");
    let mut command = Command::new("unshare");
    let script = format!("{OWN_ADDRESSES} exec \"$@\"");
    command.args(["--net", "sh", "-c", &script, "sh"]).arg(tests.get_program());
    command.args(words).args(["--nocapture", "--test-threads=1"]);
    command.envs(tests.get_envs().filter_map(|(name, value)| Some((name, value?))));
    for name in ["PICKET_SLIRP", "PICKET_TOOLS_ROOT"] {
        command.envs(variable(name).map(|value| (name, value)));
    }
    command.env("FAILPOINTS", failpoints);
    let output = command.env(HELPER_VARIABLE, folder).current_dir("/").output().unwrap();
    if output.status.code() == Some(77) {
        assert!(
            variable(MUST_VARIABLE).is_none_or(|word| word.is_empty()),
            "{MUST_VARIABLE} is set, and `ip` (iproute2) cannot bring up a network"
        );
        println!("no network namespace can be made here: not tried");
        return None;
    }
    println!("{}", String::from_utf8_lossy(&output.stdout));
    Some(output)
}

#[test]
fn raw_sockets_are_not_proven_where_the_filter_forgets_who_speaks() {
    let folder = open_folder();
    let words = ["--exact", "raw::a_filter_without_its_rule_on_sources", "--include-ignored"];
    let Some(output) = with_a_helper(folder.path(), &words, "netd::source_rule=return(out)") else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs a helper whose filter is broken: the test above starts it"]
fn a_filter_without_its_rule_on_sources() {
    if variable(HELPER_VARIABLE).is_none() {
        return;
    }
    picket_faults::arm();
    assert!(picket_faults::without("netd::source_rule"), "the filter is whole");
    let proof = Room::new().sandbox.prove(PROVING);
    println!("{}", proof.reasons());
    assert_eq!((proof.level, proof.raw), (SandboxLevel::L0, false), "{proof:?}");
    assert!(proof.reasons().contains("raw sockets: "), "{proof:?}");
    assert!(proof.reasons().contains("expected 4 packets to be dropped"), "{proof:?}");
}
