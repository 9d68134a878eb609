//! Processes of `picket`, and what runs below them.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

static LOGS: AtomicU64 = AtomicU64::new(0);

/// A running role. Killed with the test.
pub(crate) struct Role {
    child: Child,
    log: PathBuf,
    /// Of its slots, when it is a worker that was told.
    pub(crate) first_uid: Option<u32>,
}

/// A process that was seen, known by its start time too: ids are used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) id: u32,
    parent: u32,
    start: u64,
    pub(crate) command: String,
}

impl Role {
    /// Starts `picket <role>` with these settings and perhaps a file of more, by a command that becomes it where one is
    /// given; its log is a file of the test's temporary folder.
    pub(crate) fn start_with(by: &[String], file: Option<&Path>, role: &str, settings: &[(&str, String)]) -> Self {
        let name = format!("faults-{role}-{}-{}.log", std::process::id(), LOGS.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let log = File::create(&path).unwrap();
        let program = env!("CARGO_BIN_EXE_picket").to_owned();
        let (first, rest) = by.split_first().map_or((&program, None), |(first, rest)| (first, Some((rest, &program))));
        let child = Command::new(first)
            .args(rest.iter().flat_map(|(rest, program)| rest.iter().chain([*program])))
            .args(file.iter().flat_map(|file| [OsStr::new("--settings"), file.as_os_str()]))
            .arg(role)
            .env("PICKET_INTERNAL__LISTEN", "127.0.0.1:0")
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let uid = settings.iter().find(|(name, _)| *name == "PICKET_WORKER__FIRST_SLOT_UID" && role == "worker");
        Self { child, log: path, first_uid: uid.map(|(_, uid)| uid.parse().unwrap()) }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of its log that says this.
    pub(crate) fn line(&self, message: &str) -> Option<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|line: &Value| line["message"] == message)
    }

    /// SIGKILL: no farewell.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{name}");
    }

    /// Whether it is stopped by a signal (state `T` of proc(5)).
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The ports of TCP at which it listens: those sockets of its network (`/proc/net/tcp`, state `0A`) that are its own.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let files = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        let own: HashSet<String> = files
            .filter_map(|file| fs::read_link(file.path()).ok()?.to_str()?.strip_prefix("socket:[").map(str::to_owned))
            .filter_map(|rest| rest.strip_suffix(']').map(str::to_owned))
            .collect();
        let table = fs::read_to_string(folder.join("net/tcp")).unwrap_or_default();
        let port = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_own = fields.get(3) == Some(&"0A") && fields.get(9).is_some_and(|inode| own.contains(*inode));
            let (_, port) = fields.get(1).filter(|_| is_own)?.split_once(':')?;
            u16::from_str_radix(port, 16).ok()
        };
        table.lines().filter_map(port).collect()
    }

    /// How it ended, once it has.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Everything below it, of all generations.
    pub(crate) fn descendants(&self) -> Vec<Seen> {
        let all = all();
        let mut family = HashSet::from([self.child.id()]);
        loop {
            let before = family.len();
            family.extend(all.iter().filter(|one| family.contains(&one.parent)).map(|one| one.id).collect::<Vec<_>>());
            if family.len() == before {
                break;
            }
        }
        all.into_iter().filter(|one| family.contains(&one.id) && one.id != self.child.id()).collect()
    }

    /// The tool's processes below it.
    pub(crate) fn tools(&self) -> Vec<Seen> {
        self.descendants().into_iter().filter(|one| one.command.starts_with("/usr/bin/nmap")).collect()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Seen {
    /// SIGKILL; it may be gone already.
    pub(crate) fn kill(&self) {
        let _sent = Command::new("kill").args(["-s", "KILL", &self.id.to_string()]).status().unwrap();
    }
}

/// Those that still run; what only waits to be reaped is gone.
pub(crate) fn alive(seen: &[Seen]) -> Vec<Seen> {
    let all: HashSet<Seen> = all().into_iter().collect();
    // The parent changes when it dies.
    let is_alive = |one: &&Seen| all.iter().any(|other| other.id == one.id && other.start == one.start);
    seen.iter().filter(is_alive).cloned().collect()
}

/// Looks again and again until there is something, and says how long that took.
pub(crate) async fn eventually<T>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return (found, began.elapsed());
        }
        assert!(began.elapsed() < bound, "{what}: not within {bound:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn all() -> Vec<Seen> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(one).collect()
}

/// `/proc/<id>/stat` (proc(5)): after the name in parentheses, state, parent, and as the 20th field the start time.
fn one(id: u32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let is_zombie = *fields.first()? == "Z";
    (!is_zombie).then_some(Seen {
        id,
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        command: String::from_utf8_lossy(&command).replace('\0', " "),
    })
}
