//! Control groups (v2), where the operator hands a folder of them down: memory, processes and processor time of a run as a
//! whole, where limits of processes count each alone. A group is made for one run and removed with it; what a killed worker
//! left is removed by the next one that has the folder, at its start and every half minute. Who lives is told by a lock on
//! the group's folder, which the kernel takes back with its owner: numbers of processes mean nothing to a worker in another
//! process namespace, which may have the same folder.
//!
//! Only the sandbox's process ever enters a group: a supervisor in it could be killed in its tool's place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::outcome::Exceeded;
use crate::{Limits, SandboxError};

/// What the names of groups of runs begin with.
const PREFIX: &str = "run-";
/// How often a group is made before the folder counts as broken.
const TRIES: u32 = 1000;
/// Between two looks for what nobody owns any more.
const LOOK: Duration = Duration::from_secs(30);
/// What a group is asked to limit.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// The time of which `cpu.max` gives a share, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// The folder that was handed down.
#[derive(Debug)]
pub(crate) struct Groups {
    folder: PathBuf,
    /// Those of [`CONTROLLERS`] that the kernel has in it.
    controllers: Vec<&'static str>,
    numbers: AtomicU64,
    stuck: Arc<Mutex<Vec<PathBuf>>>,
    /// The janitor ends when this does.
    _life: Sender<()>,
}

impl Groups {
    /// Takes the folder over: hands its controllers down to the groups in it, and removes what dead workers left.
    ///
    /// # Errors
    /// When it is no control group of version 2, or not ours to use.
    pub(crate) fn open(folder: &Path) -> Result<Self, SandboxError> {
        let failed = |step| SandboxError::set_up(step);
        let known = fs::read_to_string(folder.join("cgroup.controllers"))
            .map_err(failed("read cgroup.controllers of the control group that was handed down"))?;
        let controllers: Vec<&str> =
            CONTROLLERS.into_iter().filter(|one| known.split_whitespace().any(|word| word == *one)).collect();
        for controller in &controllers {
            write(&folder.join("cgroup.subtree_control"), &format!("+{controller}"))
                .map_err(failed("hand the controllers of the control group down"))?;
        }
        for controller in CONTROLLERS.into_iter().filter(|one| !controllers.contains(one)) {
            tracing::warn!(
                controller,
                "the control group of the worker lacks a controller: runs are not limited by it"
            );
        }
        let (stuck, (life, ended)) = (Arc::<Mutex<Vec<PathBuf>>>::default(), mpsc::channel());
        sweep(folder, &stuck);
        let (watched, left) = (folder.to_owned(), Arc::clone(&stuck));
        let work = move || janitor(&watched, &left, |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout));
        thread::Builder::new().name("sandbox-groups".into()).spawn(work).map_err(failed("start a thread"))?;
        let folder = folder.to_owned();
        Ok(Self { folder, controllers, numbers: AtomicU64::new(0), stuck, _life: life })
    }

    /// Makes the group of one run.
    ///
    /// # Errors
    /// When the kernel does not let it be made or limited.
    pub(crate) fn make(&self, limits: &Limits) -> Result<Group, SandboxError> {
        // From here on it is removed when a step fails.
        let group = self.begin().map_err(SandboxError::set_up("make a control group"))?;
        let has = |controller| self.controllers.contains(&controller);
        let mut wanted = Vec::new();
        if has("memory") {
            // What the scratch holds counts as the run's memory.
            let bytes = limits.memory_bytes.saturating_add(limits.scratch_bytes);
            wanted.extend([("memory.max", bytes.to_string()), ("memory.oom.group", "1".to_owned())]);
        }
        if has("pids") {
            wanted.push(("pids.max", limits.processes.to_string()));
        }
        if has("cpu") {
            let share = limits.processors_percent.saturating_mul(PERIOD_US) / 100;
            wanted.push(("cpu.max", format!("{share} {PERIOD_US}")));
        }
        for (file, value) in wanted {
            write(&group.folder.join(file), &value).map_err(SandboxError::set_up("limit a control group"))?;
        }
        if has("memory") {
            // A kernel without swap accounting has no such file, and a machine without swap needs none.
            let _ = write(&group.folder.join("memory.swap.max"), "0");
        }
        Ok(group)
    }
}

