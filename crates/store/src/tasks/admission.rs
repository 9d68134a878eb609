//! What the steward's loops do with tasks: admit ready ones, give up those nobody can do, rescue those whose worker died.
//! Only one admission runs at a time, so its counts are exact; any number of stewards may try.

pub(crate) mod candidates;
pub(crate) mod unserved;

use self::candidates::{Offered, Sought};
pub use self::{candidates::recall, unserved::unserved};

use std::collections::HashSet;

use jiff::Timestamp;
use picket_domain::{
    AdmissionLimits, Candidate, EventBody, Fence, Gap, OrganizationId, Pool, ScanId, Settled, TaskId, TaskQueued,
    choose, choose_of_few,
};
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};
use uuid::Uuid;

use super::{MAX_FAILURES, authority, reason::PutBack};
use crate::{
    Inconsistent, Notice, StoreError, Tx,
    events::{self, Outgoing},
    output,
    row::Columns,
    scans,
    statements::statements,
};

/// Tasks that may wait for each slot, however short they are.
const MOST_PER_SLOT: i64 = 16;
/// Seconds without a heartbeat after which a worker counts as gone.
const WORKER_TIMEOUT_SECONDS: f64 = 10.0;

statements! {
    // One look into the index for each, however many tasks wait.
    POOLS = "-- tasks.admission.pools
SELECT p.pool
FROM unnest($1::text[]) AS p (pool)
WHERE EXISTS (SELECT FROM tasks AS t WHERE t.state = 'ready' AND t.pool = p.pool)";

    LOCK = "-- tasks.admission.lock
SELECT pg_try_advisory_xact_lock(7161700302) AS locked";

    // Slots of a pool's live workers and what they do in a tenth of a second, and what is on its queue already.
    ROOM = "-- tasks.admission.room
SELECT w.slots, w.soon, coalesce((SELECT c.moment FROM pool_clocks AS c WHERE c.pool = $2), 0) AS clock,
       (SELECT count(*) FROM tasks AS t WHERE t.pool = $2 AND t.state = 'queued') AS queued
FROM (
  SELECT coalesce(sum(slots), 0)::bigint AS slots, coalesce(floor(sum(tasks_per_second) / 10), 0)::bigint AS soon
  FROM workers
  WHERE $2 = ANY(pools) AND NOT draining AND heartbeat_at > now() - make_interval(secs => $1)
) AS w";

    // What a claim would refuse.
    REFUSED = "-- tasks.admission.refused
SELECT id, scan_id
FROM tasks
WHERE id = ANY($1) AND state = 'ready' AND NOT picket_may_begin(organization_id, scan_id, tool, params, shard)
ORDER BY scan_id, id
LIMIT 16";

    SETTLE = "-- tasks.admission.settle
WITH clock AS (
  INSERT INTO pool_clocks (pool, moment)
  VALUES ($1, $2)
  ON CONFLICT (pool) DO UPDATE SET moment = excluded.moment
)
INSERT INTO organization_turns (organization_id, pool, moment)
SELECT t.organization_id, $1, t.moment
FROM unnest($3::uuid[], $4::double precision[]) AS t (organization_id, moment)
ON CONFLICT (organization_id, pool) DO UPDATE SET moment = excluded.moment";

    // The scans whose first task it is; nothing is told of it. Whatever is locked is begun or ended at this moment.
    QUEUE = "-- tasks.admission.queue
UPDATE scans
SET state = 'queued'
WHERE id IN (
  SELECT id
  FROM scans
  WHERE state = 'created' AND id IN (SELECT scan_id FROM tasks WHERE id = ANY($1))
  ORDER BY id
  FOR NO KEY UPDATE SKIP LOCKED
)";

    // Looks at the age once more, behind the lock: one that was held meanwhile is of no age. Not what a claim would refuse.
    ADMIT = "-- tasks.admission.admit
UPDATE tasks AS t
SET state = 'queued', queued_at = now()
FROM (
  SELECT id, scan_id
  FROM tasks
  WHERE id = ANY($1) AND state = 'ready' AND ready_at <= now()
    AND picket_may_begin(organization_id, scan_id, tool, params, shard)
  ORDER BY id
  FOR NO KEY UPDATE SKIP LOCKED
) AS chosen
JOIN scans AS s ON s.id = chosen.scan_id
WHERE t.id = chosen.id AND s.state IN ('created', 'queued', 'running')
RETURNING t.id, t.organization_id, t.scan_id, t.attempt, s.traceparent";

    GIVE_UP = "-- tasks.admission.give_up
UPDATE tasks
SET state = 'failed', gap = $3, detail = $4, ended_at = $2, lease_until = NULL
WHERE id = $1 AND state IN ('ready', 'running')
  AND (state = 'ready' OR lease_until < now())
RETURNING organization_id, attempt";

    // Admitted, but no worker claimed it although one of the pool is free, or there is none at all: the message was
    // lost, or nobody hears it. Where all are busy, the message is only waiting.
    UNCLAIMED = "-- tasks.admission.unclaimed
UPDATE tasks
SET state = 'ready', queued_at = NULL, ready_at = least(ready_at, now())
WHERE id IN (
  SELECT t.id
  FROM tasks AS t
  JOIN (
    SELECT p.pool,
           coalesce((SELECT sum(w.slots) FROM workers AS w
                     WHERE p.pool = ANY(w.pools) AND NOT w.draining
                       AND w.heartbeat_at > now() - make_interval(secs => $2)), 0)::bigint AS slots,
           (SELECT count(*) FROM tasks AS r WHERE r.pool = p.pool AND r.state = 'running') AS running
    FROM (SELECT DISTINCT pool FROM tasks WHERE state = 'queued') AS p
  ) AS room ON room.pool = t.pool AND (room.slots = 0 OR room.slots > room.running)
  WHERE t.state = 'queued' AND t.queued_at < now() - make_interval(secs => $1)
  ORDER BY t.queued_at
  LIMIT 256
  FOR UPDATE OF t SKIP LOCKED
)";

    EXPIRED = "-- tasks.admission.expired
UPDATE tasks
SET state = 'ready', ready_at = now(), failures = failures + 1, lease_until = NULL, worker_id = NULL, queued_at = NULL,
    last_reason = $2
WHERE id IN (
  SELECT id FROM tasks
  WHERE state = 'running' AND lease_until < now() AND failures + 1 < $1
  ORDER BY lease_until
  LIMIT 256
  FOR UPDATE SKIP LOCKED
)
RETURNING id, organization_id, scan_id, attempt, now() AS moment";

    HOPELESS = "-- tasks.admission.hopeless
SELECT id, scan_id
FROM tasks
WHERE state = 'running' AND lease_until < now() AND failures + 1 >= $1
ORDER BY lease_until
LIMIT 256";
}

