//! What the steward's loops do with tasks: admit ready ones, give up those nobody can do, rescue those whose worker died.
//! Only one admission runs at a time, so its counts are exact; any number of stewards may try.

use jiff::Timestamp;
use picket_domain::{
    Candidate, EventBody, Gap, OrganizationId, Pool, ScanId, ScanState, Subscription, TaskId, TaskQueued, choose,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::MAX_FAILURES;
use crate::{Inconsistent, Notice, StoreError, Tx, events, row::Columns, scans, statements::statements};

/// Seconds without a heartbeat after which a worker counts as gone.
const WORKER_TIMEOUT_SECONDS: f64 = 10.0;

statements! {
    LOCK = "-- tasks.admission.lock
SELECT pg_try_advisory_xact_lock(7161700302) AS locked";

    // Slots of live workers, and what is on their queues already.
    ROOM = "-- tasks.admission.room
SELECT p.pool,
       coalesce((SELECT sum(w.slots) FROM workers AS w
                 WHERE p.pool = ANY(w.pools) AND NOT w.draining
                   AND w.heartbeat_at > now() - make_interval(secs => $1)), 0)::bigint AS slots,
       (SELECT count(*) FROM tasks AS t WHERE t.pool = p.pool AND t.state = 'queued') AS queued
FROM (SELECT DISTINCT pool FROM tasks WHERE state = 'ready') AS p";

    // The oldest of each organization, so that nobody's ten thousand hide another one's first.
    CANDIDATES = "-- tasks.admission.candidates
SELECT t.id, t.organization_id, o.plan,
       (SELECT count(*) FROM tasks AS f
        WHERE f.organization_id = t.organization_id AND f.state IN ('queued', 'running')) AS in_flight
FROM (
  SELECT r.id, r.organization_id, r.ready_at,
         row_number() OVER (PARTITION BY r.organization_id ORDER BY r.ready_at, r.id) AS place
  FROM tasks AS r
  JOIN scans AS s ON s.id = r.scan_id
  WHERE r.state = 'ready' AND r.pool = $1 AND r.ready_at <= now() AND s.state IN ('created', 'queued', 'running')
) AS t
JOIN organizations AS o ON o.id = t.organization_id
WHERE t.place <= 64
ORDER BY t.ready_at, t.id
LIMIT 2048";

    ADMIT = "-- tasks.admission.admit
UPDATE tasks
SET state = 'queued', queued_at = now()
WHERE id = ANY($1) AND state = 'ready'
RETURNING id, organization_id, scan_id, attempt, pool";

    // Ready for longer than the wait, and no worker that serves the pool was seen in that time.
    UNSERVED = "-- tasks.admission.unserved
SELECT t.id, t.scan_id
FROM tasks AS t
WHERE t.state = 'ready' AND t.ready_at < now() - make_interval(secs => $1)
  AND NOT EXISTS (
    SELECT FROM workers AS w
    WHERE t.pool = ANY(w.pools) AND w.heartbeat_at > now() - make_interval(secs => $1)
  )
ORDER BY t.ready_at
LIMIT 256";

    GIVE_UP = "-- tasks.admission.give_up
UPDATE tasks
SET state = 'failed', gap = $3, detail = $4, ended_at = $2, lease_until = NULL
WHERE id = $1 AND state IN ('ready', 'running')
  AND (state = 'ready' OR lease_until < now())";

    // Admitted, but no worker claimed it: the message was lost.
    UNCLAIMED = "-- tasks.admission.unclaimed
UPDATE tasks
SET state = 'ready', queued_at = NULL
WHERE id IN (
  SELECT id FROM tasks
  WHERE state = 'queued' AND queued_at < now() - make_interval(secs => $1)
  ORDER BY queued_at
  LIMIT 256
  FOR UPDATE SKIP LOCKED
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

/// Admits what there is room for; returns how many tasks. Does nothing while another steward admits.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.admit", skip_all, err(level = "debug"))]
pub async fn admit(tx: &Tx<'_>, queue_per_slot: i64, now: Timestamp) -> Result<usize, StoreError> {
    let locked: bool = tx.query_one(LOCK, &[]).await?.try_get("locked")?;
    if !locked {
        return Ok(0);
    }
    let mut admitted = 0;
    for row in tx.query(ROOM, &[&WORKER_TIMEOUT_SECONDS]).await? {
        let columns = Columns::new("tasks", &row);
        let pool = columns.named("pool", Pool::find)?;
        let (slots, queued): (i64, i64) = (columns.get("slots")?, columns.get("queued")?);
        let room = usize::try_from(slots.saturating_mul(queue_per_slot).saturating_sub(queued)).unwrap_or(0);
        if room > 0 {
            admitted += admit_pool(tx, pool, room, now).await?;
        }
    }
    Ok(admitted)
}

async fn admit_pool(tx: &Tx<'_>, pool: Pool, room: usize, now: Timestamp) -> Result<usize, StoreError> {
    let rows = tx.query(CANDIDATES, &[&pool.name()]).await?;
    let candidates = rows.iter().map(candidate).collect::<Result<Vec<_>, Inconsistent>>()?;
    let chosen: Vec<Uuid> = choose(&candidates, room).into_iter().map(TaskId::uuid).collect();
    let rows = tx.query(ADMIT, &[&chosen]).await?;
    let queued = rows.iter().map(|row| queued(pool, row)).collect::<Result<Vec<_>, Inconsistent>>()?;
    for (organization, task) in &queued {
        queue_scan(tx, task.scan_id, now).await?;
        events::append(tx, *organization, &[EventBody::TaskQueued(task.clone())], None, now).await?;
    }
    Ok(queued.len())
}

async fn queue_scan(tx: &Tx<'_>, id: ScanId, now: Timestamp) -> Result<(), StoreError> {
    let Some(locked) = scans::lock(tx, id).await? else { return Ok(()) };
    if locked.scan.state == ScanState::Created {
        let change = locked.scan.queue().map_err(|_| Inconsistent { table: "scans", column: "state" })?;
        scans::save(tx, change, locked.traceparent.as_deref(), now).await?;
    }
    Ok(())
}

fn candidate(row: &Row) -> Result<Candidate, Inconsistent> {
    let columns = Columns::new("tasks", row);
    let limits = columns.named("plan", Subscription::find)?.limits();
    let in_flight: i64 = columns.get("in_flight")?;
    Ok(Candidate {
        task_id: TaskId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
        limit: limits.tasks_in_flight,
        weight: limits.weight,
    })
}

fn queued(pool: Pool, row: &Row) -> Result<(OrganizationId, TaskQueued), Inconsistent> {
    let columns = Columns::new("tasks", row);
    let task = TaskQueued {
        task_id: TaskId::from_uuid(columns.get("id")?),
        scan_id: ScanId::from_uuid(columns.get("scan_id")?),
        pool,
        attempt: columns.get("attempt")?,
    };
    Ok((OrganizationId::from_uuid(columns.get("organization_id")?), task))
}

/// Gives up tasks that no live worker could do for `wait_seconds`; returns how many.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.give_up_unserved", skip_all, err(level = "debug"))]
pub async fn give_up_unserved(tx: &Tx<'_>, wait_seconds: f64, now: Timestamp) -> Result<usize, StoreError> {
    let rows = tx.query(UNSERVED, &[&wait_seconds]).await?;
    give_up(tx, &rows, Gap::CapabilityUnavailable, "no live worker has proven what the task needs", now).await
}

/// Puts tasks back whose message was lost, and tasks whose worker died; gives up those that failed too often.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.rescue", skip_all, err(level = "debug"))]
pub async fn rescue(tx: &Tx<'_>, claim_seconds: f64, now: Timestamp) -> Result<u64, StoreError> {
    let unclaimed = tx.execute(UNCLAIMED, &[&claim_seconds]).await?;
    let expired = tx.execute(EXPIRED, &[&MAX_FAILURES]).await?;
    let rows = tx.query(HOPELESS, &[&MAX_FAILURES]).await?;
    let lost = give_up(tx, &rows, Gap::WorkerLost, "workers were lost again and again while the tool ran", now).await?;
    if unclaimed > 0 || expired > 0 {
        tx.notify(Notice::Tasks);
    }
    Ok(unclaimed.saturating_add(expired).saturating_add(u64::try_from(lost).unwrap_or_default()))
}

async fn give_up(tx: &Tx<'_>, rows: &[Row], gap: Gap, detail: &str, now: Timestamp) -> Result<usize, StoreError> {
    let mut given_up = 0;
    for row in rows {
        let columns = Columns::new("tasks", row);
        let (id, scan_id): (Uuid, Uuid) = (columns.get("id")?, columns.get("scan_id")?);
        let scan_id = ScanId::from_uuid(scan_id);
        scans::lock(tx, scan_id).await?;
        if tx.execute(GIVE_UP, &[&id, &now, &gap.name(), &detail]).await? == 1 {
            given_up += 1;
            scans::end_if_over(tx, scan_id, now).await?;
        }
    }
    Ok(given_up)
}
