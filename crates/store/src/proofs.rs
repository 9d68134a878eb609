//! Proofs that an organization controls a target. A token is stored as its digest alone, and only what was looked for is
//! marked: a look that was overtaken by a new token or a withdrawal changes nothing. Nothing here looks.

pub mod looks;

use jiff::{SignedDuration, Timestamp};
use picket_domain::{
    CHECK_EVERY, CHECK_EVERY_FAILING, OrganizationId, ProofDigest, ProofId, ProofMethod, Target, TargetId,
    VERIFIED_LASTS,
};
use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// A proof ends when it was missing so often in a row.
const MOST_FAILURES: i32 = 2;

statements! {
    // A token that waits, and a proof that has ended, give way to the new one; a proof that holds does not.
    ISSUE = "-- proofs.issue
INSERT INTO target_proofs (id, organization_id, target_id, method, digest, created_at, expires_at)
VALUES ($1, picket_organization(), $2, $3, $4, $5, $6)
ON CONFLICT (target_id, method) DO UPDATE
SET id = EXCLUDED.id, digest = EXCLUDED.digest, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at,
    verified_at = NULL, verified_until = NULL, checked_at = NULL, failures = 0, ended_at = NULL,
    compared_at = NULL
WHERE target_proofs.ended_at IS NOT NULL OR target_proofs.verified_until IS NULL OR target_proofs.verified_until <= $5";

    OF_TARGET = "-- proofs.of_target
SELECT id, method, digest, created_at, expires_at, verified_at, verified_until, checked_at, failures, ended_at
FROM target_proofs
WHERE organization_id = picket_organization() AND target_id = $1
ORDER BY method";

    FOUND = "-- proofs.found
UPDATE target_proofs
SET verified_at = coalesce(verified_at, $3), verified_until = $4, checked_at = $3, failures = 0
WHERE id = $1 AND digest = $2 AND ended_at IS NULL";

    // Of two that looked at the same time, one counts.
    MISSED = "-- proofs.missed
UPDATE target_proofs
SET failures = failures + 1, checked_at = $3,
    ended_at = CASE WHEN failures + 1 >= $4 THEN $3 ELSE ended_at END
WHERE id = $1 AND ended_at IS NULL AND verified_at IS NOT NULL AND checked_at IS NOT DISTINCT FROM $2
RETURNING ended_at IS NOT NULL AS ended";

    WITHDRAW = "-- proofs.withdraw
DELETE FROM target_proofs
WHERE organization_id = picket_organization() AND target_id = $1
RETURNING id";

    DUE = "-- proofs.due
SELECT p.id, p.organization_id, p.method, p.digest, p.checked_at, t.id AS target_id, t.value
FROM target_proofs AS p
JOIN targets AS t ON t.id = p.target_id
WHERE p.verified_at IS NOT NULL AND p.ended_at IS NULL AND p.verified_until > $1
  AND (p.checked_at < $2
       OR (p.checked_at < $3
           AND (p.failures > 0
                OR EXISTS (SELECT FROM scans AS s
                           WHERE s.organization_id = p.organization_id AND s.state IN ('created', 'queued', 'running', 'paused')
                             AND (s.authority ->> 'by' IN ('proof', 'authorization') OR s.authority -> 'ranges' <> '[]'::jsonb)
                             AND (s.authority ->> 'id' = p.id::text
                                  OR s.authority -> 'also' @> jsonb_build_array(jsonb_build_object('id', p.id::text)))))))
ORDER BY p.checked_at
LIMIT $4";
}

/// A token to look for.
#[derive(Debug, Clone, Copy)]
pub struct NewProof {
    /// Identity.
    pub id: ProofId,
    /// What it is to prove.
    pub target_id: TargetId,
    /// Where it is looked for.
    pub method: ProofMethod,
    /// Of the token.
    pub digest: ProofDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it waits to be found for the first time.
    pub expires_at: Timestamp,
}

/// A token that waits, or a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Identity.
    pub id: ProofId,
    /// Where it is looked for.
    pub method: ProofMethod,
    /// Of the token.
    pub digest: ProofDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it waits to be found for the first time.
    pub expires_at: Timestamp,
    /// When it was found first.
    pub verified_at: Option<Timestamp>,
    /// Until when it proves something.
    pub verified_until: Option<Timestamp>,
    /// When it was looked for last, by anybody who counts.
    pub checked_at: Option<Timestamp>,
    /// How often in a row it was missing.
    pub failures: i32,
    /// When it had been missing too often.
    pub ended_at: Option<Timestamp>,
}

impl Proof {
    /// How it stands: `pending`, `verified`, `expired` (never found in time, or not seen again for too long), or `ended`
    /// (missing too often).
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        match (self.ended_at, self.verified_until) {
            (Some(_), _) => "ended",
            (None, Some(until)) if until > now => "verified",
            (None, None) if self.expires_at > now => "pending",
            (None, _) => "expired",
        }
    }

    /// Whether it is of use to look for it.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.state(now), "pending" | "verified")
    }
}

