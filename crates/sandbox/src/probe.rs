//! The self-test: a program of ours that says, from inside a real sandbox, what it is, which doors it finds open, and
//! whom it reaches. A level is what this finds, never what a setting claims. This module judges; `init/` looks.

use std::collections::HashMap;

use crate::{End, SandboxError, init};

/// The probe as an executable file: it prints its `/proc/self/status` and the doors that it tried. Depends on nothing
/// but the kernel, so it also serves as the smallest program whose start can be measured.
#[must_use]
pub fn probe_program() -> Vec<u8> {
    init::PROGRAM.to_vec()
}

/// Errors that mean that something is not allowed, or is not there: EPERM, ENOENT, EACCES, EROFS, ENOSYS,
/// EPROTONOSUPPORT, EAFNOSUPPORT. Any other says that the kernel looked at the arguments of a call it should have refused.
const CLOSED: [&str; 7] = ["1", "2", "13", "30", "38", "93", "97"];

/// What a connection to a name says at which nobody listens in this network (ECONNREFUSED).
const NOBODY: &str = "111";

/// What the probe tries, whatever the level.
const DOORS: [&str; 12] = [
    "core_pattern",
    "sysrq",
    "raw_sockets",
    "packet_sockets",
    "netfilter",
    "virtual_sockets",
    "mount",
    "bpf",
    "ptrace",
    "keys",
    "io_uring",
    "user_namespaces",
];

/// What a probe is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nobody, without any capability.
    None,
    /// Raw sockets of its own network namespace, and nothing else.
    Raw,
}

/// What the probe said of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The three words it was given.
    pub(crate) address: String,
    /// What became of it.
    pub(crate) what: String,
}

impl Reached {
    /// Whether it was tried over IPv6, which a network may not have at all; a mapped address is one of IPv4.
    pub(crate) fn is_v6(&self) -> bool {
        let address = self.address.split(' ').nth(1).unwrap_or_default();
        address.len() == 32 && !address.starts_with("00000000000000000000ffff")
    }
}

/// Judges what the probe said of itself and of the doors; gives what it said of addresses.
pub(crate) fn judge(end: End, text: &str, rights: Rights) -> Result<Vec<Reached>, SandboxError> {
    if end != End::Exited(0) {
        return unproven(format!("the probe ended with {end:?}"));
    }
    judge_status(text, rights)?;
    let doors: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("door ")?.split_once(' ')).collect();
    for door in DOORS {
        let is_wanted = rights == Rights::Raw && matches!(door, "raw_sockets" | "packet_sockets");
        match doors.get(door) {
            None => return unproven(format!("the probe did not try {door}")),
            Some(&"open") if is_wanted => {}
            Some(found) if is_wanted => return unproven(format!("expected {door}, got error {found}")),
            Some(found) if CLOSED.contains(found) => {}
            Some(found) => return unproven(format!("the probe found a door open: {door} ({found})")),
        }
    }
    let reached = text.lines().filter_map(|line| line.strip_prefix("reach "));
    Ok(reached.filter_map(words_of).collect())
}

/// What the probe found at a door that is not shut everywhere.
fn found<'a>(text: &'a str, door: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("door ")?.split_once(' '))
        .find(|(name, _)| *name == door)
        .map(|(_, found)| found)
}

/// Whether the probe reached the abstract socket of ours that it was told of.
pub(crate) fn reached_abstract(text: &str) -> Result<bool, SandboxError> {
    match found(text, "abstract_socket") {
        Some("open") => Ok(true),
        Some(error) if error == NOBODY || CLOSED.contains(&error) => Ok(false),
        Some(error) => unproven(format!("the probe found a door open: abstract_socket ({error})")),
        None => unproven("the probe did not try abstract_socket".into()),
    }
}

/// Whether Landlock shuts a file that nothing else shuts.
pub(crate) fn files_are_locked(text: &str) -> Result<(), SandboxError> {
    match found(text, "files") {
        Some("13") => Ok(()),
        found => unproven(format!(
            "expected landlock to lock files (Linux 6.2, with landlock in its list of security modules), got {}",
            found.unwrap_or("no answer")
        )),
    }
}

