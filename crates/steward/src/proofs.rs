//! Looks again whether targets are still proven: once a week, and daily where a look failed or an unfinished scan relies on
//! the proof. A proof that is missing twice in a row ends, and with it what waits for scans that rely on it.
//!
//! The owners and admins of an organization hear of it, and of another organization that has proven the same target.
//!
//! Any number of stewards may look; of two looks at the same time one counts, which the row decides.

use futures_util::future::join_all;
use picket_domain::{AuditAction, AuditEntry, ProofNews};
use picket_kit::Clock;
use picket_planner::{NotProven, Prover};
use picket_store::{
    Db, Notice, StoreError, Tx, audit,
    mails::target_news,
    proofs::{self, DueProof},
    quota,
    tasks::authority,
};
use serde_json::json;

use crate::rounds::{Loop, Round, RoundError};

/// Proofs of one turn; they are looked for together.
const TURN: i64 = 16;
/// Who ends proofs, in the audit log.
pub(crate) const ACTOR: &str = "steward";

/// Looks for proofs.
pub struct Proofs {
    db: Db,
    prover: Prover,
    clock: Clock,
}

impl Proofs {
    /// By this clock.
    #[must_use]
    pub const fn new(db: Db, prover: Prover, clock: Clock) -> Self {
        Self { db, prover, clock }
    }

    /// One turn; returns how many proofs were looked for, and how many of them ended.
    ///
    /// # Errors
    /// When the database refuses; what was noted before stays noted.
    pub async fn check(&self) -> Result<(usize, usize), StoreError> {
        let now = self.clock.now();
        self.db.operate("proofs.shared", async |tx| target_news::tell_shared(tx, now).await).await?;
        let due = self.db.operate("proofs.due", async |tx| proofs::due(tx, now, TURN).await).await?;
        let look = async |one: &DueProof| match &one.target {
            Some(target) => self.prover.look(target, one.method, one.digest).await,
            None => Err(NotProven::Unsuited),
        };
        let looks = join_all(due.iter().map(look)).await;
        let (looked, mut ended) = (due.len(), 0_usize);
        for (one, look) in due.into_iter().zip(looks) {
            metrics::counter!("picket_proofs_checked_total", "found" => if look.is_ok() { "true" } else { "false" })
                .increment(1);
            ended = ended.saturating_add(usize::from(self.note(&one, look).await?));
        }
        Ok((looked, ended))
    }

    /// Notes what a look came to; whether the proof ended with it.
    async fn note(&self, one: &DueProof, look: Result<(), NotProven>) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let note = async |tx: &Tx<'_>| {
            quota::lock(tx, one.organization_id).await?;
            let Err(why) = look else {
                proofs::found(tx, one.id, one.digest, now).await?;
                return Ok(false);
            };
            let Some(has_ended) = proofs::missed(tx, one, now).await? else { return Ok(false) };
            let news = if has_ended { ProofNews::Ended } else { ProofNews::Missing };
            target_news::write(tx, (one.organization_id, one.target_id), news, now).await?;
            if !has_ended {
                return Ok(false);
            }
            let tasks = authority::end_fallen(tx, one.organization_id, now).await?;
            let entry = AuditEntry {
                at: now,
                actor: ACTOR.to_owned(),
                action: AuditAction::TargetProofEnded,
                object: Some(one.target_id.to_string()),
                address: None,
                request_id: None,
                before: Some(json!({"proof": one.id, "method": one.method})),
                after: Some(json!({"reason": why.code(), "tasks": tasks})),
            };
            audit::record(tx, one.organization_id, &entry).await?;
            Ok(true)
        };
        self.db.operate("proofs.note", note).await
    }
}

impl Loop for Proofs {
    const NAME: &'static str = "proofs";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (looked, ended) = self.check().await?;
        if ended > 0 {
            tracing::info!(ended, "proofs of targets ended");
        }
        Ok(if i64::try_from(looked).is_ok_and(|looked| looked < TURN) { Round::Idle } else { Round::Again })
    }
}
