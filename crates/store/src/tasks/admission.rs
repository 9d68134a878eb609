//! What the steward's loops do with tasks: admit ready ones, give up those nobody can do, rescue those whose worker died.
//! Only one admission runs at a time, so its counts are exact; any number of stewards may try.

use jiff::Timestamp;
use picket_domain::{
    AdmissionLimits, Candidate, EventBody, Gap, OrganizationId, Pool, SandboxLevel, ScanId, Subscription, TaskId,
    TaskQueued, choose,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::MAX_FAILURES;
use crate::{
    Inconsistent, Notice, StoreError, Tx, events, halts,
    row::Columns,
    scans,
    statements::statements,
    windows::{self, Closed},
};

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

    // Slots of a pool's live workers, and what is on its queue already.
    ROOM = "-- tasks.admission.room
SELECT coalesce((SELECT sum(w.slots) FROM workers AS w
                 WHERE $2 = ANY(w.pools) AND NOT w.draining
                   AND w.heartbeat_at > now() - make_interval(secs => $1)), 0)::bigint AS slots,
       (SELECT count(*) FROM tasks AS t WHERE t.pool = $2 AND t.state = 'queued') AS queued";

    // The oldest of each organization, at most as many as the largest subscription may have in flight: nobody's ten
    // thousand, and no organization at its limit, hides another one's first. What no live worker of the pool has proven
    // enough for stays ready: admitted, it would only go round; so does what a window or an operator has closed. A host or
    // a tool that is full is left out here already, so that forty tasks of it do not hide the next one.
    CANDIDATES = "-- tasks.admission.candidates
WITH flying AS MATERIALIZED (
  SELECT organization_id, host, tool
  FROM tasks
  WHERE state IN ('queued', 'running')
), of_host AS (
  SELECT organization_id, host, count(*) AS running
  FROM flying
  WHERE host IS NOT NULL
  GROUP BY organization_id, host
), of_tool AS (
  SELECT tool, count(*) AS running
  FROM flying
  GROUP BY tool
)
SELECT t.id, o.id AS organization_id, o.plan, f.in_flight, t.host, t.tool,
       coalesce((SELECT h.running FROM of_host AS h WHERE h.organization_id = o.id AND h.host = t.host), 0)
         AS host_in_flight,
       coalesce((SELECT u.running FROM of_tool AS u WHERE u.tool = t.tool), 0) AS tool_in_flight
FROM picket_waiting($1) AS r (organization_id)
JOIN organizations AS o ON o.id = r.organization_id
CROSS JOIN LATERAL (
  SELECT count(*) AS in_flight
  FROM flying
  WHERE flying.organization_id = o.id
) AS f
CROSS JOIN LATERAL (
  SELECT c.id, c.ready_at, c.host, c.tool
  FROM tasks AS c
  JOIN scans AS s ON s.id = c.scan_id
  WHERE c.state = 'ready' AND c.pool = $1 AND c.organization_id = o.id AND c.ready_at <= now()
    AND s.state IN ('created', 'queued', 'running')
    AND c.level >= (
      SELECT min(w.level)
      FROM workers AS w
      WHERE $1 = ANY(w.pools) AND NOT w.draining AND w.heartbeat_at > now() - make_interval(secs => $2)
    )
    AND (c.host IS NULL
         OR (c.organization_id, c.host) NOT IN (SELECT h.organization_id, h.host FROM of_host AS h WHERE h.running >= $3))
    AND c.tool NOT IN (
      SELECT full_one.tool
      FROM unnest($4::text[], $5::bigint[]) AS full_one (tool, most)
      WHERE full_one.most <= coalesce((SELECT u.running FROM of_tool AS u WHERE u.tool = full_one.tool), 0)
    )
    AND NOT EXISTS (
      SELECT FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[]) AS closed (organization_id, tag, pattern, network)
      WHERE (closed.organization_id IS NULL OR closed.organization_id = o.id)
        AND (closed.pattern IS NULL OR picket_covers(closed.pattern, closed.network::inet, s.target, c.shard))
        AND (closed.tag IS NULL OR EXISTS (
          SELECT FROM targets AS g WHERE g.organization_id = o.id AND g.value = s.target AND closed.tag = ANY(g.tags)
        ))
    )
  ORDER BY c.ready_at, c.id
  LIMIT 40
) AS t
ORDER BY t.ready_at, t.id";

    // Their messages are stale until they are admitted again. Whatever is locked is begun or ended at this moment.
    RECALL = "-- tasks.admission.recall
UPDATE tasks
SET state = 'ready', queued_at = NULL
WHERE id IN (
  SELECT t.id
  FROM tasks AS t
  JOIN scans AS s ON s.id = t.scan_id
  WHERE t.state = 'queued' AND EXISTS (
    SELECT FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS closed (organization_id, tag, pattern, network)
    WHERE closed.organization_id = t.organization_id
      AND (closed.pattern IS NULL OR picket_covers(closed.pattern, closed.network::inet, s.target, t.shard))
      AND (closed.tag IS NULL OR EXISTS (
        SELECT FROM targets AS g
        WHERE g.organization_id = t.organization_id AND g.value = s.target AND closed.tag = ANY(g.tags)
      ))
  )
  ORDER BY t.id
  FOR NO KEY UPDATE OF t SKIP LOCKED
)";

    ADMIT = "-- tasks.admission.admit