impl Groups {
    /// A group that is locked. A name that somebody else has, or a group that a janitor took in the moment before it was
    /// locked, only costs another try.
    fn begin(&self) -> io::Result<Group> {
        for _ in 0..TRIES {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let folder = self.folder.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            match lock(&folder) {
                Ok(lock) if is_at(&lock, &folder) => {
                    let counts_processes = self.controllers.contains(&"pids");
                    return Ok(Group { folder, counts_processes, _lock: Some(lock), stuck: Arc::clone(&self.stuck) });
                }
                // A sweep was faster: it has the folder, or has taken it away.
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound) => {}
                Err(error) => {
                    fs::remove_dir(&folder)?;
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// The group of one run; dropping it ends what is in it, and removes it.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    /// Whether the kernel bounds its processes.
    counts_processes: bool,
    /// Held while the worker lives and the run lasts.
    _lock: Option<File>,
    stuck: Arc<Mutex<Vec<PathBuf>>>,
}

impl Group {
    /// Puts the process into the group, and so everything that it will start.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub(crate) fn enter(&self, pid: i32) -> Result<(), SandboxError> {
        write(&self.folder.join("cgroup.procs"), &pid.to_string())
            .map_err(SandboxError::set_up("enter a control group"))
    }

    /// How many processes of the run's user the resource limit allows, when a run may have `processes`. Where the group
    /// bounds them it is the second lock: were it the same, it would refuse first, and no counter would say so.
    pub(crate) const fn second_bound(&self, processes: u64) -> u64 {
        if self.counts_processes { processes.saturating_mul(2) } else { processes }
    }

    /// Which of its limits the run came to, as the kernel counts it.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        let counted = |file: &str, event: &str| {
            let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
            let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
            pairs.any(|(name, count)| name == event && count.trim() != "0")
        };
        match () {
            () if counted("memory.events", "oom_kill") => Some(Exceeded::Memory),
            () if counted("pids.events", "max") => Some(Exceeded::Processes),
            () => None,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !remove(&self.folder) {
            // Its last process is still on its way out.
            locked(&self.stuck).push(std::mem::take(&mut self.folder));
        }
    }
}

/// Without making a file: in a control group there are those that the kernel put there.
fn write(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file).and_then(|mut file: File| file.write_all(value.as_bytes()))
}

/// Ends what is in a group and removes it; says whether it is gone.
fn remove(folder: &Path) -> bool {
    // Before Linux 5.14 there is no such file; the run's processes have ended by the kill of their first one.
    let _ = write(&folder.join("cgroup.kill"), "1");
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Works until the sandbox is gone: `wait` lets that time pass, and says whether it is there still.
fn janitor(folder: &Path, stuck: &Mutex<Vec<PathBuf>>, mut wait: impl FnMut(Duration) -> bool) {
    while wait(LOOK) {
        sweep(folder, stuck);
    }
}

/// Removes the groups of workers that have ended, and those of ours that could not be removed at once.
fn sweep(folder: &Path, stuck: &Mutex<Vec<PathBuf>>) {
    locked(stuck).retain(|group| !remove(group));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // While this holds the lock, nobody can begin to use it.
        let Ok(_lock) = lock(&entry.path()) else { continue };
        let is_gone = remove(&entry.path());
        tracing::info!(group = %entry.path().display(), is_gone, "a control group was left by a worker that has ended");
    }
}

/// The lock of a group, unless somebody lives who holds it.
fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    Ok(folder)
}

