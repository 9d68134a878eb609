//! The tool's standard output: the only way out of a sandbox, and counted.
//!
//! Whoever reads sets the pace: a full pipe stops the tool, and its wall clock goes on. If nobody reads any more, the
//! supervisor does, so that a run ends as it would have. It must never hand out more than the limit.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::run::{Cause, Killer};

/// Reads what the tool writes, until it ends or exceeds its limit. Blocks; give it to a thread that may.
pub struct Output {
    pipe: Arc<OutputPipe>,
    killer: Killer,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Output {
    pub(crate) fn new(pipe: Arc<OutputPipe>, killer: Killer) -> Self {
        Self { pipe, killer }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.pipe.take(buffer)? {
                Taken::Bytes(count) => return Ok(count),
                Taken::Nothing => wait_for(self.pipe.as_fd())?,
                Taken::End => return Ok(0),
                Taken::Excess => {
                    self.killer.stop(Cause::OutputLimit);
                    return Ok(0);
                }
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.pipe.abandon();
    }
}

/// What one attempt to read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The tool has closed its end.
    End,
    /// The tool has written more than it may.
    Excess,
}

/// The worker's end of the pipe, shared by the reader and the supervisor.
pub(crate) struct OutputPipe {
    pipe: OwnedFd,
    limit: u64,
    tally: Mutex<Tally>,
    abandoned: AtomicBool,
    /// Wakes the supervisor when the reader is gone.
    bell: OwnedFd,
}

#[derive(Default)]
struct Tally {
    bytes: u64,
    exceeded: bool,
}

impl OutputPipe {
    pub(crate) fn new(pipe: OwnedFd, limit: u64) -> io::Result<Self> {
        never_block(pipe.as_fd())?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { pipe, limit, tally: Mutex::default(), abandoned: AtomicBool::new(false), bell })
    }

    /// Reads without waiting. Reading and counting are one step to everybody else, so [`Self::close`] is exact.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> io::Result<Taken> {
        let mut tally = self.tally();
        if tally.exceeded {
            return Ok(Taken::Excess);
        }
        let room = usize::try_from(self.limit.saturating_sub(tally.bytes)).unwrap_or(usize::MAX);
        let mut beyond = [0_u8; 1];
        let (target, is_beyond): (&mut [u8], bool) = match room {
            0 => (&mut beyond, true),
            room => (buffer.get_mut(..room.min(buffer.len())).unwrap_or_default(), false),
        };
        match rustix::io::read(&self.pipe, target) {
            Ok(0) => Ok(Taken::End),
            Ok(_) if is_beyond => {
                tally.exceeded = true;
                Ok(Taken::Excess)
            }
            Ok(count) => {
                tally.bytes += u64::try_from(count).unwrap_or(u64::MAX);
                Ok(Taken::Bytes(count))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Taken::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Nobody reads any more: the supervisor will.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        // A counter that is full has rung already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Whether the supervisor must read.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Readable once the pipe is abandoned.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// After the tool's end: how many bytes may be read in all, and whether it wrote more. What still lies in the
    /// pipe counts, however slow the reader is.
    pub(crate) fn close(&self) -> (u64, bool) {
        let mut tally = self.tally();
        let pending = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0);
        let total = tally.bytes.saturating_add(pending);
        tally.exceeded |= total > self.limit;
        (total.min(self.limit), tally.exceeded)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Two numbers that are always consistent: a panic elsewhere while the lock was held did not break them.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for OutputPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Makes reads of this end return at once; the tool's end is not touched.
pub(crate) fn never_block(pipe: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}

fn wait_for(pipe: BorrowedFd<'_>) -> io::Result<()> {
    match poll(&mut [PollFd::from_borrowed_fd(pipe, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use rustix::pipe::pipe;

    use super::*;

    fn pipe_of(limit: u64, content: &[u8]) -> (OutputPipe, File) {
        let (read, write) = pipe().unwrap();
        let mut write = File::from(write);
        write.write_all(content).unwrap();
        (OutputPipe::new(read, limit).unwrap(), write)
    }

    #[test]
    fn output_as_long_as_its_limit_is_whole() {
        let (pipe, write) = pipe_of(4, b"abcd");
        drop(write);
        let mut buffer = [0; 16];
        assert_eq!(pipe.take(&mut buffer).unwrap(), Taken::Bytes(4));
        assert_eq!(pipe.take(&mut buffer).unwrap(), Taken::End);
        assert_eq!(pipe.close(), (4, false));
    }

    #[test]
    fn one_byte_more_than_the_limit_is_an_excess_for_ever() {
        let (pipe, _write) = pipe_of(4, b"abcde");
        let mut buffer = [0; 16];
        assert_eq!(pipe.take(&mut buffer).unwrap(), Taken::Bytes(4));
        assert_eq!(pipe.take(&mut buffer).unwrap(), Taken::Excess);
        assert_eq!(pipe.take(&mut buffer).unwrap(), Taken::Excess);
        assert_eq!(pipe.close(), (4, true));
    }

    #[test]
    fn what_nobody_has_read_yet_counts() {
        let (pipe, _write) = pipe_of(4, b"abcde");
        assert_eq!(pipe.close(), (4, true));
        let (pipe, _write) = pipe_of(8, b"abcde");
        assert_eq!(pipe.close(), (5, false));
        assert_eq!(pipe.take(&mut [0; 16]).unwrap(), Taken::Bytes(5), "and can still be read");
    }

    #[test]
    fn an_open_pipe_without_content_is_not_the_end() {
        let (pipe, write) = pipe_of(4, b"");
        assert_eq!(pipe.take(&mut [0; 16]).unwrap(), Taken::Nothing);
        drop(write);
        assert_eq!(pipe.take(&mut [0; 16]).unwrap(), Taken::End);
    }
}
