//! That tools run without a proven sandbox is told once by each worker, to the operators' audit log, in the transaction of the
//! heartbeat that says so first: a worker that cannot tell it does not start. The log and the metric say it again and again.

use std::sync::atomic::{AtomicBool, Ordering};

use picket_domain::SandboxLevel;
use picket_kit::Clock;
use picket_store::{
    StoreError, Tx,
    workers::{self, WorkerBeat},
};

/// Whether it was told.
pub(crate) struct Unsandboxed {
    clock: Clock,
    is_told: AtomicBool,
}

impl Unsandboxed {
    /// Not told yet.
    pub(crate) const fn by(clock: Clock) -> Self {
        Self { clock, is_told: AtomicBool::new(false) }
    }

    /// Whether this heartbeat is the first one to say it.
    pub(crate) fn is_news(&self, beat: &WorkerBeat) -> bool {
        beat.level == SandboxLevel::None && !self.is_told.load(Ordering::Acquire)
    }

    /// Tells it, before the heartbeat's own row.
    pub(crate) async fn tell(&self, tx: &Tx<'_>, beat: &WorkerBeat) -> Result<(), StoreError> {
        if workers::tell_unsandboxed(tx, beat, self.clock.now()).await? == 0 {
            tracing::warn!("nobody operates this platform: no audit log tells that tools run without a proven sandbox");
        }
        Ok(())
    }

    /// It is stored.
    pub(crate) fn told(&self) {
        self.is_told.store(true, Ordering::Release);
    }
}
