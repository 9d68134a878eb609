//! The system call filter: an allow-list, everything else is refused with `EPERM`.
//!
//! Measured to run nmap, sslscan, testssl.sh (bash and openssl), Python with threads and asyncio, Ruby and Perl.
//! A call is added here only with the tool that needs it; what no tool needs stays out, however harmless it looks.

mod calls;

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::SandboxError;

/// Every flag of `clone(2)` that makes a namespace. `CLONE_NEWTIME` (0x80) lies within the exit signal's bits, of
/// which no signal uses that one.
const NEW_NAMESPACE: u64 = 0x7e02_0080;

/// Low bits of a socket's type; the others are `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const SOCKET_TYPE: u64 = 0xf;

/// The families and types of sockets a tool may make: (family, type, protocols). Pinning the protocol keeps out what
/// hides behind a harmless type, as SCTP behind a stream and ping behind a datagram.
const SOCKETS: [(u64, u64, &[u64]); 9] = [
    (1, 1, &[0]),      // unix stream
    (1, 2, &[0]),      // unix datagram
    (1, 5, &[0]),      // unix packets in order
    (2, 1, &[0, 6]),   // IPv4 TCP
    (2, 2, &[0, 17]),  // IPv4 UDP
    (10, 1, &[0, 6]),  // IPv6 TCP
    (10, 2, &[0, 17]), // IPv6 UDP
    (16, 2, &[0]),     // netlink, routes only: which interface leads to a target
    (16, 3, &[0]),     // the same, as the C library asks for it
];

/// What a tool may make as well where it has the right to raw sockets, with any protocol: (family, type).
const RAW_SOCKETS: [(u64, u64); 4] = [
    (2, 3),  // IPv4 raw
    (10, 3), // IPv6 raw
    (17, 2), // frames without their header
    (17, 3), // frames
];

/// Requests of `ioctl(2)` that put words into a terminal's mouth: `TIOCSTI`, `TIOCLINUX`, `TIOCSETD`.
const TERMINAL_REQUESTS: [u64; 3] = [0x5412, 0x541c, 0x5423];

/// The two filters in the form the kernel loads, in the order of installation.
pub(crate) struct Filters([Vec<u8>; 2]);

impl Filters {
    /// Builds both for this machine; for a tool that may use raw sockets, or for one that may not.
    pub(crate) fn new(is_raw: bool) -> Result<Self, SandboxError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1));
        let listed: BpfProgram =
            SeccompFilter::new(allowed(is_raw)?, refuse, SeccompAction::Allow, arch)?.try_into()?;
        // The flags of clone3 lie in memory, where no filter can read them: with ENOSYS every C library falls back to
        // clone. It is allowed by the first filter, since the newest of several refusals decides the error number.
        let missing = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or(38));
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let without: BpfProgram = SeccompFilter::new(clone3, SeccompAction::Allow, missing, arch)?.try_into()?;
        Ok(Self([bytes(&listed), bytes(&without)]))
    }

    /// The filters' bytes, one after the other.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

fn allowed(is_raw: bool) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls::always().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![all_of([masked(0, NEW_NAMESPACE, 0)?])?]);
    let [a, b, c] = TERMINAL_REQUESTS;
    rules.insert(libc::SYS_ioctl, vec![all_of([not(1, a)?, not(1, b)?, not(1, c)?])?]);
    // The ordinary persona, or only asking which it is.
    rules.insert(libc::SYS_personality, vec![all_of([is(0, 0)?])?, all_of([is(0, 0xffff_ffff)?])?]);
    let (mut sockets, mut pairs) = (Vec::new(), Vec::new());
    for (family, kind, protocols) in SOCKETS {
        for protocol in protocols {
            let rule = all_of([is(0, family)?, masked(1, SOCKET_TYPE, kind)?, is(2, *protocol)?])?;
            if family == 1 {
                pairs.push(rule.clone());
            }
            sockets.push(rule);
        }
    }
    for (family, kind) in RAW_SOCKETS.into_iter().filter(|_| is_raw) {
        sockets.push(all_of([is(0, family)?, masked(1, SOCKET_TYPE, kind)?])?);
    }
    rules.insert(libc::SYS_socket, sockets);
    rules.insert(libc::SYS_socketpair, pairs);
    Ok(rules)
}

fn all_of<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into())
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn not(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
}

/// A `struct sock_filter` array as it lies in memory.
fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |line: &seccompiler::sock_filter| {
        let [c0, c1] = line.code.to_ne_bytes();
        let [k0, k1, k2, k3] = line.k.to_ne_bytes();
        [c0, c1, line.jt, line.jf, k0, k1, k2, k3]
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_whole_instructions_and_fit_the_kernel() {
        for is_raw in [false, true] {
            for filter in Filters::new(is_raw).unwrap().bytes() {
                assert_eq!(filter.len() % 8, 0);
                assert!(filter.len() / 8 <= 4096, "{} instructions", filter.len() / 8);
            }
        }
    }

    #[test]
    fn what_opens_the_kernel_is_not_on_the_list() {
        let list: Vec<i64> = calls::always().collect();
        for call in [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_ptrace,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_memfd_create,
            libc::SYS_seccomp,
            libc::SYS_shmget,
            libc::SYS_pidfd_getfd,
            libc::SYS_process_vm_readv,
        ] {
            assert!(!list.contains(&call), "{call}");
        }
    }

    #[test]
    fn a_call_with_a_rule_is_not_listed_without_one() {
        let list: Vec<i64> = calls::always().collect();
        for call in [libc::SYS_clone, libc::SYS_ioctl, libc::SYS_personality, libc::SYS_socket, libc::SYS_socketpair] {
            assert!(!list.contains(&call), "{call}");
        }
    }
}
