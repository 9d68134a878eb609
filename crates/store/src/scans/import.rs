//! Imports: a report that a tool wrote elsewhere becomes a scan that has ended, in one transaction: the scan with its one
//! task, what the report tells, and every event of a scan that ran. Either all of it is there or nothing.

use jiff::Timestamp;
use picket_domain::{ClaimedTask, Fence, NewScan, NewTask, Observation, RunLimits};

use super::{Created, Locked};
use crate::{Inconsistent, StoreError, Tx, statements::statements, tasks};

statements! {
    // No worker can see the row before it is done. What runs it is the request, which the nil id stands for.
    QUEUE = "-- scans.import.queue
UPDATE tasks
SET state = 'queued', queued_at = now()
WHERE id = $1 AND state = 'ready'";

    TAKE = "-- scans.import.take
UPDATE tasks
SET state = 'running', attempt = 1, worker_id = '00000000-0000-0000-0000-000000000000', started_at = $2,
    lease_until = now() + interval '1 minute'
WHERE id = $1 AND state = 'queued'";
}

/// Stores a scan of one task together with what the task found; `run` says what is missing of it.
///
/// # Errors
/// [`StoreError::Refused`] when the plan of the organization does not allow a scan; [`StoreError::Stale`] when `new` has no
/// task; when the database refuses.
#[tracing::instrument(name = "db.scans.import", skip_all, fields(scan.id = %new.id), err(level = "debug"))]
pub async fn store(
    tx: &Tx<'_>,
    new: &NewScan,
    observations: &[Observation],
    run: &tasks::RunRecord,
    now: Timestamp,
) -> Result<Created, StoreError> {
    let task = new.tasks.first().ok_or(StoreError::Stale { expected: 1, actual: 0 })?;
    let created = super::create(tx, new, now).await?;
    begin(tx, new, now).await?;
    tx.execute_one(QUEUE, &[&task.id.uuid()]).await?;
    tx.execute_one(TAKE, &[&task.id.uuid(), &now]).await?;
    tasks::complete(tx, &claimed(new, task), observations, run, now).await?;
    Ok(created)
}

/// The task of an import, as if a worker had claimed it.
#[must_use]
pub fn claimed(new: &NewScan, task: &NewTask) -> ClaimedTask {
    ClaimedTask {
        fence: Fence { task_id: task.id, attempt: 1 },
        organization_id: new.organization_id,
        scan_id: new.id,
        tool: task.tool.to_owned(),
        params: task.params.clone(),
        shard: task.shard.clone(),
        opens: Vec::new(),
        limits: RunLimits::default(),
        failures: 0,
        traceparent: new.traceparent.clone(),
    }
}

/// Takes the scan to where its first task runs.
async fn begin(tx: &Tx<'_>, new: &NewScan, now: Timestamp) -> Result<(), StoreError> {
    let Some(Locked { scan, traceparent }) = super::lock(tx, new.id).await? else {
        return Err(StoreError::Stale { expected: 1, actual: 0 });
    };
    let started = scan.start(now).map_err(|_| Inconsistent { table: "scans", column: "state" })?;
    super::save(tx, started, traceparent.as_deref(), now).await?;
    Ok(())
}
