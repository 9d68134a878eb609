//! What is left of workers that ended (I8): processes that were below them, processes and files of their slots' users, control
//! groups, wires of the network helper. It only looks, and takes nothing away.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use picket_netd::NetdClient;

use crate::process::{Role, Seen, alive};

/// How soon nothing is left of a worker that died (`docs/security.md`, I8).
pub(crate) const GONE: Duration = Duration::from_secs(60);
/// Uids that a worker of these tests may have for its slots.
pub(crate) const UIDS: u32 = 20;
/// Where a run could leave files, if it could at all.
const FOLDERS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// What there was, and where to look for what there may be.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    dead: Vec<Seen>,
    first_uids: Vec<u32>,
    /// The folder of control groups that was handed down to workers.
    pub(crate) groups: Option<Group>,
    /// The socket of the network helper.
    pub(crate) netd: Option<PathBuf>,
}

/// A folder of control groups, which goes with the test.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// `None`, with a message, where nobody but the system may make one.
    pub(crate) fn new() -> Option<Self> {
        let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let hierarchy = places.into_iter().find(|folder| folder.join("cgroup.controllers").exists());
        let is_systems = Path::new("/run/systemd/system").exists();
        let folder = hierarchy.filter(|_| !is_systems)?.join(format!("picket-faults-{}", rand::random::<u32>()));
        if let Err(error) = fs::create_dir(&folder) {
            println!("no control groups: {}: {error}", folder.display());
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn runs(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("run-")).map(|name| format!("control group {name}")).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for run in fs::read_dir(&self.0).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
            let _killed = fs::write(run.path().join("cgroup.kill"), "1");
            let _gone = fs::remove_dir(run.path());
        }
        let _gone = fs::remove_dir(&self.0);
    }
}

impl Leftovers {
    /// Somebody is about to end, or has ended.
    pub(crate) fn remember(&mut self, role: &Role) {
        self.dead.extend(role.descendants());
        self.first_uids.extend(role.first_uid.filter(|first| !self.first_uids.contains(first)));
    }

    /// What is still there.
    pub(crate) fn find(&self) -> Vec<String> {
        let processes = alive(&self.dead).into_iter().map(|one| format!("process {}", one.command));
        let folders = FOLDERS.iter().flat_map(|folder| self.files(Path::new(folder)));
        let groups = self.groups.iter().flat_map(Group::runs);
        let wires = self.netd.iter().filter_map(|socket| NetdClient::new(socket.clone()).status().ok());
        let wires = wires.filter(|status| status.slots > 0).map(|status| format!("{} wires", status.slots));
        processes.chain(self.of_slots()).chain(folders).chain(groups).chain(wires).collect()
    }

    /// Processes that run as the user of a slot, whoever's children they are by now.
    fn of_slots(&self) -> Vec<String> {
        let ids = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let of = |folder: PathBuf| {
            let status = fs::read_to_string(folder.join("status")).ok()?;
            let uid =
                status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()?;
            let is_zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
            (self.has(uid) && !is_zombie).then(|| format!("{} of uid {uid}", folder.display()))
        };
        ids.filter_map(of).collect()
    }

    fn files(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let owned = entries.filter(|entry| entry.metadata().is_ok_and(|file| self.has(file.uid())));
        owned.map(|entry| format!("file {}", entry.path().display())).collect()
    }

    fn has(&self, uid: u32) -> bool {
        self.first_uids.iter().any(|first| (*first..first + UIDS).contains(&uid))
    }
}

/// As root alone there are users of slots.
#[test]
fn what_outlives_its_worker_is_found() {
    let uid = 4_000_000_000 + rand::random_range(0..1_000_000) * UIDS;
    let mut left = Leftovers { first_uids: vec![uid], groups: Group::new(), ..Leftovers::default() };
    assert_eq!(left.find(), Vec::<String>::new(), "nothing is left of nobody");
    let identity = format!("--reuid={}", uid + 3);
    let mut daemon = Command::new("setpriv").args([&identity, "--clear-groups", "sleep", "600"]).spawn().unwrap();
    let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    std::os::unix::fs::chown(file.path(), Some(uid + 1), None).unwrap();
    let began = std::time::Instant::now();
    while left.find().len() < 2 && began.elapsed() < GONE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let found = left.find();
    let group = left.groups.as_ref().map(|groups| groups.0.join("run-1-0"));
    group.iter().for_each(|group| fs::create_dir(group).unwrap());
    let more = left.find();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(found.len() == 2 && found[0].contains("of uid") && found[1].contains("file"), "{found:?}");
    assert_eq!(more.len(), 2 + group.iter().count(), "{more:?}");
    left.dead.clear();
}
