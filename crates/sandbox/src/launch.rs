//! Makes the sandbox's first process and brings it as far as bwrap; the worker's half of the handshake.
//!
//! The kernel's "kill me with my parent" is bound to the *thread* that made the process, and threads of an async
//! runtime come and go: every sandbox is made by one thread that lives as long as the process.
//! This module must never hand out a process that would outlive the worker.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::child::{FAILED, INNER_ID, MAPPED, OWNER_ID, PROCEED, Plan, READY};
use crate::command::Command;
use crate::network::{Connection, Handles, Way};
use crate::sys::{self, CommandLine};
use crate::{Limits, SandboxError};

/// How long the child may take for its part of the handshake; beyond it the machine is broken, not slow.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Who the tool is to the kernel.
#[derive(Debug, Clone, Copy)]
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
}

/// A process that waits for the handshake.
struct Made {
    pid: i32,
    pidfd: OwnedFd,
    stream: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
    status: OwnedFd,
    started: Instant,
}

type Job = Box<dyn FnOnce() + Send>;

/// Starts `command` as `identity`; blocks for some milliseconds, until bwrap runs. Only the process is made by the one
/// thread: connecting it takes longer, and others need not wait for that.
pub(crate) fn launch(
    command: Command,
    identity: Identity,
    limits: &Limits,
    scope: Option<OwnedFd>,
    way: &Way,
) -> Result<Launched, SandboxError> {
    let (answer, answered) = sync_channel(1);
    let (limits, options, maker) = (limits.resources(), scratch_options(limits)?, way.clone());
    let job = move || {
        // Nobody listens any more only when the caller was lost; its process then ends with the descriptors.
        let _ = answer.send(make(command, identity, limits, options, scope, &maker));
    };
    let lost =
        |_| SandboxError::SetUp { step: "reach the launching thread".into(), source: io::Error::other("it is gone") };
    launching_thread()?.send(Box::new(job)).map_err(|_| lost(()))?;
    let mut made = answered.recv().map_err(|_| lost(()))??;
    match bring_up(&mut made.stream, made.pid, identity, way) {
        Ok(connection) => {
            let Made { pidfd, stdout, stderr, status, started, .. } = made;
            Ok(Launched { pidfd, stdout, stderr, status, started, connection })
        }
        Err(error) => {
            end(&made.pidfd);
            Err(error)
        }
    }
}

fn scratch_options(limits: &Limits) -> Result<CString, SandboxError> {
    CString::new(limits.scratch_options()).map_err(|error| SandboxError::set_up("name the scratch")(error.into()))
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

fn make(
    command: Command,
    identity: Identity,
    limits: [(rustix::process::Resource, rustix::process::Rlimit); 9],
    scratch_options: CString,
    scope: Option<OwnedFd>,
    way: &Way,
) -> Result<Made, SandboxError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| SandboxError::set_up("make a pipe")(errno.into()));
    let ((stdout, tool_stdout), (stderr, tool_stderr)) = (pipe()?, pipe()?);
    let (worker_end, handshake) = UnixStream::pair().map_err(SandboxError::set_up("make a socket pair"))?;
    worker_end.set_read_timeout(Some(HANDSHAKE_TIMEOUT)).map_err(SandboxError::set_up("set a timeout"))?;
    let plan = Plan {
        handshake,
        other_end: worker_end.as_raw_fd(),
        stdin: File::open("/dev/null").map_err(SandboxError::set_up("open /dev/null"))?,
        stdout: tool_stdout,
        stderr: tool_stderr,
        is_root: matches!(identity, Identity::Slot(_)),
        inner_id: inner_id(way),
        own_network: way.is_own(),
        user_namespaces: if way.is_raw() { b"0" } else { b"2" },
        scratch_options,
        limits,
        scope,
        inherited: command.inherited,
    };
    let started = Instant::now();
    let line = CommandLine::new(command.words);
    let (pid, pidfd) = sys::clone_sandbox(&plan, &line).map_err(SandboxError::set_up("make the namespaces"))?;
    // The worker's copies of the child's ends: while they are open, no end of a stream is ever seen.
    drop(plan);
    Ok(Made { pid, pidfd, stream: worker_end, stdout, stderr, status: command.status, started })
}

fn inner_id(way: &Way) -> u32 {
    if way.is_own() { OWNER_ID } else { INNER_ID }
}

/// The handshake; see `child.rs` for the other half.
fn bring_up(stream: &mut UnixStream, pid: i32, identity: Identity, way: &Way) -> Result<Connection, SandboxError> {
    map_ids(pid, identity, inner_id(way)).map_err(SandboxError::set_up("map the ids"))?;
    stream.write_all(&[MAPPED]).map_err(SandboxError::set_up("reach the child"))?;
    let (answer, handles) = if way.is_own() { network_of(stream)? } else { (answer_of(stream)?, None) };
    if answer != Some(READY) {
        return Err(SandboxError::set_up("wait for the child")(io::ErrorKind::UnexpectedEof.into()));
    }
    let connection = way.connect(pid, handles)?;
    stream.write_all(&[PROCEED]).map_err(SandboxError::set_up("reach the child"))?;
    match answer_of(stream)? {
        // `execve` closed the child's end: bwrap runs.
        None => Ok(connection),
        Some(_) => Err(SandboxError::set_up("wait for bwrap")(io::ErrorKind::InvalidData.into())),
    }
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
    if stream.read(&mut first).map_err(SandboxError::set_up("wait for the child"))? == 0 {
        return Ok(None);
    }
    answer_after(first, stream)
}

/// The same with the handles that come with it.
fn network_of(stream: &mut UnixStream) -> Result<(Option<u8>, Option<Handles>), SandboxError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
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
    let handles = match (descriptors.next(), descriptors.next()) {
        (Some(filter), Some(namespace)) => Some(Handles { filter, namespace }),
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
