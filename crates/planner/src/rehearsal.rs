//! A scan that is not made: the same checks as a create, and what would run. It must never store or queue anything.

use picket_domain::{Invocation, LaterTasks, NewTask};

use super::{Asker, PlanRefused, Planner, ToolRequest, demand_name, probes, tasks, too_many_runs};

/// What would happen.
pub struct Rehearsal {
    /// The target, canonical; as it was written when it was refused.
    pub target: String,
    /// Why the target may not be scanned; `None` when it may.
    pub refused: Option<PlanRefused>,
    /// The tasks with their command lines, written as the worker writes them. None for a target that is refused: its
    /// addresses are nobody's business.
    pub runs: Vec<(NewTask, Invocation)>,
    /// Tasks that would be made later.
    pub later: Vec<LaterTasks>,
    /// All tasks; more than `runs` when there are many.
    pub tasks: usize,
    /// Hosts × ports over all tasks.
    pub probes: u64,
}

impl Planner {
    /// Plans a scan with one tool for show, with at most `most` command lines.
    ///
    /// # Errors
    /// As for the scan itself, but for a target that may not be scanned: that is part of the answer.
    pub async fn rehearse(
        &self,
        asker: &Asker,
        request: ToolRequest<'_>,
        most: usize,
    ) -> Result<Rehearsal, PlanRefused> {
        let spec = self.spec(request.tool, request.parameters)?;
        let scope = match self.authorize(asker, request.target, spec.is_passive()).await {
            Ok(scope) => scope,
            Err(refused) if refused.is_verdict() => {
                let (target, refused) = (request.target.to_owned(), Some(refused));
                return Ok(Rehearsal { target, refused, runs: Vec::new(), later: Vec::new(), tasks: 0, probes: 0 });
            }
            Err(refused) => return Err(refused),
        };
        demand_name(&spec, &scope)?;
        let (tasks, later) = tasks(&spec, &scope, asker.now).ok_or_else(too_many_runs)?;
        let left = later.iter().map(LaterTasks::tasks).fold(0, u64::saturating_add);
        let all = tasks.len().saturating_add(usize::try_from(left).unwrap_or(usize::MAX));
        let probes = probes(spec.shapes(), &scope);
        let runs = tasks.into_iter().take(most).map(|task| self.command(task)).collect::<Result<_, _>>()?;
        Ok(Rehearsal { target: scope.target.to_string(), refused: None, runs, later, tasks: all, probes })
    }

    /// The task with its command line. It goes through the door as it would for the worker.
    fn command(&self, task: NewTask) -> Result<(NewTask, Invocation), PlanRefused> {
        let command = self.spec(task.tool, Some(&task.params))?.command(&task.shard)?;
        Ok((task, command))
    }
}
