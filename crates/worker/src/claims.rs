//! Claims of the tasks that messages offer, several in one statement where several come at once. It must never decide what a
//! message means that could not be claimed like that: the longer way of [`claim`] does.

use picket_domain::{ClaimedTask, OrganizationId, TaskQueued};
use picket_kit::Clock;
use picket_store::{
    Db, StoreError,
    tasks::lease::{Claimant, Offer, claim, claim_more},
};

use crate::together::Together;

/// Claims.
pub(crate) struct Claims {
    db: Db,
    clock: Clock,
    together: Together<(Claimant, Offer), Option<ClaimedTask>>,
}

impl Claims {
    /// Claims by this clock. Needs a tokio runtime.
    pub(crate) fn new(db: Db, clock: Clock) -> Self {
        let by = db.clone();
        let together = Together::start(move |all| claim_all(by.clone(), all));
        Self { db, clock, together }
    }

    /// The task of a message, when it is still true. Most tasks are more of a scan that runs; whatever else a message may be,
    /// the longer way finds out.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn claim(
        &self,
        tenant: OrganizationId,
        message: &TaskQueued,
        by: Claimant,
    ) -> Result<Option<ClaimedTask>, StoreError> {
        let offer = Offer { organization_id: tenant, message: message.clone() };
        if let Some(Some(task)) = self.together.ask((by, offer)).await {
            return Ok(Some(task));
        }
        let now = self.clock.now();
        self.db.run("worker.claim", tenant, async |tx| claim(tx, message, by, now).await).await
    }
}

/// Claims what may be claimed together; nothing for who is to ask alone.
async fn claim_all(db: Db, all: Vec<(Claimant, Offer)>) -> Vec<Option<ClaimedTask>> {
    let Some((by, _)) = all.first().cloned() else { return Vec::new() };
    // What was proven may have changed between two of them.
    let offers: Vec<Offer> = all.iter().filter(|(other, _)| *other == by).map(|(_, offer)| offer.clone()).collect();
    match db.act("worker.claim_more", async |tx| claim_more(tx, &offers, by).await).await {
        Ok(mut claimed) => {
            let mut take = |offer: &Offer| {
                let place = claimed.iter().position(|task| task.fence.task_id == offer.message.task_id)?;
                Some(claimed.swap_remove(place))
            };
            all.iter().map(|(other, offer)| if *other == by { take(offer) } else { None }).collect()
        }
        Err(error) => {
            tracing::info!(error = picket_domain::cause(&error), tasks = offers.len(), "tasks are claimed one by one");
            Vec::new()
        }
    }
}
