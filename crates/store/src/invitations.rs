//! Invitations to an organization. The token in the letter is never stored: its SHA-256 is. An invitation is worth what its
//! inviter is worth when it is taken up.

use jiff::Timestamp;
use picket_domain::{InvitationId, OrganizationId, Role, UserId};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    CREATE = "-- invitations.create
INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    REPLACE = "-- invitations.replace
UPDATE invitations
SET withdrawn_at = $3
WHERE organization_id = $1 AND lower(email) = lower($2) AND accepted_at IS NULL AND withdrawn_at IS NULL";

    COUNT = "-- invitations.count
SELECT count(*) FILTER (WHERE accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2) AS pending,
       count(*) FILTER (WHERE created_at > $3) AS recent
FROM invitations
WHERE organization_id = $1";

    LIST = "-- invitations.list
SELECT id, email, role, invited_by, created_at, expires_at
FROM invitations
WHERE organization_id = picket_organization() AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $1
ORDER BY id DESC
LIMIT $2 OFFSET $3";

    COUNT_PENDING = "-- invitations.count_pending
SELECT count(*) AS total
FROM invitations
WHERE organization_id = picket_organization() AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $1";

    WITHDRAW = "-- invitations.withdraw
UPDATE invitations
SET withdrawn_at = $2
WHERE id = $1 AND organization_id = picket_organization() AND accepted_at IS NULL AND withdrawn_at IS NULL
RETURNING id, email, role, invited_by, created_at, expires_at";

    // Without the inviter's membership there is no row.
    FIND_OFFER = "-- invitations.find_offer
SELECT i.id, i.organization_id, i.email, i.role, i.expires_at, o.name AS organization_name, m.role AS inviter_role
FROM invitations AS i
JOIN organizations AS o ON o.id = i.organization_id
JOIN memberships AS m ON m.organization_id = i.organization_id AND m.user_id = i.invited_by
JOIN users AS u ON u.id = i.invited_by
WHERE i.digest = $1 AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL AND i.expires_at > $2
  AND o.suspended_at IS NULL AND u.disabled_at IS NULL";

    ACCEPT = "-- invitations.accept
UPDATE invitations
SET accepted_at = $2
WHERE id = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2";
}

/// An invitation to store.
#[derive(Clone)]
pub struct NewInvitation<'a> {
    /// Identity.
    pub id: InvitationId,
    /// The organization to join.
    pub organization_id: OrganizationId,
    /// Who is invited.
    pub email: &'a str,
    /// As what.
    pub role: Role,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// Who invites.
    pub invited_by: UserId,
    /// Until when.
    pub expires_at: Timestamp,
}

/// An invitation as the organization sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Identity.
    pub id: InvitationId,
    /// Who is invited.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Who invites.
    pub invited_by: UserId,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// An invitation as the one who holds its token sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Identity.
    pub id: InvitationId,
    /// The organization to join.
    pub organization_id: OrganizationId,
    /// Its name.
    pub organization_name: String,
    /// Who is invited.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Until when.
    pub expires_at: Timestamp,
}

/// How many invitations an organization has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Those that can be taken up.
    pub pending: i64,
    /// Those that were made since a given time, whatever became of them.
    pub recent: i64,
}

/// Stores an invitation in place of any earlier one to this address, whose token is void then. Runs as the operator, or as
/// the tenant; behind `quota::lock`.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.invitations.create", skip_all, fields(invitation.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, new: &NewInvitation<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(REPLACE, &[&new.organization_id.uuid(), &new.email, &now]).await?;
    tx.execute_one(
        CREATE,
        &[
            &new.id.uuid(),
            &new.organization_id.uuid(),
            &new.email,
            &new.role.name(),
            &new.digest.as_slice(),
            &new.invited_by.uuid(),
            &now,
            &new.expires_at,
        ],
    )
    .await
}

/// How many there are. Runs as the operator, or as the tenant.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.invitations.count", skip_all, err(level = "debug"))]
pub async fn count(
    tx: &Tx<'_>,
    organization: OrganizationId,
    now: Timestamp,
    since: Timestamp,
) -> Result<Counts, StoreError> {
    let row = tx.query_one(COUNT, &[&organization.uuid(), &now, &since]).await?;
    let columns = Columns::new("invitations", &row);
    Ok(Counts { pending: columns.get("pending")?, recent: columns.get("recent")? })
}

/// The tenant's invitations that can be taken up, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.invitations.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range, now: Timestamp) -> Result<Page<Invitation>, StoreError> {
    let rows = tx.query(LIST, &[&now, &range.limit, &range.offset]).await?;
    let rows = rows.iter().map(invitation).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = Columns::new("invitations", &tx.query_one(COUNT_PENDING, &[&now]).await?).get("total")?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

/// Withdraws an invitation of the tenant; what it was.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.invitations.withdraw", skip_all, fields(invitation.id = %id), err(level = "debug"))]
pub async fn withdraw(tx: &Tx<'_>, id: InvitationId, now: Timestamp) -> Result<Option<Invitation>, StoreError> {
    let row = tx.query_opt(WITHDRAW, &[&id.uuid(), &now]).await?;
    Ok(row.map(|row| invitation(&row)).transpose()?)
}

/// What the token of this digest offers, while it can be taken up and its inviter could still make it. Runs as the
/// operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.invitations.find_offer", skip_all, err(level = "debug"))]
pub async fn find_offer(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<Option<Offer>, StoreError> {
    let Some(row) = tx.query_opt(FIND_OFFER, &[&digest.as_slice(), &now]).await? else { return Ok(None) };
    let columns = Columns::new("invitations", &row);
    let offer = Offer {
        id: InvitationId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        organization_name: columns.get("organization_name")?,
        email: columns.get("email")?,
        role: columns.named("role", Role::find)?,
        expires_at: columns.get("expires_at")?,
    };
    let inviter = columns.named("inviter_role", Role::find)?;
    Ok((offer.role <= inviter).then_some(offer))
}

/// Takes an invitation up; false when somebody was faster. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.invitations.accept", skip_all, fields(invitation.id = %id), err(level = "debug"))]
pub async fn accept(tx: &Tx<'_>, id: InvitationId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(ACCEPT, &[&id.uuid(), &now]).await? == 1)
}

fn invitation(row: &Row) -> Result<Invitation, Inconsistent> {
    let columns = Columns::new("invitations", row);
    Ok(Invitation {
        id: InvitationId::from_uuid(columns.get("id")?),
        email: columns.get("email")?,
        role: columns.named("role", Role::find)?,
        invited_by: UserId::from_uuid(columns.get("invited_by")?),
        created_at: columns.get("created_at")?,
        expires_at: columns.get("expires_at")?,
    })
}
