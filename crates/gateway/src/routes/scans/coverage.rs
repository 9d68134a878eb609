//! What was looked at and what was not, for every answer that shows a result: "nothing found" must never be read of what
//! nobody examined.

use picket_domain::{Coverage, CoverageState, Gap};
use picket_store::scans::read::ScanRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// What one tool came to at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct CoverageView {
    /// The tool, or the option of the plan.
    #[schema(example = "nmap")]
    tool: String,
    /// What it looked at.
    #[schema(example = "example.com")]
    target: String,
    /// `pending`, `done`, `partial`, `skipped` or `failed`.
    #[schema(value_type = String, example = "done")]
    state: CoverageState,
    /// Why something is missing, e.g. `capability_unavailable`; null when nothing is.
    #[schema(value_type = Option<String>)]
    reason: Option<Gap>,
    /// More to say of it.
    detail: Option<String>,
    /// How many tasks came to this.
    tasks: u32,
}

impl CoverageView {
    /// What was not looked at, in words; `None` when nothing was missed.
    pub(super) fn gap(&self) -> Option<String> {
        let state = match self.state {
            CoverageState::Done => return None,
            CoverageState::Pending => "not ended yet",
            CoverageState::Partial => "looked at in part",
            CoverageState::Skipped => "not looked at",
            CoverageState::Failed => "went wrong",
        };
        let reason = self.reason.map(|reason| format!(" ({})", reason.name())).unwrap_or_default();
        Some(format!("{} at {}: {state}{reason}, {} tasks", self.tool, self.target, self.tasks))
    }
}

/// How many of a scan's tasks have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct TaskCounts {
    /// All tasks so far; more may grow from what they find.
    total: u64,
    /// Those that will not change any more.
    ended: u64,
}

impl TaskCounts {
    /// Counts; what the plan cannot look at is no task.
    pub(super) fn of(record: &ScanRecord, coverage: &[Coverage]) -> Self {
        let tasks = coverage.len().saturating_sub(record.gaps.len());
        let ended = coverage.iter().take(tasks).filter(|one| one.state != CoverageState::Pending).count();
        Self { total: u64::try_from(tasks).unwrap_or(u64::MAX), ended: u64::try_from(ended).unwrap_or(u64::MAX) }
    }
}

/// One line for all tasks that came to the same.
pub(super) fn coverage_views(coverage: &[Coverage]) -> Vec<CoverageView> {
    let mut views: Vec<CoverageView> = Vec::new();
    for one in coverage {
        let line = CoverageView {
            tool: one.tool.clone(),
            target: one.target.clone(),
            state: one.state,
            reason: one.reason,
            detail: one.detail.clone(),
            tasks: 0,
        };
        match views.iter_mut().find(|view| CoverageView { tasks: 0, ..(**view).clone() } == line) {
            Some(known) => known.tasks = known.tasks.saturating_add(1),
            None => views.push(CoverageView { tasks: 1, ..line }),
        }
    }
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: CoverageState, reason: Option<Gap>) -> Coverage {
        Coverage { tool: "nmap".to_owned(), target: "10.0.0.0/24".to_owned(), state, reason, detail: None }
    }

    #[test]
    fn tasks_that_came_to_the_same_are_one_line() {
        let done = line(CoverageState::Done, None);
        let skipped = line(CoverageState::Skipped, Some(Gap::CapabilityUnavailable));
        let views = coverage_views(&[done.clone(), skipped, done]);
        let shown: Vec<_> = views.iter().map(|view| (view.state, view.tasks)).collect();
        assert_eq!(shown, [(CoverageState::Done, 2), (CoverageState::Skipped, 1)]);
    }
}
