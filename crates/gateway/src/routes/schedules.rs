//! `/schedules`: scans and reports that are made again and again. Makes none itself: the steward does.

mod request;
mod view;

use actix_web::{
    HttpResponse, delete, get,
    http::header::LOCATION,
    post, put,
    web::{Data, Json},
};
use picket_domain::{AuditAction, Cadence, InvalidTransition, Permission, ScheduleId};
use picket_store::{
    audit, quota,
    scans::read::Range,
    schedules::{self, KEPT_RUNS, Schedule},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use self::{
    request::{Owner, ScheduleRequest},
    view::{ScheduleDetailView, ScheduleView},
};
use crate::{
    App, Body, Caller, Id, Listed, OptionalBody, PageQuery, Problem, RequestContext, idempotency, paging::PageParams,
};

/// Schedules of one organization.
const MOST: u32 = 100;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_schedules)
        .service(create_schedule)
        .service(get_schedule)
        .service(update_schedule)
        .service(delete_schedule)
        .service(toggle_schedule);
}

/// List schedules with their next and last runs, newest first.
#[utoipa::path(
    tag = "schedules",
    params(PageParams),
    responses((status = 200, description = "A page of schedules.", body = Listed<ScheduleView>))
)]
#[get("/schedules")]
async fn list_schedules(
    app: Data<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Json<Listed<ScheduleView>>, Problem> {
    caller.may(Permission::ScansRead)?;
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let (page, runs) = app
        .db
        .read("list_schedules", caller.organization_id, async |tx| {
            let page = schedules::list(tx, range).await?;
            let ids: Vec<_> = page.rows.iter().map(|one| one.id).collect();
            let runs = schedules::runs(tx, &ids, 1).await?;
            Ok::<_, Problem>((page, runs))
        })
        .await?;
    let last = |id: ScheduleId| runs.iter().find(|run| run.schedule_id == id);
    let views = page.rows.into_iter().map(|one| {
        let last = last(one.id);
        ScheduleView::new(one, last)
    });
    Ok(Json(query.list(views.collect(), page.total)))
}

/// Make a schedule.
///
/// What it asks for is checked as if it were asked for now, and again at each run: a run that is not allowed any more is
/// `refused`, and the schedule goes on. On days on which the clock changes, a time that does not exist is the first moment
/// behind the gap, and a time that comes twice is its first; patterns of intervals go by elapsed time.
#[utoipa::path(
    tag = "schedules",
    request_body = ScheduleRequest,
    responses(
        (status = 201, description = "The schedule.", body = ScheduleView),
        (status = 409, description = "There are too many (`limit_reached`).", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/schedules")]
async fn create_schedule(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<ScheduleRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let now = app.clock.now();
    let owner = Owner { app: &app, caller: &caller, context: &context };
    let new = owner.read(ScheduleId::mint(now), body, now).await?;
    let entry = context
        .entry(now, &caller.label(), AuditAction::ScheduleCreated, Some(new.id.to_string()))
        .change(None, Some(shown(&new)));
    app.db
        .run("create_schedule", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            if schedules::count(tx).await? >= u64::from(MOST) {
                return Err(Problem::LimitReached { what: "schedules", most: MOST });
            }
            schedules::create(tx, caller.organization_id, &new).await?;
            audit::record(tx, caller.organization_id, &entry).await?;
            let location = (LOCATION, format!("/api/{}/schedules/{}", context.dialect.name(), new.id));
            let response = HttpResponse::Created().insert_header(location).json(ScheduleView::new(new, None));
            idempotency::keep(&app, tx, response).await
        })
        .await
}

/// Get a schedule with its last runs.
#[utoipa::path(
    tag = "schedules",
    params(("id" = String, Path, description = "The schedule.")),
    responses((status = 200, description = "The schedule.", body = ScheduleDetailView))
)]
#[get("/schedules/{id}")]
async fn get_schedule(app: Data<App>, caller: Caller, id: Id<ScheduleId>) -> Result<Json<ScheduleDetailView>, Problem> {
    caller.may(Permission::ScansRead)?;
    let (schedule, runs) = app
        .db
        .read("get_schedule", caller.organization_id, async |tx| {
            let schedule = schedules::find(tx, id.0).await?.ok_or(Problem::NotFound("schedule"))?;
            Ok::<_, Problem>((schedule, schedules::runs(tx, &[id.0], KEPT_RUNS).await?))
        })
        .await?;
    Ok(Json(ScheduleDetailView::new(schedule, &runs)))
}

