//! Second factors: logins that wait for one. What proves it is in `factor` (codes of an app) and `backup`. Codes and
//! secrets are stored as digests or sealed, never as they are.
//!
//! Whatever reads a factor and acts on it locks its person first ([`factor::lock`]), and before that the counters of the
//! organizations whose audit logs it writes to ([`crate::people::lock_organizations`], [`crate::quota::lock`]).

pub mod backup;
pub mod factor;

use jiff::Timestamp;
use picket_domain::{OrganizationId, UserId};

use crate::{StoreError, Tx, row::Columns, statements::statements};

/// The wrong code that burns a challenge.
pub const BURNS: i32 = 5;

statements! {
    CHALLENGE = "-- mfa.challenge
INSERT INTO mfa_challenges (digest, user_id, organization_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5)";

    // Of a person who may still sign in there, with the password that the challenge was given for.
    FIND = "-- mfa.find
SELECT c.user_id, c.organization_id
FROM mfa_challenges AS c
JOIN users AS u ON u.id = c.user_id
JOIN memberships AS m ON m.user_id = c.user_id AND m.organization_id = c.organization_id
JOIN organizations AS o ON o.id = c.organization_id
WHERE c.digest = $1 AND c.used_at IS NULL AND c.failures < $3 AND c.expires_at > $2
  AND u.disabled_at IS NULL AND o.suspended_at IS NULL
  AND (u.password_changed_at IS NULL OR u.password_changed_at <= c.created_at)";

    SPEND = "-- mfa.spend
UPDATE mfa_challenges
SET used_at = $2
WHERE digest = $1 AND used_at IS NULL AND failures < $3";

    FAIL = "-- mfa.fail
UPDATE mfa_challenges
SET failures = failures + 1
WHERE digest = $1 AND failures < $2
RETURNING failures";

    END = "-- mfa.end
UPDATE mfa_challenges
SET used_at = $2
WHERE user_id = $1 AND used_at IS NULL";
}

/// A login that waits for its second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// The person.
    pub user_id: UserId,
    /// The organization to sign in to.
    pub organization_id: OrganizationId,
}

/// Stores a login that waits for its second factor. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.challenge", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn challenge(
    tx: &Tx<'_>,
    digest: &[u8; 32],
    user: UserId,
    organization: OrganizationId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(CHALLENGE, &[&digest.as_slice(), &user.uuid(), &organization.uuid(), &now, &expires_at]).await
}

/// The login of that digest, when it still waits and could still become a session. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.find", skip_all, err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<Option<Challenge>, StoreError> {
    let Some(row) = tx.query_opt(FIND, &[&digest.as_slice(), &now, &BURNS]).await? else { return Ok(None) };
    let columns = Columns::new("mfa_challenges", &row);
    Ok(Some(Challenge {
        user_id: UserId::from_uuid(columns.get("user_id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
    }))
}

/// Ends a challenge by its success. Runs as the operator.
///
/// # Errors
/// [`StoreError::Stale`] when it was used or burnt, or when the database refuses.
#[tracing::instrument(name = "db.mfa.spend", skip_all, err(level = "debug"))]
pub async fn spend(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(SPEND, &[&digest.as_slice(), &now, &BURNS]).await
}

/// Counts a wrong code; says whether it burnt the challenge. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.fail", skip_all, err(level = "debug"))]
pub async fn fail(tx: &Tx<'_>, digest: &[u8; 32]) -> Result<bool, StoreError> {
    let Some(row) = tx.query_opt(FAIL, &[&digest.as_slice(), &BURNS]).await? else { return Ok(false) };
    Ok(Columns::new("mfa_challenges", &row).get::<i32>("failures")? == BURNS)
}

/// Ends every challenge of a person. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.end", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn end(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(END, &[&user.uuid(), &now]).await?;
    Ok(())
}
