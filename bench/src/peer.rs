//! Celery with the same no-op on the same broker (`peer.py`), as delivery promises as much as ours does: a quorum queue,
//! confirms, late acknowledgements.

use std::{path::Path, process::Command};

use picket_testkit::{Namespace, required};
use serde::{Deserialize, de::DeserializeOwned};

use crate::Failure;

/// What it reached.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Reached {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// What became of its tasks when its worker was killed again and again.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Survived {
    pub(crate) lost: u32,
    pub(crate) begun_twice: u32,
    pub(crate) ended_twice: u32,
}

/// Measures it; `None`, and a message, where it cannot be had.
pub(crate) fn measure(tasks: u32, idle: u32) -> Result<Option<Reached>, Failure> {
    run(&["measure", &tasks.to_string(), &idle.to_string()], false)
}

/// Kills its worker so often under so many tasks that sleep so long; with late acknowledgements, or as it is by default.
pub(crate) fn kill(tasks: u32, sleep_ms: u32, kills: u32, is_default: bool) -> Result<Option<Survived>, Failure> {
    run(&["kill", &tasks.to_string(), &sleep_ms.to_string(), &kills.to_string()], is_default)
}

fn run<T: DeserializeOwned>(words: &[&str], is_default: bool) -> Result<Option<T>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = Command::new(folder.join("celery.sh")).output()?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut lines = text.lines();
    let (true, Some(python), Some(site)) = (found.status.success(), lines.next(), lines.next()) else {
        eprintln!("skipped: Celery: {}", String::from_utf8_lossy(&found.stderr).trim());
        return Ok(None);
    };
    let times = tempfile::NamedTempFile::new()?;
    let output = Command::new(python)
        .arg(folder.join("peer.py"))
        .args(words)
        .env("PYTHONPATH", site)
        .env("AMQP_URL", required("AMQP_URL"))
        .env("BENCH_QUEUE", format!("{}.celery", Namespace::new().prefix))
        .env("BENCH_TIMES", times.path())
        .env("BENCH_DEFAULTS", if is_default { "1" } else { "" })
        .output()?;
    if !output.status.success() {
        eprintln!("skipped: Celery: {}", String::from_utf8_lossy(&output.stderr).trim());
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}
