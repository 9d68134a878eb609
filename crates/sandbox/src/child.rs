//! What the sandbox's first process does between its creation and becoming bwrap.
//!
//! Runs in a copy of a process with many threads: system calls on prepared memory only. It must never allocate, lock,
//! log or panic, and never return (see `sys.rs`).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, netlink, sendmsg,
    socket_with,
};
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};

use crate::sys::{self, CommandLine};

/// The uid and gid of the tool as it sees itself (`nobody`).
pub(crate) const INNER_ID: u32 = 65534;
/// What this process is in its user namespace where that owns a network: its root, outside still the slot's uid.
/// slirp4netns locks itself in as that, and bwrap makes no further user namespace for a tool with raw sockets, in which
/// the right to them would not count.
pub(crate) const OWNER_ID: u32 = 0;

/// Where the scratch is mounted until bwrap binds it into the sandbox. It must exist on every machine and must not
/// hold anything that bwrap needs: `/sys` is both, and this mount namespace is nobody else's.
pub(crate) const SCRATCH_STAGE: &CStr = c"/sys";

/// The worker tells the child that its ids are mapped.
pub(crate) const MAPPED: u8 = b'm';
/// The child tells the worker that it will die with it.
pub(crate) const READY: u8 = b'r';
/// The worker tells the child that it is still there: go on.
pub(crate) const PROCEED: u8 = b'g';
/// The child tells the worker that a step failed; the error number (four bytes) and the step's name follow.
pub(crate) const FAILED: u8 = b'!';

/// Everything the child needs, prepared by the worker.
pub(crate) struct Plan {
    /// The child's end of the handshake.
    pub(crate) handshake: UnixStream,
    /// The number of the worker's end, whose copy the child closes.
    pub(crate) other_end: RawFd,
    /// `/dev/null`.
    pub(crate) stdin: File,
    /// The pipe for output.
    pub(crate) stdout: OwnedFd,
    /// The pipe for complaints.
    pub(crate) stderr: OwnedFd,
    /// Whether the worker may, and so must, drop its supplementary groups and become another uid: it is root.
    pub(crate) is_root: bool,
    /// The uid and gid that this process has in its user namespace.
    pub(crate) inner_id: u32,
    /// Whether this process has a network namespace of its own, which the worker connects before it goes on.
    pub(crate) own_network: bool,
    /// How many further user namespaces may be made below this one.
    pub(crate) user_namespaces: &'static [u8],
    /// Options of the scratch's tmpfs.
    pub(crate) scratch_options: CString,
    /// Limits of `setrlimit(2)`.
    pub(crate) limits: [(Resource, Rlimit); 9],
    /// Landlock's scope, where the kernel has it.
    pub(crate) scope: Option<OwnedFd>,
    /// Descriptors that bwrap reads or writes itself; it closes them before the tool starts.
    pub(crate) inherited: Vec<OwnedFd>,
}

struct Failure {
    step: &'static str,
    errno: Errno,
}

fn at(step: &'static str) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure { step, errno }
}

/// Locks this process in and becomes bwrap, or tells the worker which step failed.
pub(crate) fn run(plan: &Plan, command: &CommandLine) -> ! {
    let failure = match prepare(plan) {
        Ok(()) => at("start bwrap")(command.execute()),
        Err(failure) => failure,
    };
    let [a, b, c, d] = failure.errno.raw_os_error().to_le_bytes();
    // Nothing can be done about an error here: the worker then sees the end of the stream.
    let _ = rustix::io::write(&plan.handshake, &[FAILED, a, b, c, d]);
    let _ = rustix::io::write(&plan.handshake, failure.step.as_bytes());
    sys::exit_now()
}

