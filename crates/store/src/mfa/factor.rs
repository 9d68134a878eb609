//! The second factor of a person: an authenticator app's secret, sealed, and which of its codes were accepted. All of it
//! runs as the operator: people belong to no tenant.

use jiff::Timestamp;
use picket_domain::{Locale, SessionId, UserId};
use tokio_postgres::Row;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    FIND = "-- mfa.factor.find
SELECT email, name, locale, password_hash, totp_pending, totp_secret, totp_enabled_at, totp_failures
FROM users
WHERE id = $1 AND disabled_at IS NULL";

    // Leaves references to the person alone: sessions may be opened by who waits for other locks.
    LOCK = "-- mfa.factor.lock
SELECT email, name, locale, password_hash, totp_pending, totp_secret, totp_enabled_at, totp_failures
FROM users
WHERE id = $1 AND disabled_at IS NULL
FOR NO KEY UPDATE";

    IS_DEMANDED = "-- mfa.factor.is_demanded
SELECT EXISTS (
  SELECT
  FROM memberships AS m
  JOIN organizations AS o ON o.id = m.organization_id
  WHERE m.user_id = $1 AND o.require_mfa
) AS is_demanded";

    PROPOSE = "-- mfa.factor.propose
UPDATE users
SET totp_pending = $2
WHERE id = $1 AND totp_secret IS NULL AND disabled_at IS NULL";

    ENABLE = "-- mfa.factor.enable
UPDATE users
SET totp_secret = $2, totp_pending = NULL, totp_enabled_at = $3, totp_step = $4
WHERE id = $1 AND totp_secret IS NULL AND totp_pending IS NOT NULL";

    // The step belongs to the secret.
    DISABLE = "-- mfa.factor.disable
UPDATE users
SET totp_secret = NULL, totp_pending = NULL, totp_enabled_at = NULL, totp_step = NULL
WHERE id = $1 AND totp_secret IS NOT NULL";

    // Whatever there is of one, and what was counted against it.
    CLEAR = "-- mfa.factor.clear
UPDATE users AS u
SET totp_secret = NULL, totp_pending = NULL, totp_enabled_at = NULL, totp_step = NULL, totp_failures = '{}'
FROM (SELECT id, totp_enabled_at IS NOT NULL AS was_on FROM users WHERE id = $1) AS before
WHERE u.id = before.id
RETURNING before.was_on";

    // One row for one of all who try at the same time, and never for a step that lies behind.
    ACCEPT = "-- mfa.factor.accept
UPDATE users
SET totp_step = $2
WHERE id = $1 AND totp_secret IS NOT NULL AND (totp_step IS NULL OR totp_step < $2)";

    FAIL = "-- mfa.factor.fail
UPDATE users
SET totp_failures = $2
WHERE id = $1";

    MARK = "-- mfa.factor.mark
UPDATE sessions
SET mfa = $2
WHERE id = $1 AND revoked_at IS NULL";
}

/// A person with or without a second factor. Never printed: it holds what proves the person.
#[derive(Clone)]
pub struct FactorOwner {
    /// The address.
    pub email: String,
    /// How the person is called.
    pub name: String,
    /// The language of letters.
    pub locale: Locale,
    /// PHC string; none for a person who signs in through a provider.
    pub password_hash: Option<String>,
    /// The secret that no code has proven yet, sealed for [`pending_place`].
    pub pending: Option<Vec<u8>>,
    /// The secret, sealed for [`secret_place`].
    pub secret: Option<Vec<u8>>,
    /// Since when it is on.
    pub enabled_at: Option<Timestamp>,
    /// When wrong codes were shown lately.
    pub failures: Vec<Timestamp>,
}

/// The place that a secret is sealed for.
#[must_use]
pub fn secret_place(user: UserId) -> String {
    format!("users/{}/totp_secret", user.uuid())
}

/// The place that a secret is sealed for until a code proves it.
#[must_use]
pub fn pending_place(user: UserId) -> String {
    format!("users/{}/totp_pending", user.uuid())
}

