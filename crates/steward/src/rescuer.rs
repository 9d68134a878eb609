//! The rescuer: puts tasks back whose lease ran out or whose message was lost.

use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, tasks::admission};

use crate::{
    StewardSettings,
    rounds::{Loop, Round, RoundError},
};

/// Rescues tasks.
pub struct Rescuer {
    db: Db,
    clock: Clock,
    settings: StewardSettings,
}

impl Rescuer {
    /// A rescuer under these settings.
    #[must_use]
    pub const fn new(db: Db, clock: Clock, settings: StewardSettings) -> Self {
        Self { db, clock, settings }
    }

    /// Puts back or gives up what is stuck; returns how many tasks.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rescue(&self) -> Result<u64, StoreError> {
        if picket_faults::without("steward::rescue_sweep") {
            return Ok(0);
        }
        let wait = self.settings.claim_wait_seconds;
        picket_faults::point("steward::before_rescue");
        let rescued = self.db.operate("rescuer.rescue", async |tx| admission::rescue(tx, wait).await).await?;
        picket_faults::point("steward::after_rescue");
        let hopeless = self.db.operate("rescuer.hopeless", async |tx| admission::hopeless(tx).await).await?;
        let given_up = crate::admission::give_up(&self.db, &self.clock, hopeless).await?;
        Ok(rescued.saturating_add(u64::try_from(given_up).unwrap_or_default()))
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
        Ok(Round::Idle)
    }
}
