//! Takes documents out of the object store that no row names: what was stored by somebody who died before the row, or whose
//! row went without it. Must never take one that somebody may still be about to name, nor one that is not ours.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use picket_blobs::{BlobEntry, BlobListing, BlobName, Blobs};
use picket_kit::Clock;
use picket_store::{Db, Notice, StoreError, orphans};
use tokio::sync::Mutex;

use crate::rounds::{Loop, Round, RoundError};

/// Documents that one round looks at.
const TURN: usize = 500;
/// How long ago a document was written, by the store's clock, before it is looked for; far longer than anybody takes to name
/// it, and than clocks differ.
const AGE: SignedDuration = SignedDuration::from_hours(24);
/// Between the end of one listing and the next: it reads the names of everything.
const REST: SignedDuration = SignedDuration::from_hours(24);

/// Takes away what nobody names.
pub struct Orphans {
    db: Db,
    blobs: Blobs,
    clock: Clock,
    place: Mutex<Place>,
}

/// How far it is.
enum Place {
    /// In the middle.
    Listing(BlobListing),
    /// Everything was looked at; not before that moment again.
    Done(Timestamp),
}

impl Orphans {
    /// By this clock.
    #[must_use]
    pub fn new(db: Db, blobs: Blobs, clock: Clock) -> Self {
        Self { db, blobs, clock, place: Mutex::new(Place::Done(Timestamp::MIN)) }
    }

    /// One round over at most 500 documents, from where the last one ended; returns how many went, and whether there may be
    /// more. After the last of them it looks at nothing for a day.
    ///
    /// # Errors
    /// When the object store or the database refuses: then the next round begins anew. A document that cannot be deleted is told
    /// to the log.
    pub async fn sweep(&self) -> Result<(u64, bool), RoundError> {
        let (mut place, now) = (self.place.lock().await, self.clock.now());
        let mut listing = match std::mem::replace(&mut *place, Place::Done(Timestamp::MIN)) {
            Place::Listing(listing) => listing,
            Place::Done(next) if next > now => {
                *place = Place::Done(next);
                return Ok((0, false));
            }
            Place::Done(_) => self.blobs.list(),
        };
        let (mut entries, has_more) = listing.next(TURN).await?;
        entries.retain(|entry| is_old(entry.written_at, now));
        let removed = self.remove(&entries).await?;
        let next = now.saturating_add(REST).unwrap_or(Timestamp::MAX);
        *place = if has_more { Place::Listing(listing) } else { Place::Done(next) };
        Ok((removed, has_more))
    }

    /// Deletes those that no row names; returns how many.
    async fn remove(&self, entries: &[BlobEntry]) -> Result<u64, StoreError> {
        let (mut artifacts, mut avatars, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            match entry.name {
                BlobName::Artifact(organization, id) => artifacts.push((organization, id)),
                BlobName::Avatar(user, id) => avatars.push((user, id)),
                BlobName::Report(organization, id) => reports.push((organization, id)),
            }
        }
        let unnamed = self.db.operate("orphans.find", async |tx| {
            let (artifacts, avatars) =
                (orphans::artifacts(tx, &artifacts).await?, orphans::avatars(tx, &avatars).await?);
            Ok::<_, StoreError>((artifacts, avatars, orphans::reports(tx, &reports).await?))
        });
        let (artifacts, avatars, reports) = unnamed.await?;
        let is_unnamed = |entry: &&BlobEntry| match &entry.name {
            BlobName::Artifact(_, id) => artifacts.contains(id),
            BlobName::Avatar(_, id) => avatars.contains(id),
            BlobName::Report(_, id) => reports.contains(id),
        };
        let mut removed = 0_u64;
        for entry in entries.iter().filter(is_unnamed) {
            match self.blobs.delete(&entry.key).await {
                Ok(()) => removed = removed.saturating_add(1),
                Err(error) => {
                    let key = &entry.key;
                    tracing::warn!(error = picket_domain::cause(&error), blob.key = %key, "a document of nobody stays");
                }
            }
        }
        metrics::counter!("picket_retention_removed_total", "what" => "orphans").increment(removed);
        Ok(removed)
    }
}

/// One whose time cannot be told is not.
fn is_old(written_at: SystemTime, now: Timestamp) -> bool {
    Timestamp::try_from(written_at).is_ok_and(|written_at| now.duration_since(written_at) > AGE)
}

impl Loop for Orphans {
    const NAME: &'static str = "orphans";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (gone, has_more) = self.sweep().await?;
        if gone > 0 {
            tracing::info!(gone, "documents that no row names were taken away");
        }
        Ok(if has_more { Round::Again } else { Round::Idle })
    }
}
