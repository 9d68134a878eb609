//! `/api-keys`: credentials of programs. A key is shown once, when it is made, and never grants what its maker lacks.

use actix_web::{
    HttpResponse, delete, get, post,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{ApiKeyId, Permission};
use picket_store::{
    api_keys::{self, ApiKey, NewApiKey},
    quota::{self, Quota},
    scans::read::Range,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, Body, Caller, FieldError, Id, Listed, PageQuery, Problem, key_text, paging::PageParams};

/// The longest name of a key, in characters.
const LONGEST_NAME: usize = 100;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(create_api_key).service(list_api_keys).service(delete_api_key);
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApiKeyRequest {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, example = "ci")]
    name: String,
    /// What it may do; at least one permission, none that you lack.
    #[schema(min_items = 1, example = json!(["scans:read", "scans:write"]))]
    scopes: Vec<String>,
    /// When it ends by itself; never by default.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
struct CreatedApiKeyView {
    #[serde(flatten)]
    key: ApiKeyView,
    /// The key itself. It cannot be shown again.
    #[serde(rename = "key")]
    #[schema(rename = "key", example = "pk_…")]
    secret: String,
}

/// A key.
#[derive(Serialize, ToSchema)]
struct ApiKeyView {
    /// Identity.
    id: String,
    /// What you call it.
    name: String,
    /// The first characters of the key.
    prefix: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Permission>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// Create an API key.
#[utoipa::path(
    tag = "api keys",
    request_body = NewApiKeyRequest,
    responses(
        (status = 201, description = "Made; the only time that it is shown.", body = CreatedApiKeyView),
        (
            status = 409,
            description = "The plan allows no further one (`limit_reached`).",
            body = crate::ProblemView,
            content_type = "application/problem+json"
        )
    )
)]
#[post("/api-keys")]
async fn create_api_key(
    app: Data<App>,
    caller: Caller,
    Body(body): Body<NewApiKeyRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ApiKeysWrite)?;
    let now = app.clock.now();
    let (name, scopes) = body.check(now)?;
    if let Some(lacking) = scopes.iter().copied().find(|scope| !caller.has(*scope)) {
        return Err(Problem::Escalation(lacking));
    }
    let key = key_text::generate();
    let new = NewApiKey {
        id: ApiKeyId::mint(now),
        organization_id: caller.organization_id,
        created_by: caller.user_id(),
        name: &name,
        prefix: &key.prefix,
        digest: key.digest,
        scopes: &scopes,
        expires_at: body.expires_at,
    };
    let most = caller.subscription.limits().api_keys;
    app.db
        .run("create_api_key", caller.organization_id, async |tx| {
            if !quota::reserve(tx, caller.organization_id, Quota::ApiKeys(most)).await? {
                return Err(Problem::LimitReached { what: "API keys", most });
            }
            Ok::<_, Problem>(api_keys::create(tx, &new, now).await?)
        })
        .await?;
    let view = ApiKeyView {
        id: new.id.to_string(),
        prefix: key.prefix,
        name,
        scopes,
        created_at: now,
        expires_at: body.expires_at,
        last_used_at: None,
    };
    Ok(HttpResponse::Created().json(CreatedApiKeyView { key: view, secret: key.secret.expose_secret().to_owned() }))
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
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let keys = app
        .db
        .run("list_api_keys", caller.organization_id, async |tx| Ok::<_, Problem>(api_keys::list(tx, range).await?))
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
async fn delete_api_key(app: Data<App>, caller: Caller, Id(id): Id<ApiKeyId>) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ApiKeysWrite)?;
    let now = app.clock.now();
    let had = app
        .db
        .run("delete_api_key", caller.organization_id, async |tx| {
            Ok::<_, Problem>(api_keys::revoke(tx, id, now).await?)
        })
        .await?;
    app.callers.forget();
    if had { Ok(HttpResponse::NoContent().finish()) } else { Err(Problem::NotFound("API key")) }
}

impl NewApiKeyRequest {
    /// Names every fault.
    fn check(&self, now: Timestamp) -> Result<(String, Vec<Permission>), Problem> {
        let name = self.name.trim().to_owned();
        let mut errors = Vec::new();
        if !(1..=LONGEST_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            errors.push(FieldError::new(
                "name",
                "invalid_name",
                "expected 1 to 100 characters without control characters",
            ));
        }
        if self.scopes.is_empty() {
            errors.push(FieldError::new("scopes", "missing_field", "expected at least one permission"));
        }
        let mut scopes = Vec::new();
        for (place, scope) in self.scopes.iter().enumerate() {
            match Permission::find(scope) {
                Some(scope) => scopes.push(scope),
                None => errors.push(FieldError::new(format!("scopes[{place}]"), "unknown_value", known_scopes())),
            }
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            errors.push(FieldError::new("expires_at", "out_of_range", "expected a time that is still to come"));
        }
        scopes.sort_unstable();
        scopes.dedup();
        if errors.is_empty() { Ok((name, scopes)) } else { Err(Problem::Invalid(errors)) }
    }
}

fn known_scopes() -> String {
    let names: Vec<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
    format!("expected one of {}", names.join(", "))
}

impl ApiKeyView {
    fn new(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}
