//! Ready tasks that nobody can do. Finds them alone: giving them up is [`super::give_up`]'s.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{Gap, Pool, SandboxLevel};

use super::{Hopeless, candidates::ClosedColumns, hopeless_of};
use crate::{StoreError, Tx, halts, statements::statements, windows};

statements! {
    // Ready for longer than the wait, and no worker that serves the pool was seen in that time: what nobody serves is found
    // first, and of each organization what is old enough by the index, since what is held may be a hundred thousand tasks. What
    // a client holds does not wait for a worker, nor does what a window or a switch held in that time, lifted or not: the wait
    // counts from when it could have run.
    UNSERVED = "-- tasks.admission.unserved
WITH unserved AS MATERIALIZED (
  SELECT p.pool, array_agg(l.level) AS levels
  FROM unnest($2::text[]) AS p (pool)
  CROSS JOIN unnest($3::text[]) AS l (level)
  WHERE NOT EXISTS (
    SELECT FROM workers AS w
    WHERE p.pool = ANY(w.pools) AND picket_rank(w.counts_as) <= picket_rank(l.level) AND w.heartbeat_at > now() - make_interval(secs => $1)
  )
  GROUP BY p.pool
)
SELECT t.id, t.scan_id
FROM unserved AS u
CROSS JOIN LATERAL picket_waiting(u.pool) AS w (organization_id)
CROSS JOIN LATERAL (
  SELECT c.id, c.scan_id, c.ready_at
  FROM tasks AS c
  WHERE c.state = 'ready' AND c.pool = u.pool AND c.organization_id = w.organization_id
    AND c.ready_at < now() - make_interval(secs => $1) AND c.level = ANY(u.levels)
    AND NOT EXISTS (
      SELECT FROM organization_counters AS o
      WHERE o.organization_id = c.organization_id AND o.windows_lapsed_at > now() - make_interval(secs => $1)
    )
    AND EXISTS (
      SELECT FROM scans AS s
      WHERE s.id = c.scan_id AND s.state <> 'paused' AND NOT EXISTS (
        SELECT FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[]) AS closed (organization_id, tag, pattern, network)
        WHERE (closed.organization_id IS NULL OR closed.organization_id = c.organization_id)
          AND picket_closes(closed.tag, closed.pattern, closed.network::inet, c.organization_id, s.target, c.shard)
      )
    )
  ORDER BY c.ready_at, c.id
  LIMIT 256
) AS t
ORDER BY t.ready_at
LIMIT 256";
}

/// Ready tasks that no live worker could do for `wait_seconds` in which nothing else held them.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.unserved", skip_all, err(level = "debug"))]
pub async fn unserved(tx: &Tx<'_>, wait_seconds: f64, now: Timestamp) -> Result<Vec<Hopeless>, StoreError> {
    let waited = SignedDuration::try_from_secs_f64(wait_seconds).unwrap_or(SignedDuration::MAX);
    let mut closed = halts::closed_since(tx, now.saturating_sub(waited).unwrap_or(Timestamp::MIN)).await?;
    closed.extend(windows::closed_lately(tx, now, waited).await?);
    let ClosedColumns { of, tags, patterns, networks } = ClosedColumns::of(closed);
    let (pools, levels) = (Pool::ALL.map(Pool::name), SandboxLevel::ALL.map(SandboxLevel::name));
    let (pools, levels) = (pools.as_slice(), levels.as_slice());
    let rows = tx.query(UNSERVED, &[&wait_seconds, &pools, &levels, &of, &tags, &patterns, &networks]).await?;
    hopeless_of(&rows, Gap::CapabilityUnavailable)
}
