//! Second factors: challenges, and what proves them. Codes and secrets are stored as digests or sealed, never as they are.

use jiff::Timestamp;
use picket_domain::{OrganizationId, UserId};

use crate::{StoreError, Tx, statements::statements};

statements! {
    CHALLENGE = "-- mfa.challenge
INSERT INTO mfa_challenges (digest, user_id, organization_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5)";
}

/// Stores a login that waits for its second factor. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mfa.challenge", skip_all, fields(user.id = %user), err(level = "debug"))]
pub async fn challenge(
    tx: &Tx<'_>,
    digest: &[u8; 32],
    user: UserId,
    organization: OrganizationId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(CHALLENGE, &[&digest.as_slice(), &user.uuid(), &organization.uuid(), &now, &expires_at]).await
}
