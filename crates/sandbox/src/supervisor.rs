//! Watches one run from its start to the end of its last process: the wall clock, standard error, bwrap's report, and
//! the output when nobody else reads it. One thread per run; it ends with the run and leaves no zombie.
//!
//! It must never wait for anything but the run itself: not for a reader, not for a lock that is held for long.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::cgroup::Group;
use crate::launch::Launched;
use crate::network::Connection;
use crate::outcome::printable;
use crate::output::{OutputPipe, Taken};
use crate::run::{Cause, Killer};
use crate::tail::Tail;
use crate::{End, Limits, Outcome, Output, Run, SandboxError};

/// The longest report of bwrap that is kept; it writes two short lines.
const MAX_REPORT_BYTES: usize = 16 << 10;

/// Puts a started sandbox under supervision.
pub(crate) fn supervise(launched: Launched, limits: &Limits) -> Result<Run, SandboxError> {
    let Launched { pidfd, stdout, stderr, status, started, connection, group, afterwards } = launched;
    let killer = Killer::new(pidfd);
    let (sender, ended) = oneshot::channel();
    let begin = || {
        let output = Arc::new(OutputPipe::new(stdout, limits.output_bytes)?);
        let watch = Watch {
            killer: killer.clone(),
            output: Arc::clone(&output),
            is_output_open: true,
            stderr: Tail::new(stderr, limits.stderr_bytes)?,
            stderr_limit: limits.output_bytes,
            report: Tail::new(status, MAX_REPORT_BYTES)?,
            started,
            deadline: started.checked_add(limits.wall),
            connection,
            group,
            is_cut: false,
        };
        // A receiver that is gone has dropped its run, which killed it: nobody wants the outcome.
        let work = move || {
            let (outcome, connection) = watch.until_the_end();
            drop(sender.send(outcome));
            // The run has ended, so nobody needs to wait for the end of what connected it.
            drop(connection);
            if let Some(refill) = afterwards {
                refill.go();
            }
        };
        thread::Builder::new().name("sandbox-run".into()).spawn(work)?;
        Ok(output)
    };
    match begin() {
        Ok(output) => Ok(Run::new(killer.clone(), Output::new(output, killer), ended)),
        Err(error) => {
            killer.kill("it could not be supervised");
            reap(&killer);
            Err(SandboxError::set_up("start a supervisor")(error))
        }
    }
}

struct Watch {
    killer: Killer,
    output: Arc<OutputPipe>,
    is_output_open: bool,
    stderr: Tail,
    stderr_limit: u64,
    report: Tail,
    started: Instant,
    /// Nothing once it has passed.
    deadline: Option<Instant>,
    connection: Connection,
    group: Option<Group>,
    /// Whether the connection has ended by itself.
    is_cut: bool,
}

impl Watch {
    fn is_network_lost(&self) -> bool {
        self.is_cut || ready([self.connection.end_of()], Some(Duration::ZERO)) == [true]
    }

    fn until_the_end(mut self) -> (Outcome, Connection) {
        while !self.turn() {}
        let status = reap(&self.killer);
        let wall = self.started.elapsed();
        // Whoever counts no more may have ended in the middle, and a tool takes that for silence.
        let is_connected = !self.is_network_lost();
        let dropped_packets = self.connection.dropped();
        let is_lost = self.connection.end_of().is_some() && !(is_connected && dropped_packets.is_some());
        // Every writer is gone: what is left in the pipes is all there will ever be.
        let ((stderr, stderr_truncated), (report, _)) = (self.stderr.finish(), self.report.finish());
        let (output_bytes, truncated) = self.output.close();
        let end = end_of(status.as_ref(), exit_code(&report), self.killer.cause(), truncated, is_lost);
        tracing::debug!(?end, wall_ms = wall.as_millis(), output_bytes, "a sandboxed run ended");
        let stderr = printable(&stderr);
        // The sandbox's own program found nothing to start; a tool that claims it has failed all the same.
        let end =
            if end == End::Exited(127) && stderr.ends_with(crate::init::NOT_STARTED) { End::NotStarted } else { end };
        let exceeded = self.group.as_ref().and_then(Group::exceeded);
        let outcome =
            Outcome { end, wall, output_bytes, truncated, stderr, stderr_truncated, exceeded, dropped_packets };
        (outcome, self.connection)
    }