/// Change a schedule: the whole of it, but its kind. A run that waits for the scan before it is given up.
#[utoipa::path(
    tag = "schedules",
    params(("id" = String, Path, description = "The schedule.")),
    request_body = ScheduleRequest,
    responses((status = 200, description = "The schedule.", body = ScheduleDetailView))
)]
#[put("/schedules/{id}")]
async fn update_schedule(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScheduleId>,
    Body(body): Body<ScheduleRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let now = app.clock.now();
    let find = app.db.read("find_schedule", caller.organization_id, async |tx| {
        schedules::find(tx, id.0).await?.ok_or(Problem::NotFound("schedule"))
    });
    find.await?;
    let new = Owner { app: &app, caller: &caller, context: &context }.read(id.0, body, now).await?;
    change(&app, &caller, &context, id.0, |known| {
        if known.kind != new.kind {
            return Err(Problem::field(
                "kind",
                "immutable",
                format!("expected `{}`, as it was made", known.kind.name()),
            ));
        }
        Ok(Schedule { created_at: known.created_at, ..new.clone() })
    })
    .await
}

/// Delete a schedule with the record of its runs. What it made stays.
#[utoipa::path(
    tag = "schedules",
    params(("id" = String, Path, description = "The schedule.")),
    responses((status = 204, description = "The schedule is gone."))
)]
#[delete("/schedules/{id}")]
async fn delete_schedule(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScheduleId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let now = app.clock.now();
    app.db
        .run("delete_schedule", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            let known = schedules::lock(tx, id.0).await?.ok_or(Problem::NotFound("schedule"))?;
            schedules::delete(tx, id.0).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::ScheduleDeleted, Some(id.0.to_string()))
                .change(Some(shown(&known)), None);
            Ok::<_, Problem>(audit::record(tx, caller.organization_id, &entry).await?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whether it is on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ToggleRequest {
    /// The other way round when absent.
    enabled: Option<bool>,
}

/// Switch a schedule on or off. Runs of the time in which it was off are not made up for.
#[utoipa::path(
    tag = "schedules",
    params(("id" = String, Path, description = "The schedule.")),
    request_body = Option<ToggleRequest>,
    responses((status = 200, description = "The schedule.", body = ScheduleDetailView))
)]
#[post("/schedules/{id}/toggle")]
async fn toggle_schedule(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScheduleId>,
    OptionalBody(body): OptionalBody<ToggleRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let now = app.clock.now();
    let owner = Owner { app: &app, caller: &caller, context: &context };
    change(&app, &caller, &context, id.0, |known| {
        owner.may_make(known.kind)?;
        let enabled = body.as_ref().and_then(|body| body.enabled).unwrap_or(!known.enabled);
        let next = match (enabled, known.enabled) {
            (true, true) => known.next,
            (false, _) => None,
            (true, false) => Cadence::kept(&known.cron, &known.time_zone, known.jitter_seconds)
                .map_err(|_| InvalidTransition { action: "switch on", entity: "schedule", from: "unreadable" })?
                .after(known.id, now),
        };
        Ok(Schedule { enabled, next, updated_at: now, ..known.clone() })
    })
    .await
}

/// Changes the caller's schedule in one transaction.
async fn change(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    id: ScheduleId,
    to: impl Fn(&Schedule) -> Result<Schedule, Problem>,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    app.db
        .run("change_schedule", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            let known = schedules::lock(tx, id).await?.ok_or(Problem::NotFound("schedule"))?;
            let new = to(&known)?;
            schedules::save(tx, &new).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::ScheduleUpdated, Some(id.to_string()))
                .change(Some(shown(&known)), Some(shown(&new)));
            audit::record(tx, caller.organization_id, &entry).await?;
            let runs = schedules::runs(tx, &[id], KEPT_RUNS).await?;
            idempotency::keep(app, tx, HttpResponse::Ok().json(ScheduleDetailView::new(new, &runs))).await
        })
        .await
}

/// What of it the audit log shows.
fn shown(schedule: &Schedule) -> Value {
    json!({
        "name": schedule.name,
        "kind": schedule.kind.name(),
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "enabled": schedule.enabled,
        "target": schedule.request.get("target"),
    })
}
