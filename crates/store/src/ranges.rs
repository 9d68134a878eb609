//! Ranges of addresses that are not public, and that the operator opens for one organization. All of it runs as the operator.

use ipnet::IpNet;
use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, OrganizationId};
use serde_json::json;

use crate::{
    StoreError, Tx,
    administration::{Administered, OPERATOR},
    audit, quota,
    statements::statements,
    tasks::authority,
};

statements! {
    ALLOW = "-- ranges.allow
INSERT INTO organization_ranges (organization_id, range, created_at)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING";

    WITHDRAW = "-- ranges.withdraw
DELETE FROM organization_ranges
WHERE organization_id = $1 AND range = $2";
}

/// Opens a range for an organization, or closes it; then what relies on it and has not begun ends.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.ranges.set", skip_all, fields(tenant.id = %organization), err(level = "debug"))]
pub async fn set(
    tx: &Tx<'_>,
    organization: OrganizationId,
    range: IpNet,
    is_open: bool,
    now: Timestamp,
) -> Result<Administered, StoreError> {
    match quota::lock(tx, organization).await {
        Err(StoreError::Stale { .. }) => return Ok(Administered::Unknown),
        other => other?,
    };
    let (id, text) = (organization.uuid(), range.to_string());
    let changed = if is_open {
        tx.execute(ALLOW, &[&id, &text, &now]).await?
    } else {
        tx.execute(WITHDRAW, &[&id, &text]).await?
    };
    if changed == 0 {
        return Ok(Administered::Unchanged);
    }
    let entry = AuditEntry {
        at: now,
        actor: OPERATOR.to_owned(),
        action: AuditAction::OrganizationAdministered,
        object: Some(organization.to_string()),
        address: None,
        request_id: None,
        before: (!is_open).then(|| json!({"range": text})),
        after: is_open.then(|| json!({"range": text})),
    };
    audit::record(tx, organization, &entry).await?;
    authority::end_fallen(tx, organization, now).await?;
    Ok(Administered::Changed)
}
