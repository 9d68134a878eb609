//! Keys under which a client may repeat a request, with the answers that are replayed (`docs/contract.md` §9). Answers come
//! and go sealed: this crate could not read one. A key is in flight under a lease, and the lease is its fence: whoever lost
//! it stores nothing.

use std::time::Duration;

use jiff::Timestamp;
use picket_domain::OrganizationId;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    // A key is free when it is new, when its day is over, or when whoever had it died; who takes over a dead one's key asks
    // the same.
    CLAIM = "-- idempotency.claim
INSERT INTO idempotency_keys AS k
  (organization_id, subject, route, key, request_digest, created_at, expires_at, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
ON CONFLICT (organization_id, subject, route, key) DO UPDATE
SET request_digest = excluded.request_digest, created_at = excluded.created_at, expires_at = excluded.expires_at,
    lease_until = excluded.lease_until, status = NULL, answer = NULL
WHERE k.expires_at <= $6 OR (k.lease_until < now() AND k.request_digest = excluded.request_digest)
RETURNING lease_until";

    FIND = "-- idempotency.find
SELECT request_digest, answer
FROM idempotency_keys
WHERE organization_id = $1 AND subject = $2 AND route = $3 AND key = $4";

    FINISH = "-- idempotency.finish
UPDATE idempotency_keys
SET status = $6, answer = $7, lease_until = NULL
WHERE organization_id = $1 AND subject = $2 AND route = $3 AND key = $4 AND lease_until = $5";

    RELEASE = "-- idempotency.release
DELETE FROM idempotency_keys
WHERE organization_id = $1 AND subject = $2 AND route = $3 AND key = $4 AND lease_until = $5";
}

/// What a key belongs to: the same text under another route, subject or organization is another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Who sent it: `usr_…` or `key_…`.
    pub subject: String,
    /// Method and pattern of the route.
    pub route: String,
    /// The key itself.
    pub key: String,
}

/// A request under a key.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// Which key.
    pub place: &'a Place,
    /// SHA-256 of all that makes the request what it is.
    pub digest: [u8; 32],
    /// Now.
    pub now: Timestamp,
    /// When the key may be used for something else.
    pub expires_at: Timestamp,
    /// How long nobody else takes the key over.
    pub lease: Duration,
}

/// The fence of a key in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFence(Timestamp);

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The key is the caller's: do it, then [`finish`] or [`release`].
    Yours(KeyFence),
    /// Somebody is at it.
    InFlight,
    /// The key stands for another request.
    Mismatch,
    /// It was done; the sealed answer.
    Done(Vec<u8>),
}

/// Takes a key, unless it is taken. What is over is taken away by the steward ([`crate::expired`]).
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.idempotency.claim", skip_all, err(level = "debug"))]
pub async fn claim(tx: &Tx<'_>, request: Use<'_>) -> Result<Claimed, StoreError> {
    let Place { organization_id, subject, route, key } = request.place;
    let (organization, digest, lease) =
        (organization_id.uuid(), request.digest.as_slice(), request.lease.as_secs_f64());
    let claim = tx
        .query_opt(CLAIM, &[&organization, subject, route, key, &digest, &request.now, &request.expires_at, &lease])
        .await?;
    if let Some(row) = claim {
        return Ok(Claimed::Yours(KeyFence(Columns::new("idempotency_keys", &row).get("lease_until")?)));
    }
    // Released between the two statements: its client may try again.
    let Some(row) = tx.query_opt(FIND, &[&organization, subject, route, key]).await? else {
        return Ok(Claimed::InFlight);
    };
    Ok(found(&Columns::new("idempotency_keys", &row), request.digest)?)
}

fn found(columns: &Columns<'_>, digest: [u8; 32]) -> Result<Claimed, Inconsistent> {
    if columns.get::<&[u8]>("request_digest")? != digest.as_slice() {
        return Ok(Claimed::Mismatch);
    }
    Ok(columns.get::<Option<Vec<u8>>>("answer")?.map_or(Claimed::InFlight, Claimed::Done))
}

/// Stores the sealed answer of a claimed key. `false` when the lease was another's by now: then nothing is stored.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.idempotency.finish", skip_all, err(level = "debug"))]
pub async fn finish(
    tx: &Tx<'_>,
    place: &Place,
    fence: KeyFence,
    status: u16,
    answer: &[u8],
) -> Result<bool, StoreError> {
    let Place { organization_id, subject, route, key } = place;
    let status = i32::from(status);
    let changed =
        tx.execute(FINISH, &[&organization_id.uuid(), subject, route, key, &fence.0, &status, &answer]).await?;
    Ok(changed == 1)
}

/// Gives a claimed key back: nothing was done, and the next request under it begins anew.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.idempotency.release", skip_all, err(level = "debug"))]
pub async fn release(tx: &Tx<'_>, place: &Place, fence: KeyFence) -> Result<(), StoreError> {
    let Place { organization_id, subject, route, key } = place;
    tx.execute(RELEASE, &[&organization_id.uuid(), subject, route, key, &fence.0]).await.map(drop)
}
