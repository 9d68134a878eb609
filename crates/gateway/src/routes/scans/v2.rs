//! Scans in the v2 dialect: a target, a plan, options; numbers instead of ids.

mod order;
mod view;

use actix_web::{
    HttpRequest, HttpResponse, delete, get,
    http::header::LOCATION,
    post,
    web::{Data, Json, Payload},
};
use picket_domain::{Permission, Plan, ScanLimits};
use picket_planner::{Estimate, Wanted};
use picket_store::scans::{
    Created,
    read::{Direction, Range, ScanOrder},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

pub(in crate::routes) use self::order::order;
use self::view::{ScanCreatedV2, ScanDetailV2, ScanV2, StatusV2};
use super::{
    LoadedScan,
    ask::{Ask, Choice, OptionsV2, ScanTypeV2, beside_a_profile},
    estimate::{EstimateView, durations, estimate},
    import::{ImportQuery, ReportFile, import},
    load_result,
};
use crate::{App, Body, Caller, Id, Page, Problem, Query, RequestContext, V2Page};

pub(in crate::routes) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_scans)
        .service(create_scan)
        .service(estimate_scan)
        .service(import_scan)
        .service(get_scan)
        .service(cancel_scan);
}

/// What to scan, and how thoroughly.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateScanV2 {
    /// A host name, an address or a network.
    #[schema(example = "example.com", max_length = 253)]
    target: String,
    /// The plan; `full` when absent.
    #[schema(inline)]
    scan_type: Option<ScanTypeV2>,
    /// What the plan looks at.
    #[serde(default, deserialize_with = "crate::body::object")]
    options: Option<OptionsV2>,
    /// A saved profile in place of a plan: `quick`, `full`, `web`, `ssl`, or the id of one of yours.
    #[schema(example = "web", max_length = 64)]
    profile: Option<String>,
}

impl CreateScanV2 {
    fn ask(self) -> Result<Ask, Problem> {
        let Self { target, scan_type, options, profile } = self;
        let choice = match profile {
            Some(_) if scan_type.is_some() => return Err(beside_a_profile("scan_type")),
            Some(_) if options.is_some() => return Err(beside_a_profile("options")),
            Some(profile) => Choice::Profile(profile),
            None => {
                let plan = scan_type.map_or(Plan::Full, Plan::from);
                Choice::Wanted(Wanted::Options {
                    plan,
                    options: options.unwrap_or_default().under(plan),
                    limits: ScanLimits::default(),
                })
            }
        };
        Ok(Ask { target, notify: Vec::new(), choice })
    }
}

/// Accept a scan.
///
/// The target must be one that you may scan: 400 `target_forbidden` for addresses that nobody may scan here, 403
/// `target_not_authorized` where nothing says that you may.
#[utoipa::path(
    tag = "scans",
    request_body = CreateScanV2,
    responses((status = 201, description = "The scan was accepted.", body = ScanCreatedV2)),
)]
#[post("/scans")]
async fn create_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    body: Body<CreateScanV2>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let chosen = body.0.ask()?.chosen(&app, &caller).await?;
    let asker = app.asker(&caller, &context, &chosen.target).await?;
    let planned = chosen.plan(&app, &asker, context.dialect).await?;
    let at_once = asker.subscription.limits().tasks_in_flight;
    let estimate = Estimate::of(&planned.scan, &durations(&app).await?, at_once);
    let new = &planned.scan;
    let answer = |created: Created| {
        let location = (LOCATION, format!("/api/v2/scans/{}", created.number));
        HttpResponse::Created().insert_header(location).json(ScanCreatedV2 {
            scan_id: created.number,
            status: "pending",
            target: new.target.clone(),
            estimated_duration: estimate.words(),
            message: "Scan has been queued successfully",
        })
    };
    let response = planned.store(&app, &caller, &context, asker.now, answer).await?;
    picket_faults::point("gateway::after_create_commit");
    tracing::Span::current().record("scan.id", tracing::field::display(new.id));
    Ok(response)
}

