//! Levels and refusals, without a sandbox that could start anything.

use picket_sandbox::{NetdError, SandboxError, SandboxSettings};

use super::*;

/// A sandbox that can prove nothing and starts nothing.
fn without_a_level(folder: &std::path::Path) -> Sandbox {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    Sandbox::new(SandboxSettings {
        prepared: 0,
        cgroup: None,
        bwrap: "/bin/sh".into(),
        tools_root: folder.into(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: None,
        netd: None,
        external_egress: false,
    })
    .unwrap()
}

#[test]
fn a_task_that_was_taken_with_a_level_never_runs_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = without_a_level(folder.path());
    let target = [IpAddr::from([192, 0, 2, 1])];
    let tried = |claimed, is_agreed| way(&sandbox, &target, claimed, is_agreed);
    assert!(matches!(tried(SandboxLevel::L2, true), Err(NotRun::Downgraded)), "nothing was proven yet");
    sandbox.distrust();
    for claimed in [SandboxLevel::L0, SandboxLevel::L1, SandboxLevel::L2] {
        let refused = tried(claimed, false).map(|route| route.level());
        assert!(matches!(refused, Err(NotRun::Downgraded)), "{claimed:?}: {refused:?}");
    }
    // What an operator agreed to counts as the weakest level, and as no other.
    assert!(matches!(tried(SandboxLevel::L1, true), Err(NotRun::Downgraded)));
    assert_eq!(tried(SandboxLevel::L2, true).unwrap().level(), SandboxLevel::None);
}

#[test]
fn a_refusal_for_good_is_told_from_a_failure() {
    let forbidden = SandboxError::Network(NetdError::Forbidden("::1: expected IPv4".into()));
    let NotRun::Unreachable(error) = NotRun::from(forbidden) else { panic!("a failure") };
    assert!(error.to_string().contains("expected IPv4"), "{error}");
    let full = SandboxError::Network(NetdError::Refused("expected a free slot".into()));
    assert!(matches!(NotRun::from(full), NotRun::Sandbox(_)));
}
