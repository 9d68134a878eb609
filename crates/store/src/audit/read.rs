//! Reading the audit log: pages of it for people, and the whole of it for whoever checks that it is whole.

use jiff::Timestamp;
use picket_domain::{AuditHash, AuditPoint, AuditRow, Broken, ChainWalk, OrganizationId};
use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    // The filters that are not asked for must fall out of the plan, or no index is chosen for those that are: a rare action
    // among 120,000 rows took 99 ms by the generic plan (EXPLAIN ANALYZE, Postgres 15), and 0.04 ms by its own.
    PLAN = "-- audit.plan
SELECT set_config('plan_cache_mode', 'force_custom_plan', true) AS mode";

    LIST = "-- audit.list
SELECT sequence, at, entry, hash
FROM audit_log
WHERE organization_id = $1 AND ($2::bigint IS NULL OR sequence < $2)
  AND ($3::text IS NULL OR actor = $3) AND ($4::text IS NULL OR action = $4)
  AND ($5::text IS NULL OR object = $5) AND ($6::text IS NULL OR address = $6)
  AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)
ORDER BY sequence DESC
LIMIT $9";

    // One statement, so that both are of one moment.
    HEAD = "-- audit.head
SELECT c.audit_sequence, c.audit_hash,
       coalesce((SELECT max(a.sequence) FROM audit_log AS a WHERE a.organization_id = $1), 0) AS last
FROM organization_counters AS c
WHERE c.organization_id = $1";

    FIND = "-- audit.find
SELECT sequence, at, entry, hash
FROM audit_log
WHERE organization_id = $1 AND sequence = $2";

    ROWS = "-- audit.rows
SELECT sequence, at, entry, hash
FROM audit_log
WHERE organization_id = $1 AND sequence > $2 AND sequence <= $3
ORDER BY sequence
LIMIT $4";
}

/// Rows that are held in memory at once.
const PAGE: i64 = 500;

/// Which rows to list; what is `None` does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only rows before this one.
    pub before: Option<i64>,
    /// Who.
    pub actor: Option<String>,
    /// What, by its name.
    pub action: Option<String>,
    /// To what.
    pub object: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// Not earlier.
    pub from: Option<Timestamp>,
    /// Earlier.
    pub to: Option<Timestamp>,
}

/// What the counters and the rows say of the end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The end, as the counters know it.
    pub point: AuditPoint,
    /// The last row that is there.
    pub last: i64,
}

/// Which part of a chain to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSpan {
    /// The first row; at least 1. The row before it is believed.
    pub from: i64,
    /// The last row; the head when it is `None`.
    pub to: Option<i64>,
    /// The most rows that are checked.
    pub most: u64,
}

/// What checking a part of a chain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// Rows that are as they were written.
    pub checked: u64,
    /// The first one that is not.
    pub broken: Option<Broken>,
    /// The end, as the counters know it.
    pub head: AuditPoint,
    /// The row to go on with, where `most` ended the check.
    pub next: Option<i64>,
}

/// At most `limit` rows, newest first. Runs as the tenant, which it names too.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.audit.list", skip_all, err(level = "debug"))]
pub async fn list(
    tx: &Tx<'_>,
    organization: OrganizationId,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<AuditRow>, StoreError> {
    tx.execute(PLAN, &[]).await?;
    let AuditFilter { before, actor, action, object, address, from, to } = filter;
    let rows =
        tx.query(LIST, &[&organization.uuid(), before, actor, action, object, address, from, to, &limit]).await?;
    Ok(rows.iter().map(audit_row).collect::<Result<_, _>>()?)
}

/// The end of the chain; `None` when there is no such organization.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.audit.head", skip_all, err(level = "debug"))]
pub async fn head(tx: &Tx<'_>, organization: OrganizationId) -> Result<Option<AuditHead>, StoreError> {
    let Some(row) = tx.query_opt(HEAD, &[&organization.uuid()]).await? else { return Ok(None) };
    let columns = Columns::new("organization_counters", &row);
    let hash = match columns.get::<Option<&[u8]>>("audit_hash")? {
        Some(bytes) => AuditHash(bytes.try_into().map_err(|_| columns.inconsistent("audit_hash"))?),
        None => AuditPoint::start(organization).hash,
    };
    let point = AuditPoint { sequence: columns.get("audit_sequence")?, hash };
    Ok(Some(AuditHead { point, last: columns.get("last")? }))
}

/// One row.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.audit.find", skip_all, err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, organization: OrganizationId, sequence: i64) -> Result<Option<AuditRow>, StoreError> {
    let row = tx.query_opt(FIND, &[&organization.uuid(), &sequence]).await?;
    Ok(row.as_ref().map(audit_row).transpose()?)
}

