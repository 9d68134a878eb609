//! The ends of runs, several in one transaction where several come at once. What one end cannot have in common with others is
//! stored by itself, and so is everything when a common transaction fails: no run's end depends on another's.

use std::{collections::HashSet, sync::Arc};

use picket_domain::{ClaimedTask, Gap};
use picket_kit::Clock;
use picket_store::{
    Db, StoreError,
    tasks::{self, Ended, HandBack, MAX_FAILURES, RunRecord},
};

use crate::{
    discovery::of_search,
    ending::Ending,
    execution::Ran,
    leavings::{End, Leavings},
    not_run::{CHANGED, NotRun, is_nobodys},
    together::Together,
    verdict::{Verdict, verdict},
};

/// What is said to a client at most of how a tool ended.
const DETAIL_BYTES: usize = 1024;
/// Of a run that has found more, the end takes long enough to keep others waiting.
const FEW: usize = 64;

/// A run that is over.
pub(crate) struct Finished {
    pub(crate) task: ClaimedTask,
    pub(crate) ran: Result<Ran, NotRun>,
    pub(crate) left: Leavings,
}

/// Stores them.
pub(crate) struct Ends {
    db: Db,
    clock: Clock,
    /// Who has no answer stores it alone; `None` within is a run that is somebody else's.
    together: Together<Arc<Finished>, Option<Result<Ended, StoreError>>>,
}

impl Ends {
    /// Ends by this clock. Needs a tokio runtime.
    pub(crate) fn new(db: Db, clock: Clock) -> Self {
        let (by, now) = (db.clone(), clock.clone());
        let together = Together::start(move |all| store_all(by.clone(), now.clone(), all));
        Self { db, clock, together }
    }

    /// Stores the end of a run.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the run is somebody else's by now; when the database refuses.
    pub(crate) async fn store(&self, finished: &Arc<Finished>) -> Result<Ended, StoreError> {
        let Some((end, record)) = finished.end() else { return Ok(Ended { is_told: true }) };
        if may_be_common(&end)
            && let Some(Some(stored)) = self.together.ask(finished.clone()).await
        {
            return stored;
        }
        let (Finished { task, left, .. }, now) = (&**finished, self.clock.now());
        self.db.run(end.name(), task.organization_id, async |tx| end.store(left, tx, task, &record, now).await).await
    }
}

/// Without the fence, whose row is another attempt's is not known before it is asked.
fn may_be_common(end: &End<'_>) -> bool {
    let is_short = match end {
        End::Complete(found, _) => found.len() <= FEW,
        End::Fail => true,
        End::Refuse(_) | End::Keep(_) | End::HandBack(_) => false,
    };
    is_short && !picket_faults::without("store::fence")
}

/// Stores what may be stored together; nothing for who is to do it alone.
async fn store_all(db: Db, clock: Clock, all: Vec<Arc<Finished>>) -> Vec<Option<Result<Ended, StoreError>>> {
    let now = clock.now();
    let said: Vec<_> = all.iter().map(|one| one.end()).collect();
    let (mut places, mut ends, mut tenants) = (Vec::new(), Vec::new(), HashSet::new());
    for (place, (one, said)) in all.iter().zip(&said).enumerate() {
        let Some((end, record)) = said else { continue };
        let Some(run_end) = end.run_end(&one.left, &one.task, record) else { continue };
        // Findings are locked in one order within a run alone.
        if run_end.is_bare() || tenants.insert(one.task.organization_id) {
            places.push(place);
            ends.push(run_end);
        }
    }
    let next = |place: usize, growing: &_| {
        let whose = places.get(place).and_then(|place| all.get(*place).zip(said.get(*place)?.as_ref()));
        whose.map(|(one, (end, _))| end.next(&one.task, growing, now)).unwrap_or_default()
    };
    let stored = db.run_for_each("worker.end_each", async |tx| tasks::end_each(tx, &ends, now, next).await).await;
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => {
            tracing::info!(error = picket_domain::cause(&error), runs = ends.len(), "runs are ended one by one");
            return Vec::new();
        }
    };
    let mut answers: Vec<_> = all.iter().map(|_| None).collect();
    for (place, ended) in places.iter().zip(stored) {
        if let Some(answer) = answers.get_mut(*place) {
            *answer = Some(ended.ok_or(StoreError::Stale { expected: 1, actual: 0 }));
        }
    }
    answers
}

impl Finished {
    /// Says how it ended, once.
    pub(crate) fn tell(&self) {
        let ran = match &self.ran {
            Ok(ran) => ran,
            Err(error) => return tracing::warn!(error = picket_domain::cause(error), "a tool did not run"),
        };
        let (ending, verdict) = self.verdict(ran);
        tracing::info!(end = ?ran.outcome.end, ?ending, ?verdict, dropped_packets = ran.outcome.dropped_packets, duration_ms = %ran.outcome.wall.as_millis(),
                       observations = ran.parsed.observations, "a tool ended");
        metrics::histogram!("picket_task_duration_seconds", "tool" => self.task.tool.clone())
            .record(ran.outcome.wall.as_secs_f64());
    }

