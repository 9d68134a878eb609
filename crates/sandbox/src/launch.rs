//! Makes the sandbox's first process and brings it as far as bwrap; the worker's half of the handshake.
//!
//! The kernel's "kill me with my parent" is bound to the *thread* that made the process, and threads of an async
//! runtime come and go: every sandbox is made by one thread that lives as long as the process.
//! This module must never hand out a process that would outlive the worker.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::cgroup::Group;
use crate::child::{FAILED, INNER_ID, MAPPED, MOST_DESCRIPTORS, OWNER_ID, OrderRoom, PROCEED, Plan, READY, order};
use crate::command::{Command, in_memory};
use crate::network::{Connection, Handles, Kind, Making, Prepared, Way};
use crate::sys;
use crate::warm::Refill;
use crate::{Limits, SandboxError};

/// How long the child may take for its part of the handshake; beyond it the machine is broken, not slow.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Who the tool is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The worker is root: the uid (and gid) of the run's slot.
    Slot(u32),
    /// The worker is an ordinary user: its own uid and gid.
    Own(u32, u32),
}

/// A running bwrap and the worker's ends of its pipes.
pub(crate) struct Launched {
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) status: OwnedFd,
    pub(crate) started: Instant,
    /// Held as long as the run lasts.
    pub(crate) connection: Connection,
    /// Likewise.
    pub(crate) group: Option<Group>,
    /// What to do when the run has ended.
    pub(crate) afterwards: Option<Refill>,
}

/// A process that waits for the handshake.
#[derive(Debug)]
struct Made {
    pid: i32,
    pidfd: OwnedFd,
    stream: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

type Job = Box<dyn FnOnce() + Send>;

/// What is the same for every run of a kind in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) identity: Identity,
    pub(crate) kind: Kind,
}

/// A locked-in process that waits for the order of a run, and its network, in which nothing can be reached yet. Dropping it
/// ends it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) wanted: Wanted,
    pub(crate) since: Instant,
    parts: Option<(Made, Prepared)>,
}

impl Waiting {
    /// Whether it can still be ordered to do something.
    pub(crate) fn is_alive(&mut self) -> bool {
        let Some((made, prepared)) = &mut self.parts else { return false };
        let mut ended = [PollFd::new(&made.pidfd, PollFlags::IN)];
        matches!(poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0)) && prepared.is_alive()
    }
}

/// A process that waits for its order, in a network that reaches whom the run may reach.
#[derive(Debug)]
pub(crate) struct Ready {
    made: Made,
    connection: Connection,
    started: Instant,
}

