//! Targets that an organization keeps. Only canonical texts are stored, so each target is listed once.

use jiff::Timestamp;
use picket_domain::{OrganizationId, Target, TargetId, TargetKind};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    CREATE = "-- targets.create
INSERT INTO targets (id, organization_id, created_at, kind, value, tags)
VALUES ($1, $2, $3, $4, $5, $6)";

    LIST = "-- targets.list
SELECT id, created_at, kind, value, tags
FROM targets
WHERE organization_id = picket_organization()
ORDER BY id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- targets.count
SELECT count(*) AS total
FROM targets
WHERE organization_id = picket_organization()";
}

/// The constraint that refuses a target which is listed already.
pub const TARGET_IS_LISTED: &str = "a_target_is_listed_once";

/// A target that an organization keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTarget {
    /// Identity.
    pub id: TargetId,
    /// The target.
    pub target: Target,
    /// Words of its owner.
    pub tags: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// The name of a target's kind on the wire and in the database.
#[must_use]
pub const fn kind_name(target: &Target) -> &'static str {
    match target.kind() {
        TargetKind::Host(_) => "host",
        TargetKind::Address(_) => "address",
        TargetKind::Network(_) => "network",
    }
}

/// Stores a target.
///
/// # Errors
/// [`StoreError::Conflict`] with [`TARGET_IS_LISTED`], or when the database refuses.
#[tracing::instrument(name = "db.targets.create", skip_all, fields(target.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, organization: OrganizationId, new: &ListedTarget) -> Result<(), StoreError> {
    tx.execute_one(
        CREATE,
        &[
            &new.id.uuid(),
            &organization.uuid(),
            &new.created_at,
            &kind_name(&new.target),
            &new.target.to_string(),
            &new.tags,
        ],
    )
    .await
}

/// The tenant's targets, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.targets.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<ListedTarget>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let rows = rows.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
    let total: i64 = Columns::new("targets", &tx.query_one(COUNT, &[]).await?).get("total")?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

fn listed(row: &Row) -> Result<ListedTarget, Inconsistent> {
    let columns = Columns::new("targets", row);
    Ok(ListedTarget {
        id: TargetId::from_uuid(columns.get("id")?),
        target: columns.named("value", |value| Target::parse(value).ok())?,
        tags: columns.get("tags")?,
        created_at: columns.get("created_at")?,
    })
}
