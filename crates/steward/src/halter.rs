//! The halter: stops the scans that a kill switch covers, also those that were made while it was thrown. It lifts nothing,
//! and what was stopped stays stopped.

use std::time::Duration;

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
    /// When the database refuses, and nothing could be stopped.
    pub async fn stop_covered(&self) -> Result<usize, StoreError> {
        let covered = self.db.operate("halter.covered", async |tx| halts::covered(tx, TURN).await).await?;
        let (mut stopped, mut failed) = (0_usize, None);
        for scan in covered {
            let now = self.clock.now();
            picket_faults::point("steward::before_halt");
            let stop = async |tx: &picket_store::Tx<'_>| {
                let stopped = halts::stop(tx, &scan, now).await;
                picket_faults::point("steward::before_halt_commit");
                stopped
            };
            let halted = self.db.operate("halter.stop", stop).await;
            picket_faults::point("steward::after_halt");
            match halted {
                Ok(is_stopped) => stopped = stopped.saturating_add(usize::from(is_stopped)),
                // One that cannot be stopped now must not keep the others running.
                Err(error) => {
                    tracing::warn!(error = picket_domain::cause(&error), "a scan was not stopped, it is tried again");
                    failed = Some(error);
                }
            }
        }
        failed.filter(|_| stopped == 0).map_or(Ok(stopped), Err)
    }
}

impl Loop for Halter {
    const NAME: &'static str = "halter";
    const WOKEN_BY: Option<Notice> = Some(Notice::Tasks);
    // Tasks end all the time.
    const REST: Duration = Duration::from_millis(250);

    async fn round(&self) -> Result<Round, RoundError> {
        let stopped = self.stop_covered().await?;
        if stopped > 0 {
            tracing::info!(stopped, "scans were stopped by a kill switch");
        }
        Ok(if stopped > 0 { Round::Again } else { Round::Idle })
    }
}
