//! What the sandbox's first process does between its creation and becoming bwrap.
//!
//! Runs in a copy of a process with many threads: system calls on prepared memory only. It must never allocate, lock,
//! log or panic, and never return (see `sys.rs`).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, netlink, recvmsg, sendmsg, socket_with,
};
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};

use crate::sys;

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
/// The worker sends the order of a run.
pub(crate) const PROCEED: u8 = b'g';
/// The child tells the worker that a step failed; the error number (four bytes) and the step's name follow.
pub(crate) const FAILED: u8 = b'!';

/// How many limits an order sets, each in 20 bytes.
pub(crate) const LIMITS: usize = 9;
/// Which they are.
const LIMITED: [Resource; LIMITS] = [
    Resource::Core,
    Resource::Memlock,
    Resource::Msgqueue,
    Resource::Rtprio,
    Resource::Cpu,
    Resource::As,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Fsize,
];
/// The longest order: 64 KiB of arguments, paths, limits.
const MOST_BYTES: usize = 96 << 10;
const MOST_WORDS: usize = 16 << 10;
/// What comes with an order at most: the order itself, filters, files, pipes.
pub(crate) const MOST_DESCRIPTORS: usize = 64;
/// The number of the first descriptor for bwrap; below it are the standard ones, the two of `sys.rs` and the order.
pub(crate) const FIRST_INHERITED: usize = 6;

/// Everything the child needs before it is told what to run.
pub(crate) struct Plan {
    /// The child's end of the handshake.
    pub(crate) handshake: UnixStream,
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
    /// Landlock's scope, where the kernel has it.
    pub(crate) scope: Option<OwnedFd>,
    /// Room for the order.
    pub(crate) order: OrderRoom,
}

/// Room for an order: its bytes, and the pointers to its words.
pub(crate) struct OrderRoom {
    bytes: Vec<u8>,
    pointers: sys::Pointers,
}

impl OrderRoom {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; MOST_BYTES], pointers: sys::Pointers::new(MOST_WORDS) }
    }
}

/// What a child is told to do, as bytes: limits, options of the scratch's tmpfs, and the words of the program, each of
/// these ended by a NUL.
pub(crate) fn order(limits: &[(Resource, Rlimit); LIMITS], options: &CStr, words: &[CString]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (resource, limit) in limits {
        let index = LIMITED.iter().position(|one| one == resource)?;
        bytes.extend(u32::try_from(index).ok()?.to_ne_bytes());
        bytes.extend(limit.current.unwrap_or(u64::MAX).to_ne_bytes());
        bytes.extend(limit.maximum.unwrap_or(u64::MAX).to_ne_bytes());
    }
    bytes.extend(options.to_bytes_with_nul());
    words.iter().for_each(|word| bytes.extend(word.to_bytes_with_nul()));
    (words.len() <= MOST_WORDS && bytes.len() < MOST_BYTES).then_some(bytes)
}

fn limit_of(bytes: &[u8]) -> Option<(Resource, Rlimit)> {
    let (index, rest) = bytes.split_first_chunk()?;
    let (current, rest) = rest.split_first_chunk()?;
    let (maximum, _) = rest.split_first_chunk()?;
    let of = |bytes: &[u8; 8]| Some(u64::from_ne_bytes(*bytes)).filter(|limit| *limit != u64::MAX);
    let resource = LIMITED.get(usize::try_from(u32::from_ne_bytes(*index)).ok()?)?;
    Some((*resource, Rlimit { current: of(current), maximum: of(maximum) }))
}

struct Failure {
    step: &'static str,
    errno: Errno,
}

fn at(step: &'static str) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure { step, errno }
}

/// Locks this process in, waits for the order of a run, and becomes bwrap, or tells the worker which step failed.
pub(crate) fn run(plan: &mut Plan) -> ! {
    let failure = match lock_in(plan).and_then(|()| obey(plan)) {
        Ok(words) => {
            let OrderRoom { bytes, pointers } = &mut plan.order;
            at("start bwrap")(sys::execute(bytes.get(words.0..words.1).unwrap_or_default(), pointers))
        }
        Err(failure) => failure,
    };
    let [a, b, c, d] = failure.errno.raw_os_error().to_le_bytes();
    // Nothing can be done about an error here: the worker then sees the end of the stream.
    let _ = rustix::io::write(sys::handshake(), &[FAILED, a, b, c, d]);
    let _ = rustix::io::write(sys::handshake(), failure.step.as_bytes());
    sys::exit_now()
}

/// Everything that is the same for every run of a kind. It may be some time before one is ordered.
fn lock_in(plan: &Plan) -> Result<(), Failure> {
    rustix::stdio::dup2_stdin(&plan.stdin).map_err(at("redirect standard input"))?;
    rustix::stdio::dup2_stdout(&plan.stdout).map_err(at("redirect standard output"))?;
    rustix::stdio::dup2_stderr(&plan.stderr).map_err(at("redirect standard error"))?;
    let scope = plan.scope.as_ref().map(AsRawFd::as_raw_fd);
    sys::keep_only(plan.handshake.as_raw_fd(), scope).map_err(at("close inherited descriptors"))?;
    sys::reset_signals();
    await_byte(MAPPED).map_err(at("wait for the mapping of ids"))?;
    drop_identity(plan)?;
    rustix::process::setsid().map_err(at("start a session"))?;
    rustix::process::chdir(c"/").map_err(at("leave the worker's directory"))?;
    mount_proc()?;
    forbid_user_namespaces(plan.user_namespaces).map_err(at("forbid further user namespaces"))?;
    die_with_worker(plan)
}