    /// Whether its task has ended with it.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.end(), Some((End::Complete(..) | End::Fail | End::Refuse(_), _)))
    }

    /// What becomes of its task, and the record of it; `None` when the task is somebody else's and nothing was found.
    fn end(&self) -> Option<(End<'_>, RunRecord)> {
        match &self.ran {
            Ok(ran) => self.end_of_run(ran),
            Err(error) => Some(self.end_without(error)),
        }
    }

    fn verdict(&self, ran: &Ran) -> (Ending, Verdict) {
        let exit_is_ok = exit_code(ran).is_some_and(|code| ran.tool.exit_is_ok(code));
        let ending = Ending::of(&ran.outcome, exit_is_ok, &ran.parsed);
        (ending, of_search(verdict(ending, ran.parsed.observations, self.task.failures), ran.names.as_ref()))
    }

    fn end_of_run<'a>(&'a self, ran: &'a Ran) -> Option<(End<'a>, RunRecord)> {
        let (ending, verdict) = self.verdict(ran);
        let record = |gap: Option<Gap>| RunRecord {
            exit_code: exit_code(ran),
            output_bytes: i64::try_from(ran.outcome.output_bytes).unwrap_or(i64::MAX),
            tool_hash: ran.tool_hash.clone(),
            gap,
            detail: gap.map(|gap| told(gap, ending, ran)).filter(|text| !text.is_empty()),
        };
        match verdict {
            Verdict::Complete(gap) => {
                let gap = gap.or((ran.gone > 0).then_some(Gap::TargetChanged));
                Some((End::Complete(&ran.observations, ran.names.as_ref()), record(gap)))
            }
            Verdict::Fail(gap) => Some((End::Fail, record(Some(gap)))),
            Verdict::Retry => {
                // Whose failure it was; what the tool complained is told of its last run alone.
                let detail = Some(ending.words().to_owned()).filter(|text| !text.is_empty());
                Some((End::HandBack(HandBack::Failed), RunRecord { detail, ..record(ending.gap()) }))
            }
            Verdict::HandBack => Some((End::HandBack(HandBack::Interrupted), record(None))),
            Verdict::Keep => Some((End::Keep(&ran.observations), record(Some(Gap::Cancelled)))),
            Verdict::Forget => None,
        }
    }

    fn end_without<'a>(&'a self, error: &'a NotRun) -> (End<'a>, RunRecord) {
        let back = |why, gap| (End::HandBack(why), RunRecord { gap, ..RunRecord::default() });
        let gap = match error {
            NotRun::NoTool => Gap::ToolUnavailable,
            NotRun::Params(_) => Gap::InvalidParameters,
            NotRun::Unreachable(_) => Gap::CapabilityUnavailable,
            NotRun::Changed => Gap::TargetChanged,
            NotRun::Denied => Gap::TargetForbidden,
            NotRun::Downgraded => return back(HandBack::Interrupted, Some(Gap::CapabilityUnavailable)),
            NotRun::Store(error) if is_nobodys(error) => return back(HandBack::Interrupted, None),
            NotRun::Sandbox(_) | NotRun::Parser | NotRun::NotSearched(_) | NotRun::Store(_)
                if self.task.failures.saturating_add(1) < MAX_FAILURES =>
            {
                return back(HandBack::Failed, Some(Gap::ToolFailed));
            }
            NotRun::Sandbox(_) | NotRun::Parser | NotRun::NotSearched(_) | NotRun::Store(_) => Gap::ToolFailed,
        };
        let is_told = matches!(error, NotRun::Unreachable(_) | NotRun::Changed | NotRun::NotSearched(_));
        let detail = is_told.then(|| error.to_string());
        let record = RunRecord { gap: Some(gap), detail, ..RunRecord::default() };
        (if let NotRun::Params(error) = error { End::Refuse(error) } else { End::Fail }, record)
    }
}

const fn exit_code(ran: &Ran) -> Option<i32> {
    match ran.outcome.end {
        picket_sandbox::End::Exited(code) => Some(code),
        picket_sandbox::End::Signaled(_)
        | picket_sandbox::End::TimedOut
        | picket_sandbox::End::NetworkLost
        | picket_sandbox::End::OutputLimit
        | picket_sandbox::End::NotStarted
        | picket_sandbox::End::Killed(_) => None,
    }
}

/// What to tell the client of a run that lacks something.
fn told(gap: Gap, ending: Ending, ran: &Ran) -> String {
    if gap == Gap::TargetChanged {
        return format!("{CHANGED}: {} of them were not looked at", ran.gone);
    }
    detail(ending, ran)
}

/// What to tell the client of an incomplete run: whose failure it is, and the parser's words, else the end of what the tool complained.
fn detail(ending: Ending, ran: &Ran) -> String {
    let said = if ran.parsed.reason.is_empty() { ran.outcome.stderr.trim() } else { ran.parsed.reason.as_str() };
    let separator = if said.is_empty() || ending.words().is_empty() { "" } else { ": " };
    let text = format!("{}{separator}{said}", ending.words());
    if text.len() <= DETAIL_BYTES {
        return text;
    }
    let start = text.len().saturating_sub(DETAIL_BYTES);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(start..).unwrap_or_default().to_owned()
}
