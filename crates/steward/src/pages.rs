//! Makes the tasks of wide plans, page by page: a create stores the first page and what the others are made from. One page of
//! each scan at a time, so that a plan of thousands of tasks holds up no other one. It plans nothing: which tasks there are was
//! decided, judged and counted when the scan was made.

use std::sync::{Mutex, PoisonError};

use picket_domain::ScanId;
use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, scans::pages};

use crate::rounds::{Loop, Round, RoundError};

/// Scans of one turn.
const TURN: i64 = 64;

/// Makes tasks.
pub struct Pages {
    db: Db,
    clock: Clock,
    /// Where the next turn goes on, so that scans whose pages cannot be made hold up no other.
    place: Mutex<Option<ScanId>>,
}

impl Pages {
    /// By this clock.
    #[must_use]
    pub const fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock, place: Mutex::new(None) }
    }

    /// One page of each scan of a turn; returns how many tasks, and whether there may be more.
    ///
    /// # Errors
    /// When the database refuses, and no page was made.
    pub async fn make(&self) -> Result<(u64, bool), StoreError> {
        picket_faults::point("steward::before_page");
        let behind = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.db.operate("pages.due", async |tx| pages::due(tx, behind, TURN).await).await?;
        let is_last = i64::try_from(due.len()).is_ok_and(|found| found < TURN);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = due.last().filter(|_| !is_last).copied();
        let (mut made, mut failed) = (0_u64, None);
        for scan in due {
            let now = self.clock.now();
            match self.db.operate("pages.make", async |tx| pages::make(tx, scan, now).await).await {
                Ok(tasks) => made = made.saturating_add(tasks),
                // One that cannot be made now must not keep the others waiting.
                Err(error) => {
                    tracing::warn!(error = picket_domain::cause(&error), scan.id = %scan, "a page of tasks was not made");
                    failed = Some(error);
                }
            }
        }
        picket_faults::point("steward::after_page");
        failed.filter(|_| made == 0).map_or(Ok((made, made > 0 || !is_last)), Err)
    }
}

impl Loop for Pages {
    const NAME: &'static str = "pages";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (made, has_more) = self.make().await?;
        metrics::counter!("picket_planned_tasks_total").increment(made);
        Ok(if has_more { Round::Again } else { Round::Idle })
    }
}
