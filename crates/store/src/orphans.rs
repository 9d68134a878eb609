//! Which documents of the object store no row names. Must never call one so whose owner is not known here: the store may hold
//! the documents of another installation, too.

use picket_domain::{ArtifactId, AvatarId, OrganizationId, ReportId, UserId};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    ARTIFACTS = "-- orphans.artifacts
SELECT u.id
FROM unnest($1::uuid[], $2::uuid[]) AS u (owner, id)
JOIN organizations AS o ON o.id = u.owner
WHERE NOT EXISTS (SELECT FROM artifacts AS a WHERE a.id = u.id)";

    // Documents of older attempts go with the report's row.
    REPORTS = "-- orphans.reports
SELECT u.id
FROM unnest($1::uuid[], $2::uuid[]) AS u (owner, id)
JOIN organizations AS o ON o.id = u.owner
WHERE NOT EXISTS (SELECT FROM reports AS r WHERE r.id = u.id)";

    AVATARS = "-- orphans.avatars
SELECT u.id
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS u (owner, id, name)
JOIN users AS o ON o.id = u.owner
WHERE o.avatar IS DISTINCT FROM u.name";
}

/// Those of an organization's raw outputs that no row names. As the operator, as all here.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.orphans.artifacts", skip_all, err(level = "debug"))]
pub async fn artifacts(tx: &Tx<'_>, all: &[(OrganizationId, ArtifactId)]) -> Result<Vec<ArtifactId>, StoreError> {
    let (owners, ids): (Vec<Uuid>, Vec<Uuid>) = all.iter().map(|(owner, id)| (owner.uuid(), id.uuid())).unzip();
    found(tx, ARTIFACTS, &[&owners, &ids], ArtifactId::from_uuid).await
}

/// Those reports that have no row.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.orphans.reports", skip_all, err(level = "debug"))]
pub async fn reports(tx: &Tx<'_>, all: &[(OrganizationId, ReportId)]) -> Result<Vec<ReportId>, StoreError> {
    let (owners, ids): (Vec<Uuid>, Vec<Uuid>) = all.iter().map(|(owner, id)| (owner.uuid(), id.uuid())).unzip();
    found(tx, REPORTS, &[&owners, &ids], ReportId::from_uuid).await
}

/// Those pictures that are not their person's.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.orphans.avatars", skip_all, err(level = "debug"))]
pub async fn avatars(tx: &Tx<'_>, all: &[(UserId, AvatarId)]) -> Result<Vec<AvatarId>, StoreError> {
    let (owners, ids): (Vec<Uuid>, Vec<Uuid>) = all.iter().map(|(owner, id)| (owner.uuid(), id.uuid())).unzip();
    let names: Vec<String> = all.iter().map(|(_, id)| id.to_string()).collect();
    found(tx, AVATARS, &[&owners, &ids, &names], AvatarId::from_uuid).await
}

async fn found<T>(
    tx: &Tx<'_>,
    statement: &str,
    params: &[&(dyn ToSql + Sync)],
    of: fn(Uuid) -> T,
) -> Result<Vec<T>, StoreError> {
    let id = |row: &Row| -> Result<T, Inconsistent> { Ok(of(Columns::new("orphans", row).get("id")?)) };
    Ok(tx.query(statement, params).await?.iter().map(id).collect::<Result<_, _>>()?)
}
