//! The system calls for which no safe binding exists, and the copy of a process that the library offers as unsafe.
//!
//! The one dangerous thing here is [`clone_sandbox`]: it makes a copy of a process that has other threads, so a lock
//! that one of them held stays locked in the copy for ever. Everything between it and [`execute`] must
//! therefore be async-signal-safe: system calls on memory that was prepared before, no allocation, no lock, no panic.
//! That part is `child.rs`, and nothing else is called there. This module never decides anything about a sandbox.
#![expect(
    unsafe_code,
    reason = "clone3, execve, sigaction, close_range, unshare and landlock_restrict_self have no safe binding"
)]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::{null, null_mut};

use rustix::io::Errno;

use crate::child::{self, Plan};

/// Where [`keep_only`] puts what it keeps.
const HANDSHAKE: RawFd = 3;
const SCOPE: RawFd = 4;

/// The namespaces of the sandbox's first process. bwrap makes further ones inside; these let one kill end them all.
const NAMESPACES: c_int = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS;

/// Room for the pointers that `execve(2)` wants, made before the clone.
pub(crate) struct Pointers(Vec<*const c_char>);

impl Pointers {
    /// Room for so many words.
    pub(crate) fn new(words: usize) -> Self {
        Self(vec![null(); words.saturating_add(1)])
    }
}

/// In the child: becomes the program that the first of these words names, each ended by a NUL; the environment is empty.
/// Returns only what went wrong.
pub(crate) fn execute(words: &[u8], Pointers(pointers): &mut Pointers) -> Errno {
    let environment: [*const c_char; 1] = [null()];
    let (mut rest, mut places) = (words, pointers.iter_mut());
    while !rest.is_empty() {
        let Ok(word) = CStr::from_bytes_until_nul(rest) else { return Errno::INVAL };
        let Some(place) = places.next() else { return Errno::TOOBIG };
        *place = word.as_ptr();
        rest = rest.get(word.count_bytes().saturating_add(1)..).unwrap_or_default();
    }
    let Some(place) = places.next() else { return Errno::TOOBIG };
    *place = null();
    let Some(program) = pointers.first().filter(|program| !program.is_null()) else { return Errno::INVAL };
    // SAFETY: `pointers` holds pointers into `words`, each to a string that ends with NUL, and a null after the last.
    unsafe { libc::execve(*program, pointers.as_ptr(), environment.as_ptr()) };
    last_errno()
}

