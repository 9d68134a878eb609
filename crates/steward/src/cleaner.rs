//! The cleaner: takes away what has ended long ago, a bounded number of rows a turn. It never decides what is old: the store
//! says that, for each table.

use picket_kit::Clock;
use picket_store::{
    Db, Notice, StoreError,
    expired::{self, Expiring},
    tasks::turns,
};

use crate::rounds::{Loop, Round, RoundError};

/// Cleans.
pub struct Cleaner {
    db: Db,
    clock: Clock,
}

impl Cleaner {
    /// A cleaner by this clock.
    #[must_use]
    pub const fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// One turn over every table; returns how many rows went, and whether a table may have more of them.
    ///
    /// # Errors
    /// When the database refuses; what was taken away before stays away.
    pub async fn clean(&self) -> Result<(u64, bool), StoreError> {
        let now = self.clock.now();
        let (mut gone, mut has_more) = (0_u64, false);
        for what in Expiring::ALL {
            let swept = self.db.operate("cleaner.sweep", async |tx| expired::sweep(tx, what, now).await).await?;
            metrics::counter!("picket_cleaned_total", "table" => what.name()).increment(swept);
            gone = gone.saturating_add(swept);
            has_more |= swept >= expired::MOST;
        }
        let forgotten = self.db.operate("cleaner.forget_turns", async |tx| turns::forget(tx).await).await?;
        metrics::counter!("picket_cleaned_total", "table" => "organization_turns").increment(forgotten);
        Ok((gone.saturating_add(forgotten), has_more))
    }
}

impl Loop for Cleaner {
    const NAME: &'static str = "cleaner";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (gone, has_more) = self.clean().await?;
        if gone > 0 {
            tracing::info!(gone, "rows that ended long ago were taken away");
        }
        // Else a platform that makes more of them in a minute than a turn takes away would never come to an end.
        Ok(if has_more { Round::Again } else { Round::Idle })
    }
}
