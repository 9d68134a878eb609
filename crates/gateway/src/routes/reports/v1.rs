//! Reports in the v1 dialect: ids are texts.

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::LOCATION,
    post,
    web::{Data, Json},
};
use picket_domain::{Permission, ReportId, ScanId};
use picket_store::{reports::read, scans::read::Range};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    ReportKey,
    download::download,
    load,
    order::{BrandingChoice, Customer, FormatChoice, Order, Ordered},
    view::{ReportAcceptedV1, ReportV1},
};
use crate::{App, Body, Caller, Id, Page, Problem, Query, RequestContext, V1Page};

pub(in crate::routes) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(generate_report).service(list_reports).service(get_report).service(download_report);
}

/// What a report is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GenerateReport {
    /// The scans it covers, each once.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    scan_ids: Vec<ScanId>,
    /// Its form; `pdf` when absent.
    #[serde(default)]
    #[schema(inline)]
    format: FormatChoice,
    /// Whether it begins with the numbers and what they mean; yes when absent.
    include_executive_summary: Option<bool>,
    /// Whether it describes every finding with its evidence; yes when absent.
    include_technical_details: Option<bool>,
    #[serde(default, deserialize_with = "crate::body::object")]
    custom_branding: Option<BrandingChoice>,
}

/// Ask for a report.
///
/// It is rendered in the background; `GET /reports/{id}` tells when it is done. A scan that is not yours is 404.
#[utoipa::path(
    tag = "reports",
    request_body = GenerateReport,
    responses(
        (status = 202, description = "The report will be rendered.", body = ReportAcceptedV1),
        (status = 404, description = "No such scan.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/reports/generate")]
async fn generate_report(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<GenerateReport>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ReportsWrite)?;
    let order = Order {
        format: body.format.into(),
        executive_summary: body.include_executive_summary.unwrap_or(true),
        technical_details: body.include_technical_details.unwrap_or(true),
        branding: body.custom_branding,
    };
    let customer = Customer { app: &app, caller: &caller, context: &context };
    let answer = |ordered: Ordered| {
        let location = (LOCATION, format!("/api/v1/reports/{}", ordered.id));
        HttpResponse::Accepted().insert_header(location).json(ReportAcceptedV1 {
            id: ordered.id,
            report_id: ordered.id,
            status: "queued",
            format: ordered.format.name(),
        })
    };
    customer.order(body.scan_ids, order, answer).await
}

/// Which reports.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListReports {
    /// The page, from 1.
    #[param(minimum = 1, maximum = 10000)]
    page: Option<u32>,
    /// Elements per page.
    #[param(minimum = 1, maximum = 100)]
    per_page: Option<u32>,
}

/// List reports, newest first.
#[utoipa::path(
    tag = "reports",
    params(ListReports),
    responses((status = 200, description = "A page of reports.", body = V1Page<ReportV1>)),
)]
#[get("/reports")]
async fn list_reports(
    app: Data<App>,
    caller: Caller,
    Query(query): Query<ListReports>,
) -> Result<Json<V1Page<ReportV1>>, Problem> {
    caller.may(Permission::ReportsRead)?;
    let page = Page::new(query.page, query.per_page, "per_page")?;
    let range = Range { limit: page.limit(), offset: page.offset() };
    let found = app
        .db
        .read("list_reports", caller.organization_id, async |tx| read::list(tx, range).await.map_err(Problem::from))
        .await?;
    Ok(Json(page.v1(found.rows.iter().map(ReportV1::new).collect(), found.total)))
}

/// Get a report: how far it is, and what there is to know of its document.
#[utoipa::path(
    tag = "reports",
    params(("id" = String, Path, description = "The report.")),
    responses((status = 200, description = "The report.", body = ReportV1)),
)]
#[get("/reports/{id}")]
async fn get_report(app: Data<App>, caller: Caller, id: Id<ReportId>) -> Result<Json<ReportV1>, Problem> {
    caller.may(Permission::ReportsRead)?;
    Ok(Json(ReportV1::new(&load(&app, &caller, ReportKey::Id(id.0)).await?)))
}

/// Download a report's document.
///
/// Before it is done: 409 with `Retry-After`. `Range`, `If-Range` and `If-None-Match` are understood.
#[utoipa::path(
    tag = "reports",
    params(("id" = String, Path, description = "The report.")),
    responses(
        (status = 200, description = "The document.", content(
            (Vec<u8> = "application/pdf"), (String = "text/html"), (Object = "application/json")
        )),
        (status = 206, description = "The part of the document that was asked for."),
        (status = 304, description = "You have it already."),
        (status = 409, description = "It is not done, or it failed.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 416, description = "The range lies outside the document.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[get("/reports/{id}/download")]
async fn download_report(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    id: Id<ReportId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ReportsRead)?;
    download(&app, &load(&app, &caller, ReportKey::Id(id.0)).await?, request.headers()).await
}