/// The pools that have ready tasks. Each is admitted in a transaction of its own, so that locks keep their order.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.pools", skip_all, err(level = "debug"))]
pub async fn pools(tx: &Tx<'_>) -> Result<Vec<Pool>, StoreError> {
    let rows = tx.query(POOLS, &[&Pool::ALL.map(Pool::name).as_slice()]).await?;
    let pool = |row: &Row| Columns::new("tasks", row).named("pool", Pool::find);
    Ok(rows.iter().map(pool).collect::<Result<_, _>>()?)
}

/// Who brings the messages of what is admitted to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// A relay, which finds them by itself.
    Relay,
    /// The caller, once the transaction is committed. What it does not publish, a relay does a few seconds later.
    Caller,
}

/// What came of a round of admission.
#[derive(Debug, Default)]
pub struct Admitted {
    /// How many tasks.
    pub tasks: usize,
    /// Their messages, when they are the caller's.
    pub messages: Vec<Outgoing>,
    /// Chosen, but may not begin or not as they were: for [`turn_away`] in a transaction of its own, since scans are locked first.
    pub left: Vec<TaskId>,
}

/// Admits what there is room for in a pool, `queue_per_slot` tasks per slot of its live workers, or what those end in a tenth
/// of a second where that is more. Does nothing while another steward admits.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.admit", skip_all, fields(pool = pool.name()), err(level = "debug"))]
pub async fn admit(
    tx: &Tx<'_>,
    pool: Pool,
    queue_per_slot: i64,
    limits: &AdmissionLimits,
    now: Timestamp,
    bearer: Bearer,
) -> Result<Admitted, StoreError> {
    let Some((room, clock)) = room(tx, pool, queue_per_slot).await? else { return Ok(Admitted::default()) };
    let sought = Sought { pool, limits, room, clock, now };
    let (candidates, mut chosen) = chosen(tx, &sought).await?;
    if chosen.is_empty() {
        return Ok(Admitted::default());
    }
    let of_tasks: [&(dyn ToSql + Sync); 1] = [&chosen];
    // In one round trip and in this order: scans are locked before tasks.
    tx.prepare(&[QUEUE, ADMIT]).await?;
    let (_, rows) = tokio::try_join!(biased; tx.execute(QUEUE, &of_tasks), tx.query(ADMIT, &of_tasks))?;
    let queued: Vec<_> = rows.iter().map(|row| queued_task(pool, row)).collect::<Result<_, _>>()?;
    let admitted: Vec<OrganizationId> = queued.iter().map(|(organization, ..)| *organization).collect();
    let settled = settle(tx, &sought, &candidates, &admitted);
    let (messages, ()) = tokio::try_join!(biased; tell(tx, &queued, now, bearer), settled)?;
    let ids = rows.iter().map(|row| Columns::new("tasks", row).get("id")).collect::<Result<HashSet<Uuid>, _>>()?;
    chosen.retain(|id| !ids.contains(id));
    Ok(Admitted { tasks: rows.len(), messages, left: chosen.into_iter().map(TaskId::from_uuid).collect() })
}

