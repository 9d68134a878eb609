//! How long the object store is waited for, so that one that hangs does not cost each task what it may cost one: after a late
//! answer it is left alone for a while, longer each time, and asked by one task at first. A worker that stops waits for it
//! only a moment. It must never fail a task.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use picket_kit::Shutdown;

/// How long the object store may take.
const LONGEST: Duration = Duration::from_secs(20);
/// How long it may take once the worker stops: what runs must still be handed back.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long it is left alone after it was late, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Waits for the object store; all runs of a worker share it.
pub(crate) struct Patience {
    stopping: Shutdown,
    longest: Duration,
    farewell: Duration,
    rest: Mutex<Rest>,
}

/// Whether the store is left alone.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    pause: Duration,
    /// When it was late the last time.
    late_at: Option<Instant>,
}

impl Patience {
    /// Of a worker that stops when `stopping` says so.
    pub(crate) fn new(stopping: Shutdown) -> Self {
        Self { stopping, longest: LONGEST, farewell: FAREWELL, rest: Mutex::default() }
    }

    /// What `work` came to; `None` when it was late, or was not begun since the store is left alone.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        if !self.rest().may_ask(began) {
            return None;
        }
        let ended = async {
            self.stopping.wait().await;
            tokio::time::sleep(self.farewell).await;
        };
        let done = tokio::select! {
            done = work => Some(done),
            () = tokio::time::sleep(self.longest) => None,
            () = ended => None,
        };
        let mut rest = self.rest();
        if done.is_some() {
            rest.answered()
        } else {
            rest.was_late(began, Instant::now())
        }
        drop(rest);
        done
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// Whether the store may be asked; of those that come when its rest is over, the first.
    fn may_ask(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = now.checked_add(self.pause);
                true
            }
            None => true,
        }
    }

    fn was_late(&mut self, began: Instant, now: Instant) {
        // Of several that waited at once the first is counted.
        if self.late_at.is_some_and(|late_at| began < late_at) {
            return;
        }
        self.late_at = Some(now);
        self.pause = self.pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.until = now.checked_add(self.pause);
    }

    fn answered(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn a_store_that_was_late_is_left_alone_and_then_asked_by_one() {
        let (mut rest, begun) = (Rest::default(), Instant::now());
        assert!(rest.may_ask(begun) && rest.may_ask(begun), "all ask while it answers");
        let late = begun + Duration::from_millis(1);
        rest.was_late(begun, late);
        rest.was_late(begun, late);
        assert_eq!(rest.pause, FIRST_PAUSE, "two that waited at once are late once");
        assert!(!rest.may_ask(late + FIRST_PAUSE - Duration::from_millis(1)));
        let mut again = late + FIRST_PAUSE;
        assert!(rest.may_ask(again), "one asks");
        assert!(!rest.may_ask(again), "and nobody else until it knows");
        // One task after the other, each late by the whole wait, while others come in between.
        for _ in 0..10 {
            let began = again;
            again += LONGEST;
            let _other = rest.may_ask(again);
            rest.was_late(began, again);
        }
        assert_eq!(rest.pause, LONGEST_PAUSE);
        rest.answered();
        assert!(rest.may_ask(again) && rest.may_ask(again));
    }

    #[tokio::test]
    async fn a_store_that_hangs_costs_one_task_the_wait_and_the_others_nothing() {
        let mut patience = Patience::new(Shutdown::new());
        patience.longest = Duration::from_millis(10);
        assert_eq!(patience.wait(ready(1)).await, Some(1));
        assert_eq!(patience.wait(pending::<()>()).await, None);
        // It is not even asked: what would panic is not polled.
        assert!(patience.wait(async { panic!("it is left alone") }).await.is_none());
    }

    #[tokio::test]
    async fn a_worker_that_stops_does_not_wait_for_the_store() {
        let stopping = Shutdown::new();
        let mut patience = Patience::new(stopping.clone());
        (patience.longest, patience.farewell) = (Duration::MAX, Duration::from_millis(1));
        stopping.stop();
        assert_eq!(patience.wait(pending::<()>()).await, None);
    }
}
