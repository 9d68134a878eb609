//! Organizations, people and memberships. People belong to no tenant, so all of this runs as the operator and names the
//! organization itself.

use jiff::Timestamp;
use picket_domain::{Locale, OrganizationId, Role, Subscription, UserId};

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    REGISTER = "-- accounts.register
WITH organization AS (
  INSERT INTO organizations (id, created_at, name, plan, trial_ends_at)
  VALUES ($1, $2, $3, $4, $9)
  RETURNING id
), counters AS (
  INSERT INTO organization_counters (organization_id)
  SELECT id FROM organization
), person AS (
  INSERT INTO users (id, created_at, email, name, password_hash, locale, email_verified_at)
  VALUES ($5, $2, $6, $7, $8, $10, $11)
  RETURNING id
)
INSERT INTO memberships (organization_id, user_id, role, created_at)
SELECT organization.id, person.id, 'owner', $2
FROM organization, person";

    // A person of several organizations signs in to the oldest membership.
    FIND_LOGIN = "-- accounts.find_login
SELECT u.id, u.email, u.name, u.locale, u.password_hash, u.email_verified_at IS NOT NULL AS is_verified,
       m.organization_id
FROM users AS u
JOIN memberships AS m ON m.user_id = u.id
JOIN organizations AS o ON o.id = m.organization_id
WHERE lower(u.email) = lower($1) AND u.disabled_at IS NULL AND o.suspended_at IS NULL
ORDER BY m.created_at, m.organization_id
LIMIT 1";

    // Nobody changes the password or puts a factor on before the transaction ends. References to the person stay free.
    HOLD_LOGIN = "-- accounts.hold_login
SELECT u.password_hash, u.totp_enabled_at IS NOT NULL AS has_factor
FROM users AS u
JOIN memberships AS m ON m.user_id = u.id
JOIN organizations AS o ON o.id = m.organization_id
WHERE u.id = $1 AND m.organization_id = $2 AND u.disabled_at IS NULL AND o.suspended_at IS NULL
FOR SHARE OF u";

    FIND_PROFILE = "-- accounts.find_profile
SELECT u.email, u.name, u.locale, u.time_zone, u.avatar, u.created_at,
       u.email_verified_at IS NOT NULL AS is_verified, u.totp_enabled_at IS NOT NULL AS has_factor,
       m.role, o.name AS organization_name, o.plan
FROM memberships AS m
JOIN users AS u ON u.id = m.user_id
JOIN organizations AS o ON o.id = m.organization_id
WHERE m.organization_id = $1 AND m.user_id = $2";
}

/// The constraint that refuses an address which is registered already.
pub const ADDRESS_IS_TAKEN: &str = "an_address_has_one_user";

/// A person with an organization of their own.
#[derive(Clone)]
pub struct NewAccount<'a> {
    /// The new organization.
    pub organization_id: OrganizationId,
    /// Its name.
    pub organization_name: &'a str,
    /// What it pays for.
    pub subscription: Subscription,
    /// The person, who owns it.
    pub user_id: UserId,
    /// The address to sign in with.
    pub email: &'a str,
    /// How the person is called.
    pub name: &'a str,
    /// PHC string; none for a person who signs in through a provider.
    pub password_hash: Option<&'a str>,
    /// When the trial ends; only of a trial.
    pub trial_ends_at: Option<Timestamp>,
    /// The language of letters.
    pub locale: Locale,
    /// When the address was proven, where a provider vouches for it.
    pub email_verified_at: Option<Timestamp>,
}

/// What signing in needs.
#[derive(Clone)]
pub struct Login {
    /// The person.
    pub user_id: UserId,
    /// The organization to sign in to.
    pub organization_id: OrganizationId,
    /// PHC string; none for a person who signs in through a provider.
    pub password_hash: Option<String>,
    /// The address as it was registered.
    pub email: String,
    /// How the person is called.
    pub name: String,
    /// The language of letters.
    pub locale: Locale,
    /// Whether the address was proven.
    pub is_verified: bool,
}