/// The person.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.mfa.factor.find", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, user: UserId) -> Result<Option<FactorOwner>, StoreError> {
    tx.query_opt(FIND, &[&user.uuid()]).await?.map(|row| owner(&row)).transpose()
}

/// The person, whose factor nobody else looks at before this transaction ends.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.mfa.factor.lock", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn lock(tx: &Tx<'_>, user: UserId) -> Result<Option<FactorOwner>, StoreError> {
    tx.query_opt(LOCK, &[&user.uuid()]).await?.map(|row| owner(&row)).transpose()
}

/// Whether any organization of the person demands a factor.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.factor.is_demanded", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn is_demanded(tx: &Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let row = tx.query_one(IS_DEMANDED, &[&user.uuid()]).await?;
    Ok(Columns::new("organizations", &row).get("is_demanded")?)
}

/// Keeps a secret until a code proves it, in place of one that waited before; says no when a factor is on.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.factor.propose", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn propose(tx: &Tx<'_>, user: UserId, sealed: &[u8]) -> Result<bool, StoreError> {
    Ok(tx.execute(PROPOSE, &[&user.uuid(), &sealed]).await? == 1)
}

/// Puts the factor on; the step of the code that proved it is used up.
///
/// # Errors
/// [`StoreError::Stale`] when one is on or none waits, or when the database refuses.
#[tracing::instrument(name = "db.mfa.factor.enable", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn enable(tx: &Tx<'_>, user: UserId, sealed: &[u8], step: i64, now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(ENABLE, &[&user.uuid(), &sealed, &now, &step]).await
}

/// Takes the factor off.
///
/// # Errors
/// [`StoreError::Stale`] when none is on, or when the database refuses.
#[tracing::instrument(name = "db.mfa.factor.disable", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn disable(tx: &Tx<'_>, user: UserId) -> Result<(), StoreError> {
    tx.execute_one(DISABLE, &[&user.uuid()]).await
}

/// Takes the factor off with all that belongs to it, and one that waits for its first code; says whether one was on. The
/// person is locked.
///
/// # Errors
/// When the database refuses, or there is no such person.
#[tracing::instrument(name = "db.mfa.factor.clear", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn clear(tx: &Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let row = tx.query_one(CLEAR, &[&user.uuid()]).await?;
    Ok(Columns::new("users", &row).get("was_on")?)
}

/// Uses a step up; says no when it, or a later one, was used before.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.factor.accept", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn accept(tx: &Tx<'_>, user: UserId, step: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(ACCEPT, &[&user.uuid(), &step]).await? == 1)
}

/// Keeps when wrong codes were shown.
///
/// # Errors
/// When the database refuses, or there is no such person.
#[tracing::instrument(name = "db.mfa.factor.fail", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn fail(tx: &Tx<'_>, user: UserId, failures: &[Timestamp]) -> Result<(), StoreError> {
    tx.execute_one(FAIL, &[&user.uuid(), &failures]).await
}

/// Says of a session whether it has shown the factor.
///
/// # Errors
/// [`StoreError::Stale`] when it was revoked, or when the database refuses.
#[tracing::instrument(name = "db.mfa.factor.mark", skip_all, fields(session.id = %session), err(level = "debug"))]
pub async fn mark(tx: &Tx<'_>, session: SessionId, mfa: bool) -> Result<(), StoreError> {
    tx.execute_one(MARK, &[&session.uuid(), &mfa]).await
}

fn owner(row: &Row) -> Result<FactorOwner, StoreError> {
    let columns = Columns::new("users", row);
    Ok(FactorOwner {
        email: columns.get("email")?,
        name: columns.get("name")?,
        locale: columns.named("locale", Locale::find)?,
        password_hash: columns.get("password_hash")?,
        pending: columns.get("totp_pending")?,
        secret: columns.get("totp_secret")?,
        enabled_at: columns.get("totp_enabled_at")?,
        failures: columns.get("totp_failures")?,
    })
}
