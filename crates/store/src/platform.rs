//! What operators see of the platform: workers, queues, totals. All of it runs as the operator, and nothing of it names what
//! a customer scans.

pub mod repeat;
pub mod replay;

pub use self::replay::{GivenUp, given_up};

use jiff::Timestamp;
use picket_domain::{AuditEntry, OrganizationId, Pool, SandboxLevel, ScanId, TaskId, UserId, WorkerId};
use serde_json::Value;
use tokio_postgres::Row;

use crate::{Inconsistent, Notice, StoreError, Tx, administration, audit, row::Columns, statements::statements};

statements! {
    IS_OPERATOR = "-- platform.is_operator
SELECT
FROM users
WHERE id = $1 AND platform_role = 'operator' AND disabled_at IS NULL";

    WORKERS = "-- platform.workers
SELECT w.id, w.version, w.started_at, w.heartbeat_at, w.heartbeat_at > now() - interval '10 seconds' AS is_live, w.pools, w.level,
       w.raw, w.slots, w.busy, w.draining, w.drain_requested_at IS NOT NULL AS is_drained, w.dropped_packets,
       w.tool_versions,
       ARRAY(SELECT json_build_object('id', t.id, 'organization', t.organization_id, 'scan', t.scan_id, 'tool', t.tool,
                                      'attempt', t.attempt, 'started_at', t.started_at, 'lease_until', t.lease_until)
             FROM tasks AS t
             WHERE t.worker_id = w.id AND t.state = 'running'
             ORDER BY t.started_at, t.id
             LIMIT 100) AS tasks
FROM workers AS w
WHERE ($1::uuid IS NULL OR w.id > $1)
ORDER BY w.id
LIMIT $2";

    DRAIN = "-- platform.drain
UPDATE workers
SET drain_requested_at = coalesce(drain_requested_at, now()), draining = true
WHERE id = $1";

    // In parts, since those that wait and those in flight have an index of their own. What is paused is ready at no time.
    QUEUES = "-- platform.queues
WITH RECURSIVE tool (slug) AS (
  (SELECT t.tool FROM tasks AS t WHERE t.state IN ('done', 'failed') ORDER BY t.tool LIMIT 1)
  UNION ALL
  SELECT (SELECT t.tool FROM tasks AS t WHERE t.state IN ('done', 'failed') AND t.tool > w.slug ORDER BY t.tool LIMIT 1)
  FROM tool AS w
  WHERE w.slug IS NOT NULL
)
SELECT t.pool, t.organization_id, sum(t.ready)::bigint AS ready, sum(t.queued)::bigint AS queued,
       sum(t.running)::bigint AS running, sum(t.ended)::bigint AS ended, extract(epoch FROM now() - min(t.oldest))::double precision AS oldest_seconds
FROM (
  SELECT pool, organization_id, count(*) AS ready, 0 AS queued, 0 AS running, 0 AS ended,
         min(ready_at) FILTER (WHERE ready_at < 'infinity') AS oldest
  FROM tasks
  WHERE state = 'ready'
  GROUP BY pool, organization_id
  UNION ALL
  SELECT pool, organization_id, 0, count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running'), 0, NULL
  FROM tasks
  WHERE state IN ('queued', 'running')
  GROUP BY pool, organization_id
  UNION ALL
  SELECT pool, organization_id, 0, 0, 0, count(*), NULL
  FROM tool
  CROSS JOIN LATERAL (
    SELECT t.pool, t.organization_id, t.state
    FROM tasks AS t
    WHERE t.state IN ('done', 'failed') AND t.tool = tool.slug AND t.ended_at > now() - interval '1 minute'
  ) AS e
  WHERE e.state = 'done'
  GROUP BY pool, organization_id
) AS t
GROUP BY t.pool, t.organization_id
ORDER BY t.pool, sum(t.ready + t.queued + t.running) DESC, t.organization_id";

    // What was made and what has ended since are ranges of indexes, one of each organization or tool.
    OVERVIEW = "-- platform.overview
WITH RECURSIVE tool (slug) AS (
  (SELECT t.tool FROM tasks AS t WHERE t.state IN ('done', 'failed') ORDER BY t.tool LIMIT 1)
  UNION ALL
  SELECT (SELECT t.tool FROM tasks AS t WHERE t.state IN ('done', 'failed') AND t.tool > w.slug ORDER BY t.tool LIMIT 1)
  FROM tool AS w
  WHERE w.slug IS NOT NULL
), ended AS MATERIALIZED (
  SELECT count(*) FILTER (WHERE e.state = 'done') AS done, count(*) FILTER (WHERE e.state = 'failed') AS failed
  FROM tool
  CROSS JOIN LATERAL (
    SELECT t.state FROM tasks AS t WHERE t.state IN ('done', 'failed') AND t.tool = tool.slug AND t.ended_at > $1
  ) AS e
)
SELECT (SELECT count(*) FROM organizations) AS organizations,
       (SELECT count(*) FROM scans WHERE state IN ('created', 'queued', 'running', 'paused')) AS scans_open,
       (SELECT coalesce(sum(c.scans), 0)::bigint
        FROM organizations AS o
        CROSS JOIN LATERAL (SELECT count(*) AS scans FROM scans AS s
                            WHERE s.organization_id = o.id AND s.created_at > $1) AS c) AS scans_created,
       (SELECT count(*) FROM scans WHERE ended_at > $1 AND state = 'completed') AS scans_completed,
       (SELECT count(*) FROM scans WHERE ended_at > $1 AND state = 'failed') AS scans_failed,
       (SELECT count(*) FROM tasks WHERE state = 'ready')
         + (SELECT coalesce(sum(unmade), 0)::bigint FROM scans
            WHERE unmade > 0 AND state IN ('created', 'queued', 'running', 'paused')) AS tasks_ready,
       (SELECT count(*) FROM tasks WHERE state = 'queued') AS tasks_queued,
       (SELECT count(*) FROM tasks WHERE state = 'running') AS tasks_running,
       (SELECT done FROM ended) AS tasks_done,
       (SELECT failed FROM ended) AS tasks_failed,
       (SELECT extract(epoch FROM now() - min(ready_at))::double precision
        FROM tasks WHERE state = 'ready' AND ready_at < 'infinity')
         AS oldest_ready_seconds,
       (SELECT count(*) FROM workers WHERE heartbeat_at > now() - interval '10 seconds') AS workers_live,
       (SELECT coalesce(sum(slots), 0)::bigint FROM workers
        WHERE heartbeat_at > now() - interval '10 seconds' AND NOT draining) AS slots,
       (SELECT coalesce(sum(busy), 0)::bigint FROM workers WHERE heartbeat_at > now() - interval '10 seconds') AS busy";
}

