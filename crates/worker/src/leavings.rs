//! What a run leaves beside its result: the last lines of its story, and its output in the object store. Both are said in the
//! transaction that ends the run, behind its fence, so that a worker that comes back from the dead leaves nothing.

use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, ClaimedTask, Gap, Growing, Grown, Observation};
use picket_planner::{Names, grow_names};
use picket_scanners::ParamsError;
use picket_store::{
    StoreError, Tx,
    artifacts::{self, Kept},
    audit, output,
    tasks::{self, Ended, HandBack, Outcome, RunEnd, RunRecord},
};
use serde_json::json;

use crate::{artifact::Copied, leases::INTERRUPTED, story::Story};

/// What a run leaves.
pub(crate) struct Leavings {
    /// What it tells.
    pub(crate) story: Story,
    /// What its tool prints.
    pub(crate) copy: Copied,
    /// What is kept of that.
    pub(crate) kept: Option<Kept>,
}

impl Leavings {
    /// Of a run that begins: nothing is kept yet.
    pub(crate) const fn of(story: Story, copy: Copied) -> Self {
        Self { story, copy, kept: None }
    }

    /// Says it all of a run that does not end its task, in the transaction that checks the fence.
    async fn store(
        &self,
        tx: &Tx<'_>,
        task: &ClaimedTask,
        (gap, again): (Option<Gap>, bool),
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        output::append(tx, task, &self.story.end(gap, again), now).await?;
        let is_told = match &self.kept {
            Some(kept) => artifacts::leave(tx, task, kept, now).await?,
            None => true,
        };
        Ok(Ended { is_told })
    }

    /// Whether perhaps nobody names the kept output: the run was somebody else's, or the row was swept while this worker stood
    /// still. A commit whose answer was lost looks like the first, so the row is asked.
    pub(crate) const fn may_be_orphaned(stored: &Result<Ended, StoreError>) -> bool {
        match stored {
            Ok(ended) => !ended.is_told,
            Err(error) => matches!(error, StoreError::Stale { .. }),
        }
    }
}

/// What becomes of a task whose run is over.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    /// It is done, and this was found.
    /// Beside it the names of a search.
    Complete(&'a [Observation], Option<&'a Names>),
    /// It left no result.
    Fail,
    /// No create of ours wrote its row; what it holds is not repeated.
    Refuse(&'a ParamsError),
    /// It was stopped, and this had been found.
    Keep(&'a [Observation]),
    /// Somebody goes on with it.
    HandBack(HandBack),
}

impl End<'_> {
    /// The name of its transaction.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Complete(..) => "worker.complete",
            Self::Fail => "worker.fail",
            Self::Refuse(_) => "worker.refuse",
            Self::Keep(_) => "worker.keep",
            Self::HandBack(_) => "worker.hand_back",
        }
    }

    /// Stores it, when the fence holds, and what the run leaves beside it.
    pub(crate) async fn store(
        self,
        left: &Leavings,
        tx: &Tx<'_>,
        task: &ClaimedTask,
        run: &RunRecord,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        match self {
            Self::Complete(..) | Self::Fail => {}
            Self::Refuse(error) => {
                audit::record(tx, task.organization_id, &refusal(task, error, now)).await?;
            }
            Self::Keep(found) => tasks::keep(tx, task, found, run, now).await?,
            Self::HandBack(why) => tasks::hand_back(tx, task.fence, why, run).await?,
        }
        match self.run_end(left, task, run) {
            Some(end) => tasks::end_run(tx, end, now, |growing| self.next(task, growing, now)).await,
            None => left.store(tx, task, self.said(run), now).await,
        }
    }

    /// The end of its task, if this is one.
    pub(crate) fn run_end<'b>(self, left: &'b Leavings, task: &'b ClaimedTask, run: &'b RunRecord) -> Option<RunEnd<'b>>
    where
        Self: 'b,
    {
        let (outcome, observations) = match self {
            Self::Complete(found, _) => (Outcome::Done, found),
            Self::Fail | Self::Refuse(_) => (Outcome::Failed, [].as_slice()),
            Self::Keep(_) | Self::HandBack(_) => return None,
        };
        let (gap, again) = self.said(run);
        let lines = left.story.end(gap, again);
        Some(RunEnd { task, outcome, run, observations, lines, kept: left.kept.as_ref() })
    }

    /// What is planned from it.
    pub(crate) fn next(self, task: &ClaimedTask, growing: &Growing, now: Timestamp) -> Grown {
        match self {
            Self::Complete(_, Some(names)) => grow_names(task, names, growing, now),
            Self::Complete(found, None) => picket_planner::grow(task, found, growing, now),
            Self::Fail | Self::Refuse(_) | Self::Keep(_) | Self::HandBack(_) => Grown::default(),
        }
    }

    /// What the live output says of it: what is missing, and whether it is tried again.
    const fn said(self, run: &RunRecord) -> (Option<Gap>, bool) {
        (run.gap, matches!(self, Self::HandBack(_)))
    }
}

/// That there was a row which no create of ours wrote.
fn refusal(task: &ClaimedTask, error: &ParamsError, now: Timestamp) -> AuditEntry {
    let field = if error.code == "unknown_field" { "parameters" } else { &error.field };
    AuditEntry {
        at: now,
        actor: "worker".to_owned(),
        action: AuditAction::ScanRefused,
        object: Some(task.scan_id.to_string()),
        address: None,
        request_id: None,
        before: None,
        after: Some(json!({ "task": task.fence.task_id, "field": field, "code": error.code })),
    }
}

/// Whether the output of a run that ended like this is to be kept: not when nobody will say so, or the worker must stop.
pub(crate) fn is_worth_keeping(end: &picket_sandbox::End, observations: u64) -> bool {
    match end {
        picket_sandbox::End::Killed(reason) => *reason != INTERRUPTED && observations > 0,
        picket_sandbox::End::Exited(_)
        | picket_sandbox::End::Signaled(_)
        | picket_sandbox::End::TimedOut
        | picket_sandbox::End::NetworkLost
        | picket_sandbox::End::OutputLimit
        | picket_sandbox::End::NotStarted => true,
    }
}
