//! slirp4netns: a network stack in user mode, attached to a run's namespaces from outside. It ends with the run, and with
//! the worker: it watches a pipe that only the worker holds open. It must never be attached without the packet filter, and
//! never be root: it reads what hostile targets send.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, chmod, fcntl_getfl, fcntl_setfl, makedev, mknodat};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{SandboxError, sys};

/// How long it may take to get ready; beyond it the machine is broken, not slow.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is read of its complaints when it does not get ready, in bytes.
const MAX_COMPLAINT: u64 = 2048;
/// The name of its interface in the run's network.
pub(super) const TAP: &str = "tap0";
/// The device of tunnels (`Documentation/admin-guide/devices.txt`: character device 10, 200).
const TUNNEL: &str = "/dev/net/tun";
const TUNNEL_NUMBER: (u32, u32) = (10, 200);

/// What to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slirp {
    /// The program.
    pub(crate) program: PathBuf,
    /// Whether its door to the host's loopback is open; the filter decides which ports.
    pub(crate) loopback: bool,
    /// Whether it speaks IPv6.
    pub(crate) v6: bool,
}

/// An attached stack; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Stack {
    child: Child,
    /// Whether it has the uid of the run's slot.
    is_slot: bool,
    /// Readable when it has ended.
    pidfd: OwnedFd,
    /// When this is closed, also by the kernel after the worker's death, the stack ends.
    _life: Option<ChildStdin>,
}

impl Slirp {
    /// Attaches a stack to the user and network namespace of `pid`; waits until it is ready. A worker that is root names the
    /// network too: the stack then is the uid of the slot from its first instruction on, and nobody in every other namespace.
    pub(crate) fn attach(&self, pid: i32, as_slot: Option<OwnedFd>) -> Result<Stack, SandboxError> {
        let failed = SandboxError::set_up("start slirp4netns");
        let (mut complaints, their_complaints) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(io::Error::from)
            .and_then(|(read, write)| {
                // Nobody reads while it runs: what does not fit is lost, and nothing ever waits.
                fcntl_setfl(&write, fcntl_getfl(&write)? | OFlags::NONBLOCK)?;
                Ok((std::fs::File::from(read), write))
            })
            .map_err(SandboxError::set_up("make a pipe"))?;
        let is_slot = as_slot.is_some();
        let mut command = self.command(pid, as_slot)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(their_complaints);
        let mut child = command.spawn().map_err(failed)?;
        // The command keeps its end of the pipe open.
        drop(command);
        let (life, ready) = (child.stdin.take(), child.stdout.take());
        let pidfd = match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(io::Error::from) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // Nobody watches it: it must not go on.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(SandboxError::set_up("watch slirp4netns")(error));
            }
        };
        let mut stack = Stack { child, is_slot, pidfd, _life: life };
        match ready.map(is_ready) {
            Some(Ok(true)) => Ok(stack),
            Some(Err(error)) => Err(SandboxError::set_up("wait for slirp4netns")(error)),
            Some(Ok(false)) | None => {
                stack.end();
                let mut said = String::new();
                // What it said only explains; it may be no text.
                let _ = complaints.by_ref().take(MAX_COMPLAINT).read_to_string(&mut said);
                let said = said.trim().replace('\n', "; ");
                Err(SandboxError::set_up("attach slirp4netns")(io::Error::other(said)))
            }
        }
    }

    fn command(&self, pid: i32, as_slot: Option<OwnedFd>) -> Result<Command, SandboxError> {
        let mut command = Command::new(&self.program);
        command.args(["--configure", "--exit-fd=0", "--ready-fd=1", "--mtu=65520", "--disable-dns"]);
        command.args(["--enable-sandbox", "--enable-seccomp"]);
        if !self.loopback {
            command.arg("--disable-host-loopback");
        }
        if self.v6 {
            command.arg("--enable-ipv6");
        }
        match as_slot {
            None => command.arg(pid.to_string()),
            Some(network) => {
                command.arg("--netns-type=path").arg(format!("/proc/self/fd/{}", network.as_raw_fd()));
                let user = File::open(format!("/proc/{pid}/ns/user"))
                    .map_err(SandboxError::set_up("open the user namespace of a run"))?;
                let is_shut = std::fs::metadata(TUNNEL).is_ok_and(|entry| entry.permissions().mode() & 0o006 != 0o006);
                sys::before_exec(&mut command, move || become_slot(user.as_fd(), network.as_fd(), is_shut))
            }
        };
        command.arg(TAP).env_clear().current_dir("/");
        Ok(command)
    }
}

/// In the child, between its making and slirp4netns, as root: goes into the run's user namespace, of which root of the
/// machine is no part, and becomes the only one who is: its root, outside the uid of the slot. System calls alone.
fn become_slot(user: BorrowedFd<'_>, network: BorrowedFd<'_>, is_tunnel_shut: bool) -> io::Result<()> {
    if is_tunnel_shut {
        show_tunnel()?;
    }
    set_thread_groups(&[])?;
    move_into_link_name_space(user, Some(LinkNameSpaceType::User))?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    set_no_new_privs(true)?;
    // The only descriptor it takes along beside the standard ones: it is told its number.
    Ok(fcntl_setfd(network, FdFlags::empty())?)
}

/// Where the device of tunnels is root's alone, this process sees another one in mounts of its own: `udev` opens it to
/// everybody, since it gives no right that its caller has not in the network namespace.
fn show_tunnel() -> io::Result<()> {
    sys::own_mounts()?;
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount(c"tmpfs", c"/dev/net", c"tmpfs", flags, Some(c"size=4k,nr_inodes=8,mode=755"))?;
    let ((major, minor), mode) = (TUNNEL_NUMBER, Mode::from_raw_mode(0o666));
    mknodat(CWD, TUNNEL, FileType::CharacterDevice, mode, makedev(major, minor))?;
    // The process's mask has taken some of the mode away.
    Ok(chmod(TUNNEL, mode)?)
}

/// It writes a `1` when everything stands, perhaps after warnings that hold none, and closes its end when it gives up.
fn is_ready(mut pipe: impl AsFd + Read) -> io::Result<bool> {
    let timeout = Timespec::try_from(PATIENCE).ok();
    let mut words = [0_u8; 256];
    loop {
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) => continue,
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            ready => ready?,
        };
        match pipe.read(&mut words)? {
            0 => return Ok(false),
            count if words.get(..count).unwrap_or_default().ends_with(b"1") => return Ok(true),
            _ => {}
        }
    }
}

impl Stack {
    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How many processes it adds to those of the run's user.
    pub(super) fn processes(&self) -> u64 {
        u64::from(self.is_slot)
    }

    /// Becomes readable when it ends by itself.
    pub(crate) fn end_of(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn end(&mut self) {
        // It may have ended by itself; then it is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.end();
    }
}
