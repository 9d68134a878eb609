//! `/webhooks`: where an organization hears of its events, and what became of each delivery. Sends nothing itself.

mod view;

use actix_web::{
    HttpResponse, delete, get,
    http::header::LOCATION,
    post,
    web::{Data, Json},
};
use picket_domain::{
    AuditAction, Dialect, Permission, Webhook, WebhookError, WebhookEvent, WebhookId, WebhookSecret, WebhookUrl,
};
use picket_outbound::ErrorClass;
use picket_store::{
    audit, deliveries,
    quota::{self, Quota},
    scans::read::Range,
    webhooks,
};
use rand::RngCore;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use self::view::{DeliveryView, WebhookCreatedView, WebhookView};
use crate::{App, Body, Caller, Id, Listed, PageQuery, Problem, RequestContext, idempotency, paging::PageParams};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(create_webhook)
        .service(list_webhooks)
        .service(get_webhook)
        .service(delete_webhook)
        .service(list_deliveries);
}

/// Where to send events, and which.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateWebhook {
    /// An https URL of a public host.
    #[schema(example = "https://example.com/hooks/picket", max_length = 2048)]
    url: String,
    /// Names of events in the webhook's dialect; all of them when absent.
    #[schema(example = json!(["scan.completed", "scan.failed"]))]
    events: Option<Vec<String>>,
    /// `v1` or `v2`: decides the names of events and the shape of payloads. When absent, that of the version under which
    /// the webhook is created.
    #[schema(value_type = Option<String>, example = "v1")]
    dialect: Option<Dialect>,
}

/// Create a webhook.
///
/// The answer holds the secret that deliveries are signed with (Standard Webhooks); it is never shown again.
#[utoipa::path(
    tag = "webhooks",
    request_body = CreateWebhook,
    responses(
        (status = 201, description = "The webhook, with its secret.", body = WebhookCreatedView),
        (
            status = 409,
            description = "The plan allows no further one (`limit_reached`).",
            body = crate::ProblemView,
            content_type = "application/problem+json"
        )
    ),
)]
#[post("/webhooks")]
async fn create_webhook(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    body: Body<CreateWebhook>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::WebhooksWrite)?;
    let webhook = body.0.read(&app, &caller, &context)?;
    vet(&app, &webhook.url).await?;
    let secret = mint_secret();
    let place = WebhookSecret::context(webhook.organization_id, webhook.id);
    let sealed = app.sealer.seal(secret.expose(), &place).map_err(Problem::internal)?;
    app.db
        .run("create_webhook", caller.organization_id, async |tx| {
            let allowance = quota::lock(tx, caller.organization_id).await?;
            allowance.demand(tx, |limits| Quota::Webhooks(limits.webhooks)).await?;
            webhooks::create(tx, &webhook, &sealed).await?;
            let entry = context
                .entry(webhook.created_at, &caller.label(), AuditAction::WebhookCreated, Some(webhook.id.to_string()))
                .change(None, Some(json!({"host": webhook.url.url().host_str(), "dialect": webhook.dialect})));
            audit::record(tx, caller.organization_id, &entry).await?;
            let location = (LOCATION, format!("/api/{}/webhooks/{}", context.dialect.name(), webhook.id));
            let view = WebhookCreatedView::new(&webhook, &secret);
            idempotency::keep(&app, tx, HttpResponse::Created().insert_header(location).json(view)).await
        })
        .await
}

impl CreateWebhook {
    fn read(&self, app: &App, caller: &Caller, context: &RequestContext) -> Result<Webhook, Problem> {
        let dialect = self.dialect.unwrap_or(context.dialect);
        let events = match &self.events {
            Some(names) => WebhookEvent::parse_list(dialect, names).map_err(refused)?,
            None => WebhookEvent::of_dialect(dialect),
        };
        let now = app.clock.now();
        Ok(Webhook {
            id: WebhookId::mint(now),
            organization_id: caller.organization_id,
            url: WebhookUrl::parse(&self.url).map_err(refused)?,
            dialect,
            events,
            created_at: now,
            disabled: None,
        })
    }
}

