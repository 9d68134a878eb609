//! Ends what waits for scans that nothing allows any more: a proof that is too old, a written authorization whose window is
//! over. A claim would refuse those tasks too; this tells their owner sooner, and frees their places.

use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, tasks::authority};

use crate::rounds::{Loop, Round, RoundError};

/// Ends what waits in vain.
pub struct Fallen {
    db: Db,
    clock: Clock,
}

impl Fallen {
    /// By this clock.
    #[must_use]
    pub const fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// One turn; returns how many tasks ended. Each scan in a transaction of its own: it is locked.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let scans = self.db.operate("fallen.find", async |tx| authority::fallen(tx).await).await?;
        let (mut ended, mut failed) = (0_u64, None);
        for scan in scans {
            let end = self.db.operate("fallen.end", async |tx| authority::end_if_fallen(tx, scan, now).await);
            match end.await {
                Ok(tasks) => ended = ended.saturating_add(tasks),
                // One that cannot be ended now must not keep the others waiting.
                Err(error) => {
                    tracing::warn!(error = picket_domain::cause(&error), scan.id = %scan, "a scan was not looked at");
                    failed = Some(error);
                }
            }
        }
        failed.filter(|_| ended == 0).map_or(Ok(ended), Err)
    }
}

impl Loop for Fallen {
    const NAME: &'static str = "fallen";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let ended = self.end().await?;
        if ended > 0 {
            tracing::info!(ended, "tasks ended since nothing allows their scan any more");
        }
        Ok(if ended > 0 { Round::Again } else { Round::Idle })
    }
}
