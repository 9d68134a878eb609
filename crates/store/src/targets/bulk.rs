//! Many targets at once: those that are new are added as far as the plan goes, the others are changed. The caller holds the
//! lock on the organization's counters, so that what is counted here holds until the commit.

use std::collections::BTreeMap;

use picket_domain::{Criticality, Politeness, Target, TargetId};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{NewTarget, TargetWords, kind_name};
use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    KNOWN = "-- targets.bulk.known
SELECT id, value
FROM targets
WHERE organization_id = picket_organization() AND value = ANY($1)";

    INSERT = "-- targets.bulk.insert
INSERT INTO targets (id, organization_id, created_at, kind, value, tags, criticality, owner)
SELECT n.id, picket_organization(), n.created_at, n.kind, n.value,
       ARRAY(SELECT jsonb_array_elements_text(n.tags)), n.criticality, n.owner
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[])
  AS n (id, created_at, kind, value, tags, criticality, owner)";

    UPDATE = "-- targets.bulk.update
UPDATE targets AS t
SET tags = CASE WHEN n.tags IS NULL THEN t.tags ELSE ARRAY(SELECT jsonb_array_elements_text(n.tags)) END,
    criticality = coalesce(n.criticality, t.criticality), owner = coalesce(n.owner, t.owner)
FROM unnest($1::uuid[], $2::jsonb[], $3::text[], $4::text[]) AS n (id, tags, criticality, owner)
WHERE t.organization_id = picket_organization() AND t.id = n.id";
}

/// What is to change of a target that is there; nothing where a field is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Other tags.
    pub tags: Option<Vec<String>>,
    /// Another criticality.
    pub criticality: Option<Criticality>,
    /// Another owner.
    pub owner: Option<String>,
}

impl Changed {
    /// What a new target is given.
    #[must_use]
    pub fn or_default(self) -> TargetWords {
        TargetWords {
            tags: self.tags.unwrap_or_default(),
            criticality: self.criticality.unwrap_or_default(),
            owner: self.owner,
            politeness: Politeness::default(),
        }
    }
}

/// Those of `targets` that the tenant keeps already, by their canonical text.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.targets.known", skip_all, err(level = "debug"))]
pub async fn known(tx: &Tx<'_>, targets: &[&Target]) -> Result<BTreeMap<String, TargetId>, StoreError> {
    let values: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let read = |row: &Row| -> Result<(String, TargetId), StoreError> {
        let columns = Columns::new("targets", row);
        Ok((columns.get("value")?, TargetId::from_uuid(columns.get("id")?)))
    };
    tx.query(KNOWN, &[&values]).await?.iter().map(read).collect()
}

/// Adds targets, none of which is there.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.targets.insert", skip_all, err(level = "debug"))]
pub async fn insert(tx: &Tx<'_>, new: &[NewTarget]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = new.iter().map(|one| one.id.uuid()).collect();
    let times: Vec<_> = new.iter().map(|one| one.created_at).collect();
    let kinds: Vec<&str> = new.iter().map(|one| kind_name(&one.target)).collect();
    let values: Vec<String> = new.iter().map(|one| one.target.to_string()).collect();
    let tags: Vec<Json<&[String]>> = new.iter().map(|one| Json(one.words.tags.as_slice())).collect();
    let criticalities: Vec<&str> = new.iter().map(|one| one.words.criticality.name()).collect();
    let owners: Vec<Option<&str>> = new.iter().map(|one| one.words.owner.as_deref()).collect();
    tx.execute(INSERT, &[&ids, &times, &kinds, &values, &tags, &criticalities, &owners]).await?;
    Ok(())
}

/// Changes targets that are there.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.targets.change", skip_all, err(level = "debug"))]
pub async fn change(tx: &Tx<'_>, changes: &[(TargetId, Changed)]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = changes.iter().map(|(id, _)| id.uuid()).collect();
    let tags: Vec<Option<Json<&[String]>>> =
        changes.iter().map(|(_, changed)| changed.tags.as_deref().map(Json)).collect();
    let criticalities: Vec<Option<&str>> =
        changes.iter().map(|(_, changed)| changed.criticality.map(Criticality::name)).collect();
    let owners: Vec<Option<&str>> = changes.iter().map(|(_, changed)| changed.owner.as_deref()).collect();
    tx.execute(UPDATE, &[&ids, &tags, &criticalities, &owners]).await?;
    Ok(())
}
