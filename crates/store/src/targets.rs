//! Targets that an organization keeps. Only canonical texts are stored, so each target is listed once. Keeping one allows
//! nothing: that is said by proofs ([`crate::proofs`]) and written authorizations ([`crate::authorizations`]).

pub mod bulk;

use jiff::Timestamp;
use picket_domain::{Criticality, OrganizationId, Politeness, ScanId, SeverityCounts, Target, TargetId, TargetKind};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{self, Page, Range},
    statements::statements,
};

statements! {
    CREATE = "-- targets.create
INSERT INTO targets (id, organization_id, created_at, kind, value, tags, criticality, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    LIST = "-- targets.list
SELECT t.id, t.created_at, t.kind, t.value, t.tags, t.criticality, t.owner, t.max_tasks, t.max_rate, v.state, v.verified_until
FROM targets AS t
CROSS JOIN LATERAL (
  SELECT CASE WHEN max(p.verified_until) > $3 THEN 'verified' WHEN count(*) > 0 THEN 'pending' ELSE 'unverified' END AS state,
         max(p.verified_until) AS verified_until
  FROM target_proofs AS p
  WHERE p.target_id = t.id AND p.ended_at IS NULL AND coalesce(p.verified_until, p.expires_at) > $3
) AS v
WHERE t.organization_id = picket_organization()
  AND ($4::text IS NULL OR $4 = ANY(t.tags)) AND ($5::text IS NULL OR t.kind = $5)
  AND ($6::text IS NULL OR v.state = $6)
ORDER BY t.id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- targets.count
SELECT count(*) AS total
FROM targets AS t
CROSS JOIN LATERAL (
  SELECT CASE WHEN max(p.verified_until) > $1 THEN 'verified' WHEN count(*) > 0 THEN 'pending' ELSE 'unverified' END AS state
  FROM target_proofs AS p
  WHERE p.target_id = t.id AND p.ended_at IS NULL AND coalesce(p.verified_until, p.expires_at) > $1
) AS v
WHERE t.organization_id = picket_organization()
  AND ($2::text IS NULL OR $2 = ANY(t.tags)) AND ($3::text IS NULL OR t.kind = $3)
  AND ($4::text IS NULL OR v.state = $4)";

    FIND = "-- targets.find
SELECT t.id, t.created_at, t.kind, t.value, t.tags, t.criticality, t.owner, t.max_tasks, t.max_rate, v.state, v.verified_until
FROM targets AS t
CROSS JOIN LATERAL (
  SELECT CASE WHEN max(p.verified_until) > $2 THEN 'verified' WHEN count(*) > 0 THEN 'pending' ELSE 'unverified' END AS state,
         max(p.verified_until) AS verified_until
  FROM target_proofs AS p
  WHERE p.target_id = t.id AND p.ended_at IS NULL AND coalesce(p.verified_until, p.expires_at) > $2
) AS v
WHERE t.organization_id = picket_organization() AND t.id = $1";

    LAST_SCAN = "-- targets.last_scan
SELECT id, state, created_at
FROM scans
WHERE organization_id = picket_organization() AND target = $1
ORDER BY id DESC
LIMIT 1";

    // One that repeats a part of another did not look at the rest.
    LAST_WHOLE_SCAN = "-- targets.last_whole_scan
SELECT id
FROM scans
WHERE organization_id = picket_organization() AND target = $1 AND state = 'completed' AND NOT is_partial
ORDER BY id DESC
LIMIT 1";

    UPDATE = "-- targets.update
UPDATE targets
SET tags = $2, criticality = $3, owner = $4, max_tasks = $5, max_rate = $6
WHERE organization_id = picket_organization() AND id = $1";

    // Its proofs and its authorization go with it.
    DELETE = "-- targets.delete
DELETE FROM targets
WHERE organization_id = picket_organization() AND id = $1";
}

/// The constraint that refuses a target which is listed already.
pub const TARGET_IS_LISTED: &str = "a_target_is_listed_once";

/// What its owner says of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetWords {
    /// Words of its owner.
    pub tags: Vec<String>,
    /// How much it matters.
    pub criticality: Criticality,
    /// Whom to ask about it.
    pub owner: Option<String>,
    /// How gently it is to be examined; a target that is added has none.
    pub politeness: Politeness,
}

/// A target to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTarget {
    /// Identity.
    pub id: TargetId,
    /// The target.
    pub target: Target,
    /// What its owner says of it.
    pub words: TargetWords,
    /// Since when.
    pub created_at: Timestamp,
}

/// A target that an organization keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTarget {
    /// Identity.
    pub id: TargetId,
    /// The target.
    pub target: Target,
    /// What its owner says of it.
    pub words: TargetWords,
    /// Since when.
    pub created_at: Timestamp,
    /// Whether it is proven.
    pub verification: Verification,
    /// Until when, when it is.
    pub verified_until: Option<Timestamp>,
}

impl From<NewTarget> for ListedTarget {
    fn from(NewTarget { id, target, words, created_at }: NewTarget) -> Self {
        Self { id, target, words, created_at, verification: Verification::Unverified, verified_until: None }
    }
}

/// Whether a target is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// By a proof that was found and is not too old.
    Verified,
    /// A token waits to be found.
    Pending,
    /// Neither.
    Unverified,
}

