//! Saved profiles of scans. A version never changes; another one is added. What is wanted is JSON that the planner wrote and
//! reads; nothing here looks into it.

use jiff::Timestamp;
use picket_domain::{OrganizationId, ProfileId, ScanId};
use serde_json::Value;
use tokio_postgres::{Row, types::Json};

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    CREATE = "-- profiles.create
INSERT INTO scan_profiles (id, organization_id, name, description, version, created_at, updated_at)
VALUES ($1, $2, $3, $4, 1, $5, $5)";

    CHANGE = "-- profiles.change
UPDATE scan_profiles
SET name = $2, description = $3, version = version + 1, updated_at = $4
WHERE id = $1
RETURNING version";

    ADD_VERSION = "-- profiles.add_version
INSERT INTO scan_profile_versions (organization_id, profile_id, version, wanted, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6)";

    FIND = "-- profiles.find
SELECT p.id, p.name, p.description, p.version, p.created_at, p.updated_at, v.wanted
FROM scan_profiles AS p
JOIN scan_profile_versions AS v ON v.profile_id = p.id AND v.version = p.version
WHERE p.id = $1";

    LIST = "-- profiles.list
SELECT p.id, p.name, p.description, p.version, p.created_at, p.updated_at, v.wanted
FROM scan_profiles AS p
JOIN scan_profile_versions AS v ON v.profile_id = p.id AND v.version = p.version
WHERE p.organization_id = picket_organization()
ORDER BY p.id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- profiles.count
SELECT count(*) AS total
FROM scan_profiles
WHERE organization_id = picket_organization()";

    VERSIONS = "-- profiles.versions
SELECT version, wanted, created_at, created_by
FROM scan_profile_versions
WHERE profile_id = $1
ORDER BY version DESC";

    DELETE_VERSIONS = "-- profiles.delete_versions
DELETE FROM scan_profile_versions
WHERE profile_id = $1";

    DELETE = "-- profiles.delete
DELETE FROM scan_profiles
WHERE id = $1";

    NOTE = "-- profiles.note
UPDATE scans
SET profile = $2, profile_version = $3
WHERE id = $1";

    COPY = "-- profiles.copy
UPDATE scans AS s
SET profile = b.profile, profile_version = b.profile_version, limits = b.limits
FROM scans AS b
WHERE s.id = $1 AND b.id = $2";

    USED = "-- profiles.used
SELECT profile, profile_version
FROM scans
WHERE id = $1";
}

/// The constraint that refuses a name which another profile has.
pub const PROFILE_IS_NAMED: &str = "a_scan_profile_is_named_once";

/// Versions that one profile may have.
pub const MOST_VERSIONS: i32 = 100;

/// A profile with its newest version.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Identity.
    pub id: ProfileId,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The newest version, from 1.
    pub version: i32,
    /// What the newest version wants.
    pub wanted: Value,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// Since when there is this version.
    pub updated_at: Timestamp,
}

/// A profile as its owner writes it.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// What its owner calls it.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// What it wants.
    pub wanted: &'a Value,
    /// Who wrote it: a user's or an API key's id.
    pub by: &'a str,
}

/// One version of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number, from 1.
    pub version: i32,
    /// What it wants.
    pub wanted: Value,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// Who wrote it: a user's or an API key's id.
    pub created_by: String,
}

/// The profile that a scan was made with; it may be gone by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its id, or its name when everybody has it.
    pub profile: String,
    /// Its version; one that everybody has is of the program's version.
    pub version: Option<i32>,
}

/// Stores a profile with its first version.
///
/// # Errors
/// [`StoreError::Conflict`] with [`PROFILE_IS_NAMED`], or when the database refuses.
#[tracing::instrument(name = "db.profiles.create", skip_all, err(level = "debug"))]
pub async fn create(
    tx: &Tx<'_>,
    organization: OrganizationId,
    id: ProfileId,
    new: Written<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(CREATE, &[&id.uuid(), &organization.uuid(), &new.name, &new.description, &now]).await?;
    add(tx, organization, id, 1, new, now).await
}

