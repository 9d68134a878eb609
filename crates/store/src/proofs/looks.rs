//! What became of the looks that a create, or a tick of a schedule, took at proofs before it relied on them. A miss counts as one of
//! the steward's looks does: two in a row end the proof, and with it what waits for scans that rely on it. Nothing here looks,
//! and what nobody could look at must never come here.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{AuditAction, AuditEntry, OrganizationId, ProofDigest, ProofId, ProofMethod, ProofNews, TargetId};
use serde_json::json;
use uuid::Uuid;

use super::{MOST_FAILURES, found};
use crate::{StoreError, Tx, audit, mails::target_news, quota, row::Columns, statements::statements, tasks::authority};

/// Misses that are closer to the look before them count as one: who asks for ten scans at once has looked once, and a record
/// that is being changed is gone for a moment.
const ONE_LOOK: SignedDuration = SignedDuration::from_mins(10);

statements! {
    MISSED = "-- proofs.looks.missed
UPDATE target_proofs
SET failures = failures + 1, checked_at = $4,
    ended_at = CASE WHEN failures + 1 >= $6 THEN $4 ELSE ended_at END
WHERE organization_id = $1 AND id = $2 AND digest = $3 AND ended_at IS NULL AND verified_at IS NOT NULL AND checked_at < $5
RETURNING target_id, method, ended_at IS NOT NULL AS ended";
}

/// A proof that is not there any more: somebody looked, and there was an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub id: ProofId,
    /// Of the token that was looked for.
    pub digest: ProofDigest,
    /// What a program may match on.
    pub why: &'static str,
}

/// Notes the looks of one organization, with a letter for each that counts and an audit row for each proof that ends; returns how
/// many ended. A look that was overtaken changes nothing. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.proofs.note", skip_all, err(level = "debug"))]
pub async fn note(
    tx: &Tx<'_>,
    (organization, actor): (OrganizationId, &str),
    seen: &[(ProofId, ProofDigest)],
    missing: &[Missing],
    now: Timestamp,
) -> Result<u64, StoreError> {
    quota::lock(tx, organization).await?;
    for (id, digest) in seen {
        found(tx, *id, *digest, now).await?;
    }
    let mut ended = 0_u64;
    for one in missing {
        ended = ended.saturating_add(u64::from(missed(tx, (organization, actor), *one, now).await?));
    }
    Ok(ended)
}

/// Whether the proof ended with it.
async fn missed(
    tx: &Tx<'_>,
    (organization, actor): (OrganizationId, &str),
    one: Missing,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let before = now.saturating_sub(ONE_LOOK).unwrap_or(Timestamp::MIN);
    let (of, id, digest) = (organization.uuid(), one.id.uuid(), one.digest.bytes().as_slice());
    let row = tx.query_opt(MISSED, &[&of, &id, &digest, &now, &before, &MOST_FAILURES]).await?;
    let Some(row) = row else { return Ok(false) };
    let columns = Columns::new("target_proofs", &row);
    let target = TargetId::from_uuid(columns.get::<Uuid>("target_id")?);
    let method = columns.named("method", ProofMethod::find)?;
    let has_ended: bool = columns.get("ended")?;
    let news = if has_ended { ProofNews::Ended } else { ProofNews::Missing };
    target_news::write(tx, (organization, target), news, now).await?;
    if !has_ended {
        return Ok(false);
    }
    let tasks = authority::end_fallen(tx, organization, now).await?;
    let entry = AuditEntry {
        at: now,
        actor: actor.to_owned(),
        action: AuditAction::TargetProofEnded,
        object: Some(target.to_string()),
        address: None,
        request_id: None,
        before: Some(json!({"proof": one.id, "method": method})),
        after: Some(json!({"reason": one.why, "tasks": tasks})),
    };
    audit::record(tx, organization, &entry).await?;
    Ok(true)
}
