//! People at providers, and the code flows that lead to them. An identity is known by the provider's subject, never by an
//! address. All of this runs as the operator: who signs in belongs to no tenant yet.

use jiff::Timestamp;
use picket_domain::{OrganizationId, SessionId, UserId};
use tokio_postgres::Row;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    // Anybody may start a flow: what has expired goes with the next one, a few at a time.
    START = "-- identities.start
WITH expired AS (
  DELETE FROM oauth_states
  WHERE digest IN (
    SELECT digest FROM oauth_states WHERE expires_at < $8 ORDER BY expires_at LIMIT 20 FOR UPDATE SKIP LOCKED
  )
)
INSERT INTO oauth_states (digest, browser_digest, provider, secrets, redirect_after, user_id, session_id, created_at,
                          expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

    // Whoever comes first takes it, whatever is found wrong with it afterwards.
    TAKE = "-- identities.take
UPDATE oauth_states AS f
SET used_at = $2
WHERE f.digest = $1 AND f.used_at IS NULL AND f.expires_at > $2
RETURNING f.provider, f.browser_digest, f.secrets, f.redirect_after, f.user_id, f.session_id,
          (SELECT s.organization_id FROM sessions AS s WHERE s.id = f.session_id) AS organization_id";

    // The organization that a login with a password would choose.
    FIND = "-- identities.find
SELECT i.user_id, home.organization_id
FROM identities AS i
JOIN users AS u ON u.id = i.user_id
LEFT JOIN LATERAL (
  SELECT m.organization_id
  FROM memberships AS m
  JOIN organizations AS o ON o.id = m.organization_id
  WHERE m.user_id = u.id AND u.disabled_at IS NULL AND o.suspended_at IS NULL
  ORDER BY m.created_at, m.organization_id
  LIMIT 1
) AS home ON true
WHERE i.provider = $1 AND i.subject = $2";

    LINK = "-- identities.link
INSERT INTO identities (provider, subject, user_id, email, created_at, last_used_at)
VALUES ($1, $2, $3, $4, $5, $5)";

    LIST = "-- identities.list
SELECT provider, email, created_at, last_used_at
FROM identities
WHERE user_id = $1
ORDER BY provider";

    UNLINK = "-- identities.unlink
DELETE FROM identities
WHERE user_id = $1 AND provider = $2";

    UNLINK_ALL = "-- identities.unlink_all
DELETE FROM identities
WHERE user_id = $1";

    TOUCH = "-- identities.touch
UPDATE identities
SET last_used_at = $3
WHERE provider = $1 AND subject = $2";
}

/// A flow that is started.
#[derive(Clone)]
pub struct NewFlow<'a> {
    /// SHA-256 of `state`.
    pub digest: [u8; 32],
    /// SHA-256 of the cookie that binds it to the browser.
    pub browser_digest: [u8; 32],
    /// The provider's name.
    pub provider: &'a str,
    /// Sealed: the PKCE verifier, the nonce.
    pub secrets: &'a [u8],
    /// Where the browser goes afterwards.
    pub redirect_after: Option<&'a str>,
    /// Whose account the identity is linked to; none to sign in.
    pub link: Option<(UserId, SessionId)>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A flow that came back.
#[derive(Clone)]
pub struct TakenFlow {
    /// The provider that it was started for.
    pub provider: String,
    /// SHA-256 of the cookie of the browser that started it.
    pub browser_digest: Vec<u8>,
    /// Sealed: the PKCE verifier, the nonce.
    pub secrets: Vec<u8>,
    /// Where the browser goes afterwards.
    pub redirect_after: Option<String>,
    /// Whose account the identity is linked to, and the session that asked for it; none to sign in.
    pub link: Option<Linking>,
}

/// The session that asked for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linking {
    /// The person.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// The organization that the session is in.
    pub organization_id: OrganizationId,
}

/// A person whose identity is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The person.
    pub user_id: UserId,
    /// The organization to sign in to; none when the person may sign in to none.
    pub organization_id: Option<OrganizationId>,
}

/// An account at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The provider's own name for the account, which never changes.
    pub subject: &'a str,
}

