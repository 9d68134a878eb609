//! Tasks at rest. [`admission`] chooses which may go to a worker, [`lease`] is a worker's claim and its renewal, and
//! here a task ends. Every write of a run carries its fence; a late one changes nothing and is an error.

pub mod admission;
pub mod authority;
pub mod chain;
pub mod lease;
pub mod read;

use jiff::Timestamp;
use picket_domain::{ClaimedTask, Fence, Gap, Growing, Grown, Observation};

use crate::{StoreError, Tx, artifacts, findings, output, scans, statements::statements};

/// Failures after which a task is given up.
pub const MAX_FAILURES: i32 = 3;

statements! {
    COMPLETE = "-- tasks.complete
UPDATE tasks
SET state = 'done', gap = $3, detail = $4, exit_code = $5, output_bytes = $6, tool_hash = $7, ended_at = $8,
    lease_until = NULL
WHERE id = $1 AND attempt = $2 AND state = 'running'";

    FAIL = "-- tasks.fail
UPDATE tasks
SET state = 'failed', gap = $3, detail = $4, exit_code = $5, output_bytes = $6, tool_hash = $7, ended_at = $8,
    lease_until = NULL, failures = failures + 1
WHERE id = $1 AND attempt = $2 AND state = 'running'";

    // Of a run that was stopped: once, and only for the claim that ran when it was stopped. The rescuer and whoever hands a
    // task back take the worker's name off it.
    KEEP = "-- tasks.keep
UPDATE tasks
SET kept = $3, detail = $4, output_bytes = $5, tool_hash = $6
WHERE id = $1 AND attempt = $2 AND state = 'cancelled' AND gap = 'cancelled' AND worker_id IS NOT NULL AND kept IS NULL";

    // Of the faults suite alone: the fence of whoever has the task now.
    ANY_FENCE = "-- tasks.any_fence
SELECT attempt FROM tasks WHERE id = $1";

    // An interruption is not a failure; the delay keeps a broken tool from spinning.
    HAND_BACK = "-- tasks.hand_back
UPDATE tasks
SET state = 'ready', ready_at = now() + make_interval(secs => $3), failures = failures + $4, lease_until = NULL,
    worker_id = NULL, queued_at = NULL
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

/// Stores what a run found and ends its task, and the scan with it when it was the last.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now: nothing is stored then.
pub async fn complete(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    observations: &[Observation],
    run: &RunRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    complete_and_grow(tx, task, observations, run, now, |_| Grown::default()).await
}

/// The same, and stores what is planned from the result, in the same transaction and behind the scan's lock: the scan does
/// not end in between, a second claim of the task plans nothing, and two tasks that end at once count each other's.
/// `next` is asked for a task alone that opens something.
///
/// # Errors
/// As [`complete`].
#[tracing::instrument(name = "db.tasks.complete", skip_all, fields(task.id = %task.fence.task_id), err(level = "debug"))]
pub async fn complete_and_grow(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    observations: &[Observation],
    run: &RunRecord,
    now: Timestamp,
    next: impl FnOnce(&Growing) -> Grown,
) -> Result<(), StoreError> {
    // What grows, and what was found, comes between the end of the task and the look at the scan.
    if observations.is_empty() && task.opens.is_empty() {
        return end_with_scan(tx, COMPLETE, task, run, now).await;
    }
    prepare_end(tx).await?;
    let fence = fence_of(tx, task).await?;
    tokio::try_join!(biased; scans::lock(tx, task.scan_id), end(tx, COMPLETE, fence, run, now))?;
    findings::record(tx, task, observations, now).await?;
    if !task.opens.is_empty() {
        scans::grow::grow(tx, task, next, now).await?;
    }
    scans::end_if_over(tx, task.scan_id, now).await
}

/// Ends a task without a result, and the scan with it when it was the last.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now.
#[tracing::instrument(name = "db.tasks.fail", skip_all, fields(task.id = %task.fence.task_id), err(level = "debug"))]
pub async fn fail(tx: &Tx<'_>, task: &ClaimedTask, run: &RunRecord, now: Timestamp) -> Result<(), StoreError> {
    end_with_scan(tx, FAIL, task, run, now).await
}

/// Ends a task that leaves nothing behind it, and the scan with it when it was the last. In one round trip when it was not:
/// the statements go out in this order, and nothing of them stays when the fence does not hold.
async fn end_with_scan(
    tx: &Tx<'_>,
    statement: &str,
    task: &ClaimedTask,
    run: &RunRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    prepare_end(tx).await?;
    let fence = fence_of(tx, task).await?;
    let (_locked, (), ()) = tokio::try_join!(
        biased;
        scans::lock(tx, task.scan_id),
        end(tx, statement, fence, run, now),
        scans::end_if_over(tx, task.scan_id, now)
    )?;
    Ok(())
}

/// Prepares what the end of a task sends in one round trip. Statements that are not prepared would go out in another order,
/// and that order is the one of the locks.
///
/// # Errors
/// When the database refuses.
pub async fn prepare_end(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.prepare(&[COMPLETE, FAIL]).await?;
    scans::prepare_end(tx).await?;
    output::prepare(tx).await?;
    artifacts::prepare(tx).await
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

/// Gives a running task back.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now.
#[tracing::instrument(name = "db.tasks.hand_back", skip_all, fields(task.id = %fence.task_id), err(level = "debug"))]
pub async fn hand_back(tx: &Tx<'_>, fence: Fence, why: HandBack) -> Result<(), StoreError> {
    let (seconds, failures) = match why {
        HandBack::Interrupted => (0.0_f64, 0_i32),
        HandBack::Failed => (5.0, 1),
    };
    tx.execute_one(HAND_BACK, &[&fence.task_id.uuid(), &fence.attempt, &seconds, &failures]).await?;
    tx.notify(crate::Notice::Tasks);
    Ok(())
}

async fn end(tx: &Tx<'_>, statement: &str, fence: Fence, run: &RunRecord, now: Timestamp) -> Result<(), StoreError> {
    let gap = run.gap.map(Gap::name);
    tx.execute_one(
        statement,
        &[
            &fence.task_id.uuid(),
            &fence.attempt,
            &gap,
            &run.detail,
            &run.exit_code,
            &run.output_bytes,
            &run.tool_hash,
            &now,
        ],
    )
    .await?;
    tx.notify(crate::Notice::Tasks);
    Ok(())
}

/// The fence of a claim; in the broken twin of the faults suite, that of whoever has the task now.
async fn fence_of(tx: &Tx<'_>, task: &ClaimedTask) -> Result<Fence, StoreError> {
    if !picket_faults::without("store::fence") {
        return Ok(task.fence);
    }
    let row = tx.query_one(ANY_FENCE, &[&task.fence.task_id.uuid()]).await?;
    Ok(Fence { attempt: row.try_get("attempt")?, ..task.fence })
}