UPDATE tasks AS t
SET state = 'queued', queued_at = now()
FROM (
  SELECT id, scan_id
  FROM tasks
  WHERE id = ANY($1) AND state = 'ready'
  ORDER BY id
  FOR NO KEY UPDATE SKIP LOCKED
) AS chosen
JOIN scans AS s ON s.id = chosen.scan_id
WHERE t.id = chosen.id AND s.state IN ('created', 'queued', 'running')
RETURNING t.id, t.organization_id, t.scan_id, t.attempt, s.traceparent";

    // Ready for longer than the wait, and no worker that serves the pool was seen in that time: what nobody serves is found
    // first, since what is served may be a hundred thousand tasks. What a client holds does not wait for a worker.
    UNSERVED = "-- tasks.admission.unserved
WITH unserved AS MATERIALIZED (
  SELECT p.pool, l.level
  FROM unnest($2::text[]) AS p (pool)
  CROSS JOIN unnest($3::text[]) AS l (level)
  WHERE NOT EXISTS (
    SELECT FROM workers AS w
    WHERE p.pool = ANY(w.pools) AND w.level <= l.level AND w.heartbeat_at > now() - make_interval(secs => $1)
  )
)
SELECT t.id, t.scan_id
FROM unserved AS u
JOIN tasks AS t ON t.pool = u.pool AND t.level = u.level
WHERE t.state = 'ready' AND t.ready_at < now() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM scans AS s WHERE s.id = t.scan_id AND s.state = 'paused')
ORDER BY t.ready_at
LIMIT 256";

    GIVE_UP = "-- tasks.admission.give_up
UPDATE tasks
SET state = 'failed', gap = $3, detail = $4, ended_at = $2, lease_until = NULL
WHERE id = $1 AND state IN ('ready', 'running')
  AND (state = 'ready' OR lease_until < now())";

    // Admitted, but no worker claimed it although one of the pool is free, or there is none at all: the message was
    // lost, or nobody hears it. Where all are busy, the message is only waiting.
    UNCLAIMED = "-- tasks.admission.unclaimed
UPDATE tasks
SET state = 'ready', queued_at = NULL
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
SET state = 'ready', ready_at = now(), failures = failures + 1, lease_until = NULL, worker_id = NULL, queued_at = NULL
WHERE id IN (
  SELECT id FROM tasks
  WHERE state = 'running' AND lease_until < now() AND failures + 1 < $1
  ORDER BY lease_until
  LIMIT 256
  FOR UPDATE SKIP LOCKED
)";

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

/// Admits what there is room for in a pool, `queue_per_slot` tasks per slot of its live workers; returns how many tasks.
/// Does nothing while another steward admits.
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
) -> Result<usize, StoreError> {
    let locked: bool = tx.query_one(LOCK, &[]).await?.try_get("locked")?;
    if !locked {
        return Ok(0);
    }
    let row = tx.query_one(ROOM, &[&WORKER_TIMEOUT_SECONDS, &pool.name()]).await?;
    let columns = Columns::new("tasks", &row);
    let (slots, queued): (i64, i64) = (columns.get("slots")?, columns.get("queued")?);
    let room = usize::try_from(slots.saturating_mul(queue_per_slot).saturating_sub(queued)).unwrap_or(0);
    if room == 0 {
        return Ok(0);
    }
    let candidates = candidates(tx, pool, limits, now).await?;
    let chosen: Vec<Uuid> = choose(&candidates, limits, room).into_iter().map(TaskId::uuid).collect();
    scans::queue_created(tx, &chosen, now).await?;
    let rows = tx.query(ADMIT, &[&chosen]).await?;
    for row in &rows {
        let (organization, task, trace) = queued_task(pool, row)?;
        events::append(tx, organization, &[EventBody::TaskQueued(task)], trace.as_deref(), now).await?;
    }
    Ok(rows.len())
}

/// Takes back what was admitted and not begun when a blackout window opens; returns how many tasks.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.recall", skip_all, err(level = "debug"))]
pub async fn recall(tx: &Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let closed = windows::open_for_admitted(tx, now).await?;
    if closed.is_empty() {
        return Ok(0);
    }
    let ClosedColumns { of, tags, patterns, networks } = ClosedColumns::of(closed);
    tx.execute(RECALL, &[&of, &tags, &patterns, &networks]).await
}

/// What is closed, column by column.
struct ClosedColumns {
    of: Vec<Option<Uuid>>,
    tags: Vec<Option<String>>,
    patterns: Vec<Option<String>>,
    networks: Vec<Option<String>>,
}

