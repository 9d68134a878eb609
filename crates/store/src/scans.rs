//! Scans at rest: creating, changing and ending them. Reading for clients is in [`read`].
//! Lock order everywhere: scans in the order of their ids, then tasks in the order of theirs, then findings in the order
//! of their identities. A transaction that locked a task must not lock a scan.

pub mod compare;
pub mod control;
pub mod gate;
pub mod grow;
pub mod import;
pub mod overview;
pub mod pages;
pub mod read;
pub mod remove;
pub mod timeline;

use jiff::Timestamp;
use picket_domain::{
    AuditEntry, EventBody, NewScan, NewTask, OrganizationId, PlanGap, Scan, ScanChanged, ScanEnd, ScanId, ScanState,
    Subscription, Transition,
};
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};
use uuid::Uuid;

use crate::{
    Inconsistent, Notice, StoreError, Tx, audit, events, halts, mails::scan_end, quota, row::Columns,
    statements::statements,
};

statements! {
    // Before CREATE, and in the same round trip: its lock lasts that long and the commit, and what CREATE counts behind it
    // is what the create before this one has committed.
    NUMBER = "-- scans.number
UPDATE organization_counters
SET scans = scans + 1
WHERE organization_id = $1";

    // No row when the plan refuses (`quota.rs` says why): the trial is over, the scan is too large, or too many have not
    // ended.
    CREATE = "-- scans.create
WITH room AS (
  SELECT c.scans AS number
  FROM organizations AS o
  JOIN organization_counters AS c ON c.organization_id = o.id
  JOIN unnest($19::text[], $20::bigint[], $21::bigint[]) AS most (plan, scans, probes) ON most.plan = o.plan
  WHERE o.id = $2
    AND (o.plan <> 'trial' OR o.trial_ends_at IS NULL OR o.trial_ends_at > $12)
    AND $22 <= most.probes
    AND most.scans > (
      SELECT count(*)
      FROM (
        SELECT
        FROM scans
        WHERE organization_id = $2 AND state IN ('created', 'queued', 'running', 'paused')
        LIMIT most.scans
      ) AS unfinished
    )
), scan AS (
  INSERT INTO scans (id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, requested_by,
                     traceparent, created_at, state, probes, authority, unmade, pages)
  SELECT $1, $2, room.number, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'created', $22, $24, $25, $26
  FROM room
  RETURNING number
), task AS (
  INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, opens, share, reserve, created_at,
                     ready_at)
  SELECT t.id, $2, $1, t.tool, t.pool, t.level, t.params, t.shard, string_to_array(t.opens, ','),
         picket_share(1.0 / greatest(cardinality($13) + $25, 1), t.opens),
         picket_reserve(1.0 / greatest(cardinality($13) + $25, 1), t.opens), $12, now()
  FROM room, unnest($13::uuid[], $14::text[], $15::text[], $16::text[], $17::jsonb[], $18::jsonb[], $23::text[])
    AS t (id, tool, pool, level, params, shard, opens)
)
SELECT number FROM scan";

    LIMIT = "-- scans.limit
UPDATE scans
SET limits = $2
WHERE id = $1";

    LOCK = "-- scans.lock
SELECT id, organization_id, state, started_at, ended_at, failure, traceparent
FROM scans
WHERE id = $1
FOR NO KEY UPDATE";

    SAVE = "-- scans.save
UPDATE scans
SET state = $2, started_at = $3, ended_at = $4, failure = $5
WHERE id = $1
RETURNING CASE WHEN 'email' = ANY(notify) THEN requested_by END AS asker";

    // In the words of an index: of a scan with ten thousand tasks, each that ends asks this.
    IS_GOING_ON = "-- scans.is_going_on
SELECT EXISTS (SELECT FROM tasks AS t WHERE t.scan_id = s.id AND t.state IN ('ready', 'queued', 'running'))
       OR s.unmade > 0 AS is_going_on
FROM scans AS s
WHERE s.id = $1";

    // Tasks that are still to do, tasks that left a result, and what would have been planned from those that did not.
    OPEN_AND_DONE = "-- scans.open_and_done
