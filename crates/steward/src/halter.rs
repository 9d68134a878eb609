//! The halter: stops the scans that a kill switch covers, also those that were made while it was thrown. It lifts nothing,
//! and what was stopped stays stopped.

use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, halts};

use crate::rounds::{Loop, Round, RoundError};

/// Scans of one round.
const TURN: i64 = 100;

/// Stops what an operator has stopped.
pub struct Halter {
    db: Db,
    clock: Clock,
}

impl Halter {
    /// A halter by this clock.
    #[must_use]
    pub const fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Stops what is covered; returns how many scans.
    ///
    /// # Errors
    /// When the database refuses; what was stopped before stays stopped.
    pub async fn stop_covered(&self) -> Result<usize, StoreError> {
        let covered = self.db.operate("halter.covered", async |tx| halts::covered(tx, TURN).await).await?;
        let mut stopped: usize = 0;
        for scan in covered {
            let now = self.clock.now();
            let is_stopped = self.db.operate("halter.stop", async |tx| halts::stop(tx, &scan, now).await).await?;
            stopped = stopped.saturating_add(usize::from(is_stopped));
        }
        Ok(stopped)
    }
}

impl Loop for Halter {
    const NAME: &'static str = "halter";
    const WOKEN_BY: Option<Notice> = Some(Notice::Tasks);

    async fn round(&self) -> Result<Round, RoundError> {
        let stopped = self.stop_covered().await?;
        if stopped > 0 {
            tracing::info!(stopped, "scans were stopped by a kill switch");
        }
        Ok(if stopped > 0 { Round::Again } else { Round::Idle })
    }
}
