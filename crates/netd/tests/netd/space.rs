//! Network namespaces without names, and threads that work in them.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A network namespace, held by a descriptor.
#[derive(Debug)]
pub(crate) struct Space(File);

impl Space {
    /// A new one, in which nothing is but a loopback interface that is down.
    pub(crate) fn new() -> Self {
        thread::spawn(|| {
            #[expect(deprecated, reason = "the safe form; descriptors are not unshared")]
            rustix::thread::unshare(UnshareFlags::NEWNET).unwrap();
            Self::here()
        })
        .join()
        .unwrap()
    }

    /// One that somebody else holds.
    pub(crate) const fn of(file: File) -> Self {
        Self(file)
    }

    /// What tells it from others.
    pub(crate) fn identity(&self) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&self.0.metadata().unwrap())
    }

    /// The one that the calling thread is in.
    pub(crate) fn here() -> Self {
        Self(File::open("/proc/thread-self/ns/net").unwrap())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Does something in the namespace.
    pub(crate) fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let enter = || {
                move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            };
            scope.spawn(enter).join().unwrap()
        })
    }

    /// Runs `ip` in the namespace, once for each line.
    pub(crate) fn ip(&self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let status = self.run(|| Command::new("ip").args(line.split_whitespace()).status().unwrap());
            assert!(status.success(), "ip {line}");
        }
    }

    /// A veth pair between this namespace and another one.
    pub(crate) fn wire(&self, name: &str, other: &Self, others_name: &str) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&other.0));
        self.ip(&format!("link add {name} type veth peer name {others_name} netns {path}"));
    }
}
