//! What an organization never has scanned. The transaction that excludes something also stops what is on its way there; what
//! slips in behind it is refused when a worker claims it ([`crate::tasks::authority`]).

use jiff::Timestamp;
use picket_domain::{Exclusion, ExclusionId, OrganizationId, WrittenHours};
use tokio_postgres::{Row, types::Json};

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

/// The most exclusions of an organization: each is looked at before every task.
pub const MOST: i64 = 1_000;
/// The constraint that refuses what is excluded already.
pub const IS_EXCLUDED: &str = "a_thing_is_excluded_once";

statements! {
    CREATE = "-- exclusions.create
INSERT INTO exclusions (id, organization_id, created_at, created_by, kind, value, reason, hours)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    COUNT = "-- exclusions.count
SELECT count(*) AS total
FROM exclusions
WHERE organization_id = picket_organization()";

    LIST = "-- exclusions.list
SELECT id, created_at, created_by, value, reason, hours
FROM exclusions
WHERE organization_id = picket_organization()
ORDER BY id DESC
LIMIT $1 OFFSET $2";

    DELETE = "-- exclusions.delete
DELETE FROM exclusions
WHERE organization_id = picket_organization() AND id = $1
RETURNING id, created_at, created_by, value, reason, hours";

    KNOWS = "-- exclusions.knows_zone
SELECT picket_knows_zone($1) AS known";

    HOLDS = "-- exclusions.holds
SELECT FROM exclusions
WHERE id = $1 AND picket_in_force(hours, picket_now())";

    // Where something under way is covered; what is ready, admission refuses.
    IN_FORCE = "-- exclusions.in_force
SELECT e.organization_id, e.id, e.value
FROM exclusions AS e
WHERE e.hours IS NOT NULL AND picket_in_force(e.hours, picket_now()) AND EXISTS (
  SELECT FROM tasks AS t
  WHERE t.organization_id = e.organization_id AND t.state IN ('queued', 'running') AND picket_covers(e.kind, e.value, t.shard)
)
ORDER BY e.organization_id, e.id";
}

/// Something that is never scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedExclusion {
    /// Identity.
    pub id: ExclusionId,
    /// What.
    pub exclusion: Exclusion,
    /// Why.
    pub reason: Option<String>,
    /// The hours of the week in which it holds; `None` for always.
    pub hours: Option<WrittenHours>,
    /// Since when.
    pub created_at: Timestamp,
    /// By whom: a user's or an API key's id.
    pub created_by: String,
}

/// Stores an exclusion; what is on its way there goes on until [`crate::tasks::authority::stop_excluded`] is called.
///
/// # Errors
/// [`StoreError::Conflict`] with [`IS_EXCLUDED`], or when the database refuses.
#[tracing::instrument(name = "db.exclusions.create", skip_all, fields(exclusion.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, organization: OrganizationId, new: &ListedExclusion) -> Result<(), StoreError> {
    let (kind, value) = (new.exclusion.kind(), new.exclusion.to_string());
    let hours = new.hours.as_ref().map(Json);
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&new.id.uuid(), &organization.uuid(), &new.created_at, &new.created_by, &kind, &value, &new.reason, &hours];
    tx.execute_one(CREATE, &row).await
}

/// Whether the database knows a time zone: a claim asks it whether an exclusion holds.
///
/// # Errors
/// When the database refuses.
pub async fn knows_zone(tx: &Tx<'_>, zone: &str) -> Result<bool, StoreError> {
    Ok(Columns::new("exclusions", &tx.query_one(KNOWS, &[&zone]).await?).get("known")?)
}

/// The exclusions with hours that hold now and cover something that is under way. What cannot be read any more
/// is left to the claims, which refuse by it. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.exclusions.in_force", skip_all, err(level = "debug"))]
pub async fn in_force(tx: &Tx<'_>) -> Result<Vec<(OrganizationId, ExclusionId, Exclusion)>, StoreError> {
    let read = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("exclusions", row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        let id = ExclusionId::from_uuid(columns.get("id")?);
        Ok(Exclusion::parse(columns.get("value")?).ok().map(|exclusion| (organization, id, exclusion)))
    };
    let found = tx.query(IN_FORCE, &[]).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// Whether an exclusion with hours still is there and holds at this moment. Runs as the operator.
///
/// # Errors
/// When the database refuses.
pub async fn holds(tx: &Tx<'_>, id: ExclusionId) -> Result<bool, StoreError> {
    Ok(tx.query_opt(HOLDS, &[&id.uuid()]).await?.is_some())
}

/// How many the tenant has.
///
/// # Errors
/// When the database refuses.
pub async fn count(tx: &Tx<'_>) -> Result<i64, StoreError> {
    Ok(Columns::new("exclusions", &tx.query_one(COUNT, &[]).await?).get("total")?)
}

/// The tenant's exclusions, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.exclusions.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<ListedExclusion>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let rows = rows.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
    Ok(Page { rows, total: u64::try_from(count(tx).await?).unwrap_or_default() })
}

/// Takes one away; returns what it was.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.exclusions.delete", skip_all, fields(exclusion.id = %id), err(level = "debug"))]
pub async fn delete(tx: &Tx<'_>, id: ExclusionId) -> Result<Option<ListedExclusion>, StoreError> {
    let row = tx.query_opt(DELETE, &[&id.uuid()]).await?;
    Ok(row.as_ref().map(listed).transpose()?)
}

fn listed(row: &Row) -> Result<ListedExclusion, Inconsistent> {
    let columns = Columns::new("exclusions", row);
    Ok(ListedExclusion {
        id: ExclusionId::from_uuid(columns.get("id")?),
        exclusion: columns.named("value", |value| Exclusion::parse(value).ok())?,
        reason: columns.get("reason")?,
        hours: columns.get::<Option<Json<WrittenHours>>>("hours")?.map(|hours| hours.0),
        created_at: columns.get("created_at")?,
        created_by: columns.get("created_by")?,
    })
}