SELECT count(*) FILTER (WHERE state IN ('ready', 'queued', 'running')) AS open,
       count(*) FILTER (WHERE state = 'done') AS done,
       string_agg(DISTINCT gap, ', ' ORDER BY gap) AS gaps,
       (SELECT jsonb_agg(DISTINCT jsonb_build_object('tool', o.name, 'target', f.shard ->> 'target', 'gap', f.gap))
        FROM tasks AS f, unnest(f.opens) AS o (name)
        WHERE f.scan_id = $1 AND f.state IN ('failed', 'cancelled') AND f.opens <> '{}') AS unopened
FROM tasks
WHERE scan_id = $1";

    CANCEL_TASKS = "-- scans.cancel_tasks
UPDATE tasks
SET state = 'cancelled', gap = 'cancelled', ended_at = $2, lease_until = NULL
WHERE id IN (
  SELECT id
  FROM tasks
  WHERE scan_id = $1 AND state IN ('ready', 'queued', 'running')
  ORDER BY id
  FOR NO KEY UPDATE
)";
}

/// What a new scan got from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// Its number in the organization, from 1: the v2 dialect's id.
    pub number: i64,
}

/// A scan that is locked until its transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The scan.
    pub scan: Scan,
    /// The trace that asked for it.
    pub traceparent: Option<String>,
}

/// Stores a scan with its first tasks and its event, when the plan of the organization allows it. A scan without a task
/// that anybody could do ends at once.
///
/// # Errors
/// [`StoreError::Refused`] when the plan does not allow it; when the database refuses, or the organization is unknown.
#[tracing::instrument(name = "db.scans.create", skip_all, fields(scan.id = %new.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, new: &NewScan, now: Timestamp) -> Result<Created, StoreError> {
    let created = [EventBody::ScanCreated(ScanChanged { scan_id: new.id, reason: None })];
    let event = events::append(tx, new.organization_id, &created, new.traceparent.as_deref(), now);
    let id = new.organization_id.uuid();
    let organization: [&(dyn ToSql + Sync); 1] = [&id];
    tx.prepare(&[NUMBER, CREATE, halts::AFTER_CREATE]).await?;
    // In one round trip and in this order, the lock as late as can be: until the commit, the organization's next scan
    // waits for it.
    let number = tx.execute_one(NUMBER, &organization);
    let ((), (), number, ()) =
        tokio::try_join!(biased; event, number, insert(tx, new, now), halts::demand_none(tx, new))?;
    let Some(number) = number else { return Err(quota::why_no_scan(tx, new, now).await?) };
    if !new.limits.is_empty() {
        tx.execute_one(LIMIT, &[&new.id.uuid(), &Json(&new.limits)]).await?;
    }
    tx.notify(Notice::Tasks);
    if new.tasks.is_empty() {
        end_if_over(tx, new.id, now).await?;
    }
    Ok(Created { number })
}

/// [`create`] with its row of the audit log, which waits for no answer of its own: what is refused is rolled back with it.
///
/// # Errors
/// As [`create`], and when the audit log refuses.
pub async fn create_recorded(
    tx: &Tx<'_>,
    new: &NewScan,
    entry: &AuditEntry,
    now: Timestamp,
) -> Result<Created, StoreError> {
    let recorded = audit::record(tx, new.organization_id, entry);
    // In this order, since one that failed spoils what is behind it, and the first error says why.
    let (created, _sequence) = tokio::try_join!(biased; create(tx, new, now), recorded)?;
    Ok(created)
}

/// Tasks as a statement takes them.
struct TaskColumns<'a> {
    ids: Vec<Uuid>,
    tools: Vec<&'static str>,
    pools: Vec<&'static str>,
    levels: Vec<&'static str>,
    params: Vec<Json<&'a serde_json::Value>>,
    shards: Vec<Json<&'a picket_domain::Shard>>,
    /// Separated by commas, since arrays of arrays must not be ragged. No name of ours holds one.
    opens: Vec<String>,
}