fn words_of(line: &str) -> Option<Reached> {
    let (at, _) = line.match_indices(' ').nth(2)?;
    Some(Reached { address: line.get(..at)?.into(), what: line.get(at + 1..)?.into() })
}

fn judge_status(text: &str, rights: Rights) -> Result<(), SandboxError> {
    let fields: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let (id, capabilities) = match rights {
        Rights::None => ("65534\t65534\t65534\t65534", "0000000000000000"),
        Rights::Raw => ("0\t0\t0\t0", "0000000000002000"),
    };
    let wanted = [
        ("Uid", id),
        ("Gid", id),
        ("CapInh", capabilities),
        ("CapPrm", capabilities),
        ("CapEff", capabilities),
        ("CapBnd", capabilities),
        ("CapAmb", capabilities),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ];
    for (name, expected) in wanted {
        match fields.get(name) {
            Some(value) if *value == expected => {}
            value => return unproven(format!("expected {name} {expected}, got {}", value.unwrap_or(&"nothing"))),
        }
    }
    Ok(())
}

fn unproven<T>(what: String) -> Result<T, SandboxError> {
    Err(SandboxError::NotProven(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let status = "Name:\tprobe\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n\
            CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
            CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let doors: String = DOORS.iter().map(|door| format!("door {door} 1\n")).collect();
        format!("{status}{doors}reach tcp 0a000202 80 connected hello\nreach udp 08080808 53 silent\n")
    }

    fn refused(text: &str) -> bool {
        judge(End::Exited(0), text, Rights::None).is_err()
    }

    #[test]
    fn a_locked_in_probe_is_believed() {
        let reached = judge(End::Exited(0), &good(), Rights::None).unwrap();
        assert_eq!(reached[0], Reached { address: "tcp 0a000202 80".into(), what: "connected hello".into() });
        assert_eq!(reached.len(), 2);
    }

    #[test]
    fn every_door_and_every_field_counts() {
        for line in good().lines().skip(1).filter(|line| !line.starts_with("reach")) {
            assert!(refused(&good().replace(line, "")), "without {line}");
        }
        for door in DOORS {
            for found in ["open", "14", "22"] {
                let open = good().replace(&format!("door {door} 1\n"), &format!("door {door} {found}\n"));
                assert!(refused(&open), "{door} {found}");
            }
        }
        assert!(judge(End::Signaled(31), &good(), Rights::None).is_err());
        assert!(refused(""));
        assert!(refused(&good().replace("CapBnd:\t0000", "CapBnd:\t0001")));
        assert!(refused(&good().replace("Seccomp:\t2", "Seccomp:\t0")));
    }

    #[test]
    fn files_and_abstract_sockets_are_judged_by_their_level() {
        assert!(files_are_locked("door files 13\n").is_ok());
        for text in ["door files open\n", "door files 1\n", ""] {
            assert!(files_are_locked(text).is_err(), "{text}");
        }
        for (text, reached) in
            [("1", Some(false)), ("111", Some(false)), ("open", Some(true)), ("22", None), ("11", None)]
        {
            let judged = reached_abstract(&format!("door abstract_socket {text}\n")).ok();
            assert_eq!(judged, reached, "{text}");
        }
        assert!(reached_abstract("").is_err());
    }

    #[test]
    fn the_right_to_raw_sockets_is_expected_alone() {
        let raw = good().replace("0000000000000000", "0000000000002000").replace("65534", "0");
        assert!(judge(End::Exited(0), &raw, Rights::Raw).is_err(), "raw sockets are closed");
        let raw = raw.replace("raw_sockets 1", "raw_sockets open").replace("packet_sockets 1", "packet_sockets open");
        assert!(judge(End::Exited(0), &raw, Rights::Raw).is_ok());
        assert!(judge(End::Exited(0), &raw, Rights::None).is_err());
        assert!(judge(End::Exited(0), &raw.replace("2000", "3000"), Rights::Raw).is_err());
    }
}