impl Waiting {
    /// Connects it as `way` says; blocks for some milliseconds. When that fails the process ends.
    pub(crate) fn connect(mut self, way: &Way) -> Result<Ready, SandboxError> {
        let Some((made, prepared)) = self.parts.take() else {
            return Err(SandboxError::NoWay("the sandbox was used before"));
        };
        let started = Instant::now();
        match way.connect(prepared) {
            Ok(connection) => Ok(Ready { made, connection, started }),
            Err(error) => {
                end(&made.pidfd);
                Err(error)
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((made, _)) = &self.parts {
            end(&made.pidfd);
        }
    }
}

/// Makes a process that waits for [`launch`]; blocks for some milliseconds. Only the process is made by the one thread:
/// connecting it takes longer, and others need not wait for that. Its run comes at once, or later when it is made `ahead`.
pub(crate) fn prepare(wanted: &Wanted, scope: Option<OwnedFd>, ahead: bool) -> Result<Waiting, SandboxError> {
    let (answer, answered) = sync_channel(1);
    let ordered = wanted.clone();
    let job = move || {
        // Nobody listens any more only when the caller was lost; its process then ends with the descriptors.
        let _ = answer.send(make(&ordered, scope));
    };
    let lost =
        |_| SandboxError::SetUp { step: "reach the launching thread".into(), source: io::Error::other("it is gone") };
    launching_thread()?.send(Box::new(job)).map_err(|_| lost(()))?;
    let mut made = answered.recv().map_err(|_| lost(()))??;
    match bring_up(&mut made.stream, made.pid, wanted, ahead) {
        Ok(prepared) => Ok(Waiting { wanted: wanted.clone(), since: Instant::now(), parts: Some((made, prepared)) }),
        Err(error) => {
            end(&made.pidfd);
            Err(error)
        }
    }
}

/// Orders `command` in its control group; blocks for some milliseconds, until bwrap runs. Whatever fails, the process ends.
pub(crate) fn launch(
    Ready { mut made, connection, started }: Ready,
    command: Command,
    limits: &Limits,
    group: Option<Group>,
) -> Result<Launched, SandboxError> {
    // What the user of a slot runs beside the tool must not be taken from the tool.
    let processes = limits.processes.saturating_add(connection.processes());
    let processes = group.as_ref().map_or(processes, |group| group.second_bound(processes));
    let limits = Limits { processes, ..*limits };
    let begun = group
        .iter()
        .try_for_each(|group| group.enter(made.pid))
        .and_then(|()| give_order(&mut made.stream, &command, &limits));
    let Command { inherited, status, .. } = command;
    // While the worker's copies are open, no end of a stream is ever seen.
    drop(inherited);
    let begun = begun.and_then(|()| match answer_of(&mut made.stream)? {
        // `execve` closed the child's end: bwrap runs.
        None => Ok(()),
        Some(_) => Err(SandboxError::set_up("wait for bwrap")(io::ErrorKind::InvalidData.into())),
    });
    let Made { pidfd, stdout, stderr, .. } = made;
    match begun {
        Ok(()) => Ok(Launched { pidfd, stdout, stderr, status, started, connection, group, afterwards: None }),
        Err(error) => {
            end(&pidfd);
            Err(error)
        }
    }
}

fn give_order(stream: &mut UnixStream, command: &Command, limits: &Limits) -> Result<(), SandboxError> {
    let options = CString::new(limits.scratch_options());
    let options = options.map_err(|error| SandboxError::set_up("name the scratch")(error.into()))?;
    let bytes = order(&limits.resources(), &options, &command.words)
        .ok_or(SandboxError::Invocation("expected fewer arguments"))?;
    let order = in_memory(&bytes).map_err(SandboxError::set_up("write the order"))?;
    let descriptors: Vec<_> = [&order].into_iter().chain(&command.inherited).map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if descriptors.len() > MOST_DESCRIPTORS || !message.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(SandboxError::Invocation("expected fewer files"));
    }
    sendmsg(&*stream, &[IoSlice::new(&[PROCEED])], &mut message, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|errno| SandboxError::set_up("reach the child")(errno.into()))
}

/// The thread that makes every sandbox of this process. It never ends.
fn launching_thread() -> Result<Sender<Job>, SandboxError> {
    static THREAD: OnceLock<Sender<Job>> = OnceLock::new();
    if let Some(sender) = THREAD.get() {
        return Ok(sender.clone());
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    let work = move || {
        sys::block_signals();
        for job in jobs {
            job();
        }
    };
    thread::Builder::new().name("sandbox-launch".into()).spawn(work).map_err(SandboxError::set_up("start a thread"))?;
    // Should two callers come here at once, the second thread ends with its unused sender.
    Ok(THREAD.get_or_init(|| sender).clone())
}

fn make(wanted: &Wanted, scope: Option<OwnedFd>) -> Result<Made, SandboxError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| SandboxError::set_up("make a pipe")(errno.into()));
    let ((stdout, tool_stdout), (stderr, tool_stderr)) = (pipe()?, pipe()?);
    let (worker_end, handshake) = UnixStream::pair().map_err(SandboxError::set_up("make a socket pair"))?;
    worker_end.set_read_timeout(Some(HANDSHAKE_TIMEOUT)).map_err(SandboxError::set_up("set a timeout"))?;
    let mut plan = Plan {
        handshake,
        stdin: File::open("/dev/null").map_err(SandboxError::set_up("open /dev/null"))?,
        stdout: tool_stdout,
        stderr: tool_stderr,
        is_root: matches!(wanted.identity, Identity::Slot(_)),
        inner_id: inner_id(&wanted.kind),
        own_network: wanted.kind.is_own,
        user_namespaces: if wanted.kind.is_raw { b"0" } else { b"2" },
        scope,
        order: OrderRoom::new(),
    };
    let (pid, pidfd) = sys::clone_sandbox(&mut plan).map_err(SandboxError::set_up("make the namespaces"))?;
    // The worker's copies of the child's ends: while they are open, no end of a stream is ever seen.
    drop(plan);
    Ok(Made { pid, pidfd, stream: worker_end, stdout, stderr })
}

