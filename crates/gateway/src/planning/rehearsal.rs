//! A scan that is not made: the same checks as a create, and what would run. It must never store or queue anything.

use picket_domain::{Invocation, NewTask};
use picket_scanners::{Asked, ScanSpec};

use super::{Asker, Planner, ToolRequest, params_problem, probes, spec, tasks, too_many_runs};
use crate::Problem;

/// What would happen.
pub(crate) struct Rehearsal {
    /// The target, canonical; as it was written when it was refused.
    pub(crate) target: String,
    /// Why the scan would not be accepted; empty when it would.
    pub(crate) reasons: Vec<Reason>,
    /// The tasks with their command lines, written as the worker writes them. None for a target that is refused: its
    /// addresses are nobody's business.
    pub(crate) runs: Vec<(NewTask, Invocation)>,
    /// All tasks; more than `runs` when there are many.
    pub(crate) tasks: usize,
    /// Hosts × ports over all tasks.
    pub(crate) probes: u64,
}

/// Why a scan would not be accepted.
pub(crate) struct Reason {
    /// The code that the create answers.
    pub(crate) code: &'static str,
    /// The same in words.
    pub(crate) message: String,
}

impl Reason {
    /// What a create would answer.
    pub(crate) fn of(problem: &Problem) -> Self {
        Self { code: problem.code().name(), message: problem.detail() }
    }
}

impl Planner {
    /// Plans a scan with one tool for show, with at most `most` command lines.
    pub(crate) async fn rehearse(
        &self,
        asker: &Asker,
        request: ToolRequest<'_>,
        most: usize,
    ) -> Result<Rehearsal, Problem> {
        let spec = spec(request)?;
        let scope = match self.authorize(request.target, asker.subscription, spec.tool().is_passive()).await {
            Ok(scope) => scope,
            Err(problem @ (Problem::TargetForbidden(_) | Problem::TargetNotAuthorized(_))) => {
                let (target, reasons) = (request.target.to_owned(), vec![Reason::of(&problem)]);
                return Ok(Rehearsal { target, reasons, runs: Vec::new(), tasks: 0, probes: 0 });
            }
            Err(problem) => return Err(problem),
        };
        let tasks = tasks(&spec, &scope, asker.now).ok_or_else(too_many_runs)?;
        let (all, probes) = (tasks.len(), probes(spec.shapes(), &scope));
        let runs = tasks.into_iter().take(most).map(command).collect::<Result<_, _>>()?;
        Ok(Rehearsal { target: scope.target.to_string(), reasons: Vec::new(), runs, tasks: all, probes })
    }
}

/// The task with its command line. It goes through the door as it would for the worker.
fn command(task: NewTask) -> Result<(NewTask, Invocation), Problem> {
    let stored = ScanSpec::try_from(Asked { tool: task.tool, parameters: Some(&task.params) });
    let command = stored.and_then(|spec| spec.command(&task.shard)).map_err(params_problem)?;
    Ok((task, command))
}