impl<'a> TaskColumns<'a> {
    fn of(tasks: &'a [NewTask]) -> Self {
        Self {
            ids: tasks.iter().map(|task| task.id.uuid()).collect(),
            tools: tasks.iter().map(|task| task.tool).collect(),
            pools: tasks.iter().map(|task| task.needs.pool.name()).collect(),
            levels: tasks.iter().map(|task| task.needs.level.name()).collect(),
            params: tasks.iter().map(|task| Json(&task.params)).collect(),
            shards: tasks.iter().map(|task| Json(&task.shard)).collect(),
            opens: tasks.iter().map(|task| task.opens.join(",")).collect(),
        }
    }
}

async fn insert(tx: &Tx<'_>, new: &NewScan, now: Timestamp) -> Result<Option<i64>, StoreError> {
    let TaskColumns { ids, tools, pools, levels, params, shards, opens } = TaskColumns::of(&new.tasks);
    let (unmade, pages) = pages::columns(new);
    let plans = Subscription::ALL.map(Subscription::name);
    let most_scans = Subscription::ALL.map(|plan| i64::from(plan.limits().concurrent_scans));
    let most_probes = Subscription::ALL.map(|plan| i64::try_from(plan.limits().probes).unwrap_or(i64::MAX));
    let row = tx
        .query_opt(
            CREATE,
            &[
                &new.id.uuid(),
                &new.organization_id.uuid(),
                &new.dialect.name(),
                &new.plan.name(),
                &new.target,
                &new.tool,
                &Json(&new.request),
                &new.notify,
                &Json(&new.gaps),
                &new.requested_by,
                &new.traceparent,
                &now,
                &ids,
                &tools,
                &pools,
                &levels,
                &params,
                &shards,
                &plans.as_slice(),
                &most_scans.as_slice(),
                &most_probes.as_slice(),
                &i64::try_from(new.probes).unwrap_or(i64::MAX),
                &opens,
                &new.authority.to_json(),
                &unmade,
                &pages,
            ],
        )
        .await?;
    Ok(row.map(|row| Columns::new("scans", &row).get("number")).transpose()?)
}

/// The scan, locked until the transaction ends; `None` when the tenant has no such scan.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.scans.lock", skip_all, fields(scan.id = %id), err(level = "debug"))]
pub async fn lock(tx: &Tx<'_>, id: ScanId) -> Result<Option<Locked>, StoreError> {
    let row = tx.query_opt(LOCK, &[&id.uuid()]).await?;
    Ok(row.as_ref().map(locked).transpose()?)
}

fn locked(row: &Row) -> Result<Locked, Inconsistent> {
    let columns = Columns::new("scans", row);
    Ok(Locked { scan: scan(&columns)?, traceparent: columns.get("traceparent")? })
}

