//! Scans in the v1 dialect: a tool, a target, parameters.

mod artifacts;
mod compare;
mod control;
mod follow;
mod gate;
mod order;
mod output;
mod view;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::LOCATION,
    post,
    web::{Data, Json, Payload},
};
use picket_domain::{Permission, ScanId, ScanLimits};
use picket_planner::Wanted;
use picket_scanners::Parameters;
use picket_store::scans::read::{Direction, Range, ScanOrder};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use self::view::{ScanCreatedV1, ScanDetailV1, ScanResultV1, ScanStatusV1, ScanV1};
pub(in crate::routes) use self::{
    order::order,
    view::{FindingCountsV1, VulnerabilityV1},
};
use super::{
    LoadedScan,
    ask::{Ask, Choice, beside_a_profile},
    estimate::{EstimateView, estimate},
    import::{ImportQuery, ReportFile, import},
    load, load_result,
    refused::noted,
};
use crate::{App, Body, Caller, Id, Page, Problem, Query, RequestContext, V1Page};

pub(in crate::routes) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(create_scan)
        .service(estimate_scan)
        .service(import_scan)
        .service(list_scans)
        .service(get_scan)
        .service(get_scan_status)
        .service(get_scan_result)
        .service(stop_scan);
    control::configure(config);
    follow::configure(config);
    output::configure(config);
    artifacts::configure(config);
    compare::configure(config);
    gate::configure(config);
}

/// What to scan, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateScanV1 {
    /// A host name, an address or a network.
    #[schema(example = "example.com", max_length = 253)]
    target: String,
    /// A tool of the catalogue (`GET /tools`).
    #[schema(example = "nmap")]
    tool: Option<String>,
    /// The tool's parameters, as its schema in the catalogue says; its defaults when absent.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"scan_type": "-sV -sC -O", "ports": "1-10000", "timing": "-T4"}))]
    parameters: Parameters,
    /// The plan: one tool with parameters is `custom`.
    scan_type: Option<ScanTypeV1>,
    /// Ways in which you want to hear of the end.
    #[serde(default)]
    #[schema(max_items = 10)]
    notify: Vec<NotifyBy>,
    /// A saved profile in place of a tool: `quick`, `full`, `web`, `ssl`, or the id of one of yours.
    #[schema(example = "web", max_length = 64)]
    profile: Option<String>,
}

impl CreateScanV1 {
    fn ask(self) -> Result<Ask, Problem> {
        let Self { target, tool, parameters, scan_type, notify, profile } = self;
        let choice = match (profile, tool) {
            (Some(_), Some(_)) => return Err(beside_a_profile("tool")),
            (Some(_), None) if parameters.value().is_some() => return Err(beside_a_profile("parameters")),
            (Some(_), None) if scan_type.is_some() => return Err(beside_a_profile("scan_type")),
            (Some(profile), None) => Choice::Profile(profile),
            (None, Some(tool)) => Choice::Wanted(Wanted::Tool {
                tool,
                parameters: parameters.value().cloned(),
                limits: ScanLimits::default(),
            }),
            (None, None) => return Err(Problem::field("tool", "missing_field", "missing field `tool`")),
        };
        let notify = notify.first().map(|NotifyBy::Email| "email".to_owned()).into_iter().collect();
        Ok(Ask { target, notify, choice })
    }
}

/// A plan of this dialect.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ScanTypeV1 {
    /// One tool with its parameters.
    Custom,
}

/// A way to hear of a scan's end, besides webhooks.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum NotifyBy {
    /// An e-mail to the one who asked.
    Email,
}

/// Accept a scan.
///
/// The target must be one that you may scan: 400 `target_forbidden` for addresses that nobody may scan here, 403
/// `target_not_authorized` where nothing says that you may. Flags that need more than the others become a task of their
/// own; what no worker can do ends as `capability_unavailable` in the coverage.
#[utoipa::path(
    tag = "scans",
    request_body = CreateScanV1,
    responses((status = 201, description = "The scan was accepted.", body = ScanCreatedV1)),
)]
#[post("/scans/create")]
async fn create_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    body: Body<CreateScanV1>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let chosen = body.0.ask()?.chosen(&app, &caller).await?;
    let asker = app.asker(&caller, &context, &chosen.target).await?;
    let tool = chosen.tool().map(ToOwned::to_owned);
    let planned = match chosen.plan(&app, &asker, context.dialect).await {
        Ok(planned) => planned,
        Err(refused) => return Err(noted(&app, &caller, &context, tool.as_deref(), refused.into()).await?),
    };
    let new = &planned.scan;
    let answer = |_| {
        HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/scan/{}", new.id))).json(ScanCreatedV1 {
            id: new.id,
            status: "created",
            target: new.target.clone(),
            tool: new.tool,
            created_at: asker.now,
            tasks: new.task_count(),
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
    request_body = CreateScanV1,
    responses((status = 200, description = "What it would come to, and whether it may be made.", body = EstimateView)),
)]
#[post("/scans/estimate")]
async fn estimate_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    body: Body<CreateScanV1>,
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
        (status = 201, description = "The scan that the report became.", body = ScanDetailV1),
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
        let location = (LOCATION, format!("/api/v1/scan/{}", scan.record.scan.id));
        HttpResponse::Created().insert_header(location).json(ScanDetailV1::new(scan))
    };
    import(&app, &caller, &context, query.0, body, answer).await
}

