//! `/health`, `/ready`, `/openapi.json`: the service itself. Public, and no rate limit counts them.

use actix_web::{
    HttpResponse, get,
    http::header::{self, ContentType},
    web::{Data, Json},
};
use picket_store::workers::{self, PlatformHealth};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, Problem, documentation::STYLE};

/// The page has no script and loads one style sheet of ours.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn configure_root(config: &mut ServiceConfig<'_>) {
    config.service(get_root).service(get_openapi).service(get_reference).service(get_reference_style);
}

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_health).service(get_readiness);
}

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
struct HealthView {
    /// Always `ok`.
    status: &'static str,
}

/// Get whether the process lives.
#[utoipa::path(tag = "platform", security(()), responses((status = 200, description = "It lives.", body = HealthView)))]
#[get("/health")]
async fn get_health() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// What the service needs, and what of it is up.
#[derive(Debug, Serialize, ToSchema)]
struct ReadinessView {
    /// `ready`, or `degraded` when something but the database is down.
    status: &'static str,
    /// What is looked at.
    components: ComponentsView,
}

/// What the service needs: `up` or `down`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct ComponentsView {
    /// Postgres.
    database: &'static str,
    /// RabbitMQ, as other roles saw it last; `unknown` without the database.
    broker: &'static str,
    /// Redis; `unused` when each gateway counts requests for itself.
    redis: &'static str,
    /// Whether a worker is alive; `unknown` without the database.
    workers: &'static str,
}

/// Get whether requests can be served, and what is down.
///
/// Only the database makes it 503; the problem then has `components` as well.
#[utoipa::path(
    tag = "platform",
    security(()),
    responses(
        (status = 200, description = "Requests can be served.", body = ReadinessView),
        (
            status = 503,
            description = "The database is down; see `components` and `Retry-After`.",
            body = crate::ProblemView,
            content_type = "application/problem+json"
        )
    )
)]
#[get("/ready")]
async fn get_readiness(app: Data<App>) -> Result<Json<ReadinessView>, Problem> {
    let health = app.db.operate("get_readiness", async |tx| workers::health(tx).await).await;
    let redis = app.limits.is_up().await;
    match health {
        Ok(health) => Ok(Json(ReadinessView::new(health, redis))),
        Err(error) => Err(Problem::NotServing { components: ComponentsView::without_database(redis), source: error }),
    }
}

const fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

impl ComponentsView {
    /// What can be told when the database, which knows the rest, does not answer.
    fn without_database(redis: Option<bool>) -> Self {
        Self { database: "down", broker: "unknown", redis: redis.map_or("unused", word), workers: "unknown" }
    }
}

impl ReadinessView {
    fn new(health: PlatformHealth, redis: Option<bool>) -> Self {
        let (broker, workers) = (health.broker_up, health.live_workers > 0);
        let status = if broker && workers && redis.unwrap_or(true) { "ready" } else { "degraded" };
        let components = ComponentsView {
            database: "up",
            broker: word(broker),
            redis: redis.map_or("unused", word),
            workers: word(workers),
        };
        Self { status, components }
    }
}

/// Go to the reference page.
#[utoipa::path(tag = "platform", security(()), responses((status = 302, description = "The reference page is at `/docs`.")))]
#[get("/")]
async fn get_root() -> HttpResponse {
    HttpResponse::Found().insert_header((header::LOCATION, "/docs")).finish()
}

/// Get the OpenAPI document of this API.
#[utoipa::path(tag = "platform", security(()), responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
#[get("/openapi.json")]
async fn get_openapi(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(app.documents.json.clone())
}

/// Get the reference page of this API, for people.
#[utoipa::path(
    tag = "platform",
    security(()),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"))
)]
#[get("/docs")]
async fn get_reference(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .body(app.documents.page.clone())
}

/// Get what the reference page looks like.
#[utoipa::path(
    tag = "platform",
    security(()),
    responses((status = 200, description = "The style sheet.", body = String, content_type = "text/css"))
)]
#[get("/docs/style.css")]
async fn get_reference_style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(STYLE)
}
