//! Backup codes, as digests. A code is random enough that its plain SHA-256 gives nothing away. All of it runs as the
//! operator, behind the lock of the person.

use jiff::Timestamp;
use picket_domain::UserId;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    DELETE = "-- mfa.backup.delete
DELETE FROM mfa_backup_codes
WHERE user_id = $1";

    INSERT = "-- mfa.backup.insert
INSERT INTO mfa_backup_codes (user_id, digest)
SELECT $1, unnest($2::bytea[])";

    // One row for one of all who try at the same time.
    SPEND = "-- mfa.backup.spend
UPDATE mfa_backup_codes
SET used_at = $3
WHERE user_id = $1 AND digest = $2 AND used_at IS NULL";

    COUNT = "-- mfa.backup.count
SELECT count(*) AS kept
FROM mfa_backup_codes
WHERE user_id = $1 AND used_at IS NULL";
}

/// Puts these in place of all that the person had; none takes them away.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.backup.replace", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn replace(tx: &Tx<'_>, user: UserId, digests: &[[u8; 32]]) -> Result<(), StoreError> {
    let digests: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
    tx.execute(DELETE, &[&user.uuid()]).await?;
    tx.execute(INSERT, &[&user.uuid(), &digests]).await?;
    Ok(())
}

/// Uses a code; says whether it was there and unused.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.backup.spend", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn spend(tx: &Tx<'_>, user: UserId, digest: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(SPEND, &[&user.uuid(), &digest.as_slice(), &now]).await? == 1)
}

/// How many are left.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.backup.count", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn count(tx: &Tx<'_>, user: UserId) -> Result<i64, StoreError> {
    let row = tx.query_one(COUNT, &[&user.uuid()]).await?;
    Ok(Columns::new("mfa_backup_codes", &row).get("kept")?)
}
