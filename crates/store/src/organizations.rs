//! The organization as its members see it, and what they decide about it. Plan, trial and suspension are the operator's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use picket_domain::{OrganizationId, Severity, Subscription};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, types::Json};

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    FIND = "-- organizations.find
SELECT id, name, plan, created_at, trial_ends_at, require_mfa, allowed_ranges, retention_days, sla_days, branding
FROM organizations
WHERE id = picket_organization()";

    FIND_NAME = "-- organizations.find_name
SELECT name
FROM organizations
WHERE id = $1";

    SAVE = "-- organizations.save
UPDATE organizations
SET name = $1, require_mfa = $2, allowed_ranges = $3, retention_days = $4, sla_days = $5, branding = $6
WHERE id = picket_organization()";
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Identity.
    pub id: OrganizationId,
    /// What it pays for.
    pub subscription: Subscription,
    /// Since when.
    pub created_at: Timestamp,
    /// When its trial ends.
    pub trial_ends_at: Option<Timestamp>,
    /// What its members decided.
    pub choices: Choices,
}

/// What members decide about their organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// How it is called.
    pub name: String,
    /// Whether every session needs a second factor.
    pub require_mfa: bool,
    /// Where members and keys may call from, as networks; empty means anywhere.
    pub allowed_ranges: Vec<String>,
    /// Days that results are kept; as long as the plan allows when absent.
    pub retention_days: Option<i32>,
    /// Days until a finding is to be repaired, where they differ from the usual.
    pub sla_days: BTreeMap<Severity, u16>,
    /// What reports look like unless one is asked for otherwise.
    pub branding: DefaultBranding,
}

/// Whose name and logo reports carry when nothing else is asked for; both were checked when they were stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultBranding {
    /// The name on the cover.
    pub company_name: Option<String>,
    /// Where the logo is fetched from.
    pub logo_url: Option<String>,
}

/// The tenant.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.organizations.find", skip_all, err(level = "debug"))]
pub async fn find(tx: &Tx<'_>) -> Result<Option<Organization>, StoreError> {
    let row = tx.query_opt(FIND, &[]).await?;
    Ok(row.map(|row| organization(&row)).transpose()?)
}

/// The name of an organization. Runs as the operator, or as the tenant.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.organizations.name", skip_all, err(level = "debug"))]
pub async fn name(tx: &Tx<'_>, organization: OrganizationId) -> Result<Option<String>, StoreError> {
    let row = tx.query_opt(FIND_NAME, &[&organization.uuid()]).await?;
    Ok(row.map(|row| Columns::new("organizations", &row).get("name")).transpose()?)
}

/// Stores what the tenant's members decided.
///
/// # Errors
/// [`StoreError::Stale`] without a tenant, or when the database refuses.
#[tracing::instrument(name = "db.organizations.save", skip_all, err(level = "debug"))]
pub async fn save(tx: &Tx<'_>, choices: &Choices) -> Result<(), StoreError> {
    tx.execute_one(
        SAVE,
        &[
            &choices.name,
            &choices.require_mfa,
            &choices.allowed_ranges,
            &choices.retention_days,
            &Json(&choices.sla_days),
            &Json(&choices.branding),
        ],
    )
    .await
}

fn organization(row: &Row) -> Result<Organization, Inconsistent> {
    let columns = Columns::new("organizations", row);
    Ok(Organization {
        id: OrganizationId::from_uuid(columns.get("id")?),
        subscription: columns.named("plan", Subscription::find)?,
        created_at: columns.get("created_at")?,
        trial_ends_at: columns.get("trial_ends_at")?,
        choices: Choices {
            name: columns.get("name")?,
            require_mfa: columns.get("require_mfa")?,
            allowed_ranges: columns.get("allowed_ranges")?,
            retention_days: columns.get("retention_days")?,
            sla_days: columns.json("sla_days")?,
            branding: columns.json("branding")?,
        },
    })
}
