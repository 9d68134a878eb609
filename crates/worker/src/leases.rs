//! The tasks that this worker holds, each with the means to kill its tool.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use picket_domain::Fence;

use crate::running::Killer;

/// Said of a tool whose lease is gone: the scan was stopped, or another worker has the task.
pub(crate) const LEASE_LOST: &str = "lease lost";
/// Said of a tool that was interrupted because the worker stops.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What is held; nobody waits for anything while the lock is taken.
#[derive(Default)]
pub(crate) struct Leases(Mutex<State>);

#[derive(Default)]
struct State {
    held: HashMap<Fence, Held>,
    /// Set once everything was killed: what is claimed after that is doomed from its beginning.
    ended: Option<&'static str>,
}

#[derive(Default)]
struct Held {
    killer: Option<Killer>,
    /// Set when the kill came before the tool was started.
    doomed: Option<&'static str>,
}

impl Leases {
    /// A task was claimed.
    pub(crate) fn hold(&self, fence: Fence) {
        let mut state = self.lock();
        let doomed = state.ended;
        state.held.insert(fence, Held { killer: None, doomed });
    }

    /// The tool of a claimed task was started. Kills it at once when the lease was lost in the meantime.
    pub(crate) fn arm(&self, fence: Fence, killer: Killer) {
        match self.lock().held.get_mut(&fence) {
            Some(Held { doomed: Some(reason), .. }) => killer.kill(reason),
            Some(held) => held.killer = Some(killer),
            None => killer.kill(LEASE_LOST),
        }
    }

    /// The task ended.
    pub(crate) fn release(&self, fence: Fence) {
        self.lock().held.remove(&fence);
    }

    /// All fences that are held.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        self.lock().held.keys().copied().collect()
    }

    /// Whether the task must not go on; also true of one that is not held.
    pub(crate) fn is_doomed(&self, fence: Fence) -> bool {
        self.lock().held.get(&fence).is_none_or(|held| held.doomed.is_some())
    }

    /// Kills the tools of these.
    pub(crate) fn kill(&self, fences: impl IntoIterator<Item = Fence>, reason: &'static str) {
        let mut state = self.lock();
        for fence in fences {
            if let Some(held) = state.held.get_mut(&fence) {
                held.doom(reason);
            }
        }
    }

    /// Kills all tools, and those of claims that are committed only now.
    pub(crate) fn kill_all(&self, reason: &'static str) {
        let mut state = self.lock();
        state.ended = Some(reason);
        state.held.values_mut().for_each(|held| held.doom(reason));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The first reason stays: it is the one that the tool is killed for.
    fn doom(&mut self, reason: &'static str) {
        self.doomed.get_or_insert(reason);
        if let Some(killer) = &self.killer {
            killer.kill(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use picket_domain::TaskId;

    use super::*;

    fn fence() -> Fence {
        Fence { task_id: TaskId::mint(Timestamp::UNIX_EPOCH), attempt: 1 }
    }

    #[test]
    fn a_lease_that_is_lost_before_the_tool_starts_dooms_it() {
        let (leases, lost, kept) = (Leases::default(), fence(), fence());
        leases.hold(lost);
        leases.hold(kept);
        leases.kill([lost], LEASE_LOST);
        assert!(leases.is_doomed(lost) && !leases.is_doomed(kept));
    }

    #[test]
    fn a_claim_that_comes_after_the_end_is_doomed() {
        let (leases, before, after) = (Leases::default(), fence(), fence());
        leases.hold(before);
        leases.kill_all(INTERRUPTED);
        leases.hold(after);
        assert!(leases.is_doomed(before) && leases.is_doomed(after));
    }

    #[test]
    fn what_was_released_is_held_no_longer() {
        let (leases, fence) = (Leases::default(), fence());
        leases.hold(fence);
        assert_eq!(leases.fences(), [fence]);
        leases.release(fence);
        assert!(leases.fences().is_empty() && leases.is_doomed(fence));
    }
}