/// How many tasks of the pool there is room for, and its clock; `None` when there is none, or another steward admits.
async fn room(tx: &Tx<'_>, pool: Pool, queue_per_slot: i64) -> Result<Option<(usize, f64)>, StoreError> {
    // In one round trip; what is counted is what holds behind the lock.
    tx.prepare(&[LOCK, ROOM]).await?;
    let name = pool.name();
    let sizes: [&(dyn ToSql + Sync); 2] = [&WORKER_TIMEOUT_SECONDS, &name];
    let (lock, row) = tokio::try_join!(biased; tx.query_one(LOCK, &[]), tx.query_one(ROOM, &sizes))?;
    let columns = Columns::new("tasks", &row);
    let (slots, queued): (i64, i64) = (columns.get("slots")?, columns.get("queued")?);
    // What is done within a tenth of a second keeps nobody waiting, however many tasks that is.
    let most = slots
        .saturating_mul(queue_per_slot)
        .max(columns.get("soon")?)
        .min(slots.saturating_mul(MOST_PER_SLOT.max(queue_per_slot)));
    let room = usize::try_from(most.saturating_sub(queued)).unwrap_or(0);
    // While most of the queue waits, nobody is idle, and looking for every task that ends would cost more than the tasks.
    let is_enough = room == 0 || queued > most.saturating_mul(3).saturating_div(4);
    let is_ours = Columns::new("locks", &lock).get::<bool>("locked")?;
    Ok(if is_ours && !is_enough { Some((room, columns.get("clock")?)) } else { None })
}

/// A task that is queued, whose it is, and the trace that asked for it.
type Queued = (OrganizationId, EventBody, Option<String>);

async fn tell(tx: &Tx<'_>, queued: &[Queued], now: Timestamp, bearer: Bearer) -> Result<Vec<Outgoing>, StoreError> {
    let told: Vec<_> =
        queued.iter().map(|(organization, task, trace)| (*organization, task, trace.as_deref())).collect();
    match bearer {
        Bearer::Relay => events::append_all(tx, &told, now).await.map(|()| Vec::new()),
        Bearer::Caller => events::append_in_hand(tx, &told, now).await,
    }
}

/// What is chosen, and what it was chosen from. Where the few that are asked for first could leave out one that would be
/// chosen, all are asked for.
async fn chosen(tx: &Tx<'_>, sought: &Sought<'_>) -> Result<(Vec<Candidate>, Vec<Uuid>), StoreError> {
    let Sought { limits, room, .. } = *sought;
    let Offered { candidates, asked } = candidates::candidates(tx, sought, false).await?;
    let few = choose_of_few(&candidates, limits, room, asked);
    let (candidates, chosen) = if let Some(few) = few {
        (candidates, few)
    } else {
        let Offered { candidates, .. } = candidates::candidates(tx, sought, true).await?;
        let chosen = choose(&candidates, limits, room);
        (candidates, chosen)
    };
    Ok((candidates, chosen.into_iter().map(TaskId::uuid).collect()))
}

/// Ends those of the tasks that may not begin any more, as a claim would end them; returns how many. A scan whose grounds have
/// ended must not take places from others.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.turn_away", skip_all, err(level = "debug"))]
pub async fn turn_away(tx: &Tx<'_>, left: &[TaskId], now: Timestamp) -> Result<usize, StoreError> {
    let left: Vec<Uuid> = left.iter().map(|id| id.uuid()).collect();
    let refused = tx.query(REFUSED, &[&left]).await?;
    for row in &refused {
        let columns = Columns::new("tasks", row);
        authority::turn_away(tx, ScanId::from_uuid(columns.get("scan_id")?), columns.get("id")?, now).await?;
    }
    if !refused.is_empty() {
        tx.notify(Notice::Tasks);
    }
    Ok(refused.len())
}

