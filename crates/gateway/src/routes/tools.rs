//! `/tools`: the catalogue of scanners, what of it works at this moment, and the dry run of a scan. Nothing here starts a
//! scan.

mod health;
mod rehearse;
mod view;

use actix_web::{
    get, post,
    web::{Data, Json, Path},
};
use picket_domain::Permission;
use picket_scanners::IMPORTS;
use picket_store::workers::{self, LiveWorker};
use utoipa_actix_web::service_config::ServiceConfig;

pub(in crate::routes) use self::rehearse::{Reason, VerdictView, refusal};
use self::{
    health::{ToolHealthView, ToolsHealthView},
    rehearse::{BuildCommand, CommandView},
    view::{ToolDetailView, ToolsView},
};
use crate::{App, Body, Caller, Problem, RequestContext};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    // In this order: `all-health` is no slug.
    config.service(list_tools).service(get_tools_health).service(get_tool).service(build_command);
}

/// List the scanners.
///
/// With what the plan of the organization allows. Those of kind `import` are not run here: `POST /scans/import` reads their
/// reports, as it reads those of the others.
#[utoipa::path(tag = "tools", responses((status = 200, description = "The scanners.", body = ToolsView)))]
#[get("/tools")]
async fn list_tools(app: Data<App>, caller: Caller) -> Result<Json<ToolsView>, Problem> {
    caller.may(Permission::ToolsRead)?;
    Ok(Json(ToolsView::new(caller.subscription, &live(&app).await?)))
}

/// Get how the scanners are.
///
/// Of each scanner: whether a live worker has it, in which version, and how well that worker has proven to lock it in.
#[utoipa::path(tag = "tools", responses((status = 200, description = "How they are.", body = ToolsHealthView)))]
#[get("/tools/all-health")]
async fn get_tools_health(app: Data<App>, caller: Caller) -> Result<Json<ToolsHealthView>, Problem> {
    caller.may(Permission::ToolsRead)?;
    let (workers, now) = (live(&app).await?, app.clock.now());
    let data = picket_scanners::offered().map(|tool| ToolHealthView::new(tool, &workers, now)).collect();
    Ok(Json(ToolsHealthView { workers: workers.len(), data }))
}

/// Get a scanner: its page, its parameters, its limits; of one that is only imported its page and formats.
#[utoipa::path(
    tag = "tools",
    params(("slug" = String, Path, description = "The tool.")),
    responses((status = 200, description = "The scanner.", body = ToolDetailView)),
)]
#[get("/tools/{slug}")]
async fn get_tool(app: Data<App>, caller: Caller, slug: Path<String>) -> Result<Json<ToolDetailView>, Problem> {
    caller.may(Permission::ToolsRead)?;
    if let Some(import) = IMPORTS.iter().find(|import| import.slug() == slug.as_str()) {
        return Ok(Json(ToolDetailView::of_import(import)));
    }
    let tool = picket_scanners::find(&slug).ok_or(Problem::NotFound("tool"))?;
    Ok(Json(ToolDetailView::new(tool, caller.subscription, &live(&app).await?)))
}

/// Show what a scan would do.
///
/// The same checks as a scan that is made: parameters that do not fit are 400 and name their field. The command lines are
/// written as a worker writes them. Nothing is made, queued or kept.
#[utoipa::path(
    tag = "tools",
    params(("slug" = String, Path, description = "The tool.")),
    request_body = BuildCommand,
    responses((status = 200, description = "What would run, and whether it may.", body = CommandView)),
)]
#[post("/tools/{slug}/build-command")]
async fn build_command(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    slug: Path<String>,
    body: Body<BuildCommand>,
) -> Result<Json<CommandView>, Problem> {
    caller.may(Permission::ScansWrite)?;
    let tool = picket_scanners::find(&slug).ok_or(Problem::NotFound("tool"))?;
    rehearse::rehearse(&app, &caller, &context, tool, &body.0).await.map(Json)
}

/// The workers that live and take tasks.
pub(in crate::routes) async fn live(app: &App) -> Result<Vec<LiveWorker>, Problem> {
    app.db.look_up("live_workers", async |tx| Ok::<_, Problem>(workers::live(tx).await?)).await
}