/// A worker as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRow {
    /// Identity; new with every start.
    pub id: WorkerId,
    /// Of its program.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was heard last.
    pub heartbeat_at: Timestamp,
    /// Whether that is a moment ago.
    pub is_live: bool,
    /// The pools that it serves.
    pub pools: Vec<String>,
    /// The level that its self-test has proven; `none` for none.
    pub level: SandboxLevel,
    /// Whether raw sockets are confined as well.
    pub raw: bool,
    /// Tasks that it can run at once.
    pub slots: i32,
    /// Tasks that it runs, as it says.
    pub busy: i32,
    /// Whether it takes no more.
    pub draining: bool,
    /// Whether an operator wants that.
    pub is_drained: bool,
    /// Packets of its runs that were dropped since it started.
    pub dropped_packets: i64,
    /// `{slug: {version, hash}}`.
    pub tool_versions: Value,
    /// What it runs.
    pub tasks: Vec<RunningTask>,
}

/// A task that a worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    /// The task.
    pub id: TaskId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Of which scan.
    pub scan_id: ScanId,
    /// The tool.
    pub tool: String,
    /// The claim.
    pub attempt: i32,
    /// Since when.
    pub started_at: Option<Timestamp>,
    /// Until when the claim holds without a heartbeat.
    pub lease_until: Option<Timestamp>,
}

/// What waits and runs in one pool for one organization.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRow {
    /// The pool.
    pub pool: Pool,
    /// Whose tasks.
    pub organization_id: OrganizationId,
    /// Tasks that wait for admission.
    pub ready: i64,
    /// Tasks that wait for a worker.
    pub queued: i64,
    /// Tasks that run.
    pub running: i64,
    /// Tasks that left a result in the last minute.
    pub done_last_minute: i64,
    /// How long the oldest of those waits that wait for admission, in seconds.
    pub oldest_seconds: Option<f64>,
}

/// Totals of the platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Organizations.
    pub organizations: i64,
    /// Scans that have not ended.
    pub scans_open: i64,
    /// Scans made since the moment that was asked for.
    pub scans_created: i64,
    /// Scans completed since then.
    pub scans_completed: i64,
    /// Scans failed since then.
    pub scans_failed: i64,
    /// Tasks that wait for admission.
    pub tasks_ready: i64,
    /// Tasks that wait for a worker.
    pub tasks_queued: i64,
    /// Tasks that run.
    pub tasks_running: i64,
    /// Tasks that left a result since then.
    pub tasks_done: i64,
    /// Tasks that failed since then.
    pub tasks_failed: i64,
    /// How long the oldest waits that waits for admission, in seconds.
    pub oldest_ready_seconds: Option<f64>,
    /// Workers that were heard a moment ago.
    pub workers_live: i64,
    /// Their slots, but of those that take no more.
    pub slots: i64,
    /// The tasks that they run.
    pub busy: i64,
}

