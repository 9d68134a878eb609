//! Takes the raw outputs of tools away whose scan is gone, that are older than their plan keeps them, or of which nobody said
//! in time that they are whole: first the document, then the row that names it.

use std::sync::{Mutex, PoisonError};

use picket_blobs::{BlobKey, Blobs};
use picket_domain::{ArtifactId, OrganizationId};
use picket_kit::Clock;
use picket_store::{
    Db, Notice,
    artifacts::{self, Doomed},
};

use crate::rounds::{Loop, Round, RoundError};

/// Organizations, and documents, of one turn.
const TURN: i64 = 100;

/// Takes raw outputs away.
pub struct Artifacts {
    db: Db,
    blobs: Blobs,
    clock: Clock,
    /// Where the next turn goes on, so that a document that cannot be deleted holds up no other.
    places: Mutex<(Option<OrganizationId>, Option<ArtifactId>)>,
}

impl Artifacts {
    /// By this clock.
    #[must_use]
    pub const fn new(db: Db, blobs: Blobs, clock: Clock) -> Self {
        Self { db, blobs, clock, places: Mutex::new((None, None)) }
    }

    /// One turn; returns how many documents went, and whether there may be more.
    ///
    /// # Errors
    /// When the database refuses; what was taken away before stays away. An object store that fails is told to the log.
    pub async fn sweep(&self) -> Result<(u64, bool), RoundError> {
        let now = self.clock.now();
        self.db.operate("artifacts.doom_abandoned", async |tx| artifacts::doom_abandoned(tx, now).await).await?;
        let more_aged = self.doom_aged().await?;
        let (_, after) = *self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let doomed =
            self.db.operate("artifacts.doomed", async |tx| artifacts::doomed(tx, now, after, TURN).await).await?;
        let is_last = i64::try_from(doomed.len()).is_ok_and(|found| found < TURN);
        let next = if is_last { None } else { doomed.last().map(|one| one.id) };
        self.places.lock().unwrap_or_else(PoisonError::into_inner).1 = next;
        let gone = self.delete(&doomed).await;
        let removed = match gone.as_slice() {
            [] => 0,
            gone => self.db.operate("artifacts.remove", async |tx| artifacts::remove(tx, gone).await).await?,
        };
        metrics::counter!("picket_retention_removed_total", "what" => "artifacts").increment(removed);
        Ok((removed, more_aged || !is_last))
    }

    /// One turn over organizations; returns whether there may be more.
    async fn doom_aged(&self) -> Result<bool, RoundError> {
        let now = self.clock.now();
        let (after, _) = *self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.db.operate("artifacts.aged", async |tx| artifacts::aged(tx, now, after, TURN).await).await?;
        let is_last = i64::try_from(due.len()).is_ok_and(|found| found < TURN);
        let next = if is_last { None } else { due.last().map(|one| one.organization_id) };
        self.places.lock().unwrap_or_else(PoisonError::into_inner).0 = next;
        for one in due {
            self.db.operate("artifacts.doom_aged", async |tx| artifacts::doom_aged(tx, one, now).await).await?;
        }
        Ok(!is_last)
    }

    async fn delete(&self, doomed: &[Doomed]) -> Vec<ArtifactId> {
        let mut gone = Vec::new();
        for one in doomed {
            if !one.is_document {
                gone.push(one.id);
                continue;
            }
            match self.blobs.delete(&BlobKey::artifact(one.organization_id, one.id)).await {
                Ok(()) => gone.push(one.id),
                Err(error) => {
                    let id = one.id;
                    tracing::warn!(error = picket_domain::cause(&error), artifact.id = %id, "an old document stays");
                }
            }
        }
        gone
    }
}

impl Loop for Artifacts {
    const NAME: &'static str = "artifacts";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (gone, has_more) = self.sweep().await?;
        if gone > 0 {
            tracing::info!(gone, "raw outputs that nobody keeps any more were taken away");
        }
        Ok(if has_more { Round::Again } else { Round::Idle })
    }
}