/// Which scans, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListScansV1 {
    /// The page, from 1.
    #[param(minimum = 1, maximum = 10000)]
    page: Option<u32>,
    /// Elements per page.
    #[param(minimum = 1, maximum = 100)]
    per_page: Option<u32>,
    /// What they are ordered by; `created_at` when absent.
    #[param(inline)]
    sort: Option<ScanSort>,
    /// Which way; `desc` when absent.
    #[param(inline)]
    order: Option<SortOrder>,
}

/// What scans are ordered by.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ScanSort {
    CreatedAt,
    Target,
    Status,
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum SortOrder {
    Asc,
    Desc,
}

impl ListScansV1 {
    const fn order(&self) -> ScanOrder {
        let direction = match self.order {
            Some(SortOrder::Asc) => Direction::Ascending,
            Some(SortOrder::Desc) | None => Direction::Descending,
        };
        match self.sort {
            Some(ScanSort::CreatedAt) | None => ScanOrder::CreatedAt(direction),
            Some(ScanSort::Target) => ScanOrder::Target(direction),
            Some(ScanSort::Status) => ScanOrder::State(direction),
        }
    }
}

/// List scans, newest first.
#[utoipa::path(
    tag = "scans",
    params(ListScansV1),
    responses((status = 200, description = "A page of scans.", body = V1Page<ScanV1>)),
)]
#[get("/scans")]
async fn list_scans(
    app: Data<App>,
    caller: Caller,
    query: Query<ListScansV1>,
) -> Result<Json<V1Page<ScanV1>>, Problem> {
    caller.may(Permission::ScansRead)?;
    let Query(query) = query;
    let page = Page::new(query.page, query.per_page, "per_page")?;
    let range = Range { limit: page.limit(), offset: page.offset() };
    let (found, counts) = super::list(&app, &caller, &[], query.order(), range).await?;
    let views = found.rows.iter().zip(counts).map(|(record, counts)| ScanV1::new(record, counts)).collect();
    Ok(Json(page.v1(views, found.total)))
}

/// Get a scan: what was asked and how far it is.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses((status = 200, description = "The scan.", body = ScanDetailV1)),
)]
#[get("/scan/{id}")]
async fn get_scan(app: Data<App>, caller: Caller, id: Id<ScanId>) -> Result<Json<ScanDetailV1>, Problem> {
    caller.may(Permission::ScansRead)?;
    let scan = load(&app, &caller, id.0).await?;
    Ok(Json(ScanDetailV1::new(&scan)))
}

/// Get how far a scan is, for polling.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses((status = 200, description = "How far it is.", body = ScanStatusV1)),
)]
#[get("/scan/{id}/status")]
async fn get_scan_status(app: Data<App>, caller: Caller, id: Id<ScanId>) -> Result<Json<ScanStatusV1>, Problem> {
    caller.may(Permission::ScansRead)?;
    let scan = load(&app, &caller, id.0).await?;
    Ok(Json(ScanStatusV1::new(&scan)))
}

/// Get what a scan found.
///
/// A scan that has not ended shows what it found so far: `status` says that it goes on, `coverage` what is still to come.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses((status = 200, description = "What it found.", body = ScanResultV1)),
)]
#[get("/scan/{id}/result")]
async fn get_scan_result(app: Data<App>, caller: Caller, id: Id<ScanId>) -> Result<Json<ScanResultV1>, Problem> {
    caller.may(Permission::ScansRead)?;
    let (scan, findings) = load_result(&app, &caller, id.0).await?;
    Ok(Json(ScanResultV1::new(&scan.record, scan.counts, &findings, &scan.coverage)))
}

/// Stop a scan.
///
/// What was found so far stays. Running tools are killed within seconds. A scan that has ended is 409.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses(
        (status = 200, description = "The scan is cancelled.", body = ScanDetailV1),
        (status = 409, description = "It has ended.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/scan/{id}/stop")]
async fn stop_scan(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ScanId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    super::cancel(&app, &caller, &context, id.0, view::changed).await
}
