//! Sandboxes that wait for a run, so that a task need not wait for a sandbox. Each serves one run alone; what waits is made
//! again when the run before it in its slot has ended, and thrown away when nothing comes. It must never hand out one that
//! was made for another slot or another way to the network.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::SandboxError;
use crate::launch::{Identity, Waiting, Wanted, prepare};

/// How long one waits for a run.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks for those that waited too long.
const LOOK: Duration = Duration::from_secs(5);

/// The sandboxes that wait; without a thread where none shall wait.
#[derive(Debug)]
pub(crate) struct Warm {
    shelf: Arc<Mutex<Vec<Waiting>>>,
    orders: Option<Sender<Wanted>>,
}

/// Makes a sandbox wait in the place of one that was used, once the run has ended.
#[derive(Debug)]
pub(crate) struct Refill {
    orders: Sender<Wanted>,
    wanted: Wanted,
}

impl Refill {
    pub(crate) fn go(self) {
        // Nobody listens any more when the sandbox is gone: then nobody wants it.
        let _ = self.orders.send(self.wanted);
    }
}

impl Warm {
    /// At most `most` wait at the same time.
    pub(crate) fn new(most: usize, scope: Option<OwnedFd>) -> Result<Self, SandboxError> {
        let shelf = Arc::default();
        if most == 0 {
            return Ok(Self { shelf, orders: None });
        }
        let (orders, wanted) = mpsc::channel();
        let filled = Arc::clone(&shelf);
        let work = move || fill(&filled, &wanted, most, scope.as_ref());
        let named = thread::Builder::new().name("sandbox-warm".into());
        named.spawn(work).map_err(SandboxError::set_up("start a thread"))?;
        Ok(Self { shelf, orders: Some(orders) })
    }

    /// One that waits for just this, if there is one.
    pub(crate) fn take(&self, wanted: &Wanted) -> Option<Waiting> {
        let mut shelf = locked(&self.shelf);
        if let Identity::Slot(_) = wanted.identity {
            // A slot's limits count every process of its user.
            shelf.retain(|one| one.wanted.identity != wanted.identity || one.wanted == *wanted);
        }
        loop {
            let found = shelf.iter().position(|one| one.wanted == *wanted)?;
            let mut one = shelf.swap_remove(found);
            if one.is_alive() {
                return Some(one);
            }
        }
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        locked(&self.shelf).len()
    }

    /// What to do when a run that wanted this has ended.
    pub(crate) fn refill(&self, wanted: Wanted) -> Option<Refill> {
        self.orders.clone().map(|orders| Refill { orders, wanted })
    }
}

/// Works until every sender is gone.
fn fill(shelf: &Mutex<Vec<Waiting>>, orders: &Receiver<Wanted>, most: usize, scope: Option<&OwnedFd>) {
    loop {
        let is_empty = locked(shelf).is_empty();
        let next = if is_empty { orders.recv().map_err(RecvTimeoutError::from) } else { orders.recv_timeout(LOOK) };
        match next {
            Ok(wanted) => match scope.map(OwnedFd::try_clone).transpose() {
                Ok(scope) => keep(shelf, prepare(&wanted, scope, true), most),
                Err(error) => tracing::warn!(%error, "no sandbox can be prepared"),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        locked(shelf).retain(|one| one.since.elapsed() < PATIENCE);
    }
    locked(shelf).clear();
}

fn keep(shelf: &Mutex<Vec<Waiting>>, prepared: Result<Waiting, SandboxError>, most: usize) {
    match prepared {
        Ok(one) => {
            let mut shelf = locked(shelf);
            if shelf.len() >= most {
                drop(shelf.remove(0));
            }
            shelf.push(one);
        }
        // The next run is started as if nothing were ever prepared, and says what is wrong.
        Err(error) => tracing::debug!(%error, "no sandbox can be prepared"),
    }
}

fn locked(shelf: &Mutex<Vec<Waiting>>) -> MutexGuard<'_, Vec<Waiting>> {
    // A list whose every change is one step: whole whatever panicked.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
