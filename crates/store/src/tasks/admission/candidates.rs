//! Which ready tasks admission may choose from: the oldest of each organization that nothing holds back; and what is taken
//! back when a window opens. It must never choose.

use jiff::Timestamp;
use picket_domain::{AdmissionLimits, Candidate, OrganizationId, Pool, Subscription, TaskId, ahead};
use tokio_postgres::Row;
use uuid::Uuid;

use super::WORKER_TIMEOUT_SECONDS;
use crate::{
    Inconsistent, Notice, StoreError, Tx, halts,
    row::Columns,
    statements::statements,
    windows::{self, Closed},
};

/// Of one organization at most; no subscription may have more in flight.
const MOST_IN_FLIGHT: i64 = 40;

statements! {
    // The oldest of each organization, at most as many as there is room for or the largest subscription may have in flight:
    // nobody's ten thousand, and no organization at its limit, hides another one's first. What no live worker of the pool
    // has proven enough for stays ready: admitted, it would only go round; so does what a window or an operator has closed.
    // A host or a tool that is full is left out here already, so that forty tasks of it do not hide the next one.
    // A few of each are asked for first, four times the room over all of them: what is read is about what there is room for,
    // however many wait. `$11` beyond that asks for all.
    OLDEST = "-- tasks.admission.candidates.oldest
WITH waiting AS MATERIALIZED (
  SELECT w.organization_id, picket_is_polite(w.organization_id) AS is_polite FROM picket_waiting($1) AS w
), flying AS MATERIALIZED (
  SELECT organization_id, pool, host, tool
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
), gentle AS MATERIALIZED (
  -- Hosts that have as many of an organization as it wants there, by each name that it said so of.
  SELECT h.organization_id, h.host, g.value
  FROM waiting AS w
  JOIN of_host AS h ON h.organization_id = w.organization_id
  JOIN targets AS g ON g.organization_id = w.organization_id AND g.max_tasks <= h.running
  WHERE w.is_polite
)
SELECT t.id, o.id AS organization_id, o.plan, f.in_flight, f.in_pool, a.moment AS turn, t.host, t.tool,
       (SELECT greatest(2, least($10::bigint, ceil(4.0 * $11::bigint / count(*))::bigint)) FROM waiting) AS asked,
       coalesce((SELECT sum(h.running) FROM of_host AS h WHERE h.host = t.host), 0)::bigint AS host_in_flight,
       coalesce((SELECT h.running FROM of_host AS h WHERE h.organization_id = o.id AND h.host = t.host), 0)
         AS host_in_flight_own, t.most_at_host,
       coalesce((SELECT u.running FROM of_tool AS u WHERE u.tool = t.tool), 0) AS tool_in_flight
FROM waiting AS r
JOIN organizations AS o ON o.id = r.organization_id
LEFT JOIN organization_turns AS a ON a.organization_id = o.id AND a.pool = $1
CROSS JOIN LATERAL (
  SELECT count(*) AS in_flight, count(*) FILTER (WHERE flying.pool = $1) AS in_pool
  FROM flying
  WHERE flying.organization_id = o.id
) AS f
CROSS JOIN LATERAL (
  -- What is asked of the scan is asked of each task in the order of the index, and no further than the limit: joined, it would
  -- be all tasks of the organization, sorted.
  SELECT c.id, c.ready_at, c.host, c.tool,
         CASE WHEN r.is_polite AND c.host IS NOT NULL THEN
           (SELECT p.max_tasks FROM scans AS s CROSS JOIN LATERAL picket_politeness(o.id, s.target, c.shard) AS p WHERE s.id = c.scan_id)
         END AS most_at_host
  FROM tasks AS c
  WHERE c.state = 'ready' AND c.pool = $1 AND c.organization_id = o.id AND c.ready_at <= now()
    AND picket_rank(c.level) >= (
      SELECT min(picket_rank(w.counts_as))
      FROM workers AS w
      WHERE $1 = ANY(w.pools) AND NOT w.draining AND w.heartbeat_at > now() - make_interval(secs => $2)
    )
    AND (c.host IS NULL
         OR c.host NOT IN (SELECT h.host FROM of_host AS h GROUP BY h.host HAVING sum(h.running) >= $3::bigint))
    AND (c.host IS NULL OR (
      (c.organization_id, c.host, c.host) NOT IN (SELECT g.organization_id, g.host, g.value FROM gentle AS g)
      AND (c.organization_id, c.host, c.shard ->> 'target') NOT IN (SELECT g.organization_id, g.host, g.value FROM gentle AS g)
    ))
    AND c.tool NOT IN (
      SELECT full_one.tool
      FROM unnest($4::text[], $5::bigint[]) AS full_one (tool, most)
      WHERE full_one.most <= coalesce((SELECT u.running FROM of_tool AS u WHERE u.tool = full_one.tool), 0)
    )
    AND (
      SELECT s.state IN ('created', 'queued', 'running') AND (
        c.host IS NULL
        OR (c.organization_id, c.host, s.target) NOT IN (SELECT g.organization_id, g.host, g.value FROM gentle AS g)
      ) AND NOT EXISTS (
        SELECT FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[]) AS closed (organization_id, tag, pattern, network)
        WHERE (closed.organization_id IS NULL OR closed.organization_id = o.id)
          AND picket_closes(closed.tag, closed.pattern, closed.network::inet, o.id, s.target, c.shard)
      )
      FROM scans AS s
      WHERE s.id = c.scan_id
    )
  ORDER BY c.ready_at, c.id
  LIMIT (SELECT greatest(2, least($10::bigint, ceil(4.0 * $11::bigint / count(*))::bigint)) FROM waiting)
) AS t
-- What is closed as a whole is not looked into: nobody's night costs everybody's rounds.
WHERE NOT EXISTS (
  SELECT FROM unnest($6::uuid[], $7::text[], $8::text[]) AS whole (organization_id, tag, pattern)
  WHERE whole.tag IS NULL AND whole.pattern IS NULL AND (whole.organization_id IS NULL OR whole.organization_id = o.id)
)
ORDER BY t.ready_at, t.id";

    // Their messages are stale until they are admitted again. Whatever is locked is begun or ended at this moment.
    RECALL = "-- tasks.admission.recall
