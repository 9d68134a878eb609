//! API keys. A key itself is never stored: its SHA-256 is, and the first characters to recognise it by.

use jiff::Timestamp;
use picket_domain::{ApiKeyId, OrganizationId, Permission, Role, Subscription, UserId};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    CREATE = "-- api_keys.create
INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes, expires_at,
                      allowed_ranges)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

    // A key that another replaced is gone once its grace has ended.
    LIST = "-- api_keys.list
SELECT id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at, allowed_ranges, rotated_to
FROM api_keys
WHERE organization_id = picket_organization() AND revoked_at IS NULL AND (rotated_to IS NULL OR expires_at > $3)
ORDER BY id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- api_keys.count
SELECT count(*) AS total
FROM api_keys
WHERE organization_id = picket_organization() AND revoked_at IS NULL AND (rotated_to IS NULL OR expires_at > $1)";

    LOCK = "-- api_keys.lock
SELECT id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at, allowed_ranges, rotated_to
FROM api_keys
WHERE id = $1 AND organization_id = picket_organization() AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > $2)
FOR NO KEY UPDATE";

    COUNT_ROTATED = "-- api_keys.count_rotated
SELECT count(*) AS total
FROM api_keys
WHERE organization_id = picket_organization() AND revoked_at IS NULL AND rotated_to IS NOT NULL AND expires_at > $1";

    ROTATE = "-- api_keys.rotate
UPDATE api_keys
SET rotated_to = $2, expires_at = least(expires_at, $3)
WHERE id = $1 AND organization_id = picket_organization() AND revoked_at IS NULL AND rotated_to IS NULL";

    REVOKE = "-- api_keys.revoke
UPDATE api_keys
SET revoked_at = $2
WHERE id = $1 AND organization_id = picket_organization() AND revoked_at IS NULL";

    REVOKE_OF_MAKER = "-- api_keys.revoke_of_maker
UPDATE api_keys
SET revoked_at = $3
WHERE organization_id = $1 AND created_by = $2 AND revoked_at IS NULL";

    // A key is worth what its maker is worth now: without the membership there is no row.
    FIND_HOLDER = "-- api_keys.find_holder
SELECT k.id, k.organization_id, k.created_by, k.scopes, k.expires_at, k.last_used_at, k.allowed_ranges, o.plan,
       o.allowed_ranges AS organization_ranges, m.role
FROM api_keys AS k
JOIN organizations AS o ON o.id = k.organization_id
JOIN users AS u ON u.id = k.created_by
JOIN memberships AS m ON m.organization_id = k.organization_id AND m.user_id = k.created_by
WHERE k.digest = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)
  AND u.disabled_at IS NULL AND o.suspended_at IS NULL";

    // Once a minute is enough to know which keys are in use.
    TOUCH = "-- api_keys.touch
UPDATE api_keys
SET last_used_at = $2
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')";
}

/// A key to store.
#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    /// Identity.
    pub id: ApiKeyId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// Who made it.
    pub created_by: UserId,
    /// What its owner calls it.
    pub name: &'a str,
    /// The first characters.
    pub prefix: &'a str,
    /// SHA-256 of the whole.
    pub digest: [u8; 32],
    /// What it may do.
    pub scopes: &'a [Permission],
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from, as networks; empty means anywhere.
    pub allowed_ranges: &'a [String],
}

/// A key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Identity.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// The first characters.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Where it may be used from, as networks; empty means anywhere.
    pub allowed_ranges: Vec<String>,
    /// The key that replaces it.
    pub rotated_to: Option<ApiKeyId>,
}

/// Whoever holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The key.
    pub id: ApiKeyId,
    /// Its owner.
    pub organization_id: OrganizationId,
    /// Who made it.
    pub created_by: UserId,
    /// What that person may do now.
    pub role: Role,
    /// What the key may do.
    pub scopes: Vec<Permission>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What the organization pays for.
    pub subscription: Subscription,
    /// Where the key may be used from, as networks; empty means anywhere.
    pub allowed_ranges: Vec<String>,
    /// Where the organization is used from, in the same way.
    pub organization_ranges: Vec<String>,
}

/// Stores a key.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.api_keys.create", skip_all, fields(key.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, new: &NewApiKey<'_>, now: Timestamp) -> Result<(), StoreError> {
    let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
    tx.execute_one(
        CREATE,
        &[
            &new.id.uuid(),
            &new.organization_id.uuid(),
            &new.created_by.uuid(),
            &now,
            &new.name,
            &new.prefix,
            &new.digest.as_slice(),
            &scopes,
            &new.expires_at,
            &new.allowed_ranges,
        ],
    )
    .await
}

