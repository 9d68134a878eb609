//! Stops what is on its way to where an exclusion with hours holds from now on: as if it were made when its hours begin. It takes
//! nothing up again when they end. A claim refuses by the same hours; this stops what was claimed before.

use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, Tx, exclusions, tasks::authority};

use crate::rounds::{Loop, Round, RoundError};

/// Stops what is excluded at this hour.
pub struct Excluded {
    db: Db,
    clock: Clock,
}

impl Excluded {
    /// By this clock.
    #[must_use]
    pub const fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// One turn; returns how many tasks were stopped. Each exclusion in a transaction of its own: it locks scans.
    ///
    /// # Errors
    /// When the database refuses, and nothing could be stopped.
    pub async fn stop(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let held = self.db.operate("excluded.find", async |tx| exclusions::in_force(tx).await).await?;
        let (mut stopped, mut failed) = (0_u64, None);
        for (organization, id, exclusion) in held {
            let stop = async |tx: &Tx<'_>| {
                // Its owner may have taken it away since it was listed, or its hours have ended.
                if !exclusions::holds(tx, id).await? {
                    return Ok(0);
                }
                authority::stop_excluded(tx, organization, &exclusion, now).await
            };
            match self.db.operate("excluded.stop", stop).await {
                Ok(tasks) => stopped = stopped.saturating_add(tasks),
                // One that cannot be stopped now must not keep the others running.
                Err(error) => {
                    tracing::warn!(
                        error = picket_domain::cause(&error),
                        "an exclusion stopped nothing, it is tried again"
                    );
                    failed = Some(error);
                }
            }
        }
        failed.filter(|_| stopped == 0).map_or(Ok(stopped), Err)
    }
}

impl Loop for Excluded {
    const NAME: &'static str = "excluded";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let stopped = self.stop().await?;
        if stopped > 0 {
            tracing::info!(stopped, "tasks were stopped since the hours of an exclusion have begun");
        }
        Ok(Round::Idle)
    }
}
