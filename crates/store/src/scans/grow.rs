//! A scan that grows from the result of one of its tasks. It only ever happens in the transaction that ends the task, behind
//! the scan's lock, so that a scan neither ends too early nor grows twice.

use jiff::Timestamp;
use picket_domain::{Authority, ClaimedTask, Growing, Grown, Plan, PlanGap, ScanId, Subscription};
use tokio_postgres::types::Json;

use super::TaskColumns;
use crate::{Inconsistent, Notice, StoreError, Tx, row::Columns, statements::statements, tasks::authority};

statements! {
    STANDS = "-- scans.grow.stands
SELECT s.plan, s.request, s.probes, o.plan AS subscription,
       (SELECT count(*) FROM tasks WHERE scan_id = $1) + s.unmade AS tasks
FROM scans AS s
JOIN organizations AS o ON o.id = s.organization_id
WHERE s.id = $1";

    // What a scan has already is not planned again: a repeated scan begins with tasks of a later stage.
    // The task that ended hands its reserve on, in equal parts.
    INSERT = "-- scans.grow.insert
WITH next AS (
  SELECT t.id, t.tool, t.pool, t.level, t.params, t.shard, t.opens
  FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::jsonb[], $10::jsonb[], $11::text[])
    AS t (id, tool, pool, level, params, shard, opens)
  WHERE NOT EXISTS (
    SELECT FROM tasks AS e
    WHERE e.scan_id = $2 AND e.tool = t.tool AND e.params = t.params AND e.shard -> 'addresses' = t.shard -> 'addresses'
      AND e.shard -> 'target' = t.shard -> 'target'
  )
), ended AS (
  UPDATE tasks
  SET reserve = 0
  WHERE id = $3 AND EXISTS (SELECT FROM next)
), whole AS (
  SELECT reserve / greatest((SELECT count(*) FROM next), 1) AS part FROM tasks WHERE id = $3
)
INSERT INTO tasks (id, organization_id, scan_id, grown_from, tool, pool, level, params, shard, opens, share, reserve,
                   created_at, ready_at)
SELECT n.id, $1, $2, $3, n.tool, n.pool, n.level, n.params, n.shard, string_to_array(n.opens, ','),
       picket_share(whole.part, n.opens), picket_reserve(whole.part, n.opens), $4, now()
FROM next AS n, whole";

    COUNT = "-- scans.grow.count
UPDATE scans
SET probes = probes + $2
WHERE id = $1";

    RELY = "-- scans.grow.rely
UPDATE scans
SET authority = $2
WHERE id = $1";

    RELIES = "-- scans.grow.relies
SELECT s.authority, s.requested_by, o.plan AS subscription
FROM scans AS s
JOIN organizations AS o ON o.id = s.organization_id
WHERE s.id = $1";

    LACK = "-- scans.grow.lack
UPDATE scans
SET gaps = gaps || (SELECT coalesce(jsonb_agg(g), '[]') FROM jsonb_array_elements($2::jsonb) AS g WHERE NOT gaps @> jsonb_build_array(g))
WHERE id = $1";
}

/// Plans from the result of a task that ended in this transaction.
pub(crate) async fn grow(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    next: impl FnOnce(&Growing) -> Grown,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Grown { tasks, probes, gaps, authority } = next(&stands(tx, task.scan_id).await?);
    if !tasks.is_empty() {
        let TaskColumns { ids, tools, pools, levels, params, shards, opens } = TaskColumns::of(&tasks);
        let (organization, scan, ended) = (task.organization_id.uuid(), task.scan_id.uuid(), task.fence.task_id.uuid());
        let inserted = tx
            .execute(
                INSERT,
                &[&organization, &scan, &ended, &now, &ids, &tools, &pools, &levels, &params, &shards, &opens],
            )
            .await?;
        // Tasks that grow look at one port each, so of those that the scan has already an equal part is not counted.
        let planned = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
        let counted = probes.saturating_mul(inserted).div_ceil(planned);
        tx.execute_one(COUNT, &[&scan, &i64::try_from(counted).unwrap_or(i64::MAX)]).await?;
        authority::leave_out_excluded(tx, task.organization_id, &ids, now).await?;
        tx.notify(Notice::Tasks);
    }
    if let Some(authority) = authority {
        tx.execute_one(RELY, &[&task.scan_id.uuid(), &authority.to_json()]).await?;
    }
    lack(tx, task.scan_id, &gaps).await
}

/// What somebody must know who looks for further names of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relies {
    /// What allows the scan.
    pub authority: Authority,
    /// Who asked for it.
    pub requested_by: String,
    /// What its owner may have.
    pub subscription: Subscription,
}

/// What a scan relies on; `None` when the tenant has no such scan.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.scans.relies", skip_all, fields(scan.id = %scan), err(level = "debug"))]
pub async fn relies(tx: &Tx<'_>, scan: ScanId) -> Result<Option<Relies>, StoreError> {
    let Some(row) = tx.query_opt(RELIES, &[&scan.uuid()]).await? else { return Ok(None) };
    let columns = Columns::new("scans", &row);
    let authority = Authority::from_json(&columns.json("authority")?);
    Ok(Some(Relies {
        authority: authority.ok_or_else(|| columns.inconsistent("authority"))?,
        requested_by: columns.get("requested_by")?,
        subscription: columns.named("subscription", Subscription::find)?,
    }))
}

/// Notes what the plan of a locked scan does not look at, each once.
pub(crate) async fn lack(tx: &Tx<'_>, scan: ScanId, gaps: &[PlanGap]) -> Result<(), StoreError> {
    if gaps.is_empty() {
        return Ok(());
    }
    tx.execute_one(LACK, &[&scan.uuid(), &Json(gaps)]).await
}

/// How far the scan has grown.
async fn stands(tx: &Tx<'_>, scan: ScanId) -> Result<Growing, StoreError> {
    let row = tx.query_one(STANDS, &[&scan.uuid()]).await?;
    let columns = Columns::new("scans", &row);
    let limits = columns.named("subscription", Subscription::find)?.limits();
    let count =
        |column| -> Result<u64, Inconsistent> { Ok(u64::try_from(columns.get::<i64>(column)?).unwrap_or_default()) };
    Ok(Growing {
        plan: columns.named("plan", Plan::find)?,
        request: columns.json("request")?,
        tasks_left: u64::from(limits.tasks).saturating_sub(count("tasks")?),
        probes_left: limits.probes.saturating_sub(count("probes")?),
    })
}
