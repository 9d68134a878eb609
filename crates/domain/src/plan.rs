//! What a scan will do. A plan is what the client asked for; the gateway turns it into tasks with the tools' help.

use serde::{Deserialize, Serialize};

use crate::{Authority, Gap, LaterTasks, NewTask, OrganizationId, ScanId, ScanLimits};

/// The plan that a scan follows; `scan_type` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// A short look.
    Quick,
    /// Every stage there is.
    Full,
    /// What the client chose: one tool (v1), or options (v2).
    Custom,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Full, Self::Custom];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Custom => "custom",
        }
    }

    /// The plan of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.name() == name)
    }
}

/// The version of the API that something was made under; decides how it is shown to its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// CyberSec Pro's reference.
    V1,
    /// Bitvisor's reference.
    V2,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// Something the plan asked for that no task looks at. Said in the coverage, so that nobody takes it for clean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanGap {
    /// What was asked, e.g. `web_scan`, or the tool's slug.
    pub tool: String,
    /// The target that is not looked at.
    pub target: String,
    /// Why.
    pub gap: Gap,
}

/// A scan before it is stored: everything is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScan {
    /// Identity.
    pub id: ScanId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// Under which version it was asked.
    pub dialect: Dialect,
    /// The plan.
    pub plan: Plan,
    /// The target, canonical.
    pub target: String,
    /// The tool's slug, when the plan is one tool.
    pub tool: Option<&'static str>,
    /// As the client asked, for the record.
    pub request: serde_json::Value,
    /// Ways in which the asker hears of the end.
    pub notify: Vec<String>,
    /// What the plan cannot look at.
    pub gaps: Vec<PlanGap>,
    /// The first stage; empty when nothing at all can be done.
    pub tasks: Vec<NewTask>,
    /// What else is of the first stage; the steward makes these tasks page by page.
    pub later: Vec<LaterTasks>,
    /// What allows the scan; looked at once more before each task begins.
    pub authority: Authority,
    /// Hosts × ports over all tasks: what the plan of the organization limits.
    pub probes: u64,
    /// Limits of its runs, by tool: of those that grow from its results, too.
    pub limits: ScanLimits,
    /// Who asked: a user's or an API key's id.
    pub requested_by: String,
    /// The trace that the request began.
    pub traceparent: Option<String>,
}

impl NewScan {
    /// All tasks of the first stage, those that are made later included.
    #[must_use]
    pub fn task_count(&self) -> u64 {
        let later = self.later.iter().map(LaterTasks::tasks).fold(0, u64::saturating_add);
        later.saturating_add(u64::try_from(self.tasks.len()).unwrap_or(u64::MAX))
    }
}

/// What one (tool, target) of a scan came to. Part of every result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The tool's slug, or what was asked of the plan.
    pub tool: String,
    /// What it looked at.
    pub target: String,
    /// How far it came.
    pub state: CoverageState,
    /// Why something is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Gap>,
    /// More to say of it, fit for the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How far a tool came at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoverageState {
    /// Not ended yet.
    Pending,
    /// Looked at everything.
    Done,
    /// Looked at some of it.
    Partial,
    /// Not looked at: nobody could.
    Skipped,
    /// Not looked at: it went wrong.
    Failed,
}

impl CoverageState {
    /// What a task's state and gap come to.
    #[must_use]
    pub const fn of(state: crate::TaskState, gap: Option<Gap>) -> Self {
        match (state, gap) {
            (crate::TaskState::Ready | crate::TaskState::Queued | crate::TaskState::Running, _) => Self::Pending,
            (crate::TaskState::Done, None) => Self::Done,
            (crate::TaskState::Done, Some(_)) => Self::Partial,
            (
                _,
                Some(
                    Gap::CapabilityUnavailable
                    | Gap::ToolUnavailable
                    | Gap::Cancelled
                    | Gap::TargetNotAuthorized
                    | Gap::TargetExcluded
                    | Gap::TargetForbidden,
                ),
            ) => Self::Skipped,
            (crate::TaskState::Failed | crate::TaskState::Cancelled, _) => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskState;

    #[test]
    fn a_partial_result_is_never_called_done() {
        assert_eq!(CoverageState::of(TaskState::Done, None), CoverageState::Done);
        for gap in Gap::ALL {
            assert_eq!(CoverageState::of(TaskState::Done, Some(gap)), CoverageState::Partial);
            assert_ne!(CoverageState::of(TaskState::Failed, Some(gap)), CoverageState::Done);
        }
    }
}