/// Show what a scan would come to.
///
/// The same checks as a scan that is made. Nothing is made, queued or kept. What will grow from results is guessed.
#[utoipa::path(
    tag = "scans",
    request_body = CreateScanV2,
    responses((status = 200, description = "What it would come to, and whether it may be made.", body = EstimateView)),
)]
#[post("/scans/estimate")]
async fn estimate_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    body: Body<CreateScanV2>,
) -> Result<Json<EstimateView>, Problem> {
    caller.may(Permission::ScansWrite)?;
    estimate(&app, &caller, &context, body.0.ask()?).await.map(Json)
}

/// Import a report that a tool wrote elsewhere.
///
/// The body is the report as the tool wrote it; its content tells what it is. It becomes a scan that has ended, with what
/// the report says; of one that is cut short the coverage says so. No address is touched. A file that is no report, or is
/// hostile, is 400 `unreadable_report`, and nothing is kept.
#[utoipa::path(
    tag = "scans",
    params(ImportQuery),
    request_body(content = ReportFile, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "The scan that the report became.", body = ScanV2),
        (status = 413, description = "The report is larger than the plan allows.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/scans/import")]
async fn import_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    query: Query<ImportQuery>,
    body: (HttpRequest, Payload),
) -> Result<HttpResponse, Problem> {
    let answer = |scan: &LoadedScan| {
        tracing::Span::current().record("scan.id", tracing::field::display(scan.record.scan.id));
        let location = (LOCATION, format!("/api/v2/scans/{}", scan.record.number));
        HttpResponse::Created().insert_header(location).json(ScanV2::new(&scan.record, scan.counts))
    };
    import(&app, &caller, &context, query.0, body, answer).await
}

/// Which scans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListScansV2 {
    /// The page, from 1.
    #[param(minimum = 1, maximum = 10000)]
    page: Option<u32>,
    /// Elements per page.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Scans of this status alone.
    #[param(inline)]
    status: Option<StatusV2>,
}

/// List scans, newest first.
#[utoipa::path(
    tag = "scans",
    params(ListScansV2),
    responses((status = 200, description = "A page of scans.", body = V2Page<ScanV2>)),
)]
#[get("/scans")]
async fn list_scans(
    app: Data<App>,
    caller: Caller,
    query: Query<ListScansV2>,
) -> Result<Json<V2Page<ScanV2>>, Problem> {
    caller.may(Permission::ScansRead)?;
    let Query(query) = query;
    let page = Page::new(query.page, query.limit, "limit")?;
    let range = Range { limit: page.limit(), offset: page.offset() };
    let states = query.status.map(StatusV2::states).unwrap_or_default();
    let (found, counts) =
        super::list(&app, &caller, states, ScanOrder::CreatedAt(Direction::Descending), range).await?;
    let views = found.rows.iter().zip(counts).map(|(record, counts)| ScanV2::new(record, counts)).collect();
    Ok(Json(page.v2(views, found.total)))
}

/// Get a scan with what it found so far.
#[utoipa::path(
    tag = "scans",
    params(("id" = i64, Path, description = "The scan's number.")),
    responses((status = 200, description = "The scan.", body = ScanDetailV2)),
)]
#[get("/scans/{id}")]
async fn get_scan(app: Data<App>, caller: Caller, id: Id<i64>) -> Result<Json<ScanDetailV2>, Problem> {
    caller.may(Permission::ScansRead)?;
    let (scan, findings) = load_result(&app, &caller, id.0).await?;
    Ok(Json(ScanDetailV2::new(&scan.record, scan.counts, &findings, &scan.coverage)))
}

/// Cancel a scan.
///
/// What was found so far stays; the scan's status is `failed`, and its `message` says that it was cancelled. A scan that
/// has ended is 409.
#[utoipa::path(
    tag = "scans",
    params(("id" = i64, Path, description = "The scan's number.")),
    responses(
        (status = 200, description = "The scan is cancelled.", body = ScanV2),
        (status = 409, description = "It has ended.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[delete("/scans/{id}")]
async fn cancel_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<i64>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let answer = |scan: &LoadedScan| HttpResponse::Ok().json(ScanV2::new(&scan.record, scan.counts));
    super::cancel(&app, &caller, &context, id.0, answer).await
}
