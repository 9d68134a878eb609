//! The end of a stream that may be long: what a log wants to see of standard error.
//! It must never keep more than it was given room for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::output::never_block;

/// Reads a pipe without waiting and keeps its end.
pub(crate) struct Tail {
    pipe: OwnedFd,
    kept: VecDeque<u8>,
    room: usize,
    total: u64,
    is_open: bool,
}

impl Tail {
    pub(crate) fn new(pipe: OwnedFd, room: usize) -> io::Result<Self> {
        never_block(pipe.as_fd())?;
        Ok(Self { pipe, kept: VecDeque::new(), room, total: 0, is_open: true })
    }

    /// What to poll; nothing once the stream has ended.
    pub(crate) fn pollable(&self) -> Option<BorrowedFd<'_>> {
        self.is_open.then(|| self.pipe.as_fd())
    }

    /// Reads what is there now. A pipe that is refilled faster than it is read must not hold up the caller, so one
    /// call reads at most a few pipes' worth.
    pub(crate) fn read(&mut self) {
        let mut buffer = [0_u8; 16 << 10];
        for _ in 0..16 {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => return self.is_open = false,
                Ok(count) => self.keep(buffer.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // A pipe that cannot be read will not become readable: the same as its end.
                Err(_) => return self.is_open = false,
            }
        }
    }

    /// How many bytes were read in all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// What was kept, and whether that is less than all.
    pub(crate) fn finish(mut self) -> (Vec<u8>, bool) {
        self.read();
        let is_cut = self.total > u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        (self.kept.into(), is_cut)
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let bytes = bytes.get(bytes.len().saturating_sub(self.room)..).unwrap_or_default();
        let surplus = (self.kept.len() + bytes.len()).saturating_sub(self.room);
        self.kept.drain(..surplus.min(self.kept.len()));
        self.kept.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use rustix::pipe::pipe;

    use super::*;

    fn tail_of(room: usize, content: &[&[u8]]) -> (Vec<u8>, bool) {
        let (read, write) = pipe().unwrap();
        let (mut tail, mut write) = (Tail::new(read, room).unwrap(), File::from(write));
        for part in content {
            write.write_all(part).unwrap();
            tail.read();
        }
        drop(write);
        tail.finish()
    }

    #[test]
    fn the_end_is_kept() {
        assert_eq!(tail_of(4, &[b"ab", b"cd", b"ef"]), (b"cdef".to_vec(), true));
        assert_eq!(tail_of(4, &[b"abcdefgh"]), (b"efgh".to_vec(), true));
        assert_eq!(tail_of(4, &[b"abcd"]), (b"abcd".to_vec(), false));
        assert_eq!(tail_of(0, &[b"abcd"]), (Vec::new(), true));
    }
}
