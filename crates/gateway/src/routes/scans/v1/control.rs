//! What a client does to a scan in the v1 dialect, besides stopping it: pause, resume, repeat, delete.

use actix_web::{HttpResponse, delete, http::header::LOCATION, post, web::Data};
use picket_domain::{AuditAction, InvalidTransition, NewScan, Permission, ScanId, Shard};
use picket_planner::{Earlier, LeftOver, what_is_missing};
use picket_scanners::DISCOVERY;
use picket_store::{
    StoreError, Tx, profiles,
    scans::{
        self,
        control::{link, take_over},
        overview::ScanKey,
        read::ScanRecord,
    },
    tasks::chain::{Examined, Standing, Unexamined, standing},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::view::{ScanCreatedV1, ScanDetailV1, ScanRepeatedV1, changed};
use crate::{
    App, Body, Caller, Id, Problem, RequestContext, idempotency,
    routes::scans::{
        control::{self, Control},
        find,
    },
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(pause_scan).service(resume_scan).service(rerun_scan).service(delete_scan);
}

/// Pause a scan.
///
/// Tasks that run finish, and the rest waits. A scan whose last task finishes meanwhile completes. A scan of which nothing
/// runs yet, or that has ended, is 409.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses(
        (status = 200, description = "The scan is paused.", body = ScanDetailV1),
        (status = 409, description = "It does not run.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/scan/{id}/pause")]
async fn pause_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScanId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    control::change(&app, &caller, &context, id.0, Control::Pause, changed).await
}

/// Resume a paused scan: it goes on from its first unfinished task.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses(
        (status = 200, description = "The scan goes on.", body = ScanDetailV1),
        (status = 409, description = "It is not paused.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/scan/{id}/resume")]
async fn resume_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScanId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    control::change(&app, &caller, &context, id.0, Control::Resume, changed).await
}

/// Delete a scan that has ended.
///
/// Its tasks and what it saw go with it, and findings that no other scan has seen. Its reports stay. A scan that has not
/// ended, or of which a report is being made, is 409.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses(
        (status = 204, description = "The scan is gone."),
        (status = 409, description = "It has not ended.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[delete("/scan/{id}")]
async fn delete_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScanId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    control::delete(&app, &caller, &context, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What to repeat.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RerunV1 {
    /// `all` when absent.
    #[serde(default)]
    #[schema(inline)]
    only: RerunOnly,
}

/// Which tasks are repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RerunOnly {
    /// All of them.
    #[default]
    All,
    /// What was not looked at in full.
    Failed,
}

/// Repeat a scan that has ended.
///
/// The same is asked again, and judged, resolved and planned as if it were new: a target that you may not scan any more is
/// refused. With `failed`, only what the scan did not look at in full, nor a scan that it repeats in part; 409 when there is no such
/// thing.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan to repeat.")),
    request_body = RerunV1,
    responses(
        (status = 201, description = "The new scan was accepted.", body = ScanRepeatedV1),
        (status = 409, description = "It has not ended, was imported, or nothing failed.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/scan/{id}/rerun")]
async fn rerun_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScanId>,
    body: Body<RerunV1>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let Body(RerunV1 { only }) = body;
    let (record, seen) = ended(&app, &caller, id.0, only).await?;
    let asker = app.asker(&caller, &context, &record.target).await?;
    let planned = app.planner.plan_again(&asker, earlier(&record)).await?;
    let new = match seen {
        None => planned,
        Some(Seen { examined, left_over }) => {
            let is_examined = |tool: &str, params: &Value, shard: &Shard| examined.covers(tool, params, shard);
            what_is_missing(planned, is_examined, &left_over, asker.now)
        }
    };
    if only == RerunOnly::Failed && new.task_count() == 0 {
        let refused =
            InvalidTransition { action: "repeat the failed tasks of", entity: "scan", from: "looked at in full" };
        return Err(refused.into());
    }
    let response = store(&app, &caller, &context, &new, (record.scan.id, only, asker.now)).await?;
    tracing::Span::current().record("scan.id", tracing::field::display(new.id));
    Ok(response)
}

/// The answer to a repetition that is stored.
fn repeated(new: &NewScan, base: ScanId, now: jiff::Timestamp) -> HttpResponse {
    let location = (LOCATION, format!("/api/v1/scan/{}", new.id));
    let scan = ScanCreatedV1 {
        id: new.id,
        status: "created",
        target: new.target.clone(),
        tool: new.tool,
        created_at: now,
        tasks: new.task_count(),
    };
    HttpResponse::Created().insert_header(location).json(ScanRepeatedV1 { scan, rerun_of: base })
}

fn earlier(record: &ScanRecord) -> Earlier<'_> {
    let ScanRecord { target, dialect, plan, tool, request, notify, .. } = record;
    Earlier { target, dialect: *dialect, plan: *plan, tool: tool.as_deref(), request, notify }
}

/// What a scan, with those that it repeats in part, looked at in full, and what beside a new plan it did not.
struct Seen {
    examined: Examined,
    left_over: Vec<LeftOver>,
}

impl Seen {
    async fn of(tx: &Tx<'_>, id: ScanId) -> Result<Self, StoreError> {
        let left_over = |Unexamined { tool, params, shard, opens }| {
            let Shard { target, addresses, .. } = shard;
            LeftOver { tool, params, target, addresses, opens }
        };
        let Standing { examined, unexamined } = standing(tx, id, DISCOVERY.slug()).await?;
        Ok(Self { examined, left_over: unexamined.into_iter().map(left_over).collect() })
    }
}

/// The scan to repeat, and what it looked at in full when that matters.
async fn ended(app: &App, caller: &Caller, id: ScanId, only: RerunOnly) -> Result<(ScanRecord, Option<Seen>), Problem> {
    app.db
        .read("find_scan_to_repeat", caller.organization_id, async |tx| {
            let record = find(tx, ScanKey::Id(id)).await?;
            if !record.scan.state.is_final() {
                let from = record.scan.state.name();
                return Err(InvalidTransition { action: "repeat", entity: "scan", from }.into());
            }
            // Nothing was asked of a tool. Parameters have no field of that name.
            if record.request.get("import").is_some() {
                return Err(InvalidTransition { action: "repeat", entity: "scan", from: "imported" }.into());
            }
            let seen = match only {
                RerunOnly::All => None,
                RerunOnly::Failed => Some(Seen::of(tx, id).await?),
            };
            Ok((record, seen))
        })
        .await
}

async fn store(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    new: &NewScan,
    (base, only, now): (ScanId, RerunOnly, jiff::Timestamp),
) -> Result<HttpResponse, Problem> {
    let entry = context
        .entry(now, &caller.label(), AuditAction::ScanCreated, Some(new.id.to_string()))
        .change(None, Some(json!({"target": new.target, "tool": new.tool, "rerun_of": base})));
    app.db
        .run("rerun_scan", caller.organization_id, async |tx| {
            scans::create_recorded(tx, new, &entry, now).await?;
            link(tx, new.id, base, only == RerunOnly::Failed).await?;
            take_over(tx, new.id, base).await?;
            profiles::copy(tx, new.id, base).await?;
            idempotency::keep(app, tx, repeated(new, base, now)).await
        })
        .await
}
