//! A socket of ours that has a name and no file. A run must not reach it: the worker's neighbors may listen at such names.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::SandboxError;

/// The socket; it listens as long as this lives.
pub(crate) struct Bait {
    name: String,
    _listener: UnixListener,
}

impl Bait {
    /// Listens at a name that nobody guesses.
    pub(crate) fn new() -> Result<Self, SandboxError> {
        let name = format!("picket-{:016x}", RandomState::new().build_hasher().finish());
        let listener = SocketAddr::from_abstract_name(&name).and_then(|address| UnixListener::bind_addr(&address));
        let listener = listener.map_err(SandboxError::set_up("listen for the self-test"))?;
        Ok(Self { name, _listener: listener })
    }

    /// What the probe is told.
    pub(crate) fn words(&self) -> [String; 3] {
        ["unix".to_owned(), self.name.clone(), "0".to_owned()]
    }
}
