//! What a run leaves beside its result: the last lines of its story, and its output in the object store. Both are said in the
//! transaction that ends the run, behind its fence, so that a worker that comes back from the dead leaves nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, ClaimedTask, Gap, Growing, Observation};
use picket_planner::{Names, grow_names};
use picket_scanners::ParamsError;
use picket_store::{
    StoreError, Tx,
    artifacts::{self, Keep},
    audit, output,
    tasks::{self, HandBack, RunRecord},
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
    pub(crate) kept: Option<Keep>,
    /// Whether the row that names it was still there when that was said.
    pub(crate) is_told: AtomicBool,
}

impl Leavings {
    /// Of a run that begins: nothing is kept yet.
    pub(crate) const fn of(story: Story, copy: Copied) -> Self {
        Self { story, copy, kept: None, is_told: AtomicBool::new(true) }
    }

    /// Says it all, in the transaction that checks the fence.
    async fn store(
        &self,
        tx: &Tx<'_>,
        task: &ClaimedTask,
        (gap, again): (Option<Gap>, bool),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let lines = self.story.end(gap, again);
        let keep = async {
            match &self.kept {
                Some(kept) => artifacts::keep(tx, kept).await,
                None => Ok(true),
            }
        };
        let ((), is_told) = tokio::try_join!(biased; output::append(tx, task, &lines, now), keep)?;
        self.is_told.store(is_told, Ordering::Release);
        Ok(())
    }

    /// Whether perhaps nobody names the kept output: the run was somebody else's, or the row was swept while this worker stood
    /// still. A commit whose answer was lost looks like the first, so the row is asked.
    pub(crate) fn may_be_orphaned(&self, stored: &Result<(), StoreError>) -> bool {
        match stored {
            Ok(()) => !self.is_told.load(Ordering::Acquire),
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
    pub(crate) async fn store_with(
        self,
        left: &Leavings,
        tx: &Tx<'_>,
        task: &ClaimedTask,
        run: &RunRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let said = self.said(run);
        match self {
            // The scan is locked first, and the rest may go out behind that.
            Self::Complete(..) | Self::Fail => {
                tasks::prepare_end(tx).await?;
                let both = (self.store(tx, task, run, now), left.store(tx, task, said, now));
                tokio::try_join!(biased; both.0, both.1)?;
            }
            Self::Refuse(_) | Self::Keep(_) | Self::HandBack(_) => {
                self.store(tx, task, run, now).await?;
                left.store(tx, task, said, now).await?;
            }
        }
        Ok(())
    }

    async fn store(self, tx: &Tx<'_>, task: &ClaimedTask, run: &RunRecord, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Complete(found, names) => {
                let next = |growing: &Growing| match names {
                    Some(names) => grow_names(task, names, growing, now),
                    None => picket_planner::grow(task, found, growing, now),
                };
                tasks::complete_and_grow(tx, task, found, run, now, next).await
            }
            Self::Fail => tasks::fail(tx, task, run, now).await,
            Self::Refuse(error) => {
                audit::record(tx, task.organization_id, &refusal(task, error, now)).await?;
                tasks::fail(tx, task, run, now).await
            }
            Self::Keep(found) => tasks::keep(tx, task, found, run, now).await,
            Self::HandBack(why) => tasks::hand_back(tx, task.fence, why).await,
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