/// The tenant's keys, newest first, without those that were withdrawn or have been replaced.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.api_keys.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range, now: Timestamp) -> Result<Page<ApiKey>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset, &now]).await?;
    let rows = rows.iter().map(api_key).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = Columns::new("api_keys", &tx.query_one(COUNT, &[&now]).await?).get("total")?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

/// Withdraws a key; whether the tenant had it.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.api_keys.revoke", skip_all, fields(key.id = %id), err(level = "debug"))]
pub async fn revoke(tx: &Tx<'_>, id: ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(REVOKE, &[&id.uuid(), &now]).await? == 1)
}

/// A valid key of the tenant, which nobody else changes before this transaction ends.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.api_keys.lock", skip_all, fields(key.id = %id), err(level = "debug"))]
pub async fn lock(tx: &Tx<'_>, id: ApiKeyId, now: Timestamp) -> Result<Option<ApiKey>, StoreError> {
    let row = tx.query_opt(LOCK, &[&id.uuid(), &now]).await?;
    Ok(row.map(|row| api_key(&row)).transpose()?)
}

/// How many of the tenant's keys are valid although another replaces them.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.api_keys.count_rotated", skip_all, err(level = "debug"))]
pub async fn count_rotated(tx: &Tx<'_>, now: Timestamp) -> Result<i64, StoreError> {
    Ok(Columns::new("api_keys", &tx.query_one(COUNT_ROTATED, &[&now]).await?).get("total")?)
}

/// Notes that another key replaces this one, which ends at `until` or when it was to end anyway.
///
/// # Errors
/// [`StoreError::Stale`] when it was replaced already, or when the database refuses.
#[tracing::instrument(name = "db.api_keys.rotate", skip_all, fields(key.id = %id), err(level = "debug"))]
pub async fn rotate(tx: &Tx<'_>, id: ApiKeyId, to: ApiKeyId, until: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(ROTATE, &[&id.uuid(), &to.uuid(), &until]).await
}

/// Withdraws every key that a member made; returns how many. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.api_keys.revoke_of_maker", skip_all, fields(user.id = %maker), err(level = "debug"))]
pub async fn revoke_of_maker(
    tx: &Tx<'_>,
    organization: OrganizationId,
    maker: UserId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    tx.execute(REVOKE_OF_MAKER, &[&organization.uuid(), &maker.uuid(), &now]).await
}

/// Notes that a key was used, to the minute. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.api_keys.touch", skip_all, fields(key.id = %id), err(level = "debug"))]
pub async fn touch(tx: &Tx<'_>, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(TOUCH, &[&id.uuid(), &now]).await?;
    Ok(())
}

/// Whoever holds the key of this digest. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.api_keys.find_holder", skip_all, err(level = "debug"))]
pub async fn find_holder(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<Option<Holder>, StoreError> {
    let Some(row) = tx.query_opt(FIND_HOLDER, &[&digest.as_slice(), &now]).await? else { return Ok(None) };
    Ok(Some(holder(&row)?))
}

fn api_key(row: &Row) -> Result<ApiKey, Inconsistent> {
    let columns = Columns::new("api_keys", row);
    Ok(ApiKey {
        id: ApiKeyId::from_uuid(columns.get("id")?),
        name: columns.get("name")?,
        prefix: columns.get("prefix")?,
        scopes: scopes(columns)?,
        created_by: UserId::from_uuid(columns.get("created_by")?),
        created_at: columns.get("created_at")?,
        expires_at: columns.get("expires_at")?,
        last_used_at: columns.get("last_used_at")?,
        allowed_ranges: columns.get("allowed_ranges")?,
        rotated_to: columns.get::<Option<_>>("rotated_to")?.map(ApiKeyId::from_uuid),
    })
}

fn holder(row: &Row) -> Result<Holder, Inconsistent> {
    let columns = Columns::new("api_keys", row);
    Ok(Holder {
        id: ApiKeyId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        created_by: UserId::from_uuid(columns.get("created_by")?),
        role: columns.named("role", Role::find)?,
        scopes: scopes(columns)?,
        last_used_at: columns.get("last_used_at")?,
        expires_at: columns.get("expires_at")?,
        subscription: columns.named("plan", Subscription::find)?,
        allowed_ranges: columns.get("allowed_ranges")?,
        organization_ranges: columns.get("organization_ranges")?,
    })
}

fn scopes(columns: Columns<'_>) -> Result<Vec<Permission>, Inconsistent> {
    let names: Vec<String> = columns.get("scopes")?;
    names.iter().map(|name| Permission::find(name).ok_or_else(|| columns.inconsistent("scopes"))).collect()
}
