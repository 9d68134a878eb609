//! What an organization says in writing about a target: that it may be scanned, how far, from when to when, who signed it,
//! and the digest of the document. The document itself is never seen here.

use jiff::Timestamp;
use picket_domain::{AuthorizationId, Reach, TargetId};

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    // A new document takes the place of the old one under the same id, so that what relies on it goes on; one that reaches
    // less far is another one: what relied on the old one has nothing to stand on.
    PUT = "-- authorizations.put
INSERT INTO target_authorizations (id, organization_id, target_id, scope, not_before, not_after, approver,
                                   document_sha256, recorded_at, recorded_by)
VALUES ($1, picket_organization(), $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (target_id) DO UPDATE
SET id = CASE WHEN target_authorizations.scope = 'subdomains' AND EXCLUDED.scope = 'target'
              THEN EXCLUDED.id ELSE target_authorizations.id END,
    scope = EXCLUDED.scope, not_before = EXCLUDED.not_before, not_after = EXCLUDED.not_after,
    approver = EXCLUDED.approver, document_sha256 = EXCLUDED.document_sha256, recorded_at = EXCLUDED.recorded_at,
    recorded_by = EXCLUDED.recorded_by
RETURNING id";

    OF_TARGET = "-- authorizations.of_target
SELECT id, scope, not_before, not_after, approver, document_sha256, recorded_at, recorded_by
FROM target_authorizations
WHERE organization_id = picket_organization() AND target_id = $1";
}

/// A written authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenAuthorization {
    /// Identity; stays when another document takes the place of this one.
    pub id: AuthorizationId,
    /// How far it reaches.
    pub reach: Reach,
    /// From when.
    pub not_before: Timestamp,
    /// To when.
    pub not_after: Timestamp,
    /// Who signed it.
    pub approver: String,
    /// SHA-256 of the document.
    pub document_sha256: [u8; 32],
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// By whom: a user's or an API key's id.
    pub recorded_by: String,
}

/// Records what is written about one of the tenant's targets, in place of what was written before; returns its identity.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.authorizations.put", skip_all, fields(target.id = %target), err(level = "debug"))]
pub async fn put(tx: &Tx<'_>, target: TargetId, new: &WrittenAuthorization) -> Result<AuthorizationId, StoreError> {
    let document = new.document_sha256.as_slice();
    let row = tx
        .query_one(
            PUT,
            &[
                &new.id.uuid(),
                &target.uuid(),
                &new.reach.name(),
                &new.not_before,
                &new.not_after,
                &new.approver,
                &document,
                &new.recorded_at,
                &new.recorded_by,
            ],
        )
        .await?;
    Ok(AuthorizationId::from_uuid(Columns::new("target_authorizations", &row).get("id")?))
}

/// What is written about one of the tenant's targets.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.authorizations.of_target", skip_all, fields(target.id = %target), err(level = "debug"))]
pub async fn of_target(tx: &Tx<'_>, target: TargetId) -> Result<Option<WrittenAuthorization>, StoreError> {
    let Some(row) = tx.query_opt(OF_TARGET, &[&target.uuid()]).await? else { return Ok(None) };
    let columns = Columns::new("target_authorizations", &row);
    let document: &[u8] = columns.get("document_sha256")?;
    Ok(Some(WrittenAuthorization {
        id: AuthorizationId::from_uuid(columns.get("id")?),
        reach: columns.named("scope", Reach::find)?,
        not_before: columns.get("not_before")?,
        not_after: columns.get("not_after")?,
        approver: columns.get("approver")?,
        document_sha256: document.try_into().map_err(|_| columns.inconsistent("document_sha256"))?,
        recorded_at: columns.get("recorded_at")?,
        recorded_by: columns.get("recorded_by")?,
    }))
}
