//! Workers as operators see them.

use actix_web::{
    HttpResponse, get, post,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, OrganizationId, ScanId, TaskId, WorkerId};
use picket_store::platform::{self, RunningTask, WorkerRow};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::operator;
use crate::{App, Caller, Id, Problem, RequestContext, idempotency};

/// Workers of one answer.
const MOST: i64 = 1_000;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_workers).service(drain_worker);
}

/// Every worker.
#[derive(Debug, Serialize, ToSchema)]
struct WorkersView {
    /// Oldest first, at most 1,000; also those that were not heard of for up to a day.
    data: Vec<WorkerView>,
}

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerView {
    #[schema(value_type = String)]
    id: WorkerId,
    /// Of its program.
    version: String,
    /// `live`, `draining`, or `gone` when it was not heard of for ten seconds.
    #[schema(example = "live")]
    status: &'static str,
    /// Whether an operator wants it to take no more.
    drain_requested: bool,
    pools: Vec<String>,
    /// The level that its sandbox has proven.
    level: &'static str,
    /// Whether raw sockets are confined as well.
    raw: bool,
    slots: i32,
    busy: i32,
    /// Version and hash of each tool that is installed.
    #[schema(value_type = Object)]
    tools: Value,
    dropped_packets: i64,
    started_at: Timestamp,
    heartbeat_at: Timestamp,
    /// What it runs.
    tasks: Vec<RunningTaskView>,
}

/// A task that a worker runs.
#[derive(Debug, Serialize, ToSchema)]
struct RunningTaskView {
    #[schema(value_type = String)]
    id: TaskId,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = String)]
    scan_id: ScanId,
    tool: String,
    attempt: i32,
    started_at: Option<Timestamp>,
    /// Until when the claim holds without a heartbeat.
    lease_until: Option<Timestamp>,
}

impl WorkerView {
    fn new(worker: WorkerRow) -> Self {
        let status = match (worker.is_live, worker.draining) {
            (false, _) => "gone",
            (true, true) => "draining",
            (true, false) => "live",
        };
        Self {
            id: worker.id,
            version: worker.version,
            status,
            drain_requested: worker.is_drained,
            pools: worker.pools,
            level: worker.level.name(),
            raw: worker.raw,
            slots: worker.slots,
            busy: worker.busy,
            tools: worker.tool_versions,
            dropped_packets: worker.dropped_packets,
            started_at: worker.started_at,
            heartbeat_at: worker.heartbeat_at,
            tasks: worker.tasks.into_iter().map(RunningTaskView::new).collect(),
        }
    }
}

impl RunningTaskView {
    fn new(task: RunningTask) -> Self {
        let RunningTask { id, organization_id, scan_id, tool, attempt, started_at, lease_until } = task;
        Self { id, organization_id, scan_id, tool, attempt, started_at, lease_until }
    }
}

/// List workers with what they run.
#[utoipa::path(
    tag = "administration",
    responses((status = 200, description = "Every worker.", body = WorkersView))
)]
#[get("/admin/workers")]
async fn list_workers(app: Data<App>, caller: Caller) -> Result<Json<WorkersView>, Problem> {
    operator(&app, &caller).await?;
    let rows =
        app.db.operate("list_workers", async |tx| Ok::<_, Problem>(platform::workers(tx, None, MOST).await?)).await?;
    Ok(Json(WorkersView { data: rows.into_iter().map(WorkerView::new).collect() }))
}

/// Drain a worker: it finishes what it runs and takes no more, until it is started anew.
#[utoipa::path(
    tag = "administration",
    params(("id" = String, Path, description = "The worker.")),
    responses((status = 202, description = "It will take no more."))
)]
#[post("/admin/workers/{id}/drain")]
async fn drain_worker(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<WorkerId>,
) -> Result<HttpResponse, Problem> {
    let person = operator(&app, &caller).await?;
    let (now, operators) = (app.clock.now(), person.organization_id);
    caller.fresh(now)?;
    let entry = context.entry(now, &caller.label(), AuditAction::WorkerDrained, Some(id.0.to_string()));
    let drain = app.db.operate("drain_worker", async |tx| {
        if !platform::drain(tx, id.0, operators, &entry).await? {
            return Err(Problem::NotFound("worker"));
        }
        idempotency::keep(&app, tx, HttpResponse::Accepted().finish()).await
    });
    let response = drain.await?;
    tracing::info!(worker.id = %id.0, user.id = %person.user_id, "an operator drains a worker");
    Ok(response)
}
