//! A broker of a test's own: to be killed, or to have users.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// A broker that belongs to a folder.
pub(crate) struct Private {
    command: Vec<String>,
    folder: tempfile::TempDir,
}

impl Private {
    pub(crate) fn new() -> Self {
        let command = picket_testkit::required("PICKET_BROKER_CMD");
        let command = command.split(' ').map(str::to_owned).collect();
        Self { command, folder: tempfile::tempdir().unwrap() }
    }

    /// `start` prints the broker's URL, and the same one after a restart.
    pub(crate) fn tell(&self, word: &str) -> String {
        // The broker outlives `start`, and would keep its pipes open: files, and nothing to wait for.
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let output = std::fs::File::create(path("output")).unwrap();
        let errors = std::fs::File::create(path("errors")).unwrap();
        let status = Command::new(&self.command[0])
            .args(&self.command[1..])
            .arg(word)
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .status()
            .unwrap();
        let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert!(status.success(), "{word}: {}", read("errors"));
        read("output").trim().to_owned()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.tell("kill");
    }
}
