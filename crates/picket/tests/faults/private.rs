//! A service of a test's own, to be killed and started again: Postgres, RabbitMQ or Redis of the development stack.

use std::{
    fs::File,
    path::{Path, PathBuf},
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

    fn tell(&self, word: &str) -> String {
        // The service outlives `start`, and would keep its pipes open: files, and nothing to wait for.
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev/stack.sh");
        let status = Command::new(stack)
            .args([self.service, word])
            .arg(self.folder.path())
            .envs(self.settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(path("output")).unwrap())
            .stderr(File::create(path("errors")).unwrap())
            .status()
            .unwrap();
        let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert!(status.success(), "{} {word}: {}", self.service, read("errors"));
        read("output").trim().to_owned()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.kill();
    }
}
