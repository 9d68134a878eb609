//! Finds processes by a word in their command line, and waits for their end without sleeping.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Processes whose command line contains `word`, oldest first.
pub(crate) fn with_word(word: &str) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let has_word = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    let mut found: Vec<i32> = pids.filter(has_word).collect();
    found.sort_unstable();
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// The children of a process, whichever of its threads made them.
pub(crate) fn children(pid: u32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let pids: Vec<i32> = lists.flat_map(|list| list.split(' ').flat_map(str::parse).collect::<Vec<i32>>()).collect();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

/// Handles on these processes that stay theirs.
pub(crate) fn handles(pids: &[Pid]) -> Vec<OwnedFd> {
    pids.iter().filter_map(|pid| pidfd_open(*pid, PidfdFlags::empty()).ok()).collect()
}

/// Waits until all have ended.
pub(crate) fn await_end(handles: &[OwnedFd]) {
    let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
    for handle in handles {
        let count = poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap();
        assert_eq!(count, 1, "a process outlived its sandbox");
    }
}

/// Looks again and again until the condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::yield_now();
    }
}
