//! The live output of scans at rest: lines that workers tell while tools run, numbered per scan without gaps in the order in
//! which they are committed, so that whoever reads behind a number misses nothing and reads nothing twice. Bounded per scan.

use jiff::Timestamp;
use picket_domain::{ClaimedTask, Fence, Gap, OrganizationId, OutputLine, ScanId, TaskId};
use tokio_postgres::{Row, types::Json};

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// The most lines of a scan that are kept; one more says that it was cut.
pub const MOST_LINES: i64 = 10_000;

statements! {
    HELD = "-- output.held
SELECT EXISTS (SELECT FROM tasks WHERE id = $1 AND attempt = $2 AND state = 'running') AS held";

    TELL = "-- output.tell
SELECT picket_tell($1, $2, $3, $4, $5, $6, $7, $8)";

    LIST = "-- output.list
SELECT number, task_id, attempt, at, line
FROM output_lines
WHERE scan_id = $1 AND number > $2
ORDER BY number
LIMIT $3";

    PROGRESS = "-- output.progress
SELECT s.state, t.total + s.unmade AS total, t.ended + CASE s.state WHEN 'cancelled' THEN s.unmade ELSE 0 END AS ended,
       t.running, greatest(t.percent, CASE WHEN s.state = 'cancelled' AND s.unmade > 0 THEN 99 ELSE s.progress_floor END) AS percent
FROM scans AS s
CROSS JOIN LATERAL (
  SELECT count(*) AS total, count(*) FILTER (WHERE state IN ('done', 'failed', 'cancelled')) AS ended,
         count(*) FILTER (WHERE state = 'running') AS running,
         -- As `picket_progress` has it, in the same pass.
         floor(least(coalesce(sum(share + reserve) FILTER (WHERE state IN ('done', 'failed', 'cancelled')), 0) * 100
                     + 0.000001, 99))::integer AS percent
  FROM tasks
  WHERE scan_id = s.id
) AS t
WHERE s.id = $1";

    STATE = "-- output.state
SELECT state
FROM scans
WHERE id = $1";
}

/// A line as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Its number in the scan, from 1.
    pub number: i64,
    /// The task that it is of.
    pub task_id: TaskId,
    /// Which claim of it.
    pub attempt: i32,
    /// When its worker told it.
    pub at: Timestamp,
    /// The line.
    pub line: OutputLine,
}

/// How far a scan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its state, by name.
    pub state: String,
    /// Its tasks.
    pub total: i64,
    /// Those that have ended.
    pub ended: i64,
    /// Those that run.
    pub running: i64,
    /// Percent of the known work, as in the scan's status; 99 at most.
    pub percent: i32,
}

/// Adds what a task tells while it runs, when the claim still holds; `false` when it does not, and then nothing is kept.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.output.tell", skip_all, fields(task.id = %task.fence.task_id), err(level = "debug"))]
pub async fn tell(tx: &Tx<'_>, task: &ClaimedTask, lines: &[OutputLine], now: Timestamp) -> Result<bool, StoreError> {
    let row = tx.query_one(HELD, &[&task.fence.task_id.uuid(), &task.fence.attempt]).await?;
    let is_held = Columns::new("tasks", &row).get("held")?;
    if is_held {
        append(tx, task, lines, now).await?;
    }
    Ok(is_held)
}

/// Says that a run has ended because its worker was lost, and whether it is tried again; in the transaction that takes the
/// task from the worker. Whoever says it of several scans does so in the order of their ids.
pub(crate) async fn lost(
    tx: &Tx<'_>,
    (organization, scan): (OrganizationId, ScanId),
    fence: Fence,
    again: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let line = OutputLine::Ended { observations: 0, gap: Some(Gap::WorkerLost), again };
    add(tx, (organization, scan), fence, &[line], now).await
}

/// Adds the last lines of a run in the transaction that takes it off its worker, behind its fence. One that ends says them with
/// its end ([`crate::tasks::RunEnd`]).
///
/// # Errors
/// When the database refuses.
pub async fn append(tx: &Tx<'_>, task: &ClaimedTask, lines: &[OutputLine], now: Timestamp) -> Result<(), StoreError> {
    add(tx, (task.organization_id, task.scan_id), task.fence, lines, now).await
}

async fn add(
    tx: &Tx<'_>,
    (organization, scan): (OrganizationId, ScanId),
    fence: Fence,
    lines: &[OutputLine],
    now: Timestamp,
) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let (organization, scan, cut) = (organization.uuid(), scan.uuid(), Json(OutputLine::Cut));
    let (id, attempt) = (fence.task_id.uuid(), fence.attempt);
    tx.query_one(TELL, &[&organization, &scan, &id, &attempt, &now, &Json(lines), &MOST_LINES, &cut]).await.map(drop)
}

/// At most `limit` lines of the scan behind that number, in their order; 0 is before the first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(tx: &Tx<'_>, scan: ScanId, behind: i64, limit: i64) -> Result<Vec<StoredLine>, StoreError> {
    let rows = tx.query(LIST, &[&scan.uuid(), &behind, &limit]).await?;
    Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
}

/// How far the scan is; `None` when the tenant has no such scan.
///
/// # Errors
/// When the database refuses.
pub async fn progress(tx: &Tx<'_>, scan: ScanId) -> Result<Option<Progress>, StoreError> {
    let Some(row) = tx.query_opt(PROGRESS, &[&scan.uuid()]).await? else { return Ok(None) };
    let columns = Columns::new("tasks", &row);
    Ok(Some(Progress {
        state: columns.get("state")?,
        total: columns.get("total")?,
        ended: columns.get("ended")?,
        running: columns.get("running")?,
        percent: columns.get("percent")?,
    }))
}

/// The scan's state by name; `None` when the tenant has no such scan.
///
/// # Errors
/// When the database refuses.
pub async fn state(tx: &Tx<'_>, scan: ScanId) -> Result<Option<String>, StoreError> {
    let row = tx.query_opt(STATE, &[&scan.uuid()]).await?;
    Ok(row.as_ref().map(|row| Columns::new("scans", row).get("state")).transpose()?)
}

fn stored(row: &Row) -> Result<StoredLine, Inconsistent> {
    let columns = Columns::new("output_lines", row);
    Ok(StoredLine {
        number: columns.get("number")?,
        task_id: TaskId::from_uuid(columns.get("task_id")?),
        attempt: columns.get("attempt")?,
        at: columns.get("at")?,
        line: columns.json("line")?,
    })
}
