//! What operators change by hand: plans and suspensions of organizations, locks and factors of people. Each change is told
//! in the audit log of every organization that it concerns, in its own transaction. All of it runs as the operator.
//! Lock order: the organizations' counters by id, then the rows that change.

use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, OrganizationId, Subscription, UserId};
use serde_json::{Value, json};

use crate::{
    Inconsistent, StoreError, Tx, audit,
    row::Columns,
    sessions::{self, Which},
    statements::statements,
};

statements! {
    // In one order, so that two changes which concern the same organizations wait for each other.
    LOCK = "-- administration.lock
SELECT organization_id
FROM organization_counters
WHERE organization_id = ANY($1)
ORDER BY organization_id
FOR NO KEY UPDATE";

    LIST = "-- administration.list
SELECT o.id, o.created_at, o.name, o.plan, o.trial_ends_at, o.suspended_at, o.suspended_reason,
       (SELECT count(*) FROM memberships AS m WHERE m.organization_id = o.id) AS members
FROM organizations AS o
WHERE ($1::uuid IS NULL OR o.id > $1)
ORDER BY o.id
LIMIT $2";

    FIND = "-- administration.find
SELECT o.id, o.created_at, o.name, o.plan, o.trial_ends_at, o.suspended_at, o.suspended_reason,
       (SELECT count(*) FROM memberships AS m WHERE m.organization_id = o.id) AS members
FROM organizations AS o
WHERE o.id = $1";

    SET = "-- administration.set
UPDATE organizations
SET plan = $2, trial_ends_at = $3, suspended_at = $4, suspended_reason = $5
WHERE id = $1";

    FIND_USER = "-- administration.find_user
SELECT u.id, ARRAY(SELECT m.organization_id FROM memberships AS m WHERE m.user_id = u.id) AS organizations
FROM users AS u
WHERE lower(u.email) = lower($1)";

    LOCK_USER = "-- administration.lock_user
SELECT disabled_at, totp_secret IS NOT NULL OR totp_pending IS NOT NULL AS has_factor
FROM users
WHERE id = $1
FOR NO KEY UPDATE";

    SET_DISABLED = "-- administration.set_disabled
UPDATE users
SET disabled_at = $2
WHERE id = $1";

    SET_PLATFORM_ROLE = "-- administration.set_platform_role
UPDATE users
SET platform_role = $2
WHERE id = $1 AND platform_role IS DISTINCT FROM $2";

    RESET_FACTOR = "-- administration.reset_factor
UPDATE users
SET totp_pending = NULL, totp_secret = NULL, totp_enabled_at = NULL, totp_step = NULL,
    totp_failures = '{}'
WHERE id = $1";

    FORGET_CODES = "-- administration.forget_codes
DELETE FROM mfa_backup_codes
WHERE user_id = $1";

    BURN_CHALLENGES = "-- administration.burn_challenges
UPDATE mfa_challenges
SET used_at = $2
WHERE user_id = $1 AND used_at IS NULL";
}

/// Who it was, in the audit log.
pub const OPERATOR: &str = "operator";

/// Why sessions that an operator ends are over.
const REVOKED: &str = "operator";

/// An organization as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationRow {
    /// Identity.
    pub id: OrganizationId,
    /// Since when.
    pub created_at: Timestamp,
    /// Its name.
    pub name: String,
    /// What it pays for.
    pub subscription: Subscription,
    /// When its trial ends.
    pub trial_ends_at: Option<Timestamp>,
    /// Since when and why it is suspended.
    pub suspended: Option<Suspension>,
    /// How many people belong to it.
    pub members: i64,
}

/// Why nobody of an organization gets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Since when.
    pub at: Timestamp,
    /// Why, for its people.
    pub reason: String,
}

/// Something to change about an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationChange {
    /// Another plan; a trial ends at the given time.
    Plan(Subscription, Option<Timestamp>),
    /// Nobody gets in.
    Suspend(String),
    /// Everybody gets in again.
    Resume,
}

