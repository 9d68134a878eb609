//! What tools printed: a small one within its row, a larger one as a document. The row is there before its document and goes after it: a document of which nobody said in
//! time that it is whole, and one whose scan is gone, is `doomed`, and the steward takes first the document and then the row
//! away. What is doomed is shown to nobody and never comes back.

use jiff::Timestamp;
use picket_domain::{ArtifactId, ClaimedTask, OrganizationId, ScanId, TaskId};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Inconsistent, StoreError, Tx, quota,
    retention::{Due, due_by, record},
    row::Columns,
    statements::statements,
};

statements! {
    BEGIN = "-- artifacts.begin
INSERT INTO artifacts (id, organization_id, scan_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256, is_cut)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

    SMALL = "-- artifacts.small
INSERT INTO artifacts (id, organization_id, scan_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256, is_cut,
                       state, stored_bytes, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'stored', octet_length($12::bytea), $12)";

    // Not one that was doomed meanwhile.
    KEEP = "-- artifacts.keep
UPDATE artifacts
SET state = CASE WHEN $2::bigint IS NULL THEN 'lost' ELSE 'stored' END, stored_bytes = $2
WHERE id = $1 AND state = 'storing'";

    DISOWN = "-- artifacts.disown
WITH doomed AS (
  UPDATE artifacts
  SET state = 'doomed'
  WHERE id = $1 AND state = 'storing'
)
SELECT NOT EXISTS (SELECT FROM artifacts WHERE id = $1 AND state = 'stored') AS is_orphaned";

    LIST = "-- artifacts.list
SELECT id, organization_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256, is_cut, state, stored_bytes
FROM artifacts
WHERE scan_id = $1 AND state IN ('stored', 'lost') AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3";

    FIND = "-- artifacts.find
SELECT id, organization_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256, is_cut, state, stored_bytes, content
FROM artifacts
WHERE id = $1 AND state = 'stored'";

    // An hour is far longer than any run may take from BEGIN to KEEP.
    ABANDONED = "-- artifacts.abandoned
UPDATE artifacts
SET state = 'doomed'
WHERE state = 'storing' AND created_at < $1::timestamptz - interval '1 hour'";

    // Of a suspended organization nothing goes.
    AGED = "-- artifacts.aged
WITH kept AS (
  SELECT o.id, $1::timestamptz - make_interval(days => p.days) AS before
  FROM organizations AS o
  JOIN unnest($2::text[], $3::integer[]) AS p (plan, days) ON p.plan = o.plan
  WHERE o.suspended_at IS NULL AND ($4::uuid IS NULL OR o.id > $4)
)
SELECT k.id, k.before
FROM kept AS k
WHERE EXISTS (SELECT FROM artifacts AS a
              WHERE a.organization_id = k.id AND a.state IN ('stored', 'lost') AND a.created_at < k.before)
ORDER BY k.id
LIMIT $5";

    DOOM = "-- artifacts.doom
UPDATE artifacts
SET state = 'doomed'
WHERE organization_id = $1 AND state IN ('stored', 'lost') AND created_at < $2";

    // A worker may still be at the document of a young one.
    DOOMED = "-- artifacts.doomed
SELECT id, organization_id, content IS NULL AS is_document
FROM artifacts
WHERE state = 'doomed' AND created_at < $1::timestamptz - interval '5 minutes' AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3";

    REMOVE = "-- artifacts.remove
DELETE FROM artifacts
WHERE id = ANY($1) AND state = 'doomed'";
}

/// What a document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// What a tool printed in a run of ours.
    Output,
    /// A report that was imported, as it came.
    Import,
}

impl ArtifactKind {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Import => "import",
        }
    }

    fn find(name: &str) -> Option<Self> {
        [Self::Output, Self::Import].into_iter().find(|kind| kind.name() == name)
    }
}

/// A document that is about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// Identity.
    pub id: ArtifactId,
    /// What it holds.
    pub kind: ArtifactKind,
    /// Bytes, before they are compressed.
    pub size_bytes: i64,
    /// SHA-256 of those, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether there was more.
    pub is_cut: bool,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Identity.
    pub id: ArtifactId,
    /// Its size, compressed; `None` when it could not be stored.
    pub stored_bytes: Option<i64>,
}

/// The most bytes, compressed, that are kept within a row: a page of the database holds them, and they cost no document.
pub const SMALL_BYTES: usize = 8192;

