//! The audit log: rows are added in the transaction of the change, or the change fails. Nothing here changes or removes one.

pub mod read;

use picket_domain::{AuditEntry, OrganizationId};

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    // Locks the organization's counters until the transaction ends: the chain has one end.
    RECORD = "-- audit.record
SELECT picket_audit($1, $2, $3) AS sequence";
}

/// Adds a row to the organization's chain; returns its sequence. Runs as the tenant or as the operator.
///
/// # Errors
/// When the database refuses; then the transaction is spoilt, and the change with it.
#[tracing::instrument(name = "db.audit.record", skip_all, err(level = "debug"))]
pub async fn record(tx: &Tx<'_>, organization: OrganizationId, entry: &AuditEntry) -> Result<i64, StoreError> {
    let text = entry.text().map_err(|_| crate::Inconsistent { table: "audit_log", column: "entry" })?;
    let row = tx.query_one(RECORD, &[&organization.uuid(), &entry.at, &text]).await?;
    Ok(Columns::new("audit_log", &row).get("sequence")?)
}
