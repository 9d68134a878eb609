//! The helper: the only part of the platform that runs as root. It listens at a unix socket, one thread for each client,
//! and leaves the node as it was when it is told to stop. When it is killed, the router's namespace ends with it, and every
//! wire in it: no run can reach anything until a successor connects it anew.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Shutdown},
    os::{
        fd::BorrowedFd,
        unix::net::{UnixListener, UnixStream},
    },
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    thread::{CapabilitySet, capabilities},
};

use crate::{
    Forward, Granted, NetdSettings,
    door::Door,
    host::Host,
    node::{Connected, Fault, Foreign, Node},
    policy::Checked,
    router::Wires,
    session,
    slot::{self, Wired},
};

/// Clients that only ask how the helper stands, beside those that hold a run.
const GUESTS: u32 = 32;
/// A slot whose client has just died is free again within this time: as long a client waits for one.
const HANDOVER: Duration = Duration::from_secs(1);
/// Enough for a line of JSON and a transaction of the packet filter.
const STACK: usize = 512 * 1024;

/// Why the helper does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It has not the rights that it needs.
    #[error("expected the capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN: the network helper runs as root")]
    Unprivileged,
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(&'static str),
    /// Others may write in the socket's folder: they could put a link or a socket of their own there.
    #[error("expected netd.socket in a folder that root owns, where nobody else may write")]
    Folder,
    /// Another helper serves the same socket, or has the same interface.
    #[error("another network helper runs already, or netd.name names an interface of somebody else")]
    Running,
    /// The socket cannot be made.
    #[error("cannot listen at netd.socket")]
    Socket(#[source] io::Error),
    /// The node's network cannot be prepared.
    #[error("cannot prepare the node's network")]
    Network(#[source] io::Error),
}

/// Everything that the threads share.
pub(crate) struct Helper {
    pub(crate) settings: NetdSettings,
    foreign: Foreign,
    /// `None` once it stops.
    node: Mutex<Option<Node>>,
    /// Likewise. Held beside the node by nobody: what runs begin with waits for no wire.
    wires: Mutex<Option<Wires>>,
    freed: Condvar,
    clients: Mutex<BTreeMap<u64, UnixStream>>,
    numbers: AtomicU64,
}

/// Serves until `stop` can be read or its other end is closed. Takes over what a dead predecessor left.
///
/// # Errors
/// Each of [`ServeError`]; a single client's failure is only logged.
pub fn serve(settings: &NetdSettings, stop: BorrowedFd<'_>) -> Result<(), ServeError> {
    if let Some(fault) = settings.fault() {
        return Err(ServeError::Settings(fault));
    }
    let rights = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    if !capabilities(None).is_ok_and(|sets| sets.effective.contains(rights)) {
        return Err(ServeError::Unprivileged);
    }
    let door = Door::lock(&settings.socket)?;
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let unmade = |error| if is_taken(&error) { ServeError::Running } else { ServeError::Network(error) };
    let (node, foreign) = Node::connect(settings).map_err(unmade)?;
    let wires = node.wires().map_err(ServeError::Network)?;
    let helper = Arc::new(Helper {
        settings: settings.clone(),
        foreign,
        node: Mutex::new(Some(node)),
        wires: Mutex::new(Some(wires)),
        freed: Condvar::new(),
        clients: Mutex::new(BTreeMap::new()),
        numbers: AtomicU64::new(0),
    });
    let served = door.listen(settings.gid).and_then(|listener| {
        tracing::info!(socket = %settings.socket.display(), slots = settings.slots, "the network helper listens");
        accept(&helper, &listener, stop)
    });
    helper.end();
    door.close();
    served.map_err(ServeError::Socket)
}

fn accept(helper: &Arc<Helper>, listener: &UnixListener, stop: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        let mut ready = [PollFd::from_borrowed_fd(stop, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        match poll(&mut ready, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let [stop, _] = &ready;
        if !stop.revents().is_empty() {
            return Ok(());
        }
        match listener.accept() {
            Ok((stream, _)) => welcome(helper, stream),
            // A client that went at once, or no descriptors left for the moment: others are served on.
            Err(error) => {
                tracing::warn!(%error, "cannot take a client");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Gives the client a thread, unless there are too many already: then it sees a closed connection.
fn welcome(helper: &Arc<Helper>, stream: UnixStream) {
    let number = helper.numbers.fetch_add(1, Ordering::Relaxed);
    let Ok(copy) = stream.try_clone() else { return };
    {
        let mut clients = unpoisoned(helper.clients.lock());
        // A run may have a second connection, for its stand-ins.
        let most =
            usize::try_from(helper.settings.slots.saturating_mul(2).saturating_add(GUESTS)).unwrap_or(usize::MAX);
        if clients.len() >= most {
            tracing::warn!(most, "too many clients");
            return;
        }
        clients.insert(number, copy);
    }
    let shared = Arc::clone(helper);
    let serve = move || {
        if let Err(error) = session::serve(&shared, stream) {
            tracing::debug!(%error, "a client left");
        }
        unpoisoned(shared.clients.lock()).remove(&number);
    };
    if thread::Builder::new().stack_size(STACK).spawn(serve).is_err() {
        unpoisoned(helper.clients.lock()).remove(&number);
    }
}

impl Helper {
    /// Does something with the node, while it is there.
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut Node) -> io::Result<T>) -> io::Result<T> {
        match unpoisoned(self.node.lock()).as_mut() {
            Some(node) => what(node),
            None => Err(io::Error::other("the network helper stops")),
        }
    }

    /// Wires a run, after a moment for a dead client's slot to become free when all are taken; those that only wait for their
    /// run make room. One that `waits` for its run, over this connection, waits for no slot.
    pub(crate) fn wire(&self, namespace: BorrowedFd<'_>, waits: Option<&UnixStream>) -> Result<Connected, Fault> {
        self.foreign.inspect(namespace)?;
        self.retry();
        let full = |node: &mut Option<Node>| {
            let full = node.as_mut().filter(|node| node.free_slot().is_none());
            // Again at each look: the slot of the one before may have been another's luck.
            full.is_some_and(|node| {
                if waits.is_none() {
                    node.reclaim();
                }
                true
            })
        };
        let node = unpoisoned(self.node.lock());
        let patience = if waits.is_some() { Duration::ZERO } else { HANDOVER };
        let (mut node, _) = unpoisoned(self.freed.wait_timeout_while(node, patience, full));
        let slot = node.as_mut().ok_or_else(stops)?.take_slot(waits)?;
        drop(node);
        let wired = match unpoisoned(self.wires.lock()).as_mut() {
            Some(wires) => slot::wire(wires, &self.settings, slot, namespace),
            None => Err((io::Error::other("the network helper stops"), None)),
        };
        wired.map(Connected::new).map_err(|(error, left)| {
            if let Some(node) = unpoisoned(self.node.lock()).as_mut() {
                match left {
                    None => node.free(slot),
                    Some(wired) => node.keep(wired),
                }
            }
            self.freed.notify_all();
            error.into()
        })
    }

    /// Whether the run of a wire that waited may begin; it may not when its slot was given to another.
    pub(crate) fn begins(&self, connected: &Connected) -> bool {
        unpoisoned(self.node.lock()).as_mut().is_some_and(|node| node.begins(connected.slot()))
    }

    /// Lets a wired run reach whom it may.
    pub(crate) fn grant(&self, connected: &mut Connected, checked: &Checked) -> Result<Granted, Fault> {
        match unpoisoned(self.node.lock()).as_mut() {
            Some(node) => node.grant(connected, checked),
            None => Err(stops()),
        }
    }

    /// Takes stand-ins for loopback addresses, which stay theirs until they are given back.
    pub(crate) fn reserve(&self, loopback: &[IpAddr]) -> Result<Vec<Forward>, String> {
        let Some(node) = &mut *unpoisoned(self.node.lock()) else { return Err("the network helper stops".to_owned()) };
        node.reserve(loopback).map_err(|fault| match fault {
            Fault::Refused(why) => why,
            Fault::Kernel(error) => {
                tracing::error!(%error, "cannot make a stand-in");
                format!("the kernel makes no stand-in: {error}")
            }
        })
    }

    /// Gives reserved stand-ins back.
    pub(crate) fn give_back(&self, loopback: &[IpAddr]) {
        if let Some(node) = unpoisoned(self.node.lock()).as_mut()
            && let Err(error) = node.give_stand_ins_back(loopback)
        {
            tracing::error!(%error, "cannot remove a stand-in");
        }
    }

    /// Ends a run's connection. Nothing of it is left afterwards; what cannot be removed keeps its slot, and is tried again.
    pub(crate) fn close(&self, Connected { wired, loopback, .. }: Connected) {
        self.give_back(&loopback);
        if let Err(error) = self.remove(wired) {
            tracing::error!(%error, "cannot remove all of a run's connection");
        }
    }

    /// Removes what could not be removed before.
    fn retry(&self) {
        let stuck = unpoisoned(self.node.lock()).as_mut().map(Node::take_stuck).unwrap_or_default();
        for wired in stuck {
            // It was said when it happened first.
            let _still = self.remove(wired);
        }
    }

    /// The rules first: they end everything at once, and the kernel takes its time for a wire.
    fn remove(&self, wired: Wired) -> io::Result<()> {
        let rules = unpoisoned(self.node.lock()).as_mut().map_or(Ok(()), |node| node.revoke(&wired));
        let wire = unpoisoned(self.wires.lock()).as_mut().map_or(Ok(()), |wires| slot::unwire(wires, &wired));
        // Before anybody else has its address.
        let done = rules.and(wire).and(Host::forget_run(&self.settings, wired.slot()));
        if let Some(node) = unpoisoned(self.node.lock()).as_mut() {
            if done.is_ok() { node.free(wired.slot()) } else { node.keep(wired) }
        }
        self.freed.notify_all();
        done
    }

    /// Closes every door.
    fn end(&self) {
        drop(unpoisoned(self.wires.lock()).take());
        if let Some(mut node) = unpoisoned(self.node.lock()).take()
            && let Err(error) = node.disconnect()
        {
            tracing::error!(%error, "cannot leave the node as it was");
        }
        for client in unpoisoned(self.clients.lock()).values() {
            let _gone = client.shutdown(Shutdown::Both);
        }
    }
}

fn stops() -> Fault {
    Fault::Refused("the network helper stops".to_owned())
}

/// What a thread that broke held is whole: each change of it is one transaction of the kernel.
fn unpoisoned<T>(lock: Result<T, PoisonError<T>>) -> T {
    lock.unwrap_or_else(PoisonError::into_inner)
}
