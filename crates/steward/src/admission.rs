//! Admission: lets ready tasks to the workers, few at a time and fairly, and gives up those that nobody can do.

use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, tasks::admission};

use crate::{
    StewardSettings,
    rounds::{Loop, Round, RoundError},
};

/// Admits tasks.
pub struct Admission {
    db: Db,
    clock: Clock,
    settings: StewardSettings,
}

impl Admission {
    /// Admission under these settings.
    #[must_use]
    pub const fn new(db: Db, clock: Clock, settings: StewardSettings) -> Self {
        Self { db, clock, settings }
    }

    /// Admits what there is room for; returns how many tasks.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn admit(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let per_slot = self.settings.queue_per_slot;
        self.db.operate("admission.admit", async |tx| admission::admit(tx, per_slot, now).await).await
    }

    /// Gives up tasks whose need no live worker has proven within the wait.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn give_up_unserved(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let wait = self.settings.capability_wait_seconds;
        self.db.operate("admission.give_up", async |tx| admission::give_up_unserved(tx, wait, now).await).await
    }
}

impl Loop for Admission {
    const NAME: &'static str = "admission";
    const WOKEN_BY: Option<Notice> = Some(Notice::Tasks);

    async fn round(&self) -> Result<Round, RoundError> {
        let admitted = self.admit().await?;
        let given_up = self.give_up_unserved().await?;
        metrics::counter!("picket_admission_admitted_total").increment(u64::try_from(admitted).unwrap_or_default());
        Ok(if admitted == 0 && given_up == 0 { Round::Idle } else { Round::Again })
    }
}
