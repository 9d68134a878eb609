//! What was mailed to prove an address, to set a password anew or to have another address: digests of tokens, each good once, for the address that it
//! went to. Runs as the operator.

use jiff::Timestamp;
use picket_domain::UserId;

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    // Those that went before are void, used or not: they are of no interest to anybody.
    ISSUE = "-- email_tokens.issue
WITH void AS (
  DELETE FROM email_tokens WHERE user_id = $3 AND purpose = $2
)
INSERT INTO email_tokens (digest, purpose, user_id, email, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)";

    FIND = "-- email_tokens.find
SELECT user_id
FROM email_tokens
WHERE digest = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3";

    CONSUME = "-- email_tokens.consume
UPDATE email_tokens AS t
SET used_at = $3
FROM users AS u
WHERE t.digest = $1 AND t.purpose = $2 AND t.used_at IS NULL AND t.expires_at > $3
  AND u.id = t.user_id AND lower(u.email) = lower(t.email)";

    // The address that it went to is the one that the person is to have.
    CONSUME_CHANGE = "-- email_tokens.consume_change
UPDATE email_tokens
SET used_at = $2
WHERE digest = $1 AND purpose = 'change' AND used_at IS NULL AND expires_at > $2
RETURNING email";

    VOID = "-- email_tokens.void
DELETE FROM email_tokens
WHERE user_id = $1 AND purpose = $2";

    VOID_ALL = "-- email_tokens.void_all
DELETE FROM email_tokens
WHERE user_id = $1";
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailPurpose {
    /// Proves the address.
    Verify,
    /// Sets a password.
    Reset,
    /// Gives the person the address that it went to.
    Change,
}

impl EmailPurpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
            Self::Change => "change",
        }
    }
}

/// A token to store.
#[derive(Debug, Clone, Copy)]
pub struct NewEmailToken<'a> {
    /// Its SHA-256.
    pub digest: [u8; 32],
    /// What it is good for.
    pub purpose: EmailPurpose,
    /// Whose it is.
    pub user_id: UserId,
    /// The address that it goes to.
    pub email: &'a str,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Stores a token and voids those of the same purpose that went before. The person must be locked, so that of two at once
/// one is left.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.email_tokens.issue", skip_all, fields(user.id = %new.user_id), err(level = "debug"))]
pub async fn issue(tx: &Tx<'_>, new: &NewEmailToken<'_>, now: Timestamp) -> Result<(), StoreError> {
    let (digest, purpose) = (new.digest.as_slice(), new.purpose.name());
    tx.execute_one(ISSUE, &[&digest, &purpose, &new.user_id.uuid(), &new.email, &now, &new.expires_at]).await
}

/// Whose token it is, while it is good. Locks nothing: only [`consume`] decides.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.email_tokens.find", skip_all, err(level = "debug"))]
pub async fn find(
    tx: &Tx<'_>,
    digest: &[u8; 32],
    purpose: EmailPurpose,
    now: Timestamp,
) -> Result<Option<UserId>, StoreError> {
    let Some(row) = tx.query_opt(FIND, &[&digest.as_slice(), &purpose.name(), &now]).await? else { return Ok(None) };
    Ok(Some(UserId::from_uuid(Columns::new("email_tokens", &row).get("user_id")?)))
}

/// Uses a token up; of any number at once, one hears `true`. Nobody does when the person has another address by now.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.email_tokens.consume", skip_all, err(level = "debug"))]
pub async fn consume(
    tx: &Tx<'_>,
    digest: &[u8; 32],
    purpose: EmailPurpose,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(CONSUME, &[&digest.as_slice(), &purpose.name(), &now]).await? == 1)
}

/// Uses a token of [`EmailPurpose::Change`] up; of any number at once, one gets the address that it went to.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.email_tokens.consume_change", skip_all, err(level = "debug"))]
pub async fn consume_change(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<Option<String>, StoreError> {
    let Some(row) = tx.query_opt(CONSUME_CHANGE, &[&digest.as_slice(), &now]).await? else { return Ok(None) };
    Ok(Some(Columns::new("email_tokens", &row).get("email")?))
}

/// Voids every token of a person: what was mailed to an address that is the person's no more.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.email_tokens.void_all", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn void_all(tx: &Tx<'_>, user: UserId) -> Result<(), StoreError> {
    tx.execute(VOID_ALL, &[&user.uuid()]).await?;
    Ok(())
}

/// Voids a person's tokens of a purpose.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.email_tokens.void", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn void(tx: &Tx<'_>, user: UserId, purpose: EmailPurpose) -> Result<(), StoreError> {
    tx.execute(VOID, &[&user.uuid(), &purpose.name()]).await?;
    Ok(())
}
