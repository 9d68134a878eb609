//! A task and the only ways it may change. The pair (task, attempt) is the fence: a result that names another attempt
//! than the running one is thrown away.
//!
//! ```text
//! ready ──admit──▶ queued ──claim──▶ running ──complete──▶ done
//!   ▲                │                 │  │
//!   └────requeue─────┴────requeue──────┘  └──fail──▶ failed
//! ready, queued, running ──cancel──▶ cancelled      ready ──fail──▶ failed
//! ```

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{OrganizationId, PinnedHost, RunLimits, ScanId, TaskId};

/// A group of workers that does one kind of work; also the name of its queue on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pool {
    /// Port scans over plain connections.
    #[serde(rename = "net")]
    Net,
    /// Port scans that need raw sockets. A queue cannot filter, so the need is part of its name.
    #[serde(rename = "net.raw")]
    NetRaw,
    /// Web scanners.
    #[serde(rename = "web")]
    Web,
    /// TLS scanners.
    #[serde(rename = "tls")]
    Tls,
    /// Imports of recorded outputs.
    #[serde(rename = "import")]
    Import,
    /// Tasks that run no tool, for tests of load and faults; served only where the operator's setting says so.
    #[serde(rename = "simulate")]
    Simulate,
}

impl Pool {
    /// Every pool.
    pub const ALL: [Self; 6] = [Self::Net, Self::NetRaw, Self::Web, Self::Tls, Self::Import, Self::Simulate];

    /// The name on the wire, in the database and in the queue's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::NetRaw => "net.raw",
            Self::Web => "web",
            Self::Tls => "tls",
            Self::Import => "import",
            Self::Simulate => "simulate",
        }
    }

    /// The pool of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pool| pool.name() == name)
    }

    /// The weakest sandbox that a worker must have proven to serve the pool. Raw sockets are confined at L0 alone.
    #[must_use]
    pub const fn weakest_level(self) -> SandboxLevel {
        match self {
            Self::NetRaw => SandboxLevel::L0,
            Self::Net | Self::Web | Self::Tls | Self::Import | Self::Simulate => SandboxLevel::L2,
        }
    }
}

/// How well a worker can lock a tool in (`docs/security.md`). A level is proven by a self-test, never configured.
/// Stronger levels are smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SandboxLevel {
    /// Privileged node: own network namespace, filter on the far side, raw sockets.
    L0,
    /// User namespaces: own network namespace in user mode.
    L1,
    /// Namespaces of files and processes, system call filter and limits; the network is shared with the worker.
    L2,
    /// Nothing is proven; a worker runs so only where its operator has asked for it twice. No task ever names it.
    None,
}

impl SandboxLevel {
    /// Every level, strongest first.
    pub const ALL: [Self; 4] = [Self::L0, Self::L1, Self::L2, Self::None];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::None => "none",
        }
    }

    /// As which level of tasks a proven one counts: the one place that says so. As none without the operator's agreement.
    #[must_use]
    pub const fn counted(self, is_raw: bool, is_agreed: bool) -> Option<Self> {
        match self {
            // A task that needs this level needs raw sockets: without them it is no more than the next one.
            Self::L0 if !is_raw => Some(Self::L1),
            // The operator has agreed to it twice; no task ever asks for it by name.
            Self::None if is_agreed => Some(Self::L2),
            Self::None => None,
            level @ (Self::L0 | Self::L1 | Self::L2) => Some(level),
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// What a worker must have proven before it may have a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// The pool whose queue the task goes to.
    pub pool: Pool,
    /// The weakest acceptable sandbox.
    pub level: SandboxLevel,
}

/// What one task examines: addresses pinned when the scan was authorized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The target as the client named it, canonical.
    pub target: String,
    /// The addresses to examine.
    pub addresses: Vec<IpAddr>,
    /// Names that resolve inside the sandbox.
    pub hosts: Vec<PinnedHost>,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waits for admission.
    Ready,
    /// Admitted: its message is on the way to a worker.
    Queued,
    /// A worker holds its lease.
    Running,
    /// Ended; what it found is stored.
    Done,
    /// Ended without a result.
    Failed,
    /// Withdrawn by a client.
    Cancelled,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Ready, Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the task can still change.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Ready | Self::Queued | Self::Running => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Whether a task may go from this state to `next`; the table above, and a trigger in the database repeats it.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Ready => matches!(next, Self::Queued | Self::Failed | Self::Cancelled),
            Self::Queued => matches!(next, Self::Ready | Self::Running | Self::Cancelled),
            Self::Running => matches!(next, Self::Ready | Self::Done | Self::Failed | Self::Cancelled),
            Self::Done | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// Why a task did not see everything it should have seen. A task that is done may have a gap: then its result is partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No live worker has proven what the task needs.
    CapabilityUnavailable,
    /// Picket has no tool for what was asked, or the tool is not installed.
    ToolUnavailable,
    /// The tool ended with an error.
    ToolFailed,
    /// The tool ran into its wall clock.
    TimedOut,
    /// The tool exceeded a limit of its sandbox.
    LimitExceeded,
    /// The output broke off, or held what cannot be understood.
    OutputIncomplete,
    /// The output was cut at its size limit.
    OutputTruncated,
    /// Workers were lost again and again while the task ran.
    WorkerLost,
    /// The client stopped the scan.
    Cancelled,
    /// The stored parameters do not fit the tool any more.
    InvalidParameters,
    /// What allowed the scan had ended before the task began: a proof, a written authorization, an operator's range.
    TargetNotAuthorized,
    /// The organization says that what the task looks at is never scanned.
    TargetExcluded,
    /// The name led elsewhere, when the task began, than when the scan was made.
    TargetChanged,
    /// What was found below the target is nothing that anybody may scan here, or an operator has stopped scanning it.
    TargetForbidden,
}

