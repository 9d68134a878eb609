//! Processes of `picket`, and what runs below them.

use std::{
    collections::HashSet,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

static LOGS: AtomicU64 = AtomicU64::new(0);

/// A running role and its log. Killed with the test.
pub(crate) struct Role(Child, PathBuf);

/// A process that was seen, known by its start time too: ids are used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    id: u32,
    parent: u32,
    start: u64,
    pub(crate) command: String,
}

impl Role {
    /// Starts `picket <role>` with these settings; its log is a file of the test's temporary folder.
    pub(crate) fn start(role: &str, settings: &[(&str, String)]) -> Self {
        let name = format!("faults-{role}-{}-{}.log", std::process::id(), LOGS.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let log = File::create(&path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_picket"))
            .arg(role)
            .env("PICKET_INTERNAL__LISTEN", "127.0.0.1:0")
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child, path)
    }

    /// The first line of its log that says this.
    pub(crate) fn line(&self, message: &str) -> Option<Value> {
        let text = fs::read_to_string(&self.1).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|line: &Value| line["message"] == message)
    }

    /// SIGKILL: no farewell.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// How it ended, once it has.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Everything below it, of all generations.
    pub(crate) fn descendants(&self) -> Vec<Seen> {
        let all = all();
        let mut family = HashSet::from([self.0.id()]);
        loop {
            let before = family.len();
            family.extend(all.iter().filter(|one| family.contains(&one.parent)).map(|one| one.id).collect::<Vec<_>>());
            if family.len() == before {
                break;
            }
        }
        all.into_iter().filter(|one| family.contains(&one.id) && one.id != self.0.id()).collect()
    }

    /// The tool's processes below it.
    pub(crate) fn tools(&self) -> Vec<Seen> {
        self.descendants().into_iter().filter(|one| one.command.starts_with("/usr/bin/nmap")).collect()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
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