fn prepare(plan: &Plan) -> Result<(), Failure> {
    sys::close_copy(plan.other_end);
    sys::reset_signals();
    await_byte(plan, MAPPED).map_err(at("wait for the mapping of ids"))?;
    drop_identity(plan)?;
    die_with_worker(plan)?;
    rustix::process::setsid().map_err(at("start a session"))?;
    rustix::stdio::dup2_stdin(&plan.stdin).map_err(at("redirect standard input"))?;
    rustix::stdio::dup2_stdout(&plan.stdout).map_err(at("redirect standard output"))?;
    rustix::stdio::dup2_stderr(&plan.stderr).map_err(at("redirect standard error"))?;
    mount_own(plan)?;
    forbid_user_namespaces(plan.user_namespaces).map_err(at("forbid further user namespaces"))?;
    for (resource, limit) in &plan.limits {
        rustix::process::setrlimit(*resource, *limit).map_err(at("set the resource limits"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(at("give up new privileges"))?;
    if let Some(scope) = &plan.scope {
        sys::restrict_self(scope.as_fd()).map_err(at("enter the landlock scope"))?;
    }
    sys::close_all_on_exec().map_err(at("close inherited descriptors"))?;
    for descriptor in &plan.inherited {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).map_err(at("keep bwrap's descriptors"))?;
    }
    rustix::process::chdir(c"/").map_err(at("leave the worker's directory"))
}

/// Becomes the only uid that exists in this namespace. As root that changes the uid to the kernel as well, and the
/// groups of the worker are dropped; an ordinary user cannot drop groups and keeps them.
fn drop_identity(plan: &Plan) -> Result<(), Failure> {
    if plan.is_root {
        rustix::thread::set_thread_groups(&[]).map_err(at("drop supplementary groups"))?;
    }
    let (uid, gid) = (Uid::from_raw(plan.inner_id), Gid::from_raw(plan.inner_id));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(at("change the gid"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(at("change the uid"))
}

/// Asks the kernel to kill this process with the worker's thread that made it. A change of uid clears that wish, so it
/// comes after. The worker answers afterwards: had it died before the wish, the answer would never come.
fn die_with_worker(plan: &Plan) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("die with the worker"))?;
    if plan.own_network {
        hand_up_network(plan)?;
    } else {
        rustix::io::write(&plan.handshake, &[READY]).map_err(at("tell the worker"))?;
    }
    await_byte(plan, PROCEED).map_err(at("wait for the worker"))
}

/// Says the same, and sends handles on the network namespace with it: a worker without privileges cannot enter it.
fn hand_up_network(plan: &Plan) -> Result<(), Failure> {
    let filter = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))
        .map_err(at("open the packet filter"))?;
    let namespace = rustix::fs::open(c"/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(at("open the network namespace"))?;
    let descriptors = [filter.as_fd(), namespace.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(at("hand up the network")(Errno::NOBUFS));
    }
    sendmsg(&plan.handshake, &[IoSlice::new(&[READY])], &mut message, SendFlags::empty())
        .map_err(at("hand up the network"))?;
    Ok(())
}

fn await_byte(plan: &Plan, expected: u8) -> Result<(), Errno> {
    let mut answer = [0_u8; 1];
    loop {
        match rustix::io::read(&plan.handshake, &mut answer) {
            Ok(1) if answer == [expected] => return Ok(()),
            Ok(_) => return Err(Errno::PIPE),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A `/proc` that shows this pid namespace alone (bwrap looks its own children up in it), and the scratch with its
/// two limits, without programs, devices or setuid.
fn mount_own(plan: &Plan) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let downstream = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", downstream).map_err(at("detach the mounts"))?;
    rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None).map_err(at("mount /proc"))?;
    let options = Some(plan.scratch_options.as_c_str());
    rustix::mount::mount(c"tmpfs", SCRATCH_STAGE, c"tmpfs", flags, options).map_err(at("mount the scratch"))
}

/// Two user namespaces may still be made below this one, and bwrap needs both: one as root of it, since `devpts` can
/// only be mounted so, and below it the one of the tool. (bwrap's `--disable-userns` does the same, from 0.8 on.)
/// For raw sockets it makes none.
fn forbid_user_namespaces(count: &[u8]) -> Result<(), Errno> {
    let limit =
        rustix::fs::open(c"/proc/sys/user/max_user_namespaces", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&limit, count).map(drop)
}