/// A proof to look for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueProof {
    /// Identity.
    pub id: ProofId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The target's id.
    pub target_id: TargetId,
    /// What it proves; `None` when that cannot be read any more (another list of public suffixes): then it proves nothing.
    pub target: Option<Target>,
    /// Where it is looked for.
    pub method: ProofMethod,
    /// Of the token.
    pub digest: ProofDigest,
    /// When it was looked for last.
    pub checked_at: Option<Timestamp>,
}

/// Stores a token to look for; `false` when the target is proven by that method already, and then nothing is stored.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.proofs.issue", skip_all, fields(target.id = %new.target_id), err(level = "debug"))]
pub async fn issue(tx: &Tx<'_>, new: &NewProof) -> Result<bool, StoreError> {
    let NewProof { id, target_id, method, digest, created_at, expires_at } = new;
    let digest = digest.bytes().as_slice();
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&id.uuid(), &target_id.uuid(), &method.name(), &digest, created_at, expires_at];
    Ok(tx.execute(ISSUE, &row).await? == 1)
}

/// The proofs of one of the tenant's targets, at most one of each method.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.proofs.of_target", skip_all, fields(target.id = %target), err(level = "debug"))]
pub async fn of_target(tx: &Tx<'_>, target: TargetId) -> Result<Vec<Proof>, StoreError> {
    let rows = tx.query(OF_TARGET, &[&target.uuid()]).await?;
    Ok(rows.iter().map(proof).collect::<Result<_, _>>()?)
}

/// Notes that a token was found: it proves its target from now on. `false` when it was replaced or withdrawn meanwhile.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.proofs.found", skip_all, err(level = "debug"))]
pub async fn found(tx: &Tx<'_>, id: ProofId, digest: ProofDigest, now: Timestamp) -> Result<bool, StoreError> {
    let until = now.saturating_add(VERIFIED_LASTS).unwrap_or(Timestamp::MAX);
    Ok(tx.execute(FOUND, &[&id.uuid(), &digest.bytes().as_slice(), &now, &until]).await? == 1)
}

/// Notes that a proof was missing; whether it has ended with that. `None` when somebody else looked meanwhile.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.proofs.missed", skip_all, err(level = "debug"))]
pub async fn missed(tx: &Tx<'_>, due: &DueProof, now: Timestamp) -> Result<Option<bool>, StoreError> {
    let row = tx.query_opt(MISSED, &[&due.id.uuid(), &due.checked_at, &now, &MOST_FAILURES]).await?;
    Ok(row.map(|row| Columns::new("target_proofs", &row).get("ended")).transpose()?)
}

/// Takes every token and proof of a target away; returns how many there were.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.proofs.withdraw", skip_all, fields(target.id = %target), err(level = "debug"))]
pub async fn withdraw(tx: &Tx<'_>, target: TargetId) -> Result<usize, StoreError> {
    Ok(tx.query(WITHDRAW, &[&target.uuid()]).await?.len())
}

/// Proofs that nobody has looked for in a week, or in a day where one was missing or an unfinished scan relies on it. Runs as
/// the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.proofs.due", skip_all, err(level = "debug"))]
pub async fn due(tx: &Tx<'_>, now: Timestamp, most: i64) -> Result<Vec<DueProof>, StoreError> {
    let before = |ago: SignedDuration| now.saturating_sub(ago).unwrap_or(Timestamp::MIN);
    let rows = tx.query(DUE, &[&now, &before(CHECK_EVERY), &before(CHECK_EVERY_FAILING), &most]).await?;
    Ok(rows.iter().map(due_proof).collect::<Result<_, _>>()?)
}

fn digest(columns: &Columns<'_>) -> Result<ProofDigest, Inconsistent> {
    ProofDigest::stored(columns.get("digest")?).ok_or_else(|| columns.inconsistent("digest"))
}

fn proof(row: &Row) -> Result<Proof, Inconsistent> {
    let columns = Columns::new("target_proofs", row);
    Ok(Proof {
        id: ProofId::from_uuid(columns.get("id")?),
        method: columns.named("method", ProofMethod::find)?,
        digest: digest(&columns)?,
        created_at: columns.get("created_at")?,
        expires_at: columns.get("expires_at")?,
        verified_at: columns.get("verified_at")?,
        verified_until: columns.get("verified_until")?,
        checked_at: columns.get("checked_at")?,
        failures: columns.get("failures")?,
        ended_at: columns.get("ended_at")?,
    })
}

fn due_proof(row: &Row) -> Result<DueProof, Inconsistent> {
    let columns = Columns::new("target_proofs", row);
    Ok(DueProof {
        id: ProofId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        target_id: TargetId::from_uuid(columns.get("target_id")?),
        target: Target::parse(columns.get("value")?).ok(),
        method: columns.named("method", ProofMethod::find)?,
        digest: digest(&columns)?,
        checked_at: columns.get("checked_at")?,
    })
}