/// Waits for the order and does what it says; gives where its words begin and end.
fn obey(plan: &mut Plan) -> Result<(usize, usize), Failure> {
    let (order, descriptors) = await_order().map_err(at("wait for the order"))?;
    let end = read_all(&order, &mut plan.order.bytes).map_err(at("read the order"))?;
    drop(order);
    let bytes = plan.order.bytes.get(..end).unwrap_or_default();
    let (limits, rest) = bytes.split_at_checked(LIMITS * 20).ok_or(Errno::INVAL).map_err(at("read the order"))?;
    let options = CStr::from_bytes_until_nul(rest).map_err(|_| Errno::INVAL).map_err(at("read the order"))?;
    mount_scratch(options)?;
    for limit in limits.chunks_exact(20) {
        let (resource, limit) = limit_of(limit).ok_or(Errno::INVAL).map_err(at("read the order"))?;
        rustix::process::setrlimit(resource, limit).map_err(at("set the resource limits"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(at("give up new privileges"))?;
    if plan.scope.is_some() {
        sys::restrict_self(sys::scope()).map_err(at("enter the landlock scope"))?;
    }
    sys::close_all_on_exec().map_err(at("close inherited descriptors"))?;
    for number in FIRST_INHERITED..FIRST_INHERITED.saturating_add(descriptors) {
        sys::keep_on_exec(number).map_err(at("keep bwrap's descriptors"))?;
    }
    Ok(((LIMITS * 20).saturating_add(options.count_bytes()).saturating_add(1), end))
}

/// The order, and how many descriptors for bwrap came with it: the kernel numbers them from the first free one on.
fn await_order() -> Result<(OwnedFd, usize), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0_u8; 1];
    let mut buffers = [IoSliceMut::new(&mut word)];
    let received = loop {
        match recvmsg(sys::handshake(), &mut buffers, &mut ancillary, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    if received.bytes != 1 || word != [PROCEED] {
        return Err(Errno::PIPE);
    }
    let (mut order, mut count) = (None, 0_usize);
    for message in ancillary.drain() {
        let RecvAncillaryMessage::ScmRights(descriptors) = message else { continue };
        for descriptor in descriptors {
            if order.is_none() {
                order = Some(descriptor);
            } else if usize::try_from(descriptor.into_raw_fd()) == Ok(FIRST_INHERITED.saturating_add(count)) {
                count = count.saturating_add(1);
            } else {
                return Err(Errno::BADF);
            }
        }
    }
    order.map(|order| (order, count)).ok_or(Errno::BADF)
}

fn read_all(file: &OwnedFd, room: &mut [u8]) -> Result<usize, Errno> {
    let mut end = 0_usize;
    loop {
        let rest = room.get_mut(end..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Errno::TOOBIG);
        }
        match rustix::io::read(file, rest) {
            Ok(0) => return Ok(end),
            Ok(count) => end = end.saturating_add(count),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
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
/// comes after. The order of a run comes afterwards: had the worker died before the wish, it would never come.
fn die_with_worker(plan: &Plan) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("die with the worker"))?;
    if plan.own_network {
        hand_up_network()
    } else {
        rustix::io::write(sys::handshake(), &[READY]).map(drop).map_err(at("tell the worker"))
    }
}

/// Says the same, and sends handles on the network namespace with it: a worker without privileges cannot enter it.
fn hand_up_network() -> Result<(), Failure> {
    let filter = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))
        .map_err(at("open the packet filter"))?;
    let namespace = rustix::fs::open(c"/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(at("open the network namespace"))?;
    let links = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
        .map_err(at("open the interfaces"))?;
    let descriptors = [filter.as_fd(), namespace.as_fd(), links.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(at("hand up the network")(Errno::NOBUFS));
    }
    sendmsg(sys::handshake(), &[IoSlice::new(&[READY])], &mut message, SendFlags::empty())
        .map_err(at("hand up the network"))?;
    Ok(())
}

fn await_byte(expected: u8) -> Result<(), Errno> {
    let mut answer = [0_u8; 1];
    loop {
        match rustix::io::read(sys::handshake(), &mut answer) {
            Ok(1) if answer == [expected] => return Ok(()),
            Ok(_) => return Err(Errno::PIPE),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

const MOUNT_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// A `/proc` that shows this pid namespace alone: bwrap looks its own children up in it.
fn mount_proc() -> Result<(), Failure> {
    let downstream = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", downstream).map_err(at("detach the mounts"))?;
    rustix::mount::mount(c"proc", c"/proc", c"proc", MOUNT_FLAGS, None).map_err(at("mount /proc"))
}

/// The scratch with its two limits, without programs, devices or setuid.
fn mount_scratch(options: &CStr) -> Result<(), Failure> {
    rustix::mount::mount(c"tmpfs", SCRATCH_STAGE, c"tmpfs", MOUNT_FLAGS, Some(options)).map_err(at("mount the scratch"))
}

/// Two user namespaces may still be made below this one, and bwrap needs both: one as root of it, since `devpts` can
/// only be mounted so, and below it the one of the tool. (bwrap's `--disable-userns` does the same, from 0.8 on.)
/// For raw sockets it makes none.
fn forbid_user_namespaces(count: &[u8]) -> Result<(), Errno> {
    let limit =
        rustix::fs::open(c"/proc/sys/user/max_user_namespaces", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&limit, count).map(drop)
}