/// What is kept of a run's raw output, to be said in the transaction that ends the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The whole of it.
    Small {
        /// What it is.
        new: NewArtifact,
        /// Compressed; [`SMALL_BYTES`] at most.
        content: Vec<u8>,
    },
    /// A document, whose row is there.
    Document(Keep),
}

impl Kept {
    /// Identity.
    #[must_use]
    pub const fn id(&self) -> ArtifactId {
        match self {
            Self::Small { new, .. } => new.id,
            Self::Document(keep) => keep.id,
        }
    }

    /// Its size, compressed; `None` when it could not be stored.
    #[must_use]
    pub fn stored_bytes(&self) -> Option<i64> {
        match self {
            Self::Small { content, .. } => i64::try_from(content.len()).ok(),
            Self::Document(keep) => keep.stored_bytes,
        }
    }
}

/// A document as a client may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Identity.
    pub id: ArtifactId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The task whose run it is of.
    pub task_id: TaskId,
    /// Which claim of it.
    pub attempt: i32,
    /// The tool's slug.
    pub tool: String,
    /// What it holds.
    pub kind: ArtifactKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// Bytes, before they were compressed.
    pub size_bytes: i64,
    /// SHA-256 of those, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether there was more.
    pub is_cut: bool,
    /// Its size in the object store; `None` when it was lost.
    pub stored_bytes: Option<i64>,
}

/// A document that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doomed {
    /// Identity.
    pub id: ArtifactId,
    /// Whose it was.
    pub organization_id: OrganizationId,
    /// Whether there is a document beside the row.
    pub is_document: bool,
}

/// What a client downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub artifact: Artifact,
    /// The whole of it, compressed, where it is small; else it is a document.
    pub content: Option<Vec<u8>>,
}

/// Names a document that is about to be stored.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.artifacts.begin", skip_all, fields(task.id = %task.fence.task_id), err(level = "debug"))]
pub async fn begin(tx: &Tx<'_>, task: &ClaimedTask, new: &NewArtifact, now: Timestamp) -> Result<(), StoreError> {
    let (id, organization, scan) = (new.id.uuid(), task.organization_id.uuid(), task.scan_id.uuid());
    let (of, attempt, kind) = (task.fence.task_id.uuid(), task.fence.attempt, new.kind.name());
    let NewArtifact { size_bytes, sha256, is_cut, .. } = new;
    tx.execute_one(
        BEGIN,
        &[&id, &organization, &scan, &of, &attempt, &task.tool, &kind, &now, size_bytes, sha256, is_cut],
    )
    .await
}

/// Says what became of a document, in the transaction that ends its run. `false` when its row was doomed or taken away
/// meanwhile: then nobody will ever name it.
///
/// # Errors
/// When the database refuses.
pub async fn keep(tx: &Tx<'_>, keep: &Keep) -> Result<bool, StoreError> {
    Ok(tx.execute(KEEP, &[&keep.id.uuid(), &keep.stored_bytes]).await? == 1)
}

/// The same for whatever is kept of a run that somebody takes back; one that ends says it with its end
/// ([`crate::tasks::RunEnd`]).
///
/// # Errors
/// When the database refuses.
pub async fn leave(tx: &Tx<'_>, task: &ClaimedTask, kept: &Kept, now: Timestamp) -> Result<bool, StoreError> {
    let (new, content) = match kept {
        Kept::Document(document) => return keep(tx, document).await,
        Kept::Small { new, content } => (new, content),
    };
    let (id, organization, scan) = (new.id.uuid(), task.organization_id.uuid(), task.scan_id.uuid());
    let (of, attempt, kind) = (task.fence.task_id.uuid(), task.fence.attempt, new.kind.name());
    let NewArtifact { size_bytes, sha256, is_cut, .. } = new;
    tx.execute_one(
        SMALL,
        &[&id, &organization, &scan, &of, &attempt, &task.tool, &kind, &now, size_bytes, sha256, is_cut, content],
    )
    .await?;
    Ok(true)
}

/// Gives a document up of which nobody will say what became of it, by whoever stored it. Whether that is so: one that was said
/// to be stored is not given up.
///
/// # Errors
/// When the database refuses.
pub async fn disown(tx: &Tx<'_>, id: ArtifactId) -> Result<bool, StoreError> {
    Ok(Columns::new("artifacts", &tx.query_one(DISOWN, &[&id.uuid()]).await?).get("is_orphaned")?)
}

