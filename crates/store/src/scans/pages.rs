//! Tasks of a plan that are made page by page. What is left of a plan stands in its scan's row: how many tasks, and the ranges
//! that they are cut from. A page is one transaction behind the scan's lock, which makes the tasks and moves on; so whoever
//! dies in between has done nothing, and any number may try at once. Views count what is not made as waiting, or as cancelled
//! when the scan was.

use jiff::Timestamp;
use picket_domain::{Gap, LaterTasks, NewScan, OrganizationId, PlanGap, ScanId, Shard, TaskId};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::end_if_over;
use crate::{Notice, StoreError, Tx, row::Columns, statements::statements, tasks::authority};

statements! {
    DUE = "-- scans.pages.due
SELECT id
FROM scans
WHERE unmade > 0 AND state IN ('created', 'queued', 'running', 'paused') AND ($1::uuid IS NULL OR id > $1)
ORDER BY id
LIMIT $2";

    LOCK = "-- scans.pages.lock
SELECT organization_id, unmade, pages, state
FROM scans
WHERE id = $1 AND unmade > 0 AND state IN ('created', 'queued', 'running', 'paused')
FOR NO KEY UPDATE";

    // What is made while the scan is paused is held with it.
    INSERT = "-- scans.pages.insert
INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, opens, share, reserve, created_at, ready_at)
SELECT t.id, $2, $1, $3, $4, $5, $6, t.shard, string_to_array($7, ','), picket_share($8, $7), picket_reserve($8, $7), $9,
       CASE WHEN $12 THEN 'infinity' ELSE now() END
FROM unnest($10::uuid[], $11::jsonb[]) AS t (id, shard)";

    MOVE_ON = "-- scans.pages.move_on
UPDATE scans
SET unmade = unmade - $2, pages = $3
WHERE id = $1";

    LEFT = "-- scans.pages.left
SELECT unmade, pages
FROM scans
WHERE id = $1 AND unmade > 0";

    // What a scan that has ended did not make is never made.
    UNMADE = "-- scans.pages.unmade
SELECT CASE WHEN state IN ('created', 'queued', 'running', 'paused') THEN unmade ELSE 0 END AS unmade
FROM scans
WHERE id = $1";
}

/// What is left of a plan, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Pages {
    /// All tasks of the first stage: each is an equal part of the work.
    total: u64,
    later: Vec<LaterTasks>,
}

/// The columns `unmade` and `pages` of a new scan.
pub(super) fn columns(new: &NewScan) -> (i64, Option<serde_json::Value>) {
    if new.later.is_empty() {
        return (0, None);
    }
    let pages = Pages { total: new.task_count(), later: new.later.clone() };
    (count(&new.later), serde_json::to_value(pages).ok())
}

fn count(later: &[LaterTasks]) -> i64 {
    i64::try_from(later.iter().map(LaterTasks::tasks).fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
}

/// Unfinished scans, behind that one, with tasks that are to be made; in the order of their ids. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.scans.pages.due", skip_all, err(level = "debug"))]
pub async fn due(tx: &Tx<'_>, behind: Option<ScanId>, at_most: i64) -> Result<Vec<ScanId>, StoreError> {
    let scan = |row: &Row| -> Result<ScanId, StoreError> {
        Ok(ScanId::from_uuid(Columns::new("scans", row).get::<Uuid>("id")?))
    };
    tx.query(DUE, &[&behind.map(ScanId::uuid), &at_most]).await?.iter().map(scan).collect()
}

/// Tasks of a scan that are not made yet.
///
/// # Errors
/// When the database refuses.
pub async fn unmade(tx: &Tx<'_>, id: ScanId) -> Result<u64, StoreError> {
    let Some(row) = tx.query_opt(UNMADE, &[&id.uuid()]).await? else { return Ok(0) };
    Ok(u64::try_from(Columns::new("scans", &row).get::<i64>("unmade")?).unwrap_or_default())
}

/// Makes the next page of a scan's tasks; returns how many, none when there are no more or the scan has ended.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.scans.pages.make", skip_all, fields(scan.id = %id), err(level = "debug"))]
pub async fn make(tx: &Tx<'_>, id: ScanId, now: Timestamp) -> Result<u64, StoreError> {
    let Some(row) = tx.query_opt(LOCK, &[&id.uuid()]).await? else { return Ok(0) };
    if authority::end_if_fallen(tx, id, now).await? > 0 {
        return Ok(0);
    }
    let columns = Columns::new("scans", &row);
    let Pages { total, later } = columns.json("pages")?;
    let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
    let is_held = columns.get::<&str>("state")? == "paused";
    // A plan has far fewer tasks than numbers that are exact.
    let part = u32::try_from(total).ok().filter(|total| *total > 0).map(|total| 1.0 / f64::from(total));
    let part = part.ok_or_else(|| columns.inconsistent("pages"))?;
    let (page, left) = LaterTasks::page(later);
    let made = count(&page);
    if count(&left).saturating_add(made) != columns.get::<i64>("unmade")? {
        return Err(columns.inconsistent("unmade").into());
    }
    for range in &page {
        insert(tx, (id, organization), range, (part, is_held), now).await?;
    }
    let left = if left.is_empty() { None } else { Some(Json(Pages { total, later: left })) };
    tx.execute_one(MOVE_ON, &[&id.uuid(), &made, &left]).await?;
    tx.notify(Notice::Tasks);
    // Where everything that was left is excluded, nobody else would end the scan.
    end_if_over(tx, id, now).await?;
    Ok(u64::try_from(made).unwrap_or_default())
}

/// Makes nothing more of a locked scan: what is not made becomes gaps of its plan, one for each tool and target. Returns how many
/// tasks that are. Whoever calls looks whether the scan is over with that.
pub(crate) async fn give_up(tx: &Tx<'_>, id: ScanId, gap: Gap) -> Result<u64, StoreError> {
    let Some(row) = tx.query_opt(LEFT, &[&id.uuid()]).await? else { return Ok(0) };
    let columns = Columns::new("scans", &row);
    let (Pages { later, .. }, unmade) = (columns.json("pages")?, columns.get::<i64>("unmade")?);
    let mut gaps: Vec<PlanGap> = Vec::new();
    for LaterTasks { tool, target, .. } in later {
        let lacking = PlanGap { tool, target, gap };
        if !gaps.contains(&lacking) {
            gaps.push(lacking);
        }
    }
    super::grow::lack(tx, id, &gaps).await?;
    tx.execute_one(MOVE_ON, &[&id.uuid(), &unmade, &None::<Json<Pages>>]).await?;
    Ok(u64::try_from(unmade).unwrap_or_default())
}

async fn insert(
    tx: &Tx<'_>,
    (scan, of): (ScanId, OrganizationId),
    range: &LaterTasks,
    (part, is_held): (f64, bool),
    now: Timestamp,
) -> Result<(), StoreError> {
    let shards: Vec<Json<Shard>> = range.shards().map(Json).collect();
    let ids: Vec<Uuid> = shards.iter().map(|_| TaskId::mint(now).uuid()).collect();
    let (pool, level) = (range.needs.pool.name(), range.needs.level.name());
    let (scan, organization, opens) = (scan.uuid(), of.uuid(), range.opens.join(","));
    tx.execute(
        INSERT,
        &[
            &scan,
            &organization,
            &range.tool,
            &pool,
            &level,
            &Json(&range.params),
            &opens,
            &part,
            &now,
            &ids,
            &shards,
            &is_held,
        ],
    )
    .await?;
    // An exclusion stops what there is when it is made.
    authority::leave_out_excluded(tx, of, &ids, now).await?;
    Ok(())
}
