//! The rescuer: puts tasks back whose lease ran out or whose message was lost, and tells `ready` how the broker is.

use picket_kit::Clock;
use picket_queue::Broker;
use picket_store::{Db, Notice, StoreError, events, tasks::admission, workers};

use crate::{
    StewardSettings,
    rounds::{Loop, Round, RoundError},
};

/// Rescues tasks.
pub struct Rescuer {
    db: Db,
    broker: Broker,
    clock: Clock,
    settings: StewardSettings,
}

impl Rescuer {
    /// A rescuer under these settings.
    #[must_use]
    pub const fn new(db: Db, broker: Broker, clock: Clock, settings: StewardSettings) -> Self {
        Self { db, broker, clock, settings }
    }

    /// Puts back or gives up what is stuck; returns how many tasks.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rescue(&self) -> Result<u64, StoreError> {
        let (now, wait) = (self.clock.now(), self.settings.claim_wait_seconds);
        self.db.operate("rescuer.rescue", async |tx| admission::rescue(tx, wait, now).await).await
    }

    async fn report(&self) -> Result<(), StoreError> {
        // Declaring is the look that also repairs: a queue that somebody deleted comes back.
        let declared = self.broker.declare().await;
        if let Err(error) = &declared {
            tracing::warn!(error = picket_domain::cause(error), "the broker is away");
        }
        let backlog = self
            .db
            .operate("rescuer.report", async |tx| {
                workers::report_broker(tx, "steward", declared.is_ok()).await?;
                workers::forget_old(tx).await?;
                events::backlog(tx).await
            })
            .await?;
        metrics::gauge!("picket_outbox_oldest_seconds").set(backlog.oldest_seconds);
        Ok(())
    }
}

impl Loop for Rescuer {
    const NAME: &'static str = "rescuer";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let rescued = self.rescue().await?;
        if rescued > 0 {
            tracing::info!(rescued, "tasks were put back or given up");
            metrics::counter!("picket_rescued_total").increment(rescued);
        }
        self.report().await?;
        Ok(Round::Idle)
    }
}
