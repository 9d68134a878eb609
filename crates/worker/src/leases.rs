//! The tasks that this worker holds, each with the means to kill its tool.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use picket_domain::Fence;
use picket_sandbox::Killer;

/// Said of a tool whose lease is gone: the scan was stopped, or another worker has the task.
pub(crate) const LEASE_LOST: &str = "lease lost";
/// Said of a tool that was interrupted because the worker stops.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What is held; nobody waits for anything while the lock is taken.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<Fence, Held>>);

#[derive(Default)]
struct Held {
    killer: Option<Killer>,
    /// Set when the kill came before the tool was started.
    doomed: Option<&'static str>,
}

impl Leases {
    /// A task was claimed.
    pub(crate) fn hold(&self, fence: Fence) {
        self.lock().insert(fence, Held::default());
    }

    /// The tool of a claimed task was started. Kills it at once when the lease was lost in the meantime.
    pub(crate) fn arm(&self, fence: Fence, killer: Killer) {
        let mut held = self.lock();
        match held.get_mut(&fence) {
            Some(Held { doomed: Some(reason), .. }) => killer.kill(reason),
            Some(held) => held.killer = Some(killer),
            None => killer.kill(LEASE_LOST),
        }
    }

    /// The task ended.
    pub(crate) fn release(&self, fence: Fence) {
        self.lock().remove(&fence);
    }

    /// All fences that are held.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        self.lock().keys().copied().collect()
    }

    /// Kills the tools of these.
    pub(crate) fn kill(&self, fences: impl IntoIterator<Item = Fence>, reason: &'static str) {
        let mut held = self.lock();
        for fence in fences {
            if let Some(held) = held.get_mut(&fence) {
                held.doomed = Some(reason);
                if let Some(killer) = &held.killer {
                    killer.kill(reason);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fence, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
