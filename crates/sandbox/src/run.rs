//! A run in progress, and the ways to end it.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use rustix::process::Signal;
use tokio::sync::oneshot;

use crate::{End, Outcome, Output};

/// A tool that runs. Dropping it kills the tool.
#[derive(Debug)]
pub struct Run {
    killer: Killer,
    output: Option<Output>,
    ended: Option<oneshot::Receiver<Outcome>>,
}

impl Run {
    pub(crate) fn new(killer: Killer, output: Output, ended: oneshot::Receiver<Outcome>) -> Self {
        Self { killer, output: Some(output), ended: Some(ended) }
    }

    /// The tool's standard output; nothing when it was taken before. Read it to its end, in a thread that may block.
    /// Dropped early, or never taken, its rest is read and thrown away, so that the run ends all the same.
    pub fn stdout(&mut self) -> Option<Output> {
        self.output.take()
    }

    /// Something that ends the run from anywhere.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Waits for the end of every process of the run. Does not wait for a slow reader of the output: what is left in
    /// the pipe can be read afterwards, and is counted already. If the wait is given up, the run is killed.
    pub async fn wait(mut self) -> Outcome {
        drop(self.output.take());
        match self.ended.take() {
            Some(ended) => ended.await.unwrap_or_else(|_| unwatched()),
            None => unwatched(),
        }
    }

    /// [`Run::wait`] for a thread that may block.
    #[must_use]
    pub fn wait_blocking(self) -> Outcome {
        block_on(self.wait())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // After the end this finds no process any more.
        self.killer.kill("the run was dropped");
    }
}

/// Sleeps until the future is ready; unlike the channel's own blocking call it does not mind a runtime around it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// The supervisor ended without a word; that needs a panic in it. [`Run`]'s drop kills what may be left.
fn unwatched() -> Outcome {
    Outcome {
        end: End::Killed("the supervisor was lost"),
        wall: std::time::Duration::ZERO,
        output_bytes: 0,
        truncated: true,
        stderr: String::new(),
        stderr_truncated: true,
        exceeded: None,
        dropped_packets: None,
    }
}

/// Ends a run: every process of it, at once. Cheap to clone, works from any thread, and after the end does nothing.
#[derive(Debug, Clone)]
pub struct Killer {
    target: Arc<Target>,
}

#[derive(Debug)]
struct Target {
    pidfd: OwnedFd,
    cause: OnceLock<Cause>,
}

/// Why the worker ended a run; the first cause counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    TimedOut,
    OutputLimit,
    NetworkLost,
    Asked(&'static str),
}

impl Killer {
    pub(crate) fn new(pidfd: OwnedFd) -> Self {
        Self { target: Arc::new(Target { pidfd, cause: OnceLock::new() }) }
    }

    /// Kills the run; `reason` becomes part of its [`End`] unless something else ended it before.
    pub fn kill(&self, reason: &'static str) {
        self.stop(Cause::Asked(reason));
    }

    /// Records the cause and kills. The process is the first of a pid namespace: the kernel kills all others in it,
    /// stopped ones and those that ignore every signal as well, before its end is seen.
    pub(crate) fn stop(&self, cause: Cause) {
        let _ = self.target.cause.set(cause);
        if let Err(error) = rustix::process::pidfd_send_signal(&self.target.pidfd, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::error!(error = %error, "cannot kill a sandbox");
        }
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.target.cause.get().copied()
    }

    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.target.pidfd
    }
}