impl Gap {
    /// Every gap.
    pub const ALL: [Self; 14] = [
        Self::CapabilityUnavailable,
        Self::ToolUnavailable,
        Self::ToolFailed,
        Self::TimedOut,
        Self::LimitExceeded,
        Self::OutputIncomplete,
        Self::OutputTruncated,
        Self::WorkerLost,
        Self::Cancelled,
        Self::InvalidParameters,
        Self::TargetNotAuthorized,
        Self::TargetExcluded,
        Self::TargetChanged,
        Self::TargetForbidden,
    ];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CapabilityUnavailable => "capability_unavailable",
            Self::ToolUnavailable => "tool_unavailable",
            Self::ToolFailed => "tool_failed",
            Self::TimedOut => "timed_out",
            Self::LimitExceeded => "limit_exceeded",
            Self::OutputIncomplete => "output_incomplete",
            Self::OutputTruncated => "output_truncated",
            Self::WorkerLost => "worker_lost",
            Self::Cancelled => "cancelled",
            Self::InvalidParameters => "invalid_parameters",
            Self::TargetNotAuthorized => "target_not_authorized",
            Self::TargetExcluded => "target_excluded",
            Self::TargetChanged => "target_changed",
            Self::TargetForbidden => "target_forbidden",
        }
    }

    /// The gap of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gap| gap.name() == name)
    }
}

/// A task that a plan asks for, before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Identity.
    pub id: TaskId,
    /// The tool's slug.
    pub tool: &'static str,
    /// What a worker must have proven.
    pub needs: Needs,
    /// Canonical parameters; the worker parses them again.
    pub params: serde_json::Value,
    /// What it examines.
    pub shard: Shard,
    /// What is planned from its result: options of the plan, or slugs of tools. Empty for a task that nothing follows.
    pub opens: Vec<String>,
}

/// The fence of one claim: results belong to exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The task.
    pub task_id: TaskId,
    /// The claim; grows at every claim of the task.
    pub attempt: i32,
}

/// A task as a worker gets it with its claim.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedTask {
    /// The fence that every write of this run carries.
    pub fence: Fence,
    /// Whose task it is.
    pub organization_id: OrganizationId,
    /// The scan it belongs to.
    pub scan_id: ScanId,
    /// The tool's slug.
    pub tool: String,
    /// Canonical parameters.
    pub params: serde_json::Value,
    /// What it examines.
    pub shard: Shard,
    /// What is planned from its result, as in [`NewTask::opens`].
    pub opens: Vec<String>,
    /// How long it may take and how fast it may go, as of the claim.
    pub limits: RunLimits,
    /// How often it went wrong before.
    pub failures: i32,
    /// The trace that the request began (W3C `traceparent`), when it had one.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_ended_stays_ended() {
        for ended in TaskState::ALL.into_iter().filter(|state| state.is_final()) {
            assert!(TaskState::ALL.into_iter().all(|next| !ended.may_become(next)), "{ended:?}");
        }
    }

    #[test]
    fn only_a_running_task_completes() {
        let before: Vec<_> = TaskState::ALL.into_iter().filter(|state| state.may_become(TaskState::Done)).collect();
        assert_eq!(before, [TaskState::Running]);
    }

    #[test]
    fn names_find_their_values() {
        assert!(TaskState::ALL.into_iter().all(|state| TaskState::find(state.name()) == Some(state)));
        assert!(Gap::ALL.into_iter().all(|gap| Gap::find(gap.name()) == Some(gap)));
        assert!(Pool::ALL.into_iter().all(|pool| Pool::find(pool.name()) == Some(pool)));
        assert!(SandboxLevel::L0 < SandboxLevel::L2);
    }
}