/// What a login that goes on depends on; as it is until the transaction ends.
#[derive(Clone)]
pub struct HeldLogin {
    /// PHC string; none for a person who signs in through a provider.
    pub password_hash: Option<String>,
    /// Whether a second factor is on.
    pub has_factor: bool,
}

/// A person's rights in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What the person may do.
    pub role: Role,
    /// What the organization pays for.
    pub subscription: Subscription,
}

/// A person as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// The language of letters.
    pub locale: Locale,
    /// The IANA name of the time zone.
    pub time_zone: String,
    /// Names the picture in the object store.
    pub avatar: Option<String>,
    /// Whether the address was proven.
    pub is_verified: bool,
    /// Whether a second factor is on.
    pub has_factor: bool,
    /// Since when.
    pub created_at: Timestamp,
    /// The organization's name.
    pub organization_name: String,
    /// The person's rights in it.
    pub member: Member,
}

/// Stores a person and the organization that the person owns.
///
/// # Errors
/// [`StoreError::Conflict`] with [`ADDRESS_IS_TAKEN`], or when the database refuses.
#[tracing::instrument(name = "db.accounts.register", skip_all, fields(tenant.id = %new.organization_id), err(level = "debug"))]
pub async fn register(tx: &Tx<'_>, new: &NewAccount<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(
        REGISTER,
        &[
            &new.organization_id.uuid(),
            &now,
            &new.organization_name,
            &new.subscription.name(),
            &new.user_id.uuid(),
            &new.email,
            &new.name,
            &new.password_hash,
            &new.trial_ends_at,
            &new.locale.name(),
            &new.email_verified_at,
        ],
    )
    .await
}

/// What signing in with this address needs, when somebody has it.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.accounts.find_login", skip_all, err(level = "debug"))]
pub async fn find_login(tx: &Tx<'_>, email: &str) -> Result<Option<Login>, StoreError> {
    let Some(row) = tx.query_opt(FIND_LOGIN, &[&email]).await? else { return Ok(None) };
    let columns = Columns::new("users", &row);
    Ok(Some(Login {
        user_id: UserId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        password_hash: columns.get("password_hash")?,
        email: columns.get("email")?,
        name: columns.get("name")?,
        locale: columns.named("locale", Locale::find)?,
        is_verified: columns.get("is_verified")?,
    }))
}

/// The login of a person who may sign in to the organization at this moment, held as it is until the transaction ends; none
/// for anybody else. Behind [`crate::quota::lock`] of the organization, so that memberships stay, too.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.accounts.hold_login", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn hold_login(
    tx: &Tx<'_>,
    user: UserId,
    organization: OrganizationId,
) -> Result<Option<HeldLogin>, StoreError> {
    let Some(row) = tx.query_opt(HOLD_LOGIN, &[&user.uuid(), &organization.uuid()]).await? else { return Ok(None) };
    let columns = Columns::new("users", &row);
    Ok(Some(HeldLogin { password_hash: columns.get("password_hash")?, has_factor: columns.get("has_factor")? }))
}

/// The person, as a member of the organization.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.accounts.find_profile", skip_all, err(level = "debug"))]
pub async fn find_profile(
    tx: &Tx<'_>,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<Profile>, StoreError> {
    let Some(row) = tx.query_opt(FIND_PROFILE, &[&organization.uuid(), &user.uuid()]).await? else { return Ok(None) };
    let columns = Columns::new("users", &row);
    Ok(Some(Profile {
        email: columns.get("email")?,
        name: columns.get("name")?,
        locale: columns.named("locale", Locale::find)?,
        time_zone: columns.get("time_zone")?,
        avatar: columns.get("avatar")?,
        is_verified: columns.get("is_verified")?,
        has_factor: columns.get("has_factor")?,
        created_at: columns.get("created_at")?,
        organization_name: columns.get("organization_name")?,
        member: member(columns)?,
    }))
}

fn member(columns: Columns<'_>) -> Result<Member, StoreError> {
    Ok(Member { role: columns.named("role", Role::find)?, subscription: columns.named("plan", Subscription::find)? })
}