impl Verification {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Pending, Self::Unverified];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Pending => "pending",
            Self::Unverified => "unverified",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Which targets are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetFilter<'a> {
    /// With this tag.
    pub tag: Option<&'a str>,
    /// Of this kind ([`kind_name`]).
    pub kind: Option<&'a str>,
    /// In this state.
    pub verification: Option<Verification>,
}

/// The latest scan of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastScan {
    /// Identity.
    pub id: ScanId,
    /// The name of its state.
    pub state: String,
    /// When it was asked for.
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
pub async fn create(tx: &Tx<'_>, organization: OrganizationId, new: &NewTarget) -> Result<(), StoreError> {
    let TargetWords { tags, criticality, owner, politeness: _ } = &new.words;
    tx.execute_one(
        CREATE,
        &[
            &new.id.uuid(),
            &organization.uuid(),
            &new.created_at,
            &kind_name(&new.target),
            &new.target.to_string(),
            tags,
            &criticality.name(),
            owner,
        ],
    )
    .await
}

/// The tenant's targets, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.targets.list", skip_all, err(level = "debug"))]
pub async fn list(
    tx: &Tx<'_>,
    filter: TargetFilter<'_>,
    range: Range,
    now: Timestamp,
) -> Result<Page<ListedTarget>, StoreError> {
    let TargetFilter { tag, kind, verification } = filter;
    let state = verification.map(Verification::name);
    let rows = tx.query(LIST, &[&range.limit, &range.offset, &now, &tag, &kind, &state]).await?;
    let rows = rows.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
    let count = tx.query_one(COUNT, &[&now, &tag, &kind, &state]).await?;
    let total: i64 = Columns::new("targets", &count).get("total")?;
    Ok(Page { rows, total: u64::try_from(total).unwrap_or_default() })
}

/// One of the tenant's targets.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.targets.find", skip_all, fields(target.id = %id), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, id: TargetId, now: Timestamp) -> Result<Option<ListedTarget>, StoreError> {
    let row = tx.query_opt(FIND, &[&id.uuid(), &now]).await?;
    Ok(row.as_ref().map(listed).transpose()?)
}

/// The latest scan of a target; it may have been made before the target was kept.
///
/// # Errors
/// When the database refuses.
pub async fn last_scan(tx: &Tx<'_>, target: &Target) -> Result<Option<LastScan>, StoreError> {
    let Some(row) = tx.query_opt(LAST_SCAN, &[&target.to_string()]).await? else { return Ok(None) };
    let columns = Columns::new("scans", &row);
    Ok(Some(LastScan {
        id: ScanId::from_uuid(columns.get("id")?),
        state: columns.get("state")?,
        created_at: columns.get("created_at")?,
    }))
}

/// What the latest scan of a target that completed saw, by severity; `None` before the first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn open_findings(tx: &Tx<'_>, target: &Target) -> Result<Option<(ScanId, SeverityCounts)>, StoreError> {
    let Some(row) = tx.query_opt(LAST_WHOLE_SCAN, &[&target.to_string()]).await? else { return Ok(None) };
    let scan = ScanId::from_uuid(Columns::new("scans", &row).get("id")?);
    let counts = read::severity_counts(tx, &[scan]).await?.first().copied().unwrap_or_default();
    Ok(Some((scan, counts)))
}

/// Changes what its owner says of a target.
///
/// # Errors
/// [`StoreError::Stale`] when there is no such target, or when the database refuses.
#[tracing::instrument(name = "db.targets.update", skip_all, fields(target.id = %id), err(level = "debug"))]
pub async fn update(tx: &Tx<'_>, id: TargetId, words: &TargetWords) -> Result<(), StoreError> {
    let most = |number: Option<u32>| number.map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    let (max_tasks, max_rate) = (most(words.politeness.max_tasks), most(words.politeness.max_rate));
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&id.uuid(), &words.tags, &words.criticality.name(), &words.owner, &max_tasks, &max_rate];
    tx.execute_one(UPDATE, &row).await
}

/// Removes a target with its proofs and its authorization. Its scans stay.
///
/// # Errors
/// [`StoreError::Stale`] when there is no such target, or when the database refuses.
#[tracing::instrument(name = "db.targets.delete", skip_all, fields(target.id = %id), err(level = "debug"))]
pub async fn delete(tx: &Tx<'_>, id: TargetId) -> Result<(), StoreError> {
    tx.execute_one(DELETE, &[&id.uuid()]).await
}

fn listed(row: &Row) -> Result<ListedTarget, Inconsistent> {
    let columns = Columns::new("targets", row);
    let most = |name| columns.get::<Option<i32>>(name).map(|most| most.and_then(|most| u32::try_from(most).ok()));
    let words = TargetWords {
        tags: columns.get("tags")?,
        criticality: columns.named("criticality", Criticality::find)?,
        owner: columns.get("owner")?,
        politeness: Politeness { max_tasks: most("max_tasks")?, max_rate: most("max_rate")? },
    };
    Ok(ListedTarget {
        id: TargetId::from_uuid(columns.get("id")?),
        target: columns.named("value", |value| Target::parse(value).ok())?,
        words,
        created_at: columns.get("created_at")?,
        verification: columns.named("state", Verification::find)?,
        verified_until: columns.get("verified_until")?,
    })
}
