//! The dry run of a scan with one tool.

use picket_domain::{Invocation, LaterTasks, NewTask, Shard, ToolOutput};
use picket_planner::{Asker, Rehearsal, ToolRequest};
use picket_scanners::{Parameters, Tool};
use picket_store::{
    StoreError, halts,
    quota::{self, Refusal},
    workers::LiveWorker,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{live, view::NeedsView};
use crate::{App, Caller, Problem, RequestContext};

/// Command lines of one answer.
const MOST_COMMANDS: usize = 16;

/// A scan that is not made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildCommand {
    /// A host name, an address or a network.
    #[schema(example = "example.com", max_length = 253)]
    target: String,
    /// The tool's parameters, as its schema in the catalogue says; its defaults when absent.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"scan_type": "-sV -sC", "ports": "1-1000"}))]
    parameters: Parameters,
}

/// What a scan would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandView {
    #[schema(example = "nmap")]
    tool: &'static str,
    /// Canonical, unless it was refused.
    #[schema(example = "example.com")]
    target: String,
    verdict: VerdictView,
    /// One for each task, at most 16; `tasks` counts all. None when the target is refused.
    commands: Vec<RunView>,
    /// Tasks that the scan would begin with.
    tasks: usize,
    /// Hosts × ports over all tasks, for the limit of the plan.
    hosts_times_ports: u64,
}

/// Whether a scan would be accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct VerdictView {
    allowed: bool,
    /// Why not, and what would be missing; `capability_unavailable` alone does not forbid it.
    reasons: Vec<ReasonView>,
}

impl VerdictView {
    /// Allowed unless something speaks against it.
    pub(in crate::routes) fn new(reasons: Vec<Reason>) -> Self {
        let allowed = reasons.is_empty();
        let reasons = reasons.into_iter().map(|Reason { code, message }| ReasonView { code, message }).collect();
        Self { allowed, reasons }
    }

    /// The same for a scan of which no live worker can do everything now.
    pub(in crate::routes) fn warned(reasons: Vec<Reason>) -> Self {
        let allowed = reasons.is_empty();
        let message =
            "no live worker can do all of it now; what nobody can do within the wait is a gap in the coverage";
        let warning = Reason { code: "capability_unavailable", message: message.to_owned() };
        Self { allowed, ..Self::new(reasons.into_iter().chain([warning]).collect()) }
    }
}

/// Something that speaks against a scan.
#[derive(Debug, Serialize, ToSchema)]
struct ReasonView {
    /// What a program may match on.
    #[schema(example = "target_not_authorized")]
    code: &'static str,
    message: String,
}

/// What one task would run.
#[derive(Debug, Serialize, ToSchema)]
struct RunView {
    /// The program and its arguments, one by one, exactly as the worker starts them.
    argv: Vec<String>,
    /// The parameters of the task in their canonical form.
    #[schema(value_type = Object)]
    parameters: Value,
    /// What a worker must have.
    needs: NeedsView,
    /// Whether a live worker can do it now.
    runnable_now: bool,
    /// The only addresses that it could reach.
    #[schema(value_type = Vec<String>)]
    addresses: Vec<std::net::IpAddr>,
    /// `none`, `connect` or `raw`.
    #[schema(value_type = String, example = "connect")]
    network: picket_domain::Network,
    /// Files of ours that it reads.
    input_files: Vec<&'static str>,
    /// Where its report comes from: `stdout`, or the path of a file.
    #[schema(example = "stdout")]
    output: &'static str,
}

impl RunView {
    fn new(task: NewTask, command: Invocation, workers: &[LiveWorker]) -> Self {
        Self {
            argv: std::iter::once(command.program.to_owned()).chain(command.args).collect(),
            parameters: task.params,
            needs: task.needs.into(),
            runnable_now: workers.iter().any(|worker| worker.can(task.tool, task.needs)),
            addresses: command.egress.addresses,
            network: command.network,
            input_files: command.input_files.iter().map(|file| file.path).collect(),
            output: match command.output {
                ToolOutput::Stdout => "stdout",
                ToolOutput::File(path) => path,
            },
        }
    }
}

/// Why a scan would not be accepted.
pub(in crate::routes) struct Reason {
    /// The code that the create answers.
    code: &'static str,
    /// The same in words.
    message: String,
}

impl Reason {
    /// What a create would answer.
    pub(in crate::routes) fn of(problem: &Problem) -> Self {
        Self { code: problem.code().name(), message: problem.detail() }
    }
}

/// Checks a scan as its create would, and says what would run.
pub(super) async fn rehearse(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    tool: &dyn Tool,
    body: &BuildCommand,
) -> Result<CommandView, Problem> {
    let asker = app.dry_asker(caller, context, &body.target).await?;
    let request =
        ToolRequest { target: &body.target, tool: tool.slug(), parameters: body.parameters.value(), notify: &[] };
    let rehearsal = app.planner.rehearse(&asker, request, MOST_COMMANDS).await?;
    let workers = live(app).await?;
    let Rehearsal { target, refused, runs, later, tasks, probes } = rehearsal;
    let mut reasons: Vec<Reason> = refused.map(Problem::from).iter().map(Reason::of).collect();
    let shards: Vec<_> = runs.iter().map(|(task, _)| &task.shard).collect();
    reasons.extend(refusal(app, &asker, (&target, &shards, &later), probes).await?);
    let commands: Vec<_> = runs.into_iter().map(|(task, command)| RunView::new(task, command, &workers)).collect();
    let is_warned = commands.iter().any(|run| !run.runnable_now);
    let verdict = if is_warned { VerdictView::warned(reasons) } else { VerdictView::new(reasons) };
    Ok(CommandView { tool: tool.slug(), target, verdict, commands, tasks, hosts_times_ports: probes })
}

/// What the plan of the organization says of one more scan of that size, and a kill switch of what it would touch.
pub(in crate::routes) async fn refusal(
    app: &App,
    asker: &Asker,
    (target, shards, later): (&str, &[&Shard], &[LaterTasks]),
    probes: u64,
) -> Result<Option<Reason>, Problem> {
    let asked = app
        .db
        .run("rehearse_scan", asker.organization_id, async |tx| {
            quota::lock(tx, asker.organization_id).await?.demand_scan(tx, probes, asker.now).await?;
            halts::demand_none_of_all(tx, asker.organization_id, target, (shards, later)).await
        })
        .await;
    match asked {
        Ok(()) => Ok(None),
        Err(
            error @ (StoreError::Refused(Refusal::TrialEnded | Refusal::LimitReached { .. })
            | StoreError::Halted { .. }),
        ) => Ok(Some(Reason::of(&Problem::Store(error)))),
        Err(error) => Err(Problem::Store(error)),
    }
}