/// Something to change about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserChange {
    /// Nothing of this person is good for anything, and every session ends.
    Disable,
    /// The person may sign in again.
    Enable,
    /// The second factor is taken off with its backup codes, and every session ends.
    ResetMfa,
    /// Every session ends.
    RevokeSessions,
    /// The person operates the platform over HTTP, or does not any longer.
    Operator(bool),
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administered {
    /// There is none of that name.
    Unknown,
    /// It was so already; nothing was written.
    Unchanged,
    /// It is so now.
    Changed,
}

/// At most `limit` organizations behind `after`, oldest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.administration.list", skip_all, err(level = "debug"))]
pub async fn organizations(
    tx: &Tx<'_>,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<OrganizationRow>, StoreError> {
    let rows = tx.query(LIST, &[&after.map(OrganizationId::uuid), &limit]).await?;
    Ok(rows.iter().map(organization).collect::<Result<_, _>>()?)
}

/// Changes an organization.
///
/// # Errors
/// When the database refuses; then nothing is changed.
#[tracing::instrument(name = "db.administration.change_organization", skip_all, fields(tenant.id = %id), err(level = "debug"))]
pub async fn change_organization(
    tx: &Tx<'_>,
    id: OrganizationId,
    change: &OrganizationChange,
    now: Timestamp,
) -> Result<Administered, StoreError> {
    lock(tx, &[id]).await?;
    let Some(row) = tx.query_opt(FIND, &[&id.uuid()]).await? else { return Ok(Administered::Unknown) };
    let before = organization(&row)?;
    let after = before.clone().with(change, now);
    if before == after {
        return Ok(Administered::Unchanged);
    }
    let (suspended_at, reason) = after.suspended.as_ref().map(|one| (one.at, one.reason.as_str())).unzip();
    let plan = after.subscription.name();
    tx.execute_one(SET, &[&id.uuid(), &plan, &after.trial_ends_at, &suspended_at, &reason]).await?;
    let entry = entry(AuditAction::OrganizationAdministered, id.to_string(), now);
    audit::record(tx, id, &entry.change(Some(before.view()), Some(after.view()))).await?;
    Ok(Administered::Changed)
}

/// Changes a person; every organization that the person belongs to is told.
///
/// # Errors
/// When the database refuses; then nothing is changed.
#[tracing::instrument(name = "db.administration.change_user", skip_all, err(level = "debug"))]
pub async fn change_user(
    tx: &Tx<'_>,
    email: &str,
    change: UserChange,
    now: Timestamp,
) -> Result<Administered, StoreError> {
    let Some(row) = tx.query_opt(FIND_USER, &[&email]).await? else { return Ok(Administered::Unknown) };
    let columns = Columns::new("users", &row);
    let user = UserId::from_uuid(columns.get("id")?);
    let organizations: Vec<_> =
        columns.get::<Vec<_>>("organizations")?.into_iter().map(OrganizationId::from_uuid).collect();
    lock(tx, &organizations).await?;
    let Some((action, after)) = apply(tx, user, change, now).await? else { return Ok(Administered::Unchanged) };
    let entry = entry(action, user.to_string(), now).change(None, Some(after));
    for organization in organizations {
        audit::record(tx, organization, &entry).await?;
    }
    Ok(Administered::Changed)
}

/// Locks the counters of these organizations until the transaction ends, in the one order.
pub(crate) async fn lock(tx: &Tx<'_>, organizations: &[OrganizationId]) -> Result<(), StoreError> {
    let ids: Vec<_> = organizations.iter().map(|id| id.uuid()).collect();
    tx.query(LOCK, &[&ids]).await?;
    Ok(())
}

/// An entry of the operator's.
pub(crate) fn entry(action: AuditAction, object: String, at: Timestamp) -> AuditEntry {
    AuditEntry {
        at,
        actor: OPERATOR.to_owned(),
        action,
        object: Some(object),
        address: None,
        request_id: None,
        before: None,
        after: None,
    }
}

