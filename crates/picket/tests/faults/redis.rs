//! A Redis of the test's own, from the stack's unpacked packages: to be killed.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A running server that keeps nothing; it is reached through a socket in a folder, so that no port is guessed.
pub(crate) struct Redis {
    root: PathBuf,
    folder: tempfile::TempDir,
    process: Child,
}

impl Redis {
    /// Starts it, where the stack brought a server; else `None`, with a message.
    pub(crate) fn start() -> Option<Self> {
        let Some(state) = picket_testkit::optional("PICKET_STATE_DIR") else {
            println!("skipped: PICKET_STATE_DIR is not set, so there is no stack's redis-server; `make test` sets it");
            return None;
        };
        let root = PathBuf::from(state).join("root");
        if !root.join("usr/bin/redis-server").exists() {
            println!("skipped: no redis-server in {}", root.display());
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let process = launch(&root, &folder);
        Some(Self { root, folder, process })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    /// SIGKILL: it says goodbye to nobody, and what it knew is lost.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again in the same place, empty.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.root, &self.folder);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// By the loader and the libraries of its own packages: the machine may have others.
fn launch(root: &std::path::Path, folder: &tempfile::TempDir) -> Child {
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib"]
        .map(|path| root.join(path).display().to_string());
    let socket = folder.path().join("redis.sock");
    Command::new(root.join("usr/bin/redis-server"))
        .env("LD_LIBRARY_PATH", libraries.join(":"))
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the stack's redis-server runs")
}
