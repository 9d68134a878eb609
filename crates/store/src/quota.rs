//! How many of a thing an organization may keep. Asked in the transaction that makes the thing, behind a lock on the
//! organization's counters, so that creates at the same time cannot pass together.

use picket_domain::OrganizationId;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    // Held until the transaction ends; apart from `organizations`, whose row changes as events are numbered.
    LOCK = "-- quota.lock
SELECT organization_id FROM organization_counters WHERE organization_id = $1 FOR NO KEY UPDATE";

    COUNT_API_KEYS = "-- quota.count_api_keys
SELECT count(*) AS kept
FROM api_keys
WHERE organization_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())";

    COUNT_TARGETS = "-- quota.count_targets
SELECT count(*) AS kept
FROM targets
WHERE organization_id = $1";

    COUNT_WEBHOOKS = "-- quota.count_webhooks
SELECT count(*) AS kept
FROM webhooks
WHERE organization_id = $1 AND deleted_at IS NULL";
}

/// A thing that an organization keeps, with the limit of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// API keys that are valid.
    ApiKeys(u32),
    /// Targets.
    Targets(u32),
    /// Webhooks that are not deleted; those that are disabled count.
    Webhooks(u32),
}

/// Takes the lock that every audited change of the organization takes, before any other row is locked.
///
/// # Errors
/// [`StoreError::Stale`] when there is no such organization, or when the database refuses.
#[tracing::instrument(name = "db.quota.lock", skip_all, err(level = "debug"))]
pub async fn lock(tx: &Tx<'_>, organization: OrganizationId) -> Result<(), StoreError> {
    tx.execute_one(LOCK, &[&organization.uuid()]).await
}

/// Whether there is room for one more; if so, nobody else gets it before this transaction ends.
///
/// # Errors
/// [`StoreError::Stale`] when there is no such organization, or when the database refuses.
#[tracing::instrument(name = "db.quota.reserve", skip_all, err(level = "debug"))]
pub async fn reserve(tx: &Tx<'_>, organization: OrganizationId, quota: Quota) -> Result<bool, StoreError> {
    let (count, most) = match quota {
        Quota::ApiKeys(most) => (COUNT_API_KEYS, most),
        Quota::Targets(most) => (COUNT_TARGETS, most),
        Quota::Webhooks(most) => (COUNT_WEBHOOKS, most),
    };
    tx.execute_one(LOCK, &[&organization.uuid()]).await?;
    let row = tx.query_one(count, &[&organization.uuid()]).await?;
    let kept: i64 = Columns::new("quota", &row).get("kept")?;
    Ok(kept < i64::from(most))
}
