//! The reporter: tells `ready` how broker and database are, repairs the broker's queues, and forgets old workers. A loop of
//! its own, since a broken broker may keep it waiting, and the rescue of tasks must not wait for that.

use picket_kit::Health;
use picket_queue::Broker;
use picket_store::{Db, Notice, StoreError, events, workers};

use crate::rounds::{Loop, Round, RoundError};

/// Reports.
pub(crate) struct Reporter {
    pub(crate) db: Db,
    pub(crate) broker: Broker,
    pub(crate) health: Health,
}

impl Loop for Reporter {
    const NAME: &'static str = "reporter";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        // Declaring is the look that also repairs: a queue that somebody deleted comes back.
        let declared = self.broker.declare().await;
        if let Err(error) = &declared {
            tracing::warn!(error = picket_domain::cause(error), "the broker is away");
        }
        let told = self.db.operate("reporter.report", async |tx| {
            workers::report_broker(tx, "steward", declared.is_ok()).await?;
            workers::forget_old(tx).await?;
            events::backlog(tx).await
        });
        let told: Result<events::Backlog, StoreError> = told.await;
        let down = [declared.is_err().then_some("broker"), told.is_err().then_some("database")];
        self.health.report(down.into_iter().flatten().collect());
        metrics::gauge!("picket_outbox_oldest_seconds").set(told?.oldest_seconds);
        Ok(Round::Idle)
    }
}
