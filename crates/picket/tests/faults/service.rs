//! A service to scan, of the test's own: silent as long as the test wants, and then an old SSH server.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const BANNER: &[u8] = b"SSH-2.0-OpenSSH_7.4\r\n";

/// A listening service.
pub(crate) struct Service {
    pub(crate) port: u16,
    is_silent: Arc<AtomicBool>,
}

impl Service {
    /// One that accepts and says nothing: nmap waits for its answers for a minute and longer.
    pub(crate) fn silent() -> Self {
        Self::new(true)
    }

    /// One that answers at once.
    pub(crate) fn quick() -> Self {
        Self::new(false)
    }

    /// A silent one at another address of this machine.
    pub(crate) fn silent_at(address: &str) -> Self {
        Self::at(address, true)
    }

    fn new(is_silent: bool) -> Self {
        Self::at("127.0.0.1", is_silent)
    }

    fn at(address: &str, is_silent: bool) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_silent = Arc::new(AtomicBool::new(is_silent));
        let (silent, mut held) = (is_silent.clone(), Vec::<TcpStream>::new());
        // Ends with the process.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if silent.load(Ordering::Acquire) {
                    held.push(stream);
                } else {
                    // A scanner that has gone already is no concern of ours.
                    let _sent = stream.write_all(BANNER);
                }
            }
        });
        Self { port, is_silent }
    }

    /// From now on it answers.
    pub(crate) fn speak(&self) {
        self.is_silent.store(false, Ordering::Release);
    }
}