/// Adds a version; returns its number, or `None` when the tenant has no such profile.
///
/// # Errors
/// As [`create`].
#[tracing::instrument(name = "db.profiles.change", skip_all, err(level = "debug"))]
pub async fn change(
    tx: &Tx<'_>,
    organization: OrganizationId,
    id: ProfileId,
    new: Written<'_>,
    now: Timestamp,
) -> Result<Option<i32>, StoreError> {
    let Some(row) = tx.query_opt(CHANGE, &[&id.uuid(), &new.name, &new.description, &now]).await? else {
        return Ok(None);
    };
    let version: i32 = Columns::new("scan_profiles", &row).get("version")?;
    add(tx, organization, id, version, new, now).await?;
    Ok(Some(version))
}

async fn add(
    tx: &Tx<'_>,
    organization: OrganizationId,
    id: ProfileId,
    version: i32,
    new: Written<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute_one(ADD_VERSION, &[&organization.uuid(), &id.uuid(), &version, &Json(new.wanted), &now, &new.by]).await
}

/// The profile of that id, unless the tenant has none.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
pub async fn find(tx: &Tx<'_>, id: ProfileId) -> Result<Option<Profile>, StoreError> {
    Ok(tx.query_opt(FIND, &[&id.uuid()]).await?.as_ref().map(read).transpose()?)
}

/// The tenant's profiles, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<Profile>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = Columns::new("scan_profiles", &tx.query_one(COUNT, &[]).await?).get("total")?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

/// The versions of a profile, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn versions(tx: &Tx<'_>, id: ProfileId) -> Result<Vec<Version>, StoreError> {
    let read = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("scan_profile_versions", row);
        Ok(Version {
            version: columns.get("version")?,
            wanted: columns.json("wanted")?,
            created_at: columns.get("created_at")?,
            created_by: columns.get("created_by")?,
        })
    };
    Ok(tx.query(VERSIONS, &[&id.uuid()]).await?.iter().map(read).collect::<Result<_, _>>()?)
}

/// Removes a profile with its versions; false when the tenant has none. Scans keep what they were made with.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.profiles.delete", skip_all, err(level = "debug"))]
pub async fn delete(tx: &Tx<'_>, id: ProfileId) -> Result<bool, StoreError> {
    tx.execute(DELETE_VERSIONS, &[&id.uuid()]).await?;
    Ok(tx.execute(DELETE, &[&id.uuid()]).await? == 1)
}

/// Notes with which profile a scan was made, in the transaction that makes it.
///
/// # Errors
/// When the database refuses.
pub async fn note(tx: &Tx<'_>, scan: ScanId, used: &Used) -> Result<(), StoreError> {
    tx.execute_one(NOTE, &[&scan.uuid(), &used.profile, &used.version]).await
}

/// Notes that a scan which repeats another one was made with the same profile, if it was, and gives it the same limits.
///
/// # Errors
/// When the database refuses.
pub async fn copy(tx: &Tx<'_>, scan: ScanId, base: ScanId) -> Result<(), StoreError> {
    tx.execute(COPY, &[&scan.uuid(), &base.uuid()]).await?;
    Ok(())
}

/// The profile that a scan was made with.
///
/// # Errors
/// When the database refuses.
pub async fn used(tx: &Tx<'_>, scan: ScanId) -> Result<Option<Used>, StoreError> {
    let Some(row) = tx.query_opt(USED, &[&scan.uuid()]).await? else { return Ok(None) };
    Ok(used_of(Columns::new("scans", &row))?)
}

/// The columns `profile` and `profile_version`.
pub(crate) fn used_of(columns: Columns<'_>) -> Result<Option<Used>, Inconsistent> {
    let profile: Option<String> = columns.get("profile")?;
    let version = columns.get("profile_version")?;
    Ok(profile.map(|profile| Used { profile, version }))
}

fn read(row: &Row) -> Result<Profile, Inconsistent> {
    let columns = Columns::new("scan_profiles", row);
    Ok(Profile {
        id: ProfileId::from_uuid(columns.get("id")?),
        name: columns.get("name")?,
        description: columns.get("description")?,
        version: columns.get("version")?,
        wanted: columns.json("wanted")?,
        created_at: columns.get("created_at")?,
        updated_at: columns.get("updated_at")?,
    })
}