/// Whether a person operates the platform.
///
/// # Errors
/// When the database refuses.
pub async fn is_operator(tx: &Tx<'_>, user: UserId) -> Result<bool, StoreError> {
    Ok(tx.query_opt(IS_OPERATOR, &[&user.uuid()]).await?.is_some())
}

/// Workers behind `after`, by their ids, with what they run.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.platform.workers", skip_all, err(level = "debug"))]
pub async fn workers(tx: &Tx<'_>, after: Option<WorkerId>, at_most: i64) -> Result<Vec<WorkerRow>, StoreError> {
    let rows = tx.query(WORKERS, &[&after.map(WorkerId::uuid), &at_most]).await?;
    Ok(rows.iter().map(worker).collect::<Result<_, _>>()?)
}

/// A worker finishes what it has and takes no more; it says so with its next heartbeat. `false` when there is none.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.platform.drain", skip_all, fields(worker.id = %id), err(level = "debug"))]
pub async fn drain(
    tx: &Tx<'_>,
    id: WorkerId,
    operators: OrganizationId,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    administration::lock(tx, &[operators]).await?;
    let is_there = tx.execute(DRAIN, &[&id.uuid()]).await? == 1;
    if is_there {
        audit::record(tx, operators, entry).await?;
        // It asks at once.
        tx.notify(Notice::Leases);
    }
    Ok(is_there)
}

/// What waits and runs, by pool and organization, the most first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.platform.queues", skip_all, err(level = "debug"))]
pub async fn queues(tx: &Tx<'_>) -> Result<Vec<QueueRow>, StoreError> {
    let queue = |row: &Row| -> Result<QueueRow, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(QueueRow {
            pool: columns.named("pool", Pool::find)?,
            organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
            ready: columns.get("ready")?,
            queued: columns.get("queued")?,
            running: columns.get("running")?,
            done_last_minute: columns.get("ended")?,
            oldest_seconds: columns.get("oldest_seconds")?,
        })
    };
    Ok(tx.query(QUEUES, &[]).await?.iter().map(queue).collect::<Result<_, _>>()?)
}

/// Totals, and what happened since that moment.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.platform.overview", skip_all, err(level = "debug"))]
pub async fn overview(tx: &Tx<'_>, since: Timestamp) -> Result<Overview, StoreError> {
    let row = tx.query_one(OVERVIEW, &[&since]).await?;
    let columns = Columns::new("platform", &row);
    Ok(Overview {
        organizations: columns.get("organizations")?,
        scans_open: columns.get("scans_open")?,
        scans_created: columns.get("scans_created")?,
        scans_completed: columns.get("scans_completed")?,
        scans_failed: columns.get("scans_failed")?,
        tasks_ready: columns.get("tasks_ready")?,
        tasks_queued: columns.get("tasks_queued")?,
        tasks_running: columns.get("tasks_running")?,
        tasks_done: columns.get("tasks_done")?,
        tasks_failed: columns.get("tasks_failed")?,
        oldest_ready_seconds: columns.get("oldest_ready_seconds")?,
        workers_live: columns.get("workers_live")?,
        slots: columns.get("slots")?,
        busy: columns.get("busy")?,
    })
}

fn worker(row: &Row) -> Result<WorkerRow, Inconsistent> {
    let columns = Columns::new("workers", row);
    let tasks: Vec<Value> = columns.get("tasks")?;
    let running = |task: &Value| running(task).ok_or_else(|| columns.inconsistent("tasks"));
    Ok(WorkerRow {
        id: WorkerId::from_uuid(columns.get("id")?),
        version: columns.get("version")?,
        started_at: columns.get("started_at")?,
        heartbeat_at: columns.get("heartbeat_at")?,
        is_live: columns.get("is_live")?,
        pools: columns.get("pools")?,
        level: columns.named("level", SandboxLevel::find)?,
        raw: columns.get("raw")?,
        slots: columns.get("slots")?,
        busy: columns.get("busy")?,
        draining: columns.get("draining")?,
        is_drained: columns.get("is_drained")?,
        dropped_packets: columns.get("dropped_packets")?,
        tool_versions: columns.json("tool_versions")?,
        tasks: tasks.iter().map(running).collect::<Result<_, _>>()?,
    })
}

fn running(task: &Value) -> Option<RunningTask> {
    let uuid = |name: &str| task.get(name)?.as_str()?.parse::<uuid::Uuid>().ok();
    let time = |name: &str| task.get(name)?.as_str()?.parse::<Timestamp>().ok();
    Some(RunningTask {
        id: TaskId::from_uuid(uuid("id")?),
        organization_id: OrganizationId::from_uuid(uuid("organization")?),
        scan_id: ScanId::from_uuid(uuid("scan")?),
        tool: task.get("tool")?.as_str()?.to_owned(),
        attempt: i32::try_from(task.get("attempt")?.as_i64()?).ok()?,
        started_at: time("started_at"),
        lease_until: time("lease_until"),
    })
}
