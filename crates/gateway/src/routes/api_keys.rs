//! `/api-keys`: credentials of programs. A key is shown once, when it is made, and never grants what its maker lacks: not
//! more permissions, not from more addresses, not for longer.

mod create;
mod rotate;
mod view;

use actix_web::{
    HttpResponse, delete, get,
    web::{Data, Json},
};
use picket_domain::{ApiKeyId, AuditAction, Permission};
use picket_store::{
    api_keys::{self, ApiKey},
    audit, quota,
    scans::read::Range,
};
use serde_json::{Value, json};
use utoipa_actix_web::service_config::ServiceConfig;

use self::view::ApiKeyView;
use crate::{App, Caller, Id, Listed, PageQuery, Problem, RequestContext, paging::PageParams};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.configure(create::configure).service(list_api_keys).configure(rotate::configure).service(delete_api_key);
}

/// List API keys, newest first.
#[utoipa::path(
    tag = "api keys",
    params(PageParams),
    responses((status = 200, description = "A page of keys.", body = Listed<ApiKeyView>))
)]
#[get("/api-keys")]
async fn list_api_keys(app: Data<App>, caller: Caller, query: PageQuery) -> Result<Json<Listed<ApiKeyView>>, Problem> {
    caller.may(Permission::ApiKeysRead)?;
    let now = app.clock.now();
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let keys = app
        .db
        .read("list_api_keys", caller.organization_id, async |tx| {
            Ok::<_, Problem>(api_keys::list(tx, range, now).await?)
        })
        .await?;
    Ok(Json(query.list(keys.rows.into_iter().map(ApiKeyView::new).collect(), keys.total)))
}

/// Withdraw an API key.
///
/// It is refused from the next request on.
#[utoipa::path(
    tag = "api keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jh…")),
    responses((status = 204, description = "Withdrawn."))
)]
#[delete("/api-keys/{id}")]
async fn delete_api_key(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Id(id): Id<ApiKeyId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ApiKeysWrite)?;
    let now = app.clock.now();
    app.db
        .run("delete_api_key", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            if !api_keys::revoke(tx, id, now).await? {
                return Err(Problem::NotFound("API key"));
            }
            let entry = context.entry(now, &caller.label(), AuditAction::ApiKeyRevoked, Some(id.to_string()));
            Ok(audit::record(tx, caller.organization_id, &entry).await?)
        })
        .await?;
    app.callers.forget();
    Ok(HttpResponse::NoContent().finish())
}

/// A key for the audit log.
fn snapshot(key: &ApiKey) -> Value {
    json!({
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "expires_at": key.expires_at,
        "allowed_ranges": key.allowed_ranges,
    })
}
