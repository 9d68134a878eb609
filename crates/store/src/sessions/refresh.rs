//! The chain of a session's refresh tokens: each is good once and is replaced by its successor. Whoever comes with the same
//! token a moment later gets the same successor; whoever comes later than that has found an old token, and the caller of
//! this module ends the session. Only digests are known here.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{OrganizationId, SessionId, UserId};

use crate::{StoreError, Tx, row::Columns, statements::statements};

/// How long after its first use a token still leads to its successor: a client may send it twice at once, or again when
/// the answer was lost.
pub const GRACE: SignedDuration = SignedDuration::from_secs(10);

statements! {
    // One at a time for each session; the statements after it see what the one before has stored.
    LOCK = "-- refresh.lock
SELECT s.id
FROM sessions AS s
WHERE s.id = (SELECT t.session_id FROM refresh_tokens AS t WHERE t.digest = $1)
FOR NO KEY UPDATE";

    FIND = "-- refresh.find
SELECT t.used_at, s.id, s.organization_id, s.user_id, s.expires_at,
       n.digest IS NOT NULL AS has_successor, n.used_at AS successor_used_at
FROM refresh_tokens AS t
JOIN sessions AS s ON s.id = t.session_id
JOIN users AS u ON u.id = s.user_id
JOIN memberships AS m ON m.organization_id = s.organization_id AND m.user_id = s.user_id
JOIN organizations AS o ON o.id = s.organization_id
LEFT JOIN refresh_tokens AS n ON n.digest = $2 AND n.session_id = s.id
WHERE t.digest = $1 AND t.expires_at > $3
  AND s.revoked_at IS NULL AND s.expires_at > $3
  AND u.disabled_at IS NULL AND o.suspended_at IS NULL";

    REPLACE = "-- refresh.replace
WITH used AS (
  UPDATE refresh_tokens
  SET used_at = $3
  WHERE digest = $1 AND used_at IS NULL
  RETURNING organization_id, session_id, expires_at
)
INSERT INTO refresh_tokens (digest, organization_id, session_id, created_at, expires_at)
SELECT $2, organization_id, session_id, $3, expires_at
FROM used";
}

/// The session of a refresh token that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    /// Identity.
    pub session_id: SessionId,
    /// The organization that it is in.
    pub organization_id: OrganizationId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it ends, however often it is refreshed.
    pub expires_at: Timestamp,
}

/// What showing a refresh token came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The successor is good: it was stored now, or a moment ago for somebody who came first.
    Good(Refreshed),
    /// The token was used before. Its session must end.
    Reused(Refreshed),
    /// Nobody's token, or its session, person, membership or organization is no longer good.
    Refused,
}

/// Replaces a token by its successor; both are named by their SHA-256. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.refresh.rotate", skip_all, err(level = "debug"))]
pub async fn rotate(
    tx: &Tx<'_>,
    token: &[u8; 32],
    successor: &[u8; 32],
    now: Timestamp,
) -> Result<Rotation, StoreError> {
    if tx.query_opt(LOCK, &[&token.as_slice()]).await?.is_none() {
        return Ok(Rotation::Refused);
    }
    let Some(row) = tx.query_opt(FIND, &[&token.as_slice(), &successor.as_slice(), &now]).await? else {
        return Ok(Rotation::Refused);
    };
    let columns = Columns::new("refresh_tokens", &row);
    let session = refreshed(columns)?;
    let Some(used_at) = columns.get::<Option<Timestamp>>("used_at")? else {
        tx.execute_one(REPLACE, &[&token.as_slice(), &successor.as_slice(), &now]).await?;
        return Ok(Rotation::Good(session));
    };
    let is_recent = now < used_at.saturating_add(GRACE).unwrap_or(used_at);
    let successor_is_unused = columns.get::<Option<Timestamp>>("successor_used_at")?.is_none();
    Ok(match (is_recent && successor_is_unused, columns.get("has_successor")?) {
        (true, true) => Rotation::Good(session),
        // Derived with another key than the first time: the key was changed in between, and nobody is to blame.
        (true, false) => Rotation::Refused,
        (false, _) => Rotation::Reused(session),
    })
}

fn refreshed(columns: Columns<'_>) -> Result<Refreshed, StoreError> {
    Ok(Refreshed {
        session_id: SessionId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        user_id: UserId::from_uuid(columns.get("user_id")?),
        expires_at: columns.get("expires_at")?,
    })
}