const fn inner_id(kind: &Kind) -> u32 {
    if kind.is_own { OWNER_ID } else { INNER_ID }
}

/// The handshake; see `child.rs` for the other half.
fn bring_up(stream: &mut UnixStream, pid: i32, wanted: &Wanted, ahead: bool) -> Result<Prepared, SandboxError> {
    map_ids(pid, wanted.identity, inner_id(&wanted.kind)).map_err(SandboxError::set_up("map the ids"))?;
    stream.write_all(&[MAPPED]).map_err(SandboxError::set_up("reach the child"))?;
    let (answer, handles) = if wanted.kind.is_own { network_of(stream)? } else { (answer_of(stream)?, None) };
    if answer != Some(READY) {
        return Err(SandboxError::set_up("wait for the child")(io::ErrorKind::UnexpectedEof.into()));
    }
    wanted.kind.prepare(Making { pid, is_slot: matches!(wanted.identity, Identity::Slot(_)), ahead }, handles)
}

/// One uid and one gid exist in the sandbox. Only root may leave `setgroups` possible, which it uses to drop its own.
fn map_ids(pid: i32, identity: Identity, inner: u32) -> io::Result<()> {
    let (uid, gid) = match identity {
        Identity::Slot(uid) => (uid, uid),
        Identity::Own(uid, gid) => (uid, gid),
    };
    if matches!(identity, Identity::Own(..)) {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    fs::write(format!("/proc/{pid}/gid_map"), format!("{inner} {gid} 1"))?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("{inner} {uid} 1"))
}

/// The child's next byte; nothing when it closed its end; an error when a step of it failed.
fn answer_of(stream: &mut UnixStream) -> Result<Option<u8>, SandboxError> {
    let mut first = [0_u8; 1];
    // A socket with a timeout is not read on by itself after an interruption (signal(7)); a frozen process is enough.
    let count = loop {
        match stream.read(&mut first) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read.map_err(SandboxError::set_up("wait for the child"))?,
        }
    };
    if count == 0 { Ok(None) } else { answer_after(first, stream) }
}

/// The same with the handles that come with it.
fn network_of(stream: &mut UnixStream) -> Result<(Option<u8>, Option<Handles>), SandboxError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0_u8; 1];
    let mut buffers = [IoSliceMut::new(&mut first)];
    let received = loop {
        match recvmsg(&*stream, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received.map_err(|errno| SandboxError::set_up("wait for the child")(errno.into()))?,
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    let mut descriptors = descriptors.into_iter();
    let handles = match (descriptors.next(), descriptors.next(), descriptors.next()) {
        (Some(filter), Some(namespace), Some(links)) => Some(Handles { filter, namespace, links }),
        _ => None,
    };
    let answer = if received.bytes == 0 { None } else { answer_after(first, stream)? };
    Ok((answer, handles))
}

fn answer_after(first: [u8; 1], stream: &mut UnixStream) -> Result<Option<u8>, SandboxError> {
    if first != [FAILED] {
        return Ok(first.first().copied());
    }
    let (mut errno, mut step) = ([0_u8; 4], String::new());
    stream.read_exact(&mut errno).map_err(SandboxError::set_up("hear the child's error"))?;
    stream.take(100).read_to_string(&mut step).map_err(SandboxError::set_up("hear the child's error"))?;
    Err(SandboxError::SetUp { step: step.into(), source: io::Error::from_raw_os_error(i32::from_le_bytes(errno)) })
}

/// Ends and reaps a process whose set-up failed.
fn end(pidfd: &OwnedFd) {
    // It may be dead already; then there is nothing to send, and it is only reaped.
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let _ = rustix::process::waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(pidfd)), WaitIdOptions::EXITED);
}
