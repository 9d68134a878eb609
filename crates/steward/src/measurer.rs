//! The measurer: how long runs of each tool take. It changes nothing of a customer.

use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, durations};

use crate::rounds::{Loop, Round, RoundError};

/// Measures.
pub struct Measurer {
    db: Db,
    clock: Clock,
}

impl Measurer {
    /// A measurer by this clock.
    #[must_use]
    pub const fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// One look at the newest runs of every tool of the catalogue; returns how many tools were measured.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn measure(&self) -> Result<u64, StoreError> {
        let tools: Vec<&str> = picket_scanners::offered().map(|tool| tool.slug()).collect();
        let now = self.clock.now();
        self.db.operate("measurer.measure", async |tx| durations::measure(tx, &tools, now).await).await
    }
}

impl Loop for Measurer {
    const NAME: &'static str = "measurer";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        self.measure().await?;
        Ok(Round::Idle)
    }
}
