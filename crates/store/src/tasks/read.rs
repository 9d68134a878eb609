//! The tasks of a scan as its client sees them. Reads only; nothing here locks.

use jiff::Timestamp;
use picket_domain::{Gap, SandboxLevel, ScanId, TaskId, TaskState, WorkerId};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::reason::PutBack;
use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    LIST = "-- tasks.read.list
SELECT id, tool, level, state, attempt, failures, worker_id, exit_code, gap, detail, last_reason, created_at, started_at,
       ended_at, kept, shard ->> 'target' AS target, jsonb_array_length(shard -> 'addresses') AS addresses
FROM tasks
WHERE scan_id = $1 AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3";
}

/// A task as a client may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// Identity.
    pub id: TaskId,
    /// The tool's slug.
    pub tool: String,
    /// The weakest sandbox that it may run in.
    pub level: SandboxLevel,
    /// How it stands.
    pub state: TaskState,
    /// How often it was claimed.
    pub attempt: i32,
    /// How often it went wrong.
    pub failures: i32,
    /// The worker that has it, or had it last.
    pub worker_id: Option<WorkerId>,
    /// The tool's exit code, when it exited by itself.
    pub exit_code: Option<i32>,
    /// What is missing from its result.
    pub gap: Option<Gap>,
    /// What there is to say of it, fit for the client.
    pub detail: Option<String>,
    /// Why it was put back when it was last; `None` when it never was.
    pub last_reason: Option<PutBack>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When its last run began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Observations that are kept although it was stopped.
    pub kept: Option<i32>,
    /// The target, canonical.
    pub target: String,
    /// Addresses that it examines.
    pub addresses: u64,
}

impl TaskRecord {
    /// How many of its addresses were looked at in full; `None` where a part was, and nobody knows how large it is.
    #[must_use]
    pub const fn addresses_done(&self) -> Option<u64> {
        match (self.state, self.gap, self.kept) {
            (TaskState::Done, None, _) => Some(self.addresses),
            (TaskState::Done, Some(_), _) | (_, _, Some(_)) => None,
            (
                TaskState::Ready | TaskState::Queued | TaskState::Running | TaskState::Failed | TaskState::Cancelled,
                _,
                None,
            ) => Some(0),
        }
    }
}

/// At most `limit` tasks of a scan behind that one, in the order of their ids.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(
    tx: &Tx<'_>,
    scan: ScanId,
    behind: Option<TaskId>,
    limit: i64,
) -> Result<Vec<TaskRecord>, StoreError> {
    let rows = tx.query(LIST, &[&scan.uuid(), &behind.map(TaskId::uuid), &limit]).await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

fn record(row: &Row) -> Result<TaskRecord, Inconsistent> {
    let columns = Columns::new("tasks", row);
    let worker: Option<Uuid> = columns.get("worker_id")?;
    let addresses: i32 = columns.get("addresses")?;
    Ok(TaskRecord {
        id: TaskId::from_uuid(columns.get("id")?),
        tool: columns.get("tool")?,
        level: columns.named("level", SandboxLevel::find)?,
        state: columns.named("state", TaskState::find)?,
        attempt: columns.get("attempt")?,
        failures: columns.get("failures")?,
        worker_id: worker.map(WorkerId::from_uuid),
        exit_code: columns.get("exit_code")?,
        gap: columns.named_or_null("gap", Gap::find)?,
        detail: columns.get("detail")?,
        last_reason: columns.get::<Option<Json<PutBack>>>("last_reason")?.map(|Json(reason)| reason),
        created_at: columns.get("created_at")?,
        started_at: columns.get("started_at")?,
        ended_at: columns.get("ended_at")?,
        kept: columns.get("kept")?,
        target: columns.required("target")?,
        addresses: u64::try_from(addresses).unwrap_or_default(),
    })
}
