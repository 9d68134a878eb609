//! Which picture a person has. The picture itself is in the object store.

use picket_domain::{AvatarId, UserId};

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    FIND = "-- avatars.find
SELECT avatar FROM users WHERE id = $1";

    REPLACE = "-- avatars.replace
UPDATE users AS u
SET avatar = $2
FROM (SELECT id, avatar FROM users WHERE id = $1 FOR NO KEY UPDATE) AS before
WHERE u.id = before.id
RETURNING before.avatar";
}

/// The person's picture, if there is one. Runs as the operator.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.avatars.find", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, user: UserId) -> Result<Option<AvatarId>, StoreError> {
    let Some(row) = tx.query_opt(FIND, &[&user.uuid()]).await? else { return Ok(None) };
    avatar(Columns::new("users", &row))
}

/// Sets or takes away the person's picture; returns the one before. Runs as the operator.
///
/// # Errors
/// When there is no such person, or the database refuses.
#[tracing::instrument(name = "db.avatars.replace", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn replace(tx: &Tx<'_>, user: UserId, new: Option<AvatarId>) -> Result<Option<AvatarId>, StoreError> {
    let new = new.map(|id| id.to_string());
    let row = tx.query_one(REPLACE, &[&user.uuid(), &new]).await?;
    avatar(Columns::new("users", &row))
}

fn avatar(columns: Columns<'_>) -> Result<Option<AvatarId>, StoreError> {
    let text: Option<&str> = columns.get("avatar")?;
    Ok(text.map(str::parse).transpose().map_err(|_| columns.inconsistent("avatar"))?)
}