/// What to write of a change, unless nothing changed.
async fn apply(
    tx: &Tx<'_>,
    user: UserId,
    change: UserChange,
    now: Timestamp,
) -> Result<Option<(AuditAction, Value)>, StoreError> {
    let row = tx.query_one(LOCK_USER, &[&user.uuid()]).await?;
    let columns = Columns::new("users", &row);
    let is_disabled = columns.get::<Option<Timestamp>>("disabled_at")?.is_some();
    let has_factor: bool = columns.get("has_factor")?;
    let done = match change {
        UserChange::Disable if is_disabled => None,
        UserChange::Disable => {
            tx.execute_one(SET_DISABLED, &[&user.uuid(), &Some(now)]).await?;
            let ended = revoke(tx, user, now).await?;
            Some((AuditAction::UserDisabled, json!({ "sessions_revoked": ended })))
        }
        UserChange::Enable if !is_disabled => None,
        UserChange::Enable => {
            tx.execute_one(SET_DISABLED, &[&user.uuid(), &None::<Timestamp>]).await?;
            Some((AuditAction::UserEnabled, json!({})))
        }
        UserChange::ResetMfa if !has_factor => None,
        UserChange::ResetMfa => {
            tx.execute_one(RESET_FACTOR, &[&user.uuid()]).await?;
            tx.execute(FORGET_CODES, &[&user.uuid()]).await?;
            let ended = revoke(tx, user, now).await?;
            Some((AuditAction::MfaDisabled, json!({ "sessions_revoked": ended })))
        }
        UserChange::Operator(is_operator) => {
            let role = is_operator.then_some("operator");
            let changed = tx.execute(SET_PLATFORM_ROLE, &[&user.uuid(), &role]).await?;
            (changed > 0).then(|| (AuditAction::UserPlatformRoleChanged, json!({ "platform_role": role })))
        }
        UserChange::RevokeSessions => {
            let ended = revoke(tx, user, now).await?;
            (ended > 0).then(|| (AuditAction::SessionRevoked, json!({ "sessions_revoked": ended })))
        }
    };
    Ok(done)
}

/// Ends every session of a person, and every login that waits for its second factor.
async fn revoke(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(BURN_CHALLENGES, &[&user.uuid(), &now]).await?;
    sessions::revoke_of_user(tx, user, Which::All, REVOKED, now).await
}

impl OrganizationRow {
    fn with(mut self, change: &OrganizationChange, now: Timestamp) -> Self {
        match change {
            OrganizationChange::Plan(plan, _) if self.subscription == *plan => {}
            OrganizationChange::Plan(plan, trial_ends_at) => {
                (self.subscription, self.trial_ends_at) = (*plan, *trial_ends_at);
            }
            OrganizationChange::Suspend(_) if self.suspended.is_some() => {}
            OrganizationChange::Suspend(reason) => {
                self.suspended = Some(Suspension { at: now, reason: reason.clone() });
            }
            OrganizationChange::Resume => self.suspended = None,
        }
        self
    }

    /// What of it the audit log shows.
    fn view(&self) -> Value {
        let reason = self.suspended.as_ref().map(|suspended| &suspended.reason);
        json!({ "plan": self.subscription.name(), "trial_ends_at": self.trial_ends_at, "suspended_reason": reason })
    }
}

fn organization(row: &tokio_postgres::Row) -> Result<OrganizationRow, Inconsistent> {
    let columns = Columns::new("organizations", row);
    let suspended = match columns.get::<Option<Timestamp>>("suspended_at")? {
        Some(at) => Some(Suspension { at, reason: columns.required("suspended_reason")? }),
        None => None,
    };
    Ok(OrganizationRow {
        id: OrganizationId::from_uuid(columns.get("id")?),
        created_at: columns.get("created_at")?,
        name: columns.get("name")?,
        subscription: columns.named("plan", Subscription::find)?,
        trial_ends_at: columns.get("trial_ends_at")?,
        suspended,
        members: columns.get("members")?,
    })
}