    /// Waits for the next thing to happen and handles it; says whether the run has ended.
    fn turn(&mut self) -> bool {
        let is_ours = self.output.is_abandoned();
        let output = if is_ours { self.is_output_open.then(|| self.output.as_fd()) } else { Some(self.output.bell()) };
        let network = if self.is_cut { None } else { self.connection.end_of() };
        let run = Some(self.killer.pidfd().as_fd());
        let wanted = [run, self.stderr.pollable(), self.report.pollable(), output, network];
        let timeout = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let [ended, stderr, report, output, cut] = ready(wanted, timeout);
        if cut {
            self.is_cut = true;
            self.killer.stop(Cause::NetworkLost);
        }
        if !ended && self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.deadline = None;
            self.killer.stop(Cause::TimedOut);
        }
        if stderr {
            self.stderr.read();
            if self.stderr.total() > self.stderr_limit {
                self.killer.stop(Cause::OutputLimit);
            }
        }
        if report {
            self.report.read();
        }
        if output && is_ours {
            self.discard();
        }
        ended
    }

    /// Reads on in place of a reader that is gone, and throws away what it reads; the limit counts all the same.
    fn discard(&mut self) {
        match self.output.take(&mut [0_u8; 16 << 10]) {
            Ok(Taken::Bytes(_) | Taken::Nothing) => {}
            Ok(Taken::Excess) => {
                self.is_output_open = false;
                self.killer.stop(Cause::OutputLimit);
            }
            Ok(Taken::End) | Err(_) => self.is_output_open = false,
        }
    }
}

/// Which of the descriptors have something to say.
fn ready<const N: usize>(wanted: [Option<BorrowedFd<'_>>; N], timeout: Option<Duration>) -> [bool; N] {
    let mut polled: Vec<PollFd<'_>> =
        wanted.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    if let Err(errno) = poll(&mut polled, timeout.as_ref())
        && errno != Errno::INTR
    {
        // Out of kernel memory, the only other error there is: better slowly than in a busy loop.
        tracing::warn!(error = %errno, "cannot poll a sandbox");
        thread::sleep(Duration::from_millis(100));
    }
    let mut answers = polled.iter().map(|fd| !fd.revents().is_empty());
    wanted.map(|fd| fd.is_some() && answers.next().unwrap_or(false))
}

/// Takes the process out of the kernel's table; nothing when somebody else did.
fn reap(killer: &Killer) -> Option<WaitIdStatus> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(killer.pidfd().as_fd()), WaitIdOptions::EXITED) {
            Ok(status) => return status,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "exit-code")]
    exit_code: Option<i32>,
}

/// The tool's exit code in bwrap's report (several JSON documents); nothing when the tool never started, or when
/// bwrap was killed before it ended.
fn exit_code(report: &[u8]) -> Option<i32> {
    serde_json::Deserializer::from_slice(report)
        .into_iter::<Report>()
        .flatten()
        .filter_map(|part| part.exit_code)
        .last()
}

fn end_of(
    status: Option<&WaitIdStatus>,
    exit_code: Option<i32>,
    cause: Option<Cause>,
    truncated: bool,
    is_lost: bool,
) -> End {
    let signal = status.and_then(WaitIdStatus::terminating_signal);
    match (cause, exit_code) {
        // The tool may have ended by itself a moment before the kill: then its own end counts.
        (Some(Cause::TimedOut), None) => End::TimedOut,
        (Some(Cause::Asked(reason)), None) => End::Killed(reason),
        (Some(Cause::OutputLimit), None) => End::OutputLimit,
        (Some(Cause::NetworkLost), _) => End::NetworkLost,
        _ if is_lost => End::NetworkLost,
        _ if truncated => End::OutputLimit,
        (_, Some(code)) => End::from_code(code),
        (None, None) => signal.map_or(End::NotStarted, End::Signaled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_found_in_the_report() {
        let report = b"{ \"child-pid\": 2, \"mnt-namespace\": 4026532 }\n{ \"exit-code\": 3 }\n";
        assert_eq!(exit_code(report), Some(3));
        assert_eq!(exit_code(b"{ \"child-pid\": 2 }\n"), None);
        assert_eq!(exit_code(b"not json"), None);
        assert_eq!(exit_code(b""), None);
    }

    #[test]
    fn a_tool_that_ended_before_the_kill_ended_by_itself() {
        assert_eq!(end_of(None, Some(0), Some(Cause::TimedOut), false, false), End::Exited(0));
        assert_eq!(end_of(None, None, Some(Cause::TimedOut), false, false), End::TimedOut);
        assert_eq!(end_of(None, None, Some(Cause::Asked("cancelled")), true, false), End::Killed("cancelled"));
    }

    #[test]
    fn output_that_was_cut_is_never_a_success() {
        assert_eq!(end_of(None, Some(0), None, true, false), End::OutputLimit);
        assert_eq!(end_of(None, Some(0), Some(Cause::OutputLimit), true, false), End::OutputLimit);
    }

    #[test]
    fn a_tool_that_went_on_without_its_network_has_not_finished() {
        assert_eq!(end_of(None, Some(0), None, false, true), End::NetworkLost);
        assert_eq!(end_of(None, Some(0), Some(Cause::NetworkLost), false, true), End::NetworkLost);
        assert_eq!(end_of(None, None, Some(Cause::Asked("cancelled")), false, true), End::Killed("cancelled"));
        assert_eq!(end_of(None, Some(0), Some(Cause::Asked("cancelled")), false, true), End::NetworkLost);
    }

    #[test]
    fn a_sandbox_that_ends_without_a_report_never_ran_the_tool() {
        assert_eq!(end_of(None, None, None, false, false), End::NotStarted);
    }
}