/// At most `limit` documents of a scan behind that one, in the order of their ids.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(
    tx: &Tx<'_>,
    scan: ScanId,
    behind: Option<ArtifactId>,
    limit: i64,
) -> Result<Vec<Artifact>, StoreError> {
    let rows = tx.query(LIST, &[&scan.uuid(), &behind.map(ArtifactId::uuid), &limit]).await?;
    Ok(rows.iter().map(artifact).collect::<Result<_, _>>()?)
}

/// One that is whole, unless the tenant has none of that id.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
pub async fn find(tx: &Tx<'_>, id: ArtifactId) -> Result<Option<Found>, StoreError> {
    let row = tx.query_opt(FIND, &[&id.uuid()]).await?;
    let found = |row: &Row| -> Result<_, Inconsistent> {
        Ok(Found { artifact: artifact(row)?, content: Columns::new("artifacts", row).get("content")? })
    };
    Ok(row.as_ref().map(found).transpose()?)
}

/// Dooms documents of which nobody said in time that they are whole; returns how many. As the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.artifacts.doom_abandoned", skip_all, err(level = "debug"))]
pub async fn doom_abandoned(tx: &Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(ABANDONED, &[&now]).await
}

/// Organizations that have documents older than their plan keeps them, by their ids, from behind `after`; at most `most`. As
/// the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.artifacts.aged", skip_all, err(level = "debug"))]
pub async fn aged(
    tx: &Tx<'_>,
    now: Timestamp,
    after: Option<OrganizationId>,
    most: i64,
) -> Result<Vec<Due>, StoreError> {
    due_by(tx, AGED, |plan| plan.limits().raw_output_days, (now, after, most)).await
}

/// Dooms an organization's documents that are too old; returns how many. As the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.artifacts.doom_aged", skip_all, fields(tenant.id = %due.organization_id), err(level = "debug"))]
pub async fn doom_aged(tx: &Tx<'_>, due: Due, now: Timestamp) -> Result<u64, StoreError> {
    quota::lock(tx, due.organization_id).await?;
    let doomed = tx.execute(DOOM, &[&due.organization_id.uuid(), &due.before]).await?;
    if doomed > 0 {
        let after = json!({"made_before": due.before.to_string(), "raw_outputs": doomed});
        record(tx, due.organization_id, None, after, now).await?;
    }
    Ok(doomed)
}

/// Documents that are to go, by their ids, from behind `after`; at most `most`. As the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.artifacts.doomed", skip_all, err(level = "debug"))]
pub async fn doomed(
    tx: &Tx<'_>,
    now: Timestamp,
    after: Option<ArtifactId>,
    most: i64,
) -> Result<Vec<Doomed>, StoreError> {
    let doomed = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("artifacts", row);
        let organization_id = OrganizationId::from_uuid(columns.get("organization_id")?);
        let id = ArtifactId::from_uuid(columns.get("id")?);
        Ok(Doomed { id, organization_id, is_document: columns.get("is_document")? })
    };
    let rows = tx.query(DOOMED, &[&now, &after.map(ArtifactId::uuid), &most]).await?;
    Ok(rows.iter().map(doomed).collect::<Result<_, _>>()?)
}

/// Takes rows away whose documents are gone; returns how many there still were. As the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.artifacts.remove", skip_all, err(level = "debug"))]
pub async fn remove(tx: &Tx<'_>, gone: &[ArtifactId]) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = gone.iter().map(|id| id.uuid()).collect();
    tx.execute(REMOVE, &[&ids]).await
}

fn artifact(row: &Row) -> Result<Artifact, Inconsistent> {
    let columns = Columns::new("artifacts", row);
    Ok(Artifact {
        id: ArtifactId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        task_id: TaskId::from_uuid(columns.get("task_id")?),
        attempt: columns.get("attempt")?,
        tool: columns.get("tool")?,
        kind: columns.named("kind", ArtifactKind::find)?,
        created_at: columns.get("created_at")?,
        size_bytes: columns.get("size_bytes")?,
        sha256: columns.get("sha256")?,
        is_cut: columns.get("is_cut")?,
        stored_bytes: columns.get("stored_bytes")?,
    })
}
