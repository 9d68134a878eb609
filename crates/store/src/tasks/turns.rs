//! Forgets whose turn it was, of who has nothing to do: admission counts an organization without a turn as one that has had its
//! share and no more. It must never forget what is owed by one that waits or runs something.

use crate::{StoreError, Tx, statements::statements};

/// The most rows of one turn.
const MOST: i64 = 1_000;

statements! {
    // What is owed to who is away is forgiven, as the domain says (`admission/turn.rs`). What somebody had above its share is
    // kept until the clock has passed it, or until the pool has rested for it for a day.
    FORGET = "-- tasks.turns.forget
WITH idle AS (
  SELECT u.organization_id, u.pool
  FROM organization_turns AS u
  JOIN pool_clocks AS c ON c.pool = u.pool
  WHERE (u.moment <= c.moment
         OR NOT EXISTS (SELECT FROM scans AS s
                        WHERE s.organization_id = u.organization_id AND s.created_at > picket_now() - interval '1 day'))
    AND NOT EXISTS (SELECT FROM tasks AS t
                    WHERE t.state = 'ready' AND t.pool = u.pool AND t.organization_id = u.organization_id)
    AND NOT EXISTS (SELECT FROM tasks AS t
                    WHERE t.state IN ('queued', 'running') AND t.organization_id = u.organization_id AND t.pool = u.pool)
  ORDER BY u.organization_id, u.pool
  LIMIT $1
  FOR UPDATE OF u SKIP LOCKED
)
DELETE FROM organization_turns AS u
USING idle
WHERE u.organization_id = idle.organization_id AND u.pool = idle.pool";
}

/// Forgets the turns of organizations that have nothing to do in a pool; returns how many, 1,000 at most. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.tasks.forget_turns", skip_all, err(level = "debug"))]
pub async fn forget(tx: &Tx<'_>) -> Result<u64, StoreError> {
    tx.execute(FORGET, &[&MOST]).await
}
