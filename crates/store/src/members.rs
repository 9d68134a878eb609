//! Members of an organization. People belong to no tenant, so all of this runs as the operator and names the organization
//! itself. Whoever changes a role or removes a member holds `quota::lock` first: the last owner is counted behind it.

use jiff::Timestamp;
use picket_domain::{Locale, OrganizationId, Role, UserId};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    LIST = "-- members.list
SELECT u.id, u.email, u.name, u.totp_enabled_at IS NOT NULL AS mfa_enabled, m.role, m.created_at, m.last_seen_at
FROM memberships AS m
JOIN users AS u ON u.id = m.user_id
WHERE m.organization_id = $1
ORDER BY m.created_at, m.user_id
LIMIT $2 OFFSET $3";

    COUNT = "-- members.count
SELECT count(*) AS total
FROM memberships
WHERE organization_id = $1";

    FIND = "-- members.find
SELECT u.id, u.email, u.name, u.totp_enabled_at IS NOT NULL AS mfa_enabled, m.role, m.created_at, m.last_seen_at
FROM memberships AS m
JOIN users AS u ON u.id = m.user_id
WHERE m.organization_id = $1 AND m.user_id = $2";

    // Somebody who is disabled can do nothing for the organization.
    COUNT_OTHER_OWNERS = "-- members.count_other_owners
SELECT count(*) AS total
FROM memberships AS m
JOIN users AS u ON u.id = m.user_id
WHERE m.organization_id = $1 AND m.user_id <> $2 AND m.role = 'owner' AND u.disabled_at IS NULL";

    SET_ROLE = "-- members.set_role
UPDATE memberships
SET role = $3
WHERE organization_id = $1 AND user_id = $2";

    REMOVE = "-- members.remove
DELETE FROM memberships
WHERE organization_id = $1 AND user_id = $2";

    ADD = "-- members.add
INSERT INTO memberships (organization_id, user_id, role, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING";

    REGISTER = "-- members.register
WITH person AS (
  INSERT INTO users (id, created_at, email, name, password_hash, locale, email_verified_at)
  VALUES ($2, $4, $5, $6, $7, $8, $4)
  RETURNING id
)
INSERT INTO memberships (organization_id, user_id, role, created_at)
SELECT $1, id, $3, $4
FROM person";

    BELONGS_SOMEWHERE = "-- members.belongs_somewhere
SELECT EXISTS (SELECT FROM memberships WHERE user_id = $1) AS belongs";

    FIND_PERSON = "-- members.find_person
SELECT id, email, name, locale, email_verified_at IS NOT NULL AS is_verified
FROM users
WHERE id = $1";

    FIND_BY_ADDRESS = "-- members.find_by_address
SELECT id, email, name, locale, email_verified_at IS NOT NULL AS is_verified
FROM users
WHERE lower(email) = lower($1)";
}

/// A person in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The person.
    pub user_id: UserId,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// When the person was seen last, to the minute.
    pub last_seen_at: Option<Timestamp>,
    /// Whether a second factor is on.
    pub mfa_enabled: bool,
}

/// A person, whatever organizations there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Identity.
    pub user_id: UserId,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// The language of letters.
    pub locale: Locale,
    /// Whether the address was proven.
    pub is_verified: bool,
}

/// Somebody who registers by an invitation; the address is proven, since the invitation came there.
#[derive(Clone)]
pub struct InvitedPerson<'a> {
    /// Identity.
    pub user_id: UserId,
    /// The address that was invited.
    pub email: &'a str,
    /// The name.
    pub name: &'a str,
    /// PHC string.
    pub password_hash: &'a str,
    /// The language of letters.
    pub locale: Locale,
}

/// The members, oldest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.members.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, organization: OrganizationId, range: Range) -> Result<Page<MemberRow>, StoreError> {
    let rows = tx.query(LIST, &[&organization.uuid(), &range.limit, &range.offset]).await?;
    let rows = rows.iter().map(member).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = total(&tx.query_one(COUNT, &[&organization.uuid()]).await?)?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

/// One member.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.members.find", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, organization: OrganizationId, user: UserId) -> Result<Option<MemberRow>, StoreError> {
    let row = tx.query_opt(FIND, &[&organization.uuid(), &user.uuid()]).await?;
    Ok(row.map(|row| member(&row)).transpose()?)
}

