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
INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

    LIST = "-- api_keys.list
SELECT id, name, prefix, scopes, created_at, expires_at, last_used_at
FROM api_keys
WHERE organization_id = picket_organization() AND revoked_at IS NULL
ORDER BY id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- api_keys.count
SELECT count(*) AS total
FROM api_keys
WHERE organization_id = picket_organization() AND revoked_at IS NULL";

    REVOKE = "-- api_keys.revoke
UPDATE api_keys
SET revoked_at = $2
WHERE id = $1 AND organization_id = picket_organization() AND revoked_at IS NULL";

    // A key is worth what its maker is worth now: without the membership there is no row.
    FIND_HOLDER = "-- api_keys.find_holder
SELECT k.id, k.organization_id, k.created_by, k.scopes, k.expires_at, o.plan, m.role
FROM api_keys AS k
JOIN organizations AS o ON o.id = k.organization_id
JOIN memberships AS m ON m.organization_id = k.organization_id AND m.user_id = k.created_by
JOIN users AS u ON u.id = k.created_by
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
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
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
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What the organization pays for.
    pub subscription: Subscription,
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
        ],
    )
    .await
}

/// The tenant's keys, newest first, without those that were withdrawn.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.api_keys.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<ApiKey>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let rows = rows.iter().map(api_key).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = Columns::new("api_keys", &tx.query_one(COUNT, &[]).await?).get("total")?;
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

/// Whoever holds the key of this digest, and notes that it was used. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.api_keys.find_holder", skip_all, err(level = "debug"))]
pub async fn find_holder(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<Option<Holder>, StoreError> {
    let Some(row) = tx.query_opt(FIND_HOLDER, &[&digest.as_slice(), &now]).await? else { return Ok(None) };
    let holder = holder(&row)?;
    tx.execute(TOUCH, &[&holder.id.uuid(), &now]).await?;
    Ok(Some(holder))
}

fn api_key(row: &Row) -> Result<ApiKey, Inconsistent> {
    let columns = Columns::new("api_keys", row);
    Ok(ApiKey {
        id: ApiKeyId::from_uuid(columns.get("id")?),
        name: columns.get("name")?,
        prefix: columns.get("prefix")?,
        scopes: scopes(columns)?,
        created_at: columns.get("created_at")?,
        expires_at: columns.get("expires_at")?,
        last_used_at: columns.get("last_used_at")?,
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
        expires_at: columns.get("expires_at")?,
        subscription: columns.named("plan", Subscription::find)?,
    })
}

fn scopes(columns: Columns<'_>) -> Result<Vec<Permission>, Inconsistent> {
    let names: Vec<String> = columns.get("scopes")?;
    names.iter().map(|name| Permission::find(name).ok_or_else(|| columns.inconsistent("scopes"))).collect()
}