fn refused(error: WebhookError) -> Problem {
    let (field, code) = match error {
        WebhookError::Url => ("url", "invalid_url"),
        WebhookError::NoEvents => ("events", "empty"),
        WebhookError::UnknownEvent { .. } => ("events", "unknown_value"),
    };
    Problem::field(field, code, error.to_string())
}

/// Whether the URL may be called now; the dispatcher judges it again at every attempt.
async fn vet(app: &App, url: &WebhookUrl) -> Result<(), Problem> {
    let Err(error) = app.http.vet(url.url()).await else { return Ok(()) };
    let class = error.class();
    if class == ErrorClass::Internal {
        return Err(Problem::internal(error));
    }
    Err(Problem::field("url", class.name(), class.text()))
}

fn mint_secret() -> WebhookSecret {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    WebhookSecret::from_bytes(bytes)
}

/// List webhooks, newest first.
#[utoipa::path(
    tag = "webhooks",
    params(PageParams),
    responses((status = 200, description = "A page of webhooks.", body = Listed<WebhookView>)),
)]
#[get("/webhooks")]
async fn list_webhooks(app: Data<App>, caller: Caller, query: PageQuery) -> Result<Json<Listed<WebhookView>>, Problem> {
    caller.may(Permission::WebhooksRead)?;
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let found = app
        .db
        .read("list_webhooks", caller.organization_id, async |tx| {
            webhooks::list(tx, range).await.map_err(Problem::from)
        })
        .await?;
    Ok(Json(query.list(found.rows.iter().map(WebhookView::new).collect(), found.total)))
}

/// Get a webhook.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    responses((status = 200, description = "The webhook.", body = WebhookView)),
)]
#[get("/webhooks/{id}")]
async fn get_webhook(app: Data<App>, caller: Caller, id: Id<WebhookId>) -> Result<Json<WebhookView>, Problem> {
    caller.may(Permission::WebhooksRead)?;
    let webhook = app
        .db
        .read("get_webhook", caller.organization_id, async |tx| {
            webhooks::find(tx, id.0).await?.ok_or(Problem::NotFound("webhook"))
        })
        .await?;
    Ok(Json(WebhookView::new(&webhook)))
}

/// Delete a webhook. What it was still to hear is withdrawn.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook.")),
    responses((status = 204, description = "The webhook is gone.")),
)]
#[delete("/webhooks/{id}")]
async fn delete_webhook(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<WebhookId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::WebhooksWrite)?;
    let now = app.clock.now();
    app.db
        .run("delete_webhook", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            if !webhooks::delete(tx, id.0, now).await? {
                return Err(Problem::NotFound("webhook"));
            }
            let entry = context.entry(now, &caller.label(), AuditAction::WebhookDeleted, Some(id.0.to_string()));
            Ok(audit::record(tx, caller.organization_id, &entry).await?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the deliveries of a webhook with their attempts, newest first.
#[utoipa::path(
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook."), PageParams),
    responses((status = 200, description = "A page of deliveries.", body = Listed<DeliveryView>)),
)]
#[get("/webhooks/{id}/deliveries")]
async fn list_deliveries(
    app: Data<App>,
    caller: Caller,
    id: Id<WebhookId>,
    query: PageQuery,
) -> Result<Json<Listed<DeliveryView>>, Problem> {
    caller.may(Permission::WebhooksRead)?;
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let found = app
        .db
        .read("list_deliveries", caller.organization_id, async |tx| {
            webhooks::find(tx, id.0).await?.ok_or(Problem::NotFound("webhook"))?;
            deliveries::read::list(tx, id.0, range).await.map_err(Problem::from)
        })
        .await?;
    Ok(Json(query.list(found.rows.iter().map(DeliveryView::new).collect(), found.total)))
}
