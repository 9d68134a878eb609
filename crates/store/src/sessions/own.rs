//! A person's sessions as the person sees and ends them, in whatever organizations they are. Nothing here shows a token.

use jiff::Timestamp;
use picket_domain::{OrganizationId, SessionId, UserId};
use tokio_postgres::Row;

use crate::{
    StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    LIST = "-- sessions.list
SELECT id, user_agent, address, created_at, last_used_at, expires_at, mfa
FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
ORDER BY id DESC
LIMIT $3 OFFSET $4";

    COUNT = "-- sessions.count
SELECT count(*) AS total
FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2";

    FIND_ORGANIZATION = "-- sessions.find_organization
SELECT organization_id
FROM sessions
WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3";

    COUNT_OTHERS = "-- sessions.count_others
SELECT organization_id, count(*) AS sessions
FROM sessions
WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL AND expires_at > $3
GROUP BY organization_id
ORDER BY organization_id";

    REVOKE = "-- sessions.revoke
UPDATE sessions
SET revoked_at = $3, revoked_reason = $4
WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";
}

/// A signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// What the client calls itself.
    pub user_agent: String,
    /// From where it was used last.
    pub address: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_used_at: Timestamp,
    /// When it ends, however often it is refreshed.
    pub expires_at: Timestamp,
    /// Whether a second factor was shown.
    pub mfa: bool,
}

/// The person's sessions that are good at `now`, newest first. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.sessions.list", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, user: UserId, range: Range, now: Timestamp) -> Result<Page<Session>, StoreError> {
    let rows = tx.query(LIST, &[&user.uuid(), &now, &range.limit, &range.offset]).await?;
    let rows = rows.iter().map(session).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = Columns::new("sessions", &tx.query_one(COUNT, &[&user.uuid(), &now]).await?).get("total")?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

/// The organization that the person's session is in, when the session is good at `now`. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.sessions.find_organization", skip_all, fields(session.id = %session), err(level = "debug"))]
pub async fn find_organization(
    tx: &Tx<'_>,
    session: SessionId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<OrganizationId>, StoreError> {
    let row = tx.query_opt(FIND_ORGANIZATION, &[&session.uuid(), &user.uuid(), &now]).await?;
    let id = row.map(|row| Columns::new("sessions", &row).get("organization_id")).transpose()?;
    Ok(id.map(OrganizationId::from_uuid))
}

/// How many other good sessions the person has in which organization, in the order of their ids. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.sessions.count_others", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn count_others(
    tx: &Tx<'_>,
    user: UserId,
    but: SessionId,
    now: Timestamp,
) -> Result<Vec<(OrganizationId, i64)>, StoreError> {
    let rows = tx.query(COUNT_OTHERS, &[&user.uuid(), &but.uuid(), &now]).await?;
    let read = |row: &Row| {
        let columns = Columns::new("sessions", row);
        Ok((OrganizationId::from_uuid(columns.get("organization_id")?), columns.get("sessions")?))
    };
    rows.iter().map(read).collect()
}

/// Ends a session of the person; whether it was not ended before. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.sessions.revoke", skip_all, fields(session.id = %session), err(level = "debug"))]
pub async fn revoke(
    tx: &Tx<'_>,
    session: SessionId,
    user: UserId,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(REVOKE, &[&session.uuid(), &user.uuid(), &now, &reason]).await? == 1)
}

fn session(row: &Row) -> Result<Session, StoreError> {
    let columns = Columns::new("sessions", row);
    Ok(Session {
        id: SessionId::from_uuid(columns.get("id")?),
        user_agent: columns.get("user_agent")?,
        address: columns.get("address")?,
        created_at: columns.get("created_at")?,
        last_used_at: columns.get("last_used_at")?,
        expires_at: columns.get("expires_at")?,
        mfa: columns.get("mfa")?,
    })
}
