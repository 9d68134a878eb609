//! Tasks at rest. [`admission`] chooses which may go to a worker, [`lease`] is a worker's claim and its renewal, and
//! here a task ends. Every write of a run carries its fence; a late one changes nothing and is an error.

pub mod admission;
pub mod authority;
pub mod chain;
pub(crate) mod ends;
pub mod lease;
pub mod read;
pub mod reason;
pub mod turns;

use jiff::Timestamp;
use picket_domain::{ClaimedTask, Fence, Gap, Observation};
use tokio_postgres::types::Json;

pub use self::ends::{Ended, Outcome, RunEnd, complete, end_each, end_run, fail};
use self::reason::PutBack;
use crate::{StoreError, Tx, findings, scans, statements::statements};

/// Failures after which a task is given up.
pub const MAX_FAILURES: i32 = 3;

statements! {
    // Of a run that was stopped: once, and only for the claim that ran when it was stopped. The rescuer and whoever hands a
    // task back take the worker's name off it.
    KEEP = "-- tasks.keep
UPDATE tasks
SET kept = $3, detail = $4, output_bytes = $5, tool_hash = $6
WHERE id = $1 AND attempt = $2 AND state = 'cancelled' AND gap = 'cancelled' AND worker_id IS NOT NULL AND kept IS NULL";

    // An interruption is not a failure; the delay keeps a broken tool from spinning.
    HAND_BACK = "-- tasks.hand_back
UPDATE tasks
SET state = 'ready', ready_at = now() + make_interval(secs => $3), failures = failures + $4, lease_until = NULL,
    worker_id = NULL, queued_at = NULL, last_reason = $5
WHERE id = $1 AND attempt = $2 AND state = 'running'";
}

/// How a run of a tool ended, for the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunRecord {
    /// The tool's exit code, when it exited by itself.
    pub exit_code: Option<i32>,
    /// Bytes that it printed.
    pub output_bytes: i64,
    /// Content hash of the tool's root.
    pub tool_hash: Option<String>,
    /// What is missing from the result.
    pub gap: Option<Gap>,
    /// What there is to say of it, fit for the client.
    pub detail: Option<String>,
}

/// Stores what a tool had found when its scan was stopped. Neither task nor scan changes its state: the coverage says
/// partial instead of skipped.
///
/// # Errors
/// [`StoreError::Stale`] when the task was not stopped but taken away, or its scan was removed: nothing is stored then.
#[tracing::instrument(name = "db.tasks.keep", skip_all, fields(task.id = %task.fence.task_id), err(level = "debug"))]
pub async fn keep(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    observations: &[Observation],
    run: &RunRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    scans::lock(tx, task.scan_id).await?;
    let kept = i32::try_from(observations.len()).unwrap_or(i32::MAX);
    let Fence { task_id, attempt } = task.fence;
    tx.execute_one(KEEP, &[&task_id.uuid(), &attempt, &kept, &run.detail, &run.output_bytes, &run.tool_hash]).await?;
    findings::record(tx, task, observations, now).await
}

/// Why a running task goes back to the ready ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandBack {
    /// The worker stops; another one goes on at once, and nothing is counted.
    Interrupted,
    /// It went wrong; counted, and tried again after a delay.
    Failed,
}

/// Gives a running task back; the gap and the detail of the run are kept as the reason.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now.
#[tracing::instrument(name = "db.tasks.hand_back", skip_all, fields(task.id = %fence.task_id), err(level = "debug"))]
pub async fn hand_back(tx: &Tx<'_>, fence: Fence, why: HandBack, run: &RunRecord) -> Result<(), StoreError> {
    let (seconds, failures) = match why {
        HandBack::Interrupted => (0.0_f64, 0_i32),
        HandBack::Failed => (5.0, 1),
    };
    let reason = Json(PutBack::new(run.gap, run.detail.as_deref()));
    tx.execute_one(HAND_BACK, &[&fence.task_id.uuid(), &fence.attempt, &seconds, &failures, &reason]).await?;
    tx.notify(crate::Notice::Tasks);
    Ok(())
}