/// An account at a provider, as the person sees it who may sign in with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The provider's name.
    pub provider: String,
    /// The address that the provider named when it was linked.
    pub email: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When the person last signed in with it, or linked it.
    pub last_used_at: Timestamp,
}

/// Stores a flow that is started.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.identities.start", skip_all, err(level = "debug"))]
pub async fn start(tx: &Tx<'_>, flow: &NewFlow<'_>, now: Timestamp) -> Result<(), StoreError> {
    let (user, session) = flow.link.map(|(user, session)| (user.uuid(), session.uuid())).unzip();
    tx.execute_one(
        START,
        &[
            &flow.digest.as_slice(),
            &flow.browser_digest.as_slice(),
            &flow.provider,
            &flow.secrets,
            &flow.redirect_after,
            &user,
            &session,
            &now,
            &flow.expires_at,
        ],
    )
    .await
}

/// Uses a flow up; `None` when there is no such one, or it was used, or its time is over.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.identities.take", skip_all, err(level = "debug"))]
pub async fn take(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<Option<TakenFlow>, StoreError> {
    let Some(row) = tx.query_opt(TAKE, &[&digest.as_slice(), &now]).await? else { return Ok(None) };
    let columns = Columns::new("oauth_states", &row);
    let link = match columns.get::<Option<_>>("user_id")? {
        None => None,
        Some(user) => Some(Linking {
            user_id: UserId::from_uuid(user),
            session_id: SessionId::from_uuid(columns.required("session_id")?),
            organization_id: OrganizationId::from_uuid(columns.required("organization_id")?),
        }),
    };
    Ok(Some(TakenFlow {
        provider: columns.get("provider")?,
        browser_digest: columns.get("browser_digest")?,
        secrets: columns.get("secrets")?,
        redirect_after: columns.get("redirect_after")?,
        link,
    }))
}

/// Whose account it is, when it is known.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.identities.find", skip_all, err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, account: Account<'_>) -> Result<Option<Known>, StoreError> {
    let Some(row) = tx.query_opt(FIND, &[&account.provider, &account.subject]).await? else { return Ok(None) };
    let columns = Columns::new("identities", &row);
    Ok(Some(Known {
        user_id: UserId::from_uuid(columns.get("user_id")?),
        organization_id: columns.get::<Option<_>>("organization_id")?.map(OrganizationId::from_uuid),
    }))
}

/// Gives an account to a person.
///
/// # Errors
/// [`StoreError::Conflict`] when it is somebody's, or when the person has another at this provider.
#[tracing::instrument(name = "db.identities.link", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn link(
    tx: &Tx<'_>,
    account: Account<'_>,
    user: UserId,
    email: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(LINK, &[&account.provider, &account.subject, &user.uuid(), &email, &now]).await
}

/// The person's accounts, by their providers' names; at most one each.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.identities.list", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, user: UserId) -> Result<Vec<Linked>, StoreError> {
    let linked = |row: &Row| -> Result<_, StoreError> {
        let columns = Columns::new("identities", row);
        Ok(Linked {
            provider: columns.get("provider")?,
            email: columns.get("email")?,
            created_at: columns.get("created_at")?,
            last_used_at: columns.get("last_used_at")?,
        })
    };
    tx.query(LIST, &[&user.uuid()]).await?.iter().map(linked).collect()
}

/// Takes the account at one provider away from a person.
///
/// # Errors
/// [`StoreError::Stale`] when there is none, or when the database refuses.
#[tracing::instrument(name = "db.identities.unlink", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn unlink(tx: &Tx<'_>, user: UserId, provider: &str) -> Result<(), StoreError> {
    tx.execute_one(UNLINK, &[&user.uuid(), &provider]).await
}

/// Takes every account away from a person; returns how many.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.identities.unlink_all", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn unlink_all(tx: &Tx<'_>, user: UserId) -> Result<u64, StoreError> {
    tx.execute(UNLINK_ALL, &[&user.uuid()]).await
}

/// Notes that an account was used.
///
/// # Errors
/// [`StoreError::Stale`] when it is not known.
#[tracing::instrument(name = "db.identities.touch", skip_all, err(level = "debug"))]
pub async fn touch(tx: &Tx<'_>, account: Account<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(TOUCH, &[&account.provider, &account.subject, &now]).await
}
