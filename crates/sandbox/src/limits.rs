//! How much one run may use, and which of that the kernel enforces by itself.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit};

/// What one run may use at most. The default fits nmap against one shard of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time from start to end; then the whole tree is killed. Default: 15 min.
    pub wall: Duration,
    /// Processor time of each process, of all its threads together; it gets `SIGXCPU`, and 2 s later `SIGKILL`. Less than
    /// the wall clock would end an honest tool that works hard. Default: 30 min, two processors for as long as it may run.
    pub cpu: Duration,
    /// Address space of each process in bytes; in a control group also what all of them and the scratch hold together
    /// (beside [`Self::scratch_bytes`]). Default: 1 GiB.
    pub memory_bytes: u64,
    /// Hundredths of a processor that all processes use together at most; in a control group alone. Default: 200.
    pub processors_percent: u64,
    /// Processes and threads at a time, two of them bwrap's. Default: 64.
    pub processes: u64,
    /// Open descriptors of each process; never more than the worker's own hard limit. Default: 1024.
    pub open_files: u64,
    /// What `/scratch` holds in bytes (`/tmp` and `/dev/shm` are the same directory). Default: 16 MiB.
    pub scratch_bytes: u64,
    /// How many files, directories and links `/scratch` holds. Default: 2048.
    pub scratch_inodes: u64,
    /// What the tool may write to standard output in bytes, and to standard error as well; one more byte ends the
    /// run. Default: 64 MiB.
    pub output_bytes: u64,
    /// How much of the end of standard error is kept for the log, in bytes. Default: 16 KiB.
    pub stderr_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(15 * 60),
            cpu: Duration::from_secs(30 * 60),
            memory_bytes: 1 << 30,
            processors_percent: 200,
            processes: 64,
            open_files: 1024,
            scratch_bytes: 16 << 20,
            scratch_inodes: 2048,
            output_bytes: 64 << 20,
            stderr_bytes: 16 << 10,
        }
    }
}

impl Limits {
    /// The resource limits of `setrlimit(2)`, hard and soft. Those of zero close what no scanner needs: core files
    /// (they would leave the sandbox by `core_pattern`), locked memory, POSIX message queues.
    pub(crate) fn resources(&self) -> [(Resource, Rlimit); 9] {
        let cpu_s = self.cpu.as_secs().max(1);
        [
            (Resource::Core, both(0)),
            (Resource::Memlock, both(0)),
            (Resource::Msgqueue, both(0)),
            (Resource::Rtprio, both(0)),
            // The soft limit's signal tells a spinning tool from one that was killed for another reason.
            (Resource::Cpu, Rlimit { current: Some(cpu_s), maximum: Some(cpu_s.saturating_add(2)) }),
            (Resource::As, both(self.memory_bytes)),
            (Resource::Nproc, both(self.processes)),
            (Resource::Nofile, both(self.open_files)),
            (Resource::Fsize, both(self.scratch_bytes)),
        ]
        .map(|(resource, limit)| (resource, within_own(resource, limit)))
    }

    /// Options of the scratch's tmpfs.
    pub(crate) fn scratch_options(&self) -> String {
        // Zero would mean "no limit" to tmpfs.
        let (bytes, inodes) = (self.scratch_bytes.max(4096), self.scratch_inodes.max(2));
        format!("mode=0700,size={bytes},nr_inodes={inodes}")
    }
}

fn both(limit: u64) -> Rlimit {
    Rlimit { current: Some(limit), maximum: Some(limit) }
}

/// A hard limit cannot be raised without privilege: the worker's own is the most there is.
fn within_own(resource: Resource, limit: Rlimit) -> Rlimit {
    let own = getrlimit(resource).maximum;
    let bound = |wanted: Option<u64>| match (wanted, own) {
        (Some(wanted), Some(own)) => Some(wanted.min(own)),
        (wanted, None) => wanted,
        (None, own) => own,
    };
    Rlimit { current: bound(limit.current), maximum: bound(limit.maximum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_without_a_limit_cannot_be_asked_for() {
        let limits = Limits { scratch_bytes: 0, scratch_inodes: 0, ..Limits::default() };
        assert_eq!(limits.scratch_options(), "mode=0700,size=4096,nr_inodes=2");
    }

    #[test]
    fn no_limit_is_larger_than_the_workers_own() {
        let limits = Limits { open_files: u64::MAX, ..Limits::default() };
        let own = getrlimit(Resource::Nofile).maximum;
        let files = limits.resources().into_iter().find(|(resource, _)| *resource == Resource::Nofile).unwrap().1;
        assert!(own.is_none() || files.maximum == own);
    }

    #[test]
    fn a_spinning_process_is_told_before_it_is_killed() {
        let limits = Limits { cpu: Duration::from_millis(1), ..Limits::default() };
        let cpu = limits.resources().into_iter().find(|(resource, _)| *resource == Resource::Cpu).unwrap().1;
        assert_eq!((cpu.current, cpu.maximum), (Some(1), Some(3)));
    }
}
