//! A worker's claim of a task and its renewal. The lease in Postgres is the truth, whatever the broker redelivers.
//! Leases run by the database's clock, so that a worker's clock cannot stretch one; by the same clock it is decided whether a
//! task may begin. A worker's own says only when its scan is shown to have begun.

use jiff::Timestamp;
use picket_domain::{
    ClaimedTask, Fence, OrganizationId, RunLimits, SandboxLevel, ScanId, ScanState, TaskId, TaskQueued, WorkerId,
};
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};
use uuid::Uuid;

use super::authority;
use crate::{Inconsistent, StoreError, Tx, row::Columns, scans, statements::statements};

/// Seconds that a claim holds without a heartbeat, unless the operator says otherwise.
pub const LEASE_SECONDS: f64 = 30.0;

statements! {
    // Behind the scan's lock, in the same round trip: what it says of the scan's state is what the lock found.
    CLAIM = "-- tasks.lease.claim
UPDATE tasks
SET state = 'running', attempt = attempt + 1, worker_id = $3, lease_until = now() + make_interval(secs => $4),
    started_at = now()
WHERE id = $1 AND scan_id = $6 AND attempt = $2 AND state = 'queued' AND level = ANY($5)
  AND (SELECT s.state FROM scans AS s WHERE s.id = $6) IN ('created', 'queued', 'running')
  AND picket_may_begin(organization_id, scan_id, tool, params, shard)
  AND NOT EXISTS (
    SELECT FROM picket_halts(organization_id) AS h
    WHERE h.pattern IS NULL
       OR picket_covers(h.pattern, h.network, (SELECT s.target FROM scans AS s WHERE s.id = tasks.scan_id), shard)
  )
RETURNING id, organization_id, scan_id, attempt, tool, params, shard, opens, failures,
          (SELECT picket_run_limits(s.limits, tasks.tool, s.organization_id, s.target, tasks.shard)
           FROM scans AS s WHERE s.id = tasks.scan_id) AS limits";

    // Most claims: further tasks of scans that run.
    CLAIM_MORE = "-- tasks.lease.claim_more
SELECT id, organization_id, scan_id, attempt, tool, params, shard, opens, failures, traceparent, limits
FROM picket_claim($1, $2, $3, $4, $5, $6, $7)";

    // Admitted while its scan was being paused: it waits with the others.
    REFUSE = "-- tasks.lease.refuse
UPDATE tasks
SET state = 'ready', queued_at = NULL
WHERE id = $1 AND attempt = $2 AND state = 'queued'";

    // Rows are locked in the order of their ids, like everywhere where many are locked at once.
    RENEW = "-- tasks.lease.renew
WITH locked AS (
  SELECT t.id
  FROM tasks AS t
  JOIN unnest($2::uuid[], $3::integer[]) AS held (id, attempt) ON t.id = held.id AND t.attempt = held.attempt
  WHERE t.worker_id = $1 AND t.state = 'running'
  ORDER BY t.id
  FOR NO KEY UPDATE OF t
)
UPDATE tasks AS t
SET lease_until = now() + make_interval(secs => $4)
FROM locked
WHERE t.id = locked.id
RETURNING t.id, t.attempt";
}

/// Who claims, and what it has proven.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claimant {
    /// The worker.
    pub worker_id: WorkerId,
    /// The level that its self-test has proven.
    pub level: SandboxLevel,
    /// Seconds that its claims hold without a heartbeat; [`LEASE_SECONDS`] by default.
    pub lease_seconds: f64,
}

impl Claimant {
    /// The levels of what it may do: a stronger sandbox may run what asks for a weaker one.
    fn levels(self) -> Vec<&'static str> {
        SandboxLevel::ALL.into_iter().filter(|needed| *needed >= self.level).map(SandboxLevel::name).collect()
    }
}

/// A message of a task, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The organization that the message names.
    pub organization_id: OrganizationId,
    /// The task.
    pub message: TaskQueued,
}