/// Saves a change and its events together, and with an end the letter that was asked for.
///
/// # Errors
/// When the database refuses; a state that cannot follow is refused there too.
#[tracing::instrument(name = "db.scans.save", skip_all, fields(scan.id = %change.entity.id), err(level = "debug"))]
pub async fn save(
    tx: &Tx<'_>,
    change: Transition<Scan>,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<Scan, StoreError> {
    let Transition { entity: scan, events } = change;
    let failure = match &scan.state {
        ScanState::Failed { reason, .. } => Some(reason.as_str()),
        ScanState::Created
        | ScanState::Queued
        | ScanState::Running { .. }
        | ScanState::Paused { .. }
        | ScanState::Completed { .. }
        | ScanState::Cancelled { .. } => None,
    };
    let (id, state) = (scan.id.uuid(), scan.state.name());
    let (started_at, ended_at) = (scan.state.started_at(), scan.state.ended_at());
    let params: [&(dyn ToSql + Sync); 5] = [&id, &state, &started_at, &ended_at, &failure];
    let told = events::append(tx, scan.organization_id, &events, traceparent, now);
    let (row, ()) = tokio::try_join!(biased; tx.query_one(SAVE, &params), told)?;
    if let Some(asker) = Columns::new("scans", &row).get::<Option<&str>>("asker")?.filter(|_| scan.state.is_final()) {
        scan_end::write(tx, &scan, asker, now).await?;
    }
    Ok(scan)
}

/// Cancels what is still to do of a locked scan, then the scan. Workers are told to ask which of their leases still stand,
/// and ask anyway at their next heartbeat.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.scans.cancel", skip_all, fields(scan.id = %change.entity.id), err(level = "debug"))]
pub async fn cancel(
    tx: &Tx<'_>,
    change: Transition<Scan>,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<Scan, StoreError> {
    tx.execute(CANCEL_TASKS, &[&change.entity.id.uuid(), &now]).await?;
    tx.notify(Notice::Leases);
    tx.notify(Notice::Tasks);
    save(tx, change, traceparent, now).await
}

/// Prepares what the end of a task asks of its scan.
pub(crate) async fn prepare_end(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.prepare(&[LOCK, IS_GOING_ON]).await
}

/// Ends the scan when no task is left to do; every transaction that ends a task calls this last.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.scans.end_if_over", skip_all, fields(scan.id = %id), err(level = "debug"))]
pub async fn end_if_over(tx: &Tx<'_>, id: ScanId, now: Timestamp) -> Result<(), StoreError> {
    let uuid = id.uuid();
    let params: [&(dyn ToSql + Sync); 1] = [&uuid];
    prepare_end(tx).await?;
    // The caller holds the lock already, so both may go in one round trip.
    let (locked, going_on) = tokio::try_join!(biased; lock(tx, id), tx.query_opt(IS_GOING_ON, &params))?;
    let (Some(Locked { scan, traceparent }), Some(going_on)) = (locked, going_on) else { return Ok(()) };
    if Columns::new("scans", &going_on).get("is_going_on")? {
        return Ok(());
    }
    let row = tx.query_one(OPEN_AND_DONE, &[&id.uuid()]).await?;
    let columns = Columns::new("tasks", &row);
    let (open, done): (i64, i64) = (columns.get("open")?, columns.get("done")?);
    if open > 0 || scan.state.is_final() {
        return Ok(());
    }
    let gaps: Option<String> = columns.get("gaps")?;
    if let Some(Json(unopened)) = columns.get::<Option<Json<Vec<PlanGap>>>>("unopened")? {
        grow::lack(tx, id, &unopened).await?;
    }
    let inconsistent = |_| Inconsistent { table: "scans", column: "state" };
    let change = match ScanEnd::of(u64::try_from(done).unwrap_or_default()) {
        ScanEnd::Complete => scan.complete(now).map_err(inconsistent)?,
        ScanEnd::Fail => {
            let why = gaps.unwrap_or_else(|| "tool_unavailable".to_owned());
            scan.fail(now, format!("nothing could be examined: {why}")).map_err(inconsistent)?
        }
    };
    save(tx, change, traceparent.as_deref(), now).await?;
    Ok(())
}

/// Reads the scan out of a row that has its columns.
pub(crate) fn scan(columns: &Columns<'_>) -> Result<Scan, Inconsistent> {
    let state = match columns.get("state")? {
        "created" => ScanState::Created,
        "queued" => ScanState::Queued,
        "running" => ScanState::Running { started_at: columns.required("started_at")? },
        "paused" => ScanState::Paused { started_at: columns.required("started_at")? },
        "completed" => ScanState::Completed {
            started_at: columns.required("started_at")?,
            ended_at: columns.required("ended_at")?,
        },
        "failed" => ScanState::Failed {
            started_at: columns.get("started_at")?,
            ended_at: columns.required("ended_at")?,
            reason: columns.required("failure")?,
        },
        "cancelled" => {
            ScanState::Cancelled { started_at: columns.get("started_at")?, ended_at: columns.required("ended_at")? }
        }
        _ => return Err(columns.inconsistent("state")),
    };
    Ok(Scan {
        id: ScanId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        state,
    })
}