/// Whether what is locked is still what the path leads to.
fn is_at(lock: &File, folder: &Path) -> bool {
    match (lock.metadata(), fs::metadata(folder)) {
        (Ok(locked), Ok(found)) => (locked.dev(), locked.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

fn locked(stuck: &Mutex<Vec<PathBuf>>) -> MutexGuard<'_, Vec<PathBuf>> {
    // A list whose every change is one step: whole whatever panicked.
    stuck.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a control group to whoever only reads and writes files; the kernel's part is played here.
    fn fake(controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), controllers).unwrap();
        fs::write(folder.path().join("cgroup.subtree_control"), "").unwrap();
        folder
    }

    fn group(folder: &Path, files: &[(&str, &str)]) -> Group {
        let folder = folder.join("run-1-1-0");
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        Group { folder, counts_processes: true, _lock: None, stuck: Arc::default() }
    }

    #[test]
    fn the_kernels_counts_say_which_limit_a_run_came_to() {
        let of = |memory: &str, pids: &str| {
            let folder = fake("");
            group(folder.path(), &[("memory.events", memory), ("pids.events", pids)]).exceeded()
        };
        let quiet = "low 0\nhigh 0\nmax 31\noom 0\noom_kill 0\noom_group_kill 0\n";
        assert_eq!(of(quiet, "max 0\n"), None);
        assert_eq!(of("max 31\noom 1\noom_kill 2\n", "max 0\n"), Some(Exceeded::Memory));
        assert_eq!(of(quiet, "max 5\n"), Some(Exceeded::Processes));
        assert_eq!(of("", ""), None);
        let folder = fake("");
        assert_eq!(group(folder.path(), &[]).exceeded(), None);
    }

    #[test]
    fn the_resource_limit_is_the_second_lock_where_the_group_bounds_processes() {
        let folder = tempfile::tempdir().unwrap();
        let counting = group(folder.path(), &[]);
        assert_eq!(counting.second_bound(64), 128);
        let folder = tempfile::tempdir().unwrap();
        let mut without = group(folder.path(), &[]);
        without.counts_processes = false;
        assert_eq!(without.second_bound(64), 64);
    }

    #[test]
    fn a_process_enters_by_its_number() {
        let folder = fake("");
        let group = group(folder.path(), &[("cgroup.procs", "")]);
        group.enter(4242).unwrap();
        assert_eq!(fs::read_to_string(group.folder.join("cgroup.procs")).unwrap(), "4242");
    }

    #[test]
    fn controllers_are_handed_down_and_what_is_no_control_group_is_refused() {
        let folder = fake("cpuset cpu io memory hugetlb pids rdma\n");
        let groups = Groups::open(folder.path()).unwrap();
        assert_eq!(groups.controllers, ["memory", "pids", "cpu"]);
        assert!(fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap().contains("+cpu"));
        // Its files are the kernel's to make: where there are none a run is not limited, so it must not begin.
        let refused = groups.make(&Limits::default()).unwrap_err();
        assert!(matches!(&refused, SandboxError::SetUp { step, .. } if step == "limit a control group"), "{refused:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "what was begun is removed");
        assert!(Groups::open(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn only_groups_that_nobody_holds_are_left_over() {
        let folder = fake("");
        for name in ["run-999999999-1", "run-by-somebody", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        // A worker of any process namespace: what counts is the lock, whatever number is in the name.
        let held = lock(&folder.path().join("run-999999999-1")).unwrap();
        let groups = Groups::open(folder.path()).unwrap();
        let exists = |name: &str| folder.path().join(name).exists();
        assert_eq!((exists("run-999999999-1"), exists("run-by-somebody"), exists("other")), (true, false, true));
        drop(held);
        let own = groups.make(&Limits::default()).unwrap();
        sweep(folder.path(), &groups.stuck);
        assert!(!exists("run-999999999-1") && own.folder.exists(), "the one has ended, and the other goes on");
        drop(own);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    /// Both are left right behind a look, so that they wait for the whole time until the next one.
    #[test]
    fn the_janitor_takes_away_within_a_minute_what_a_dead_worker_and_a_dying_process_left() {
        let folder = fake("");
        let (left, dying) = (folder.path().join("run-999999999-1"), folder.path().join("run-1-7"));
        let (held, mut waits, mut since) = (Mutex::new(None), 0, Duration::ZERO);
        let stuck = Arc::<Mutex<Vec<PathBuf>>>::default();
        janitor(folder.path(), &stuck, |time| {
            waits += 1;
            match waits {
                1 => {
                    // A worker of another process namespace has a run, and a process of one of ours does not end.
                    fs::create_dir(&left).unwrap();
                    *held.lock().unwrap() = Some(lock(&left).unwrap());
                    fs::create_dir_all(dying.join("process")).unwrap();
                    locked(&stuck).push(dying.clone());
                }
                2 => {
                    assert!(left.exists() && dying.exists(), "while they live");
                    drop(held.lock().unwrap().take());
                    fs::remove_dir(dying.join("process")).unwrap();
                }
                _ => {}
            }
            since += if waits == 2 { time } else { Duration::ZERO };
            waits < 3
        });
        assert!(!left.exists() && !dying.exists() && locked(&stuck).is_empty(), "one look is enough");
        assert!(since <= Duration::from_secs(60), "{since:?}");
    }

    #[test]
    fn a_name_that_another_worker_has_is_not_used_twice() {
        let folder = fake("");
        let (one, other) = (Groups::open(folder.path()).unwrap(), Groups::open(folder.path()).unwrap());
        let runs = [one.make(&Limits::default()).unwrap(), other.make(&Limits::default()).unwrap()];
        assert_ne!(runs[0].folder, runs[1].folder);
        assert!(lock(&runs[1].folder).is_err(), "nobody else gets the lock");
    }
}
