//! Retention: takes away the results that are older than their organization keeps them, a batch of an organization at a time.
//! It never decides what is old, which the store says, and never leaves a document behind that no row names: documents go
//! first, and are looked for again when their row did not follow.

use std::sync::Mutex;

use picket_blobs::{BlobError, BlobKey, Blobs};
use picket_domain::OrganizationId;
use picket_kit::Clock;
use picket_store::{
    Db, Notice,
    retention::{self, Due, OldReport},
};

use crate::rounds::{Loop, Round, RoundError};

/// Organizations of one turn.
const TURN: i64 = 100;

/// Takes old results away.
pub struct Retention {
    db: Db,
    blobs: Blobs,
    clock: Clock,
    /// Where the next turn goes on, so that one organization whose documents cannot be deleted holds up no other.
    place: Mutex<Option<OrganizationId>>,
}

impl Retention {
    /// Retention by this clock.
    #[must_use]
    pub const fn new(db: Db, blobs: Blobs, clock: Clock) -> Self {
        Self { db, blobs, clock, place: Mutex::new(None) }
    }

    /// One batch of each organization that has something old; returns how many scans and reports went, and whether there may
    /// be more.
    ///
    /// # Errors
    /// When the database refuses; what was taken away before stays away. An object store that fails is told to the log.
    pub async fn remove(&self) -> Result<(u64, bool), RoundError> {
        let (now, after) = (self.clock.now(), self.place());
        let due = self.db.operate("retention.due", async |tx| retention::due(tx, now, after, TURN).await).await?;
        let is_last = i64::try_from(due.len()).is_ok_and(|found| found < TURN);
        self.go_on_at(if is_last { None } else { due.last().map(|one| one.organization_id) });
        let (mut gone, mut has_more) = (0_u64, !is_last);
        for one in due {
            let scans = self.remove_scans(one).await?;
            let reports = self.remove_reports(one).await?;
            gone = gone.saturating_add(scans).saturating_add(reports);
            has_more |= scans.saturating_add(reports) > 0;
        }
        Ok((gone, has_more))
    }

    async fn remove_scans(&self, due: Due) -> Result<u64, RoundError> {
        let now = self.clock.now();
        picket_faults::point("steward::before_removal");
        let remove = async |tx: &picket_store::Tx<'_>| {
            let removed = retention::remove_scans(tx, due, now).await;
            picket_faults::point("steward::before_removal_commit");
            removed
        };
        let removed = self.db.operate("retention.remove_scans", remove).await?;
        picket_faults::point("steward::after_removal");
        metrics::counter!("picket_retention_removed_total", "what" => "scans").increment(removed.scans);
        Ok(removed.scans)
    }

    async fn remove_reports(&self, due: Due) -> Result<u64, RoundError> {
        let old = self.db.operate("retention.old_reports", async |tx| retention::old_reports(tx, due).await).await?;
        let mut without_documents = Vec::new();
        for report in old {
            match self.delete_documents(due.organization_id, report).await {
                Ok(()) => without_documents.push(report),
                Err(error) => {
                    let report = report.id;
                    tracing::warn!(error = picket_domain::cause(&error), report.id = %report, "an old report stays");
                }
            }
        }
        if without_documents.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let work = async |tx: &picket_store::Tx<'_>| retention::remove_reports(tx, due, &without_documents, now).await;
        let removed = self.db.operate("retention.remove_reports", work).await?;
        metrics::counter!("picket_retention_removed_total", "what" => "reports").increment(removed);
        Ok(removed)
    }

    /// What each attempt may have left, and the logo.
    async fn delete_documents(&self, organization: OrganizationId, report: OldReport) -> Result<(), BlobError> {
        for attempt in 1..=report.attempt {
            self.blobs.delete(&BlobKey::report(organization, report.id, attempt, report.format)).await?;
        }
        self.blobs.delete(&BlobKey::report_logo(organization, report.id)).await
    }

    fn place(&self) -> Option<OrganizationId> {
        *self.place.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn go_on_at(&self, place: Option<OrganizationId>) {
        *self.place.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = place;
    }
}

impl Loop for Retention {
    const NAME: &'static str = "retention";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (gone, has_more) = self.remove().await?;
        if gone > 0 {
            tracing::info!(gone, "results that are older than their organization keeps them were taken away");
        }
        Ok(if has_more { Round::Again } else { Round::Idle })
    }
}