UPDATE tasks
SET state = 'ready', queued_at = NULL, ready_at = least(ready_at, now())
WHERE id IN (
  SELECT t.id
  FROM tasks AS t
  JOIN scans AS s ON s.id = t.scan_id
  WHERE t.state = 'queued' AND EXISTS (
    SELECT FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS closed (organization_id, tag, pattern, network)
    WHERE closed.organization_id = t.organization_id
      AND picket_closes(closed.tag, closed.pattern, closed.network::inet, t.organization_id, s.target, t.shard)
  )
  ORDER BY t.id
  FOR NO KEY UPDATE OF t SKIP LOCKED
)";

    // As when a worker hands back because it stops. Whatever is locked ends at this moment.
    SUSPEND = "-- tasks.admission.suspend
UPDATE tasks
SET state = 'ready', ready_at = now(), lease_until = NULL, worker_id = NULL, queued_at = NULL,
    last_reason = '{\"code\": \"interrupted\", \"detail\": \"a blackout window opened\"}'
WHERE id IN (
  SELECT t.id
  FROM tasks AS t
  JOIN scans AS s ON s.id = t.scan_id
  WHERE t.state = 'running' AND EXISTS (
    SELECT FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS closed (organization_id, tag, pattern, network)
    WHERE closed.organization_id = t.organization_id
      AND picket_closes(closed.tag, closed.pattern, closed.network::inet, t.organization_id, s.target, t.shard)
  )
  ORDER BY t.id
  FOR NO KEY UPDATE OF t SKIP LOCKED
)";
}

/// Takes back what was admitted and not begun when a blackout window opens, and what runs under one that pauses: its lease is
/// gone, so its tool is killed, and nothing is counted as a failure. Returns how many tasks.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.recall", skip_all, err(level = "debug"))]
pub async fn recall(tx: &Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let closed = windows::open_for_admitted(tx, now).await?;
    if closed.is_empty() {
        return Ok(0);
    }
    let pausing = closed.iter().filter(|one| one.pauses).cloned().collect::<Vec<_>>();
    let ClosedColumns { of, tags, patterns, networks } = ClosedColumns::of(closed);
    let recalled = tx.execute(RECALL, &[&of, &tags, &patterns, &networks]).await?;
    let ClosedColumns { of, tags, patterns, networks } = ClosedColumns::of(pausing);
    let suspended = if of.is_empty() { 0 } else { tx.execute(SUSPEND, &[&of, &tags, &patterns, &networks]).await? };
    if suspended > 0 {
        tx.notify(Notice::Leases);
    }
    Ok(recalled.saturating_add(suspended))
}

