//! Sessions: one row per signed-in device, with the family of its refresh tokens. An access token is worth what its session
//! is worth when it is looked up.

pub mod own;
pub mod refresh;

use jiff::Timestamp;
use picket_domain::{OrganizationId, Role, SessionId, Subscription, UserId};
use tokio_postgres::Row;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    OPEN = "-- sessions.open
WITH session AS (
  INSERT INTO sessions (id, organization_id, user_id, created_at, expires_at, user_agent, address, last_used_at,
                        authenticated_at, mfa)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $4, $4, $8)
  RETURNING id, organization_id
)
INSERT INTO refresh_tokens (digest, organization_id, session_id, created_at, expires_at)
SELECT $9, organization_id, id, $4, $5
FROM session";

    FIND_BEARER = "-- sessions.find_bearer
SELECT m.role, o.plan, o.allowed_ranges, o.require_mfa, s.mfa, s.authenticated_at, s.expires_at, s.last_used_at
FROM sessions AS s
JOIN users AS u ON u.id = s.user_id
JOIN memberships AS m ON m.organization_id = s.organization_id AND m.user_id = s.user_id
JOIN organizations AS o ON o.id = s.organization_id
WHERE s.id = $1 AND s.organization_id = $2 AND s.user_id = $3
  AND s.revoked_at IS NULL AND s.expires_at > $4
  AND u.disabled_at IS NULL AND o.suspended_at IS NULL";

    // What a good session is worth in another organization of its person.
    FIND_ELSEWHERE = "-- sessions.find_elsewhere
SELECT m.role, o.plan, o.allowed_ranges, o.require_mfa, s.mfa, s.authenticated_at, s.expires_at, s.last_used_at
FROM sessions AS s
JOIN memberships AS m ON m.organization_id = $2 AND m.user_id = s.user_id
JOIN organizations AS o ON o.id = m.organization_id
WHERE s.id = $1 AND o.suspended_at IS NULL";

    // Once a minute is enough to know what is in use.
    TOUCH = "-- sessions.touch
WITH session AS (
  UPDATE sessions
  SET last_used_at = $2, address = $3
  WHERE id = $1 AND last_used_at < $2::timestamptz - interval '1 minute'
  RETURNING organization_id, user_id
)
UPDATE memberships AS m
SET last_seen_at = $2
FROM session
WHERE m.organization_id = session.organization_id AND m.user_id = session.user_id";

    REVOKE_OF_USER = "-- sessions.revoke_of_user
UPDATE sessions
SET revoked_at = $2, revoked_reason = $3
WHERE user_id = $1 AND revoked_at IS NULL
  AND ($4::uuid IS NULL OR organization_id = $4) AND ($5::uuid IS NULL OR id <> $5)";
}

/// A session to open.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Identity.
    pub id: SessionId,
    /// The organization that is signed in to.
    pub organization_id: OrganizationId,
    /// Who signs in.
    pub user_id: UserId,
    /// When it ends, however often it is refreshed.
    pub expires_at: Timestamp,
    /// What the client calls itself.
    pub user_agent: &'a str,
    /// From where.
    pub address: &'a str,
    /// Whether a second factor was shown.
    pub mfa: bool,
    /// SHA-256 of its first refresh token.
    pub refresh_digest: [u8; 32],
}

/// What a session is worth now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerRow {
    /// What the person may do.
    pub role: Role,
    /// What the organization pays for.
    pub subscription: Subscription,
    /// Where members may call from, as networks; empty means anywhere.
    pub allowed_ranges: Vec<String>,
    /// Whether the organization demands a second factor that this session has not shown.
    pub lacks_mfa: bool,
    /// When credentials were shown last.
    pub authenticated_at: Timestamp,
    /// When the session ends.
    pub expires_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_used_at: Timestamp,
}

/// Opens a session with its first refresh token. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.sessions.open", skip_all, fields(session.id = %new.id), err(level = "debug"))]
pub async fn open(tx: &Tx<'_>, new: &NewSession<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(
        OPEN,
        &[
            &new.id.uuid(),
            &new.organization_id.uuid(),
            &new.user_id.uuid(),
            &now,
            &new.expires_at,
            &new.user_agent,
            &new.address,
            &new.mfa,
            &new.refresh_digest.as_slice(),
        ],
    )
    .await
}

/// What the session is worth, when it, its person, the membership and the organization are all good. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.sessions.find_bearer", skip_all, err(level = "debug"))]
pub async fn find_bearer(
    tx: &Tx<'_>,
    session: SessionId,
    organization: OrganizationId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<BearerRow>, StoreError> {
    let row = tx.query_opt(FIND_BEARER, &[&session.uuid(), &organization.uuid(), &user.uuid(), &now]).await?;
    row.map(|row| bearer(&row)).transpose()
}

/// What a session that [`find_bearer`] found good is worth in another organization; none where its person is no member.
/// Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.sessions.find_elsewhere", skip_all, err(level = "debug"))]
pub async fn find_elsewhere(
    tx: &Tx<'_>,
    session: SessionId,
    organization: OrganizationId,
) -> Result<Option<BearerRow>, StoreError> {
    let row = tx.query_opt(FIND_ELSEWHERE, &[&session.uuid(), &organization.uuid()]).await?;
    row.map(|row| bearer(&row)).transpose()
}

/// Notes that a session was used, to the minute. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.sessions.touch", skip_all, err(level = "debug"))]
pub async fn touch(tx: &Tx<'_>, session: SessionId, address: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(TOUCH, &[&session.uuid(), &now, &address]).await?;
    Ok(())
}

/// Which of a person's sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// All but this one.
    AllBut(SessionId),
    /// Those in this organization.
    In(OrganizationId),
}

/// Ends sessions of a person; returns how many. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.sessions.revoke_of_user", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn revoke_of_user(
    tx: &Tx<'_>,
    user: UserId,
    which: Which,
    reason: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (organization, but) = match which {
        Which::All => (None, None),
        Which::AllBut(session) => (None, Some(session.uuid())),
        Which::In(organization) => (Some(organization.uuid()), None),
    };
    tx.execute(REVOKE_OF_USER, &[&user.uuid(), &now, &reason, &organization, &but]).await
}

fn bearer(row: &Row) -> Result<BearerRow, StoreError> {
    let columns = Columns::new("sessions", row);
    Ok(BearerRow {
        role: columns.named("role", Role::find)?,
        subscription: columns.named("plan", Subscription::find)?,
        allowed_ranges: columns.get("allowed_ranges")?,
        lacks_mfa: columns.get::<bool>("require_mfa")? && !columns.get::<bool>("mfa")?,
        authenticated_at: columns.get("authenticated_at")?,
        expires_at: columns.get("expires_at")?,
        last_used_at: columns.get("last_used_at")?,
    })
}
