//! How a child process that reads what strangers made locks itself in, before it reads a byte: memory, processor time,
//! files, and the few calls of the kernel that it needs. It must never be used by a process that has other work to do:
//! nothing here can be taken back.

use std::{collections::BTreeMap, io};

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What a child allows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Bytes of address space, its own program included.
    pub memory_bytes: u64,
    /// Seconds of processor time, in case the parent dies and nobody watches the clock.
    pub cpu_seconds: u64,
    /// Descriptors, the three standard ones included.
    pub open_files: u64,
    /// What it may ask of the kernel.
    pub calls: Calls,
}

/// The calls of the kernel that a child keeps; every other one is refused with `EPERM`. No set opens a socket, starts a
/// program or looks into another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Memory, and the descriptors that are open: reads, computes, writes.
    Compute,
    /// The same, and threads, and files.
    ReadFiles,
}

/// A child that could not lock itself in; it must do nothing else then.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The kernel refuses a limit.
    #[error("expected to limit memory, time and files")]
    Limit(#[source] io::Error),
    /// The kernel has no filter for its calls, or not for this machine.
    #[error("expected a kernel that filters calls (seccomp)")]
    Filter(#[from] seccompiler::Error),
    /// The filter cannot be made for this machine.
    #[error("expected a machine whose calls are known")]
    Machine(#[from] seccompiler::BackendError),
}

impl Confinement {
    /// Enters it, for ever. Call it while the process has one thread.
    ///
    /// # Errors
    /// When the kernel refuses a part; the process is half locked in then, and must end.
    pub fn enter(self) -> Result<(), ConfineError> {
        self.limit().map_err(ConfineError::Limit)?;
        self.calls.keep()
    }

    fn limit(self) -> io::Result<()> {
        let limits = [
            (Resource::As, self.memory_bytes),
            (Resource::Cpu, self.cpu_seconds),
            (Resource::Nofile, self.open_files),
            // No core dump with a customer's data, no file at all.
            (Resource::Core, 0),
            (Resource::Fsize, 0),
        ];
        for (resource, limit) in limits {
            setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        }
        Ok(())
    }
}

impl Calls {
    /// Refuses every other call to this thread and those that it makes.
    fn keep(self) -> Result<(), ConfineError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        let further: &[i64] = if self == Self::ReadFiles { FILES_AND_THREADS } else { &[] };
        let rules: BTreeMap<i64, Vec<_>> = COMPUTE.iter().chain(further).map(|call| (*call, Vec::new())).collect();
        let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1));
        let filter: BpfProgram = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
        Ok(seccompiler::apply_filter(&filter)?)
    }
}

/// What a program of one thread needs that has everything open: pipes, memory, its own signals, its end.
const COMPUTE: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What opening files and making threads takes beyond that.
const FILES_AND_THREADS: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
];

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::ErrorKind,
        net::{TcpListener, UdpSocket},
        os::unix::net::UnixDatagram,
        process::Command,
        thread,
    };

    use super::*;

    /// A filter holds for the thread that asks for it: what it refuses is tried there.
    fn within<T: Send + 'static>(calls: Calls, body: impl FnOnce() -> T + Send + 'static) -> T {
        let confined = move || {
            calls.keep().unwrap();
            body()
        };
        thread::spawn(confined).join().unwrap()
    }

    fn is_refused<T>(what: &io::Result<T>) -> bool {
        what.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn no_set_of_calls_reaches_a_network_or_starts_a_program() {
        for calls in [Calls::Compute, Calls::ReadFiles] {
            let refused = within(calls, || {
                [
                    is_refused(&TcpListener::bind("127.0.0.1:0")),
                    is_refused(&UdpSocket::bind("127.0.0.1:0")),
                    is_refused(&UnixDatagram::unbound()),
                    Command::new("/bin/true").status().is_err(),
                ]
            });
            assert_eq!(refused, [true; 4], "{calls:?}");
        }
    }

    #[test]
    fn files_are_opened_only_by_who_keeps_that() {
        assert!(is_refused(&within(Calls::Compute, || File::open("/dev/null"))));
        assert!(within(Calls::ReadFiles, || File::open("/dev/null")).is_ok());
        assert_eq!(within(Calls::ReadFiles, || thread::spawn(|| 7).join().unwrap()), 7);
    }

    #[test]
    fn what_computes_goes_on() {
        let sum = within(Calls::Compute, || (0..1_000_000_u64).collect::<Vec<_>>().iter().sum::<u64>());
        assert_eq!(sum, 499_999_500_000);
    }
}