/// Takes those tasks whose scans run and that nothing keeps from beginning, in one round trip for all. That one is missing
/// says no more than that this is not so: [`claim`] knows what it is. Each offer names its tenant, whose rows it may see alone.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.claim_more", skip_all, fields(offers = offers.len()), err(level = "debug"))]
pub async fn claim_more(tx: &Tx<'_>, offers: &[Offer], by: Claimant) -> Result<Vec<ClaimedTask>, StoreError> {
    let ids = |of: fn(&Offer) -> Uuid| offers.iter().map(of).collect::<Vec<_>>();
    let tenants = ids(|offer| offer.organization_id.uuid());
    let scans = ids(|offer| offer.message.scan_id.uuid());
    let tasks = ids(|offer| offer.message.task_id.uuid());
    let attempts: Vec<i32> = offers.iter().map(|offer| offer.message.attempt).collect();
    let (worker, levels) = (by.worker_id.uuid(), by.levels());
    let rows =
        tx.query(CLAIM_MORE, &[&tenants, &scans, &tasks, &attempts, &worker, &by.lease_seconds, &levels]).await?;
    let claimed = |row: &Row| claimed(row, Columns::new("scans", row).get("traceparent")?);
    Ok(rows.iter().map(claimed).collect::<Result<_, _>>()?)
}

/// Takes the task of a message, if the message is still true; begins the scan with its first task. The task of a paused
/// scan goes back to those that are ready; one that may not begin any more fails.
/// `None` means that the message is stale: drop it.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.claim", skip_all, fields(task.id = %message.task_id), err(level = "debug"))]
pub async fn claim(
    tx: &Tx<'_>,
    message: &TaskQueued,
    by: Claimant,
    now: Timestamp,
) -> Result<Option<ClaimedTask>, StoreError> {
    let (task, scan, worker, levels) =
        (message.task_id.uuid(), message.scan_id.uuid(), by.worker_id.uuid(), by.levels());
    let params: [&(dyn ToSql + Sync); 6] = [&task, &message.attempt, &worker, &by.lease_seconds, &levels, &scan];
    let (locked, row) = tokio::try_join!(biased; scans::lock(tx, message.scan_id), tx.query_opt(CLAIM, &params))?;
    let Some(locked) = locked else { return Ok(None) };
    let waiting = match locked.scan.state {
        ScanState::Created | ScanState::Queued => true,
        ScanState::Running { .. } => false,
        ScanState::Paused { .. } => {
            tx.execute(REFUSE, &[&task, &message.attempt]).await?;
            return Ok(None);
        }
        ScanState::Completed { .. } | ScanState::Failed { .. } | ScanState::Cancelled { .. } => return Ok(None),
    };
    let Some(row) = row else {
        authority::refuse(tx, message, now).await?;
        return Ok(None);
    };
    if waiting {
        let change = locked.scan.start(now).map_err(|_| Inconsistent { table: "scans", column: "state" })?;
        scans::save(tx, change, locked.traceparent.as_deref(), now).await?;
    }
    Ok(Some(claimed(&row, locked.traceparent)?))
}

/// Renews the leases that the worker still holds and returns them; what is missing was cancelled or taken away, and its
/// tool must be killed.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.renew", skip_all, err(level = "debug"))]
pub async fn renew(tx: &Tx<'_>, by: Claimant, held: &[Fence]) -> Result<Vec<Fence>, StoreError> {
    let ids: Vec<Uuid> = held.iter().map(|fence| fence.task_id.uuid()).collect();
    let attempts: Vec<i32> = held.iter().map(|fence| fence.attempt).collect();
    let rows = tx.query(RENEW, &[&by.worker_id.uuid(), &ids, &attempts, &by.lease_seconds]).await?;
    let fence = |row: &Row| -> Result<Fence, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(Fence { task_id: TaskId::from_uuid(columns.get("id")?), attempt: columns.get("attempt")? })
    };
    Ok(rows.iter().map(fence).collect::<Result<_, _>>()?)
}

fn claimed(row: &Row, traceparent: Option<String>) -> Result<ClaimedTask, Inconsistent> {
    let columns = Columns::new("tasks", row);
    Ok(ClaimedTask {
        fence: Fence { task_id: TaskId::from_uuid(columns.get("id")?), attempt: columns.get("attempt")? },
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        scan_id: ScanId::from_uuid(columns.get("scan_id")?),
        tool: columns.get("tool")?,
        params: columns.json("params")?,
        shard: columns.json("shard")?,
        opens: columns.get("opens")?,
        limits: columns.get::<Option<Json<RunLimits>>>("limits")?.map(|limits| limits.0).unwrap_or_default(),
        failures: columns.get("failures")?,
        traceparent,
    })
}
