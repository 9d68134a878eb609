//! People by themselves: the password, the proof of the address, the profile. People belong to no tenant, so all of this
//! runs as the operator.
//!
//! Locks are taken in this order: counters of organizations ([`lock_organizations`]), the person, everything else.

use jiff::Timestamp;
use picket_domain::{Locale, OrganizationId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    FIND = "-- people.find
SELECT u.id, u.email, u.name, u.locale, u.time_zone, u.password_hash, u.email_verified_at IS NOT NULL AS is_verified,
       ARRAY(SELECT o.name
             FROM memberships AS m JOIN organizations AS o ON o.id = m.organization_id
             WHERE m.user_id = u.id
             ORDER BY o.id LIMIT 5) AS organizations
FROM users AS u
WHERE u.id = $1 AND u.disabled_at IS NULL
FOR NO KEY UPDATE OF u";

    FIND_BY_EMAIL = "-- people.find_by_email
SELECT u.id, u.email, u.name, u.locale, u.time_zone, u.password_hash, u.email_verified_at IS NOT NULL AS is_verified,
       ARRAY(SELECT o.name
             FROM memberships AS m JOIN organizations AS o ON o.id = m.organization_id
             WHERE m.user_id = u.id
             ORDER BY o.id LIMIT 5) AS organizations
FROM users AS u
WHERE lower(u.email) = lower($1) AND u.disabled_at IS NULL
FOR NO KEY UPDATE OF u";

    LOCK_ORGANIZATIONS = "-- people.lock_organizations
SELECT c.organization_id
FROM organization_counters AS c
JOIN memberships AS m ON m.organization_id = c.organization_id
WHERE m.user_id = $1 AND ($2::uuid IS NULL OR c.organization_id = $2)
ORDER BY c.organization_id
FOR NO KEY UPDATE OF c";

    SET_PASSWORD = "-- people.set_password
UPDATE users
SET password_hash = $2, password_changed_at = $3
WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $4";

    PROVE_ADDRESS = "-- people.prove_address
UPDATE users
SET email_verified_at = coalesce(email_verified_at, $2)
WHERE id = $1";

    IS_TAKEN = "-- people.is_taken
SELECT EXISTS (SELECT FROM users WHERE lower(email) = lower($1)) AS is_taken";

    SET_ADDRESS = "-- people.set_address
UPDATE users
SET email = $2, email_verified_at = $3
WHERE id = $1 AND email = $4";

    SET_PROFILE = "-- people.set_profile
UPDATE users
SET name = $2, locale = $3, time_zone = $4
WHERE id = $1";

    REVOKE_KEYS = "-- people.revoke_keys
UPDATE api_keys
SET revoked_at = $2
WHERE created_by = $1 AND revoked_at IS NULL";
}

/// A person who is not disabled.
#[derive(Clone)]
pub struct Person {
    /// Identity.
    pub id: UserId,
    /// The address as it was registered.
    pub email: String,
    /// How the person is called.
    pub name: String,
    /// The language of letters.
    pub locale: Locale,
    /// The IANA name of the time zone.
    pub time_zone: String,
    /// PHC string; none for a person who signs in through a provider.
    pub password_hash: Option<String>,
    /// Whether the address was proven.
    pub is_verified: bool,
    /// Names of some of the person's organizations: words that a password is not made of.
    pub organizations: Vec<String>,
}

/// What a person says of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileChange<'a> {
    /// How the person is called.
    pub name: &'a str,
    /// The language of letters.
    pub locale: Locale,
    /// The IANA name of the time zone.
    pub time_zone: &'a str,
}

/// The person, locked until the transaction ends; none when there is none or the operator disabled it.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.people.find", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, user: UserId) -> Result<Option<Person>, StoreError> {
    tx.query_opt(FIND, &[&user.uuid()]).await?.map(|row| person(&row)).transpose()
}

/// The person with this address in any case, as [`find`].
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.people.find_by_email", skip_all, err(level = "debug"))]
pub async fn find_by_email(tx: &Tx<'_>, email: &str) -> Result<Option<Person>, StoreError> {
    tx.query_opt(FIND_BY_EMAIL, &[&email]).await?.map(|row| person(&row)).transpose()
}

/// The person's organizations, or `only` this one of them, with their counters locked: what is done to the person goes
/// into the audit log of each.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.people.lock_organizations", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn lock_organizations(
    tx: &Tx<'_>,
    user: UserId,
    only: Option<OrganizationId>,
) -> Result<Vec<OrganizationId>, StoreError> {
    let rows = tx.query(LOCK_ORGANIZATIONS, &[&user.uuid(), &only.map(OrganizationId::uuid)]).await?;
    let id = |row: &Row| -> Result<_, StoreError> {
        let id: Uuid = Columns::new("organization_counters", row).get("organization_id")?;
        Ok(OrganizationId::from_uuid(id))
    };
    rows.iter().map(id).collect()
}

/// Replaces the password that is `known`.
///
/// # Errors
/// [`StoreError::Stale`] when it is another by now, or when the database refuses.
#[tracing::instrument(name = "db.people.set_password", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn set_password(
    tx: &Tx<'_>,
    user: UserId,
    password_hash: &str,
    known: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(SET_PASSWORD, &[&user.uuid(), &password_hash, &now, &known]).await
}

/// Notes that the person has the address.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.people.prove_address", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn prove_address(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(PROVE_ADDRESS, &[&user.uuid(), &now]).await
}

/// Whether somebody has this address, in any case. Locks nothing: only [`set_address`] decides.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.people.is_taken", skip_all, err(level = "debug"))]
pub async fn is_taken(tx: &Tx<'_>, email: &str) -> Result<bool, StoreError> {
    Ok(Columns::new("users", &tx.query_one(IS_TAKEN, &[&email]).await?).get("is_taken")?)
}

/// Gives the person another address, which is proven, in place of the one that is `known`.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody has it, [`StoreError::Stale`] when the one before is another by now, or when the
/// database refuses.
#[tracing::instrument(name = "db.people.set_address", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn set_address(
    tx: &Tx<'_>,
    user: UserId,
    email: &str,
    known: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(SET_ADDRESS, &[&user.uuid(), &email, &now, &known]).await
}

/// Changes what the person says of themselves.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.people.set_profile", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn set_profile(tx: &Tx<'_>, user: UserId, change: ProfileChange<'_>) -> Result<(), StoreError> {
    tx.execute_one(SET_PROFILE, &[&user.uuid(), &change.name, &change.locale.name(), &change.time_zone]).await
}

/// Withdraws every API key that the person made, in whatever organization; returns how many.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.people.revoke_keys", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn revoke_keys(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(REVOKE_KEYS, &[&user.uuid(), &now]).await
}

fn person(row: &Row) -> Result<Person, StoreError> {
    let columns = Columns::new("users", row);
    Ok(Person {
        id: UserId::from_uuid(columns.get("id")?),
        email: columns.get("email")?,
        name: columns.get("name")?,
        locale: columns.named("locale", Locale::find)?,
        time_zone: columns.get("time_zone")?,
        password_hash: columns.get("password_hash")?,
        is_verified: columns.get("is_verified")?,
        organizations: columns.get("organizations")?,
    })
}