/// Starts a copy of this process in new user, pid and mount namespaces, which runs `child::run` and never returns.
/// Gives its pid and a pidfd, which names that process for ever, whatever happens to the number.
pub(crate) fn clone_sandbox(plan: &mut Plan) -> io::Result<(c_int, OwnedFd)> {
    let mut pidfd: c_int = -1;
    let network = if plan.own_network { libc::CLONE_NEWNET } else { 0 };
    let arguments = libc::clone_args {
        flags: bits(NAMESPACES | network | libc::CLONE_PIDFD)?,
        pidfd: u64::try_from((&raw mut pidfd).expose_provenance()).map_err(io::Error::other)?,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: bits(libc::SIGCHLD)?,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of all memory and goes on with this stack.
    // `arguments` and `pidfd` outlive the call. What the child does is bound by this module's rule.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match c_int::try_from(pid).map_err(io::Error::other)? {
        0 => child::run(plan),
        pid if pid > 0 => {
            // SAFETY: the kernel has just stored a new descriptor there, which nobody else knows.
            Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn bits(flags: c_int) -> io::Result<u64> {
    u64::try_from(flags).map_err(io::Error::other)
}

/// Lets a child that `command` starts do `work` between its making and the program. The same rule holds for it as for
/// `child.rs`: system calls on memory that was prepared before.
pub(crate) fn before_exec(
    command: &mut Command,
    work: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> &mut Command {
    // SAFETY: what is handed in here keeps to the rule above.
    unsafe { command.pre_exec(work) }
}

/// In the child of [`before_exec`]: mounts of its own. It has no other thread, and its table of descriptors stays.
pub(crate) fn own_mounts() -> Result<(), Errno> {
    // SAFETY: takes one number, and changes only what paths mean for this process.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Blocks every signal in this thread and so, at first, in the processes it makes: until a child has dropped the
/// handlers it copied, a signal would run the worker's handlers in it and write to the worker's own wake-up pipe.
pub(crate) fn block_signals() {
    // SAFETY: a `sigset_t` is plain data for which zero is valid, and it outlives the calls.
    unsafe {
        let mut all = zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, null_mut());
    }
}

/// In the child: every signal as a new program expects it. Ignored signals (SIGPIPE in every Rust program) would
/// stay ignored, and blocked ones blocked, beyond `execve`.
pub(crate) fn reset_signals() {
    // The kernel's `struct sigaction`, which is not the C library's: all zero is SIG_DFL without flags. The library's
    // own call would refuse the signals it keeps for itself, and a worker's parent may have ignored even those.
    let default = [0_u64; 8];
    let size_of_set: usize = 8;
    for signal in 1_i32..=64 {
        // SAFETY: the kernel reads at most `default`, writes nothing, and refuses the two that cannot be set.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), null::<u64>(), size_of_set) };
    }
    // SAFETY: a `sigset_t` is plain data for which zero is valid and empty, and it outlives the call.
    unsafe {
        let none: libc::sigset_t = zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, null_mut());
    }
}

/// In the child: marks every descriptor from 3 on to be closed by `execve`. bwrap closes nothing by itself.
pub(crate) fn close_all_on_exec() -> Result<(), Errno> {
    let (first, last, flags): (c_uint, c_uint, c_uint) = (3, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: takes three numbers; with this flag it closes nothing now, so no descriptor of ours becomes dangling.
    succeeded(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })
}

/// The child's end of the handshake, once [`keep_only`] has been called.
pub(crate) const fn handshake() -> BorrowedFd<'static> {
    // SAFETY: from `keep_only` to `execve` this number is open, and nothing closes it.
    unsafe { BorrowedFd::borrow_raw(HANDSHAKE) }
}

/// Landlock's scope, likewise, where the plan has one.
pub(crate) const fn scope() -> BorrowedFd<'static> {
    // SAFETY: as above.
    unsafe { BorrowedFd::borrow_raw(SCOPE) }
}

/// In the child: keeps the standard descriptors, the end of the handshake and the scope, and closes all others: a process
/// that is prepared for a later run must not hold open what the worker closes meanwhile.
pub(crate) fn keep_only(handshake: RawFd, scope: Option<RawFd>) -> Result<(), Errno> {
    let free = SCOPE.saturating_add(1);
    // SAFETY: takes numbers. This process never returns to the code that owns the descriptors, so nobody uses or closes
    // them again.
    unsafe {
        let handshake = libc::fcntl(handshake, libc::F_DUPFD_CLOEXEC, free);
        // Where there is no scope its number is taken all the same, so that what comes later has the numbers it expects.
        let scope = scope.map_or(handshake, |scope| libc::fcntl(scope, libc::F_DUPFD_CLOEXEC, free));
        if handshake < 0
            || scope < 0
            || libc::dup3(handshake, HANDSHAKE, libc::O_CLOEXEC) < 0
            || libc::dup3(scope, SCOPE, libc::O_CLOEXEC) < 0
        {
            return Err(last_errno());
        }
        let (first, last, flags): (c_int, c_uint, c_uint) = (free, c_uint::MAX, 0);
        succeeded(libc::syscall(libc::SYS_close_range, first, last, flags))
    }
}

/// In the child: lets bwrap have a descriptor.
pub(crate) fn keep_on_exec(number: usize) -> Result<(), Errno> {
    let number = c_int::try_from(number).map_err(|_| Errno::BADF)?;
    // SAFETY: takes three numbers.
    if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } == 0 { Ok(()) } else { Err(last_errno()) }
}

/// In the child: enters a Landlock ruleset for ever. The landlock crate's own call allocates, so it cannot be used here.
pub(crate) fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags: c_uint = 0;
    // SAFETY: takes two numbers, of which the first is an open descriptor.
    succeeded(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) })
}

/// In the child: ends without running anything of the copied process.
pub(crate) fn exit_now() -> ! {
    // SAFETY: never returns, runs no handler, flushes nothing.
    unsafe { libc::_exit(127) }
}

fn succeeded(result: c_long) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// The error of the last call of the C library; reads one thread-local number.
fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