/// Charges what was admitted to those whose it is.
async fn settle(
    tx: &Tx<'_>,
    sought: &Sought<'_>,
    candidates: &[Candidate],
    admitted: &[OrganizationId],
) -> Result<(), StoreError> {
    let Settled { clock, turns } = picket_domain::settle(sought.clock, candidates, admitted);
    let (organizations, moments): (Vec<Uuid>, Vec<f64>) = turns.into_iter().map(|(id, turn)| (id.uuid(), turn)).unzip();
    if !organizations.is_empty() {
        tx.execute(SETTLE, &[&sought.pool.name(), &clock, &organizations, &moments]).await?;
    }
    Ok(())
}

fn queued_task(pool: Pool, row: &Row) -> Result<Queued, Inconsistent> {
    let columns = Columns::new("tasks", row);
    let task = TaskQueued {
        task_id: TaskId::from_uuid(columns.get("id")?),
        scan_id: ScanId::from_uuid(columns.get("scan_id")?),
        pool,
        attempt: columns.get("attempt")?,
    };
    Ok((
        OrganizationId::from_uuid(columns.get("organization_id")?),
        EventBody::TaskQueued(task),
        columns.get("traceparent")?,
    ))
}

/// A task that nobody will do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hopeless {
    task_id: Uuid,
    scan_id: ScanId,
    gap: Gap,
}

/// Running tasks whose workers died too often.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.hopeless", skip_all, err(level = "debug"))]
pub async fn hopeless(tx: &Tx<'_>) -> Result<Vec<Hopeless>, StoreError> {
    hopeless_of(&tx.query(HOPELESS, &[&MAX_FAILURES]).await?, Gap::WorkerLost)
}

/// Puts tasks back whose message was lost, and tasks whose worker died; returns how many. Locks tasks, and then the live
/// output of their scans.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.rescue", skip_all, err(level = "debug"))]
pub async fn rescue(tx: &Tx<'_>, claim_seconds: f64) -> Result<u64, StoreError> {
    let unclaimed = tx.execute(UNCLAIMED, &[&claim_seconds, &WORKER_TIMEOUT_SECONDS]).await?;
    let lost = Json(PutBack::lost());
    let expired = tx.query(EXPIRED, &[&MAX_FAILURES, &lost]).await?;
    let rescued = unclaimed.saturating_add(u64::try_from(expired.len()).unwrap_or(u64::MAX));
    tell_lost(tx, &expired).await?;
    if rescued > 0 {
        tx.notify(Notice::Tasks);
    }
    Ok(rescued)
}

/// Says in the live output of each scan whose worker was lost.
async fn tell_lost(tx: &Tx<'_>, expired: &[Row]) -> Result<(), StoreError> {
    let mut lost = Vec::with_capacity(expired.len());
    for row in expired {
        let columns = Columns::new("tasks", row);
        let (organization, scan): (Uuid, Uuid) = (columns.get("organization_id")?, columns.get("scan_id")?);
        let fence = Fence { task_id: TaskId::from_uuid(columns.get("id")?), attempt: columns.get("attempt")? };
        let moment: Timestamp = columns.get("moment")?;
        lost.push((OrganizationId::from_uuid(organization), ScanId::from_uuid(scan), fence, moment));
    }
    lost.sort_by_key(|(_, scan, fence, _)| (*scan, fence.task_id));
    for (organization, scan, fence, moment) in lost {
        output::lost(tx, (organization, scan), fence, true, moment).await?;
    }
    Ok(())
}

/// Gives one task up, unless somebody took it in the meantime; ends its scan when it was the last. Each in a
/// transaction of its own: it locks a scan.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.give_up", skip_all, fields(scan.id = %task.scan_id), err(level = "debug"))]
pub async fn give_up(tx: &Tx<'_>, task: Hopeless, now: Timestamp) -> Result<bool, StoreError> {
    let detail = if task.gap == Gap::WorkerLost {
        "workers were lost again and again while the tool ran"
    } else {
        "no live worker has proven what the task needs"
    };
    scans::lock(tx, task.scan_id).await?;
    let given_up = tx.query_opt(GIVE_UP, &[&task.task_id, &now, &task.gap.name(), &detail]).await?;
    let Some(row) = given_up else { return Ok(false) };
    if task.gap == Gap::WorkerLost {
        let columns = Columns::new("tasks", &row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        let fence = Fence { task_id: TaskId::from_uuid(task.task_id), attempt: columns.get("attempt")? };
        output::lost(tx, (organization, task.scan_id), fence, false, now).await?;
    }
    scans::end_if_over(tx, task.scan_id, now).await?;
    Ok(true)
}

fn hopeless_of(rows: &[Row], gap: Gap) -> Result<Vec<Hopeless>, StoreError> {
    let read = |row: &Row| -> Result<Hopeless, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(Hopeless { task_id: columns.get("id")?, scan_id: ScanId::from_uuid(columns.get("scan_id")?), gap })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
