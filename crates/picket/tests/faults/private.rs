//! A service of a test's own, to be killed and started again: Postgres, RabbitMQ or Redis of the development stack.

use std::{
    fs::File,
    io::{Read, Seek},
    path::Path,
    process::{Command, Stdio},
};

/// A service that belongs to a folder; killed with the test.
pub(crate) struct Private {
    service: &'static str,
    settings: Vec<(&'static str, &'static str)>,
    folder: tempfile::TempDir,
}

impl Private {
    /// `postgres`, `redis` or `broker`; `settings` are variables for its start.
    pub(crate) fn new(service: &'static str, settings: &[(&'static str, &'static str)]) -> Self {
        Self { service, settings: settings.to_vec(), folder: tempfile::tempdir().unwrap() }
    }

    /// Starts it, or starts it again with its data; its URL, the same one again.
    pub(crate) fn start(&self) -> String {
        self.tell("start")
    }

    /// SIGKILL to all of it.
    pub(crate) fn kill(&self) {
        self.tell("kill");
    }

    /// The users of a broker's roles: each with its URL.
    pub(crate) fn users(&self) -> Vec<(String, String)> {
        let lines = self.tell("users");
        lines.lines().filter_map(|line| line.split_once(' ')).map(|(role, url)| (role.into(), url.into())).collect()
    }

    fn tell(&self, word: &str) -> String {
        stack(&[self.service, word], self.folder.path(), &[], &self.settings)
    }
}

/// Says something to the stack about a folder; what it prints.
pub(crate) fn stack(words: &[&str], folder: &Path, more: &[&str], settings: &[(&'static str, &'static str)]) -> String {
    // A service outlives its start, and would keep pipes open: a file, and nothing to wait for.
    let mut output = tempfile::tempfile().unwrap();
    let mut errors = tempfile::tempfile().unwrap();
    let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev/stack.sh"))
        .args(words)
        .arg(folder)
        .args(more)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(errors.try_clone().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{words:?} {more:?}: {}", text(&mut errors));
    text(&mut output).trim().to_owned()
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).unwrap();
    text
}

impl Drop for Private {
    fn drop(&mut self) {
        self.kill();
    }
}
