//! What a scan would come to, without making one.

use picket_planner::{Durations, Estimate};
use picket_store::durations;
use serde::Serialize;
use utoipa::ToSchema;

use super::ask::Ask;
use crate::{
    App, Caller, Problem, RequestContext,
    routes::tools::{Reason, VerdictView, live, refusal},
};

/// What a scan would come to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EstimateView {
    /// Canonical, unless it was refused.
    #[schema(example = "example.com")]
    target: String,
    verdict: VerdictView,
    /// Tasks that the scan would begin with.
    tasks: u64,
    /// All of its tasks, with those that usually grow from its results: a guess.
    expected_tasks: u64,
    /// Hosts × ports of the tasks that it would begin with, for the limit of the plan.
    hosts_times_ports: u64,
    cost: CostView,
    /// From its start to its end, when nobody else is waited for.
    expected_duration_seconds: u64,
    /// The same in words, as a create under v2 says it.
    #[schema(example = "10-15 minutes")]
    estimated_duration: String,
}

/// What a scan costs.
#[derive(Debug, Serialize, ToSchema)]
struct CostView {
    /// Seconds of all its expected tasks together, by the median of each tool.
    task_seconds: u64,
}

/// How long runs of each tool take.
pub(super) async fn durations(app: &App) -> Result<Durations, Problem> {
    app.db.look_up("tool_durations", async |tx| Ok::<_, Problem>(durations::all(tx).await?.into_iter().collect())).await
}

/// Checks a scan as its create would, and says what it would come to.
pub(super) async fn estimate(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    ask: Ask,
) -> Result<EstimateView, Problem> {
    let chosen = ask.chosen(app, caller).await?;
    let asker = app.dry_asker(caller, context, &chosen.target).await?;
    let (mut target, mut reasons) = (chosen.target.clone(), Vec::new());
    let mut whole = Estimate::NOTHING;
    match chosen.plan(app, &asker, context.dialect).await {
        Ok(planned) => {
            let (scan, workers) = (planned.scan, live(app).await?);
            target.clone_from(&scan.target);
            whole = Estimate::of(&scan, &durations(app).await?, asker.subscription.limits().tasks_in_flight);
            let shards: Vec<_> = scan.tasks.iter().map(|task| &task.shard).collect();
            reasons.extend(refusal(app, &asker, (&scan.target, &shards, &scan.later), scan.probes).await?);
            let needs = scan.tasks.iter().map(|task| (task.tool, task.needs));
            let later = scan.later.iter().map(|later| (later.tool.as_str(), later.needs));
            if !needs.chain(later).all(|(tool, needs)| workers.iter().any(|worker| worker.can(tool, needs))) {
                return Ok(EstimateView::new(target, whole, VerdictView::warned(reasons)));
            }
        }
        Err(refused) if refused.is_verdict() => reasons.push(Reason::of(&Problem::from(refused))),
        Err(refused) => return Err(refused.into()),
    }
    Ok(EstimateView::new(target, whole, VerdictView::new(reasons)))
}

impl EstimateView {
    fn new(target: String, whole: Estimate, verdict: VerdictView) -> Self {
        let estimated_duration = whole.words();
        let Estimate { tasks, expected_tasks, probes, task_seconds, duration_seconds } = whole;
        Self {
            target,
            verdict,
            tasks,
            expected_tasks,
            hosts_times_ports: probes,
            cost: CostView { task_seconds },
            expected_duration_seconds: duration_seconds,
            estimated_duration,
        }
    }
}