/// What is closed, column by column.
pub(super) struct ClosedColumns {
    pub(super) of: Vec<Option<Uuid>>,
    pub(super) tags: Vec<Option<String>>,
    pub(super) patterns: Vec<Option<String>>,
    pub(super) networks: Vec<Option<String>>,
}

impl ClosedColumns {
    pub(super) fn of(closed: Vec<Closed>) -> Self {
        let mut columns = Self { of: Vec::new(), tags: Vec::new(), patterns: Vec::new(), networks: Vec::new() };
        for Closed { organization_id, tag, pattern, network, pauses: _ } in closed {
            columns.of.push(organization_id.map(OrganizationId::uuid));
            columns.tags.push(tag);
            columns.patterns.push(pattern);
            columns.networks.push(network);
        }
        columns
    }
}

/// Tasks to choose from.
pub(super) struct Offered {
    /// Oldest first within each organization.
    pub(super) candidates: Vec<Candidate>,
    /// How many were asked for of each organization: one that has as many may have more.
    pub(super) asked: usize,
}

/// Which of the tasks that wait.
pub(super) struct Sought<'a> {
    pub(super) pool: Pool,
    pub(super) limits: &'a AdmissionLimits,
    pub(super) room: usize,
    /// The pool's clock.
    pub(super) clock: f64,
    pub(super) now: Timestamp,
}

/// Ready tasks that may go: neither in a blackout window nor under a kill switch, nor of a host or tool that is full. The
/// oldest few of each organization, or as many as could go.
pub(super) async fn candidates(tx: &Tx<'_>, sought: &Sought<'_>, is_all: bool) -> Result<Offered, StoreError> {
    let Sought { pool, limits, room, clock, now } = *sought;
    let (mut closed, open) = tokio::try_join!(biased; halts::closed(tx), windows::open(tx, pool.name(), now))?;
    let is_everything = |one: &Closed| one.organization_id.is_none() && one.pattern.is_none();
    if closed.iter().any(is_everything) {
        return Ok(Offered { candidates: Vec::new(), asked: usize::MAX });
    }
    closed.extend(open);
    let ClosedColumns { of, tags, patterns, networks } = ClosedColumns::of(closed);
    let tools: Vec<&str> = limits.per_tool.keys().map(String::as_str).collect();
    let most: Vec<i64> = limits.per_tool.values().map(|most| i64::from(*most)).collect();
    let (name, per_host) = (pool.name(), i64::from(limits.per_host));
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let (each, over_all) = (room.min(MOST_IN_FLIGHT), if is_all { i64::from(u32::MAX) } else { room });
    let rows = tx
        .query(
            OLDEST,
            &[
                &name,
                &WORKER_TIMEOUT_SECONDS,
                &per_host,
                &tools,
                &most,
                &of,
                &tags,
                &patterns,
                &networks,
                &each,
                &over_all,
            ],
        )
        .await?;
    let asked = rows.first().map(|row| Columns::new("tasks", row).get::<i64>("asked")).transpose()?;
    let asked = asked.filter(|_| !is_all).and_then(|asked| usize::try_from(asked).ok()).unwrap_or(usize::MAX);
    let candidates = rows.iter().map(|row| candidate(row, clock)).collect::<Result<_, Inconsistent>>()?;
    Ok(Offered { candidates, asked })
}

fn candidate(row: &Row, clock: f64) -> Result<Candidate, Inconsistent> {
    let columns = Columns::new("tasks", row);
    let limits = columns.named("plan", Subscription::find)?.limits();
    let count = |name: &'static str| columns.get::<i64>(name).map(|running| u32::try_from(running).unwrap_or(u32::MAX));
    Ok(Candidate {
        task_id: TaskId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        in_flight: count("in_flight")?,
        in_pool: count("in_pool")?,
        limit: limits.tasks_in_flight,
        weight: limits.weight,
        ahead: ahead(columns.get("turn")?, clock, limits.weight),
        host: columns.get("host")?,
        host_in_flight: count("host_in_flight")?,
        host_in_flight_own: count("host_in_flight_own")?,
        most_at_host: columns.get::<Option<i32>>("most_at_host")?.and_then(|most| u32::try_from(most).ok()),
        tool: columns.get("tool")?,
        tool_in_flight: count("tool_in_flight")?,
    })
}
