//! Reports in the v2 dialect: ids are numbers.

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::LOCATION,
    post,
    web::{Data, Json},
};
use picket_domain::{Permission, ScanId};
use picket_store::{StoreError, Tx, scans};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    ReportKey,
    download::download,
    find, load,
    order::{BrandingChoice, Customer, FormatChoice, Order, Ordered},
    view::{ReportAcceptedV2, ReportV2},
};
use crate::{App, Body, Caller, Id, Problem, RequestContext};

pub(in crate::routes) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(create_report).service(get_report).service(download_report);
}

/// What a report is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateReportV2 {
    /// The scans it covers, each once.
    #[schema(min_items = 1, max_items = 100, example = json!([123, 124, 125]))]
    scan_ids: Vec<i64>,
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
    request_body = CreateReportV2,
    responses(
        (status = 202, description = "The report will be rendered.", body = ReportAcceptedV2),
        (status = 404, description = "No such scan.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/reports")]
async fn create_report(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<CreateReportV2>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ReportsWrite)?;
    let order = Order {
        format: body.format.into(),
        executive_summary: body.include_executive_summary.unwrap_or(true),
        technical_details: body.include_technical_details.unwrap_or(true),
        branding: body.custom_branding,
    };
    let customer = Customer { app: &app, caller: &caller, context: &context };
    let scan_ids = customer.scans(&body.scan_ids).await?;
    let answer = |ordered: Ordered| {
        let location = (LOCATION, format!("/api/v2/reports/{}", ordered.number));
        HttpResponse::Accepted().insert_header(location).json(ReportAcceptedV2 {
            id: ordered.number,
            report_id: ordered.number,
            status: "queued",
            format: ordered.format.name(),
        })
    };
    customer.order(scan_ids, order, answer).await
}

/// Get a report: how far it is, and what there is to know of its document.
#[utoipa::path(
    tag = "reports",
    params(("id" = i64, Path, description = "The report's number.")),
    responses((status = 200, description = "The report.", body = ReportV2)),
)]
#[get("/reports/{id}")]
async fn get_report(app: Data<App>, caller: Caller, id: Id<i64>) -> Result<Json<ReportV2>, Problem> {
    caller.may(Permission::ReportsRead)?;
    let view = app
        .db
        .read("get_report", caller.organization_id, async |tx| {
            let record = find(tx, ReportKey::Number(id.0)).await?;
            let numbers = numbers(tx, &record.request.scan_ids).await?;
            Ok::<_, Problem>(ReportV2::new(&record, numbers))
        })
        .await?;
    Ok(Json(view))
}

/// The numbers of scans; those that are gone are left out.
async fn numbers(tx: &Tx<'_>, ids: &[ScanId]) -> Result<Vec<i64>, StoreError> {
    let mut numbers = Vec::with_capacity(ids.len());
    for id in ids {
        numbers.extend(scans::read::find(tx, *id).await?.map(|scan| scan.number));
    }
    Ok(numbers)
}

/// Download a report's document.
///
/// Before it is done: 409 with `Retry-After`. `Range`, `If-Range` and `If-None-Match` are understood.
#[utoipa::path(
    tag = "reports",
    params(("id" = i64, Path, description = "The report's number.")),
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
    id: Id<i64>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ReportsRead)?;
    download(&app, &load(&app, &caller, ReportKey::Number(id.0)).await?, request.headers()).await
}