/// At most `limit` rows behind `after` and up to `to`, oldest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.audit.rows", skip_all, err(level = "debug"))]
pub async fn rows(
    tx: &Tx<'_>,
    organization: OrganizationId,
    after: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<AuditRow>, StoreError> {
    let rows = tx.query(ROWS, &[&organization.uuid(), &after, &to, &limit]).await?;
    Ok(rows.iter().map(audit_row).collect::<Result<_, _>>()?)
}

/// Computes a part of the chain anew and compares its end with the counters; `None` when there is no such organization.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.audit.verify", skip_all, err(level = "debug"))]
pub async fn verify(
    tx: &Tx<'_>,
    organization: OrganizationId,
    span: AuditSpan,
) -> Result<Option<Verification>, StoreError> {
    // First, so that rows which are added meanwhile are not looked at.
    let Some(head) = head(tx, organization).await? else { return Ok(None) };
    let end = head.point.sequence.max(head.last);
    let mut found = Verification { checked: 0, broken: None, head: head.point, next: None };
    if span.from > end.saturating_add(1) {
        return Ok(Some(found));
    }
    let mut walk = match beginning(tx, organization, span.from).await? {
        Ok(walk) => walk,
        Err(broken) => return Ok(Some(Verification { broken: Some(broken), ..found })),
    };
    let to = span.to.unwrap_or(end).min(end);
    found.broken = advance(tx, organization, &mut walk, to, span.most, &mut found.checked).await?;
    if found.broken.is_none() && walk.point().sequence < to && found.checked >= span.most {
        found.next = Some(walk.point().sequence.saturating_add(1));
    } else if found.broken.is_none() && to >= head.point.sequence {
        found.broken = walk.end(head.point).err();
    }
    Ok(Some(found))
}

/// A walk that begins with this row.
async fn beginning(
    tx: &Tx<'_>,
    organization: OrganizationId,
    from: i64,
) -> Result<Result<ChainWalk, Broken>, StoreError> {
    let before = from.saturating_sub(1);
    if before < 1 {
        return Ok(Ok(ChainWalk::begin(organization)));
    }
    let missing = Broken { sequence: before, why: picket_domain::BreakReason::Missing };
    let row = find(tx, organization, before).await?;
    Ok(row.map(|row| ChainWalk::after(AuditPoint { sequence: row.sequence, hash: row.hash })).ok_or(missing))
}

/// Walks up to the row `to`, or `most` rows.
async fn advance(
    tx: &Tx<'_>,
    organization: OrganizationId,
    walk: &mut ChainWalk,
    to: i64,
    most: u64,
    checked: &mut u64,
) -> Result<Option<Broken>, StoreError> {
    while *checked < most {
        let limit = i64::try_from(most.saturating_sub(*checked)).unwrap_or(PAGE).min(PAGE);
        let page = rows(tx, organization, walk.point().sequence, to, limit).await?;
        for row in &page {
            if let Err(broken) = walk.step(row) {
                return Ok(Some(broken));
            }
            *checked = checked.saturating_add(1);
        }
        if i64::try_from(page.len()).unwrap_or(limit) < limit {
            break;
        }
    }
    let point = walk.point();
    // Rows that should be there, and are not, at the end of what was asked for.
    let is_short = *checked < most && point.sequence < to;
    Ok(is_short
        .then(|| Broken { sequence: point.sequence.saturating_add(1), why: picket_domain::BreakReason::Missing }))
}

fn audit_row(row: &Row) -> Result<AuditRow, Inconsistent> {
    let columns = Columns::new("audit_log", row);
    let hash = columns.get::<&[u8]>("hash")?.try_into().map_err(|_| columns.inconsistent("hash"))?;
    Ok(AuditRow {
        sequence: columns.get("sequence")?,
        at: columns.get("at")?,
        entry: columns.get("entry")?,
        hash: AuditHash(hash),
    })
}