impl ClosedColumns {
    fn of(closed: Vec<Closed>) -> Self {
        let of = closed.iter().map(|one| one.organization_id.map(OrganizationId::uuid)).collect();
        let (patterns, networks) = closed.iter().map(|one| windows::columns(one.pattern.as_ref())).unzip();
        Self { of, tags: closed.into_iter().map(|one| one.tag).collect(), patterns, networks }
    }
}

/// Ready tasks that may go: neither in a blackout window nor under a kill switch, nor of a host or tool that is full.
async fn candidates(
    tx: &Tx<'_>,
    pool: Pool,
    limits: &AdmissionLimits,
    now: Timestamp,
) -> Result<Vec<Candidate>, StoreError> {
    let mut closed = halts::closed(tx).await?;
    let is_all = |one: &Closed| one.organization_id.is_none() && one.pattern.is_none();
    if closed.iter().any(is_all) {
        return Ok(Vec::new());
    }
    closed.extend(windows::open(tx, pool.name(), now).await?);
    let ClosedColumns { of, tags, patterns, networks } = ClosedColumns::of(closed);
    let tools: Vec<&str> = limits.per_tool.keys().map(String::as_str).collect();
    let most: Vec<i64> = limits.per_tool.values().map(|most| i64::from(*most)).collect();
    let (name, per_host) = (pool.name(), i64::from(limits.per_host));
    let rows = tx
        .query(
            CANDIDATES,
            &[&name, &WORKER_TIMEOUT_SECONDS, &per_host, &tools, &most, &of, &tags, &patterns, &networks],
        )
        .await?;
    Ok(rows.iter().map(candidate).collect::<Result<_, Inconsistent>>()?)
}

fn candidate(row: &Row) -> Result<Candidate, Inconsistent> {
    let columns = Columns::new("tasks", row);
    let limits = columns.named("plan", Subscription::find)?.limits();
    let count = |name: &'static str| columns.get::<i64>(name).map(|running| u32::try_from(running).unwrap_or(u32::MAX));
    Ok(Candidate {
        task_id: TaskId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        in_flight: count("in_flight")?,
        limit: limits.tasks_in_flight,
        weight: limits.weight,
        host: columns.get("host")?,
        host_in_flight: count("host_in_flight")?,
        tool: columns.get("tool")?,
        tool_in_flight: count("tool_in_flight")?,
    })
}

fn queued_task(pool: Pool, row: &Row) -> Result<(OrganizationId, TaskQueued, Option<String>), Inconsistent> {
    let columns = Columns::new("tasks", row);
    let task = TaskQueued {
        task_id: TaskId::from_uuid(columns.get("id")?),
        scan_id: ScanId::from_uuid(columns.get("scan_id")?),
        pool,
        attempt: columns.get("attempt")?,
    };
    Ok((OrganizationId::from_uuid(columns.get("organization_id")?), task, columns.get("traceparent")?))
}

/// A task that nobody will do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hopeless {
    task_id: Uuid,
    scan_id: ScanId,
    gap: Gap,
}

/// Ready tasks that no live worker could do for `wait_seconds`.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.unserved", skip_all, err(level = "debug"))]
pub async fn unserved(tx: &Tx<'_>, wait_seconds: f64) -> Result<Vec<Hopeless>, StoreError> {
    let (pools, levels) = (Pool::ALL.map(Pool::name), SandboxLevel::ALL.map(SandboxLevel::name));
    let rows = tx.query(UNSERVED, &[&wait_seconds, &pools.as_slice(), &levels.as_slice()]).await?;
    hopeless_of(&rows, Gap::CapabilityUnavailable)
}

/// Running tasks whose workers died too often.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.hopeless", skip_all, err(level = "debug"))]
pub async fn hopeless(tx: &Tx<'_>) -> Result<Vec<Hopeless>, StoreError> {
    hopeless_of(&tx.query(HOPELESS, &[&MAX_FAILURES]).await?, Gap::WorkerLost)
}

/// Puts tasks back whose message was lost, and tasks whose worker died; returns how many. Locks tasks alone.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.rescue", skip_all, err(level = "debug"))]
pub async fn rescue(tx: &Tx<'_>, claim_seconds: f64) -> Result<u64, StoreError> {
    let unclaimed = tx.execute(UNCLAIMED, &[&claim_seconds, &WORKER_TIMEOUT_SECONDS]).await?;
    let expired = tx.execute(EXPIRED, &[&MAX_FAILURES]).await?;
    let rescued = unclaimed.saturating_add(expired);
    if rescued > 0 {
        tx.notify(Notice::Tasks);
    }
    Ok(rescued)
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
    let given_up = tx.execute(GIVE_UP, &[&task.task_id, &now, &task.gap.name(), &detail]).await? == 1;
    if given_up {
        scans::end_if_over(tx, task.scan_id, now).await?;
    }
    Ok(given_up)
}

fn hopeless_of(rows: &[Row], gap: Gap) -> Result<Vec<Hopeless>, StoreError> {
    let read = |row: &Row| -> Result<Hopeless, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(Hopeless { task_id: columns.get("id")?, scan_id: ScanId::from_uuid(columns.get("scan_id")?), gap })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