/// Whether the organization has an owner besides this member.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.members.has_other_owner", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn has_other_owner(tx: &Tx<'_>, organization: OrganizationId, user: UserId) -> Result<bool, StoreError> {
    Ok(total(&tx.query_one(COUNT_OTHER_OWNERS, &[&organization.uuid(), &user.uuid()]).await?)? > 0)
}

/// Gives a member another role.
///
/// # Errors
/// [`StoreError::Stale`] when there is no such member, or when the database refuses.
#[tracing::instrument(name = "db.members.set_role", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn set_role(tx: &Tx<'_>, organization: OrganizationId, user: UserId, role: Role) -> Result<(), StoreError> {
    tx.execute_one(SET_ROLE, &[&organization.uuid(), &user.uuid(), &role.name()]).await
}

/// Ends a membership.
///
/// # Errors
/// [`StoreError::Stale`] when there is none, or when the database refuses.
#[tracing::instrument(name = "db.members.remove", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn remove(tx: &Tx<'_>, organization: OrganizationId, user: UserId) -> Result<(), StoreError> {
    tx.execute_one(REMOVE, &[&organization.uuid(), &user.uuid()]).await
}

/// Makes a person a member; false for one who is a member already.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.members.add", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn add(
    tx: &Tx<'_>,
    organization: OrganizationId,
    user: UserId,
    role: Role,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(ADD, &[&organization.uuid(), &user.uuid(), &role.name(), &now]).await? == 1)
}

/// Stores a person who is a member of this organization and owns none.
///
/// # Errors
/// [`StoreError::Conflict`] with [`crate::accounts::ADDRESS_IS_TAKEN`], or when the database refuses.
#[tracing::instrument(name = "db.members.register", skip_all, fields(user.id = %new.user_id), err(level = "debug"))]
pub async fn register(
    tx: &Tx<'_>,
    organization: OrganizationId,
    role: Role,
    new: &InvitedPerson<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(
        REGISTER,
        &[
            &organization.uuid(),
            &new.user_id.uuid(),
            &role.name(),
            &now,
            &new.email,
            &new.name,
            &new.password_hash,
            &new.locale.name(),
        ],
    )
    .await
}

/// Whether a person is a member of any organization; who is of none cannot sign in.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.members.belongs_somewhere", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn belongs_somewhere(tx: &Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    let row = tx.query_one(BELONGS_SOMEWHERE, &[&user.uuid()]).await?;
    Ok(Columns::new("memberships", &row).get("belongs")?)
}

/// The person of that identity.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.members.find_person", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn find_person(tx: &Tx<'_>, user: UserId) -> Result<Option<PersonRow>, StoreError> {
    let row = tx.query_opt(FIND_PERSON, &[&user.uuid()]).await?;
    Ok(row.map(|row| person(&row)).transpose()?)
}

/// The person of that address, in any case of its letters.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.members.find_by_address", skip_all, err(level = "debug"))]
pub async fn find_by_address(tx: &Tx<'_>, email: &str) -> Result<Option<PersonRow>, StoreError> {
    let row = tx.query_opt(FIND_BY_ADDRESS, &[&email]).await?;
    Ok(row.map(|row| person(&row)).transpose()?)
}

fn total(row: &Row) -> Result<i64, Inconsistent> {
    Columns::new("memberships", row).get("total")
}

fn member(row: &Row) -> Result<MemberRow, Inconsistent> {
    let columns = Columns::new("memberships", row);
    Ok(MemberRow {
        user_id: UserId::from_uuid(columns.get("id")?),
        email: columns.get("email")?,
        name: columns.get("name")?,
        role: columns.named("role", Role::find)?,
        joined_at: columns.get("created_at")?,
        last_seen_at: columns.get("last_seen_at")?,
        mfa_enabled: columns.get("mfa_enabled")?,
    })
}

fn person(row: &Row) -> Result<PersonRow, Inconsistent> {
    let columns = Columns::new("users", row);
    Ok(PersonRow {
        user_id: UserId::from_uuid(columns.get("id")?),
        email: columns.get("email")?,
        name: columns.get("name")?,
        locale: columns.named("locale", Locale::find)?,
        is_verified: columns.get("is_verified")?,
    })
}
