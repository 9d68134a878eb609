//! Replacing a key: another one like it, made by whoever asks, and a time in which both are good.

use actix_web::{HttpResponse, post, web::Data};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{ApiKeyId, AuditAction, Permission};
use picket_store::{
    api_keys::{self, ApiKey},
    audit, quota,
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    create::stored,
    snapshot,
    view::{ApiKeyView, CreatedApiKeyView},
};
use crate::{
    App, Body, Caller, Id, Problem, RequestContext, idempotency,
    key_text::{self, NewKey},
    ranges::Ranges,
};

/// Hours for which the old key stays good, unless the client says otherwise, and at most.
const USUAL_GRACE: u32 = 24;
const LONGEST_GRACE: u32 = 168;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(rotate_api_key);
}

/// How a key is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Hours for which the old key stays good, 0 to 168; 24 when absent.
    #[schema(minimum = 0, maximum = 168)]
    grace_hours: Option<u32>,
}

/// Replace an API key.
///
/// The new key has the name, scopes, addresses and end of the old one, and is yours. The old one stays good for the grace
/// period, and is replaced once: replace its successor when you need yet another (409 `already_exists`). You need every
/// scope of the key, and a person must have signed in within the last hour (403 `login_required`).
#[utoipa::path(
    tag = "api keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jh…")),
    request_body = Rotation,
    responses(
        (status = 201, description = "Replaced; the only time that the new key is shown.", body = CreatedApiKeyView),
        (status = 409, description = "It was replaced already, or too many keys are in their grace period.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/api-keys/{id}/rotate")]
async fn rotate_api_key(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Id(id): Id<ApiKeyId>,
    Body(body): Body<Rotation>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ApiKeysWrite)?;
    let now = app.clock.now();
    let until = body.check(now)?;
    caller.fresh(now)?;
    let NewKey { secret, prefix, digest } = key_text::generate();
    let response = app
        .db
        .run("rotate_api_key", caller.organization_id, async |tx| {
            let allowance = quota::lock(tx, caller.organization_id).await?;
            let old = api_keys::lock(tx, id, now).await?.ok_or(Problem::NotFound("API key"))?;
            check_old(&caller, &old)?;
            let most = allowance.limits().api_keys;
            if api_keys::count_rotated(tx, now).await? >= i64::from(most) {
                return Err(Problem::LimitReached { what: "API keys in their grace period", most });
            }
            let new = successor(&caller, &old, prefix, now);
            api_keys::create(tx, &stored(&caller, &new, digest), now).await?;
            api_keys::rotate(tx, id, new.id, until).await?;
            let after = json!({"rotated_to": new.id, "grace_until": until, "key": snapshot(&new)});
            let entry = context
                .entry(now, &caller.label(), AuditAction::ApiKeyRotated, Some(id.to_string()))
                .change(Some(snapshot(&old)), Some(after));
            audit::record(tx, caller.organization_id, &entry).await?;
            let secret = secret.expose_secret().to_owned();
            let view = CreatedApiKeyView { key: ApiKeyView::new(new), secret };
            idempotency::keep(&app, tx, HttpResponse::Created().json(view)).await
        })
        .await?;
    app.callers.forget();
    Ok(response)
}

/// Whether the caller may hold another key like this one.
fn check_old(caller: &Caller, old: &ApiKey) -> Result<(), Problem> {
    if old.rotated_to.is_some() {
        return Err(Problem::AlreadyExists("successor of the API key"));
    }
    if let Some(lacking) = old.scopes.iter().copied().find(|scope| !caller.has(*scope)) {
        return Err(Problem::Escalation(lacking));
    }
    let outlives = caller.ends_at().is_some_and(|end| old.expires_at.is_none_or(|at| at > end));
    let is_wider = !Ranges::stored(&old.allowed_ranges)?.is_within(&caller.places.key);
    if outlives || is_wider { Err(Problem::Outlives) } else { Ok(()) }
}

fn successor(caller: &Caller, old: &ApiKey, prefix: String, now: Timestamp) -> ApiKey {
    ApiKey {
        id: ApiKeyId::mint(now),
        prefix,
        created_by: caller.user_id(),
        created_at: now,
        last_used_at: None,
        ..old.clone()
    }
}

impl Rotation {
    /// When the old key ends.
    fn check(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        let hours = self.grace_hours.unwrap_or(USUAL_GRACE);
        if hours > LONGEST_GRACE {
            let message = format!("expected 0 to {LONGEST_GRACE} hours");
            return Err(Problem::field("grace_hours", "out_of_range", message));
        }
        now.saturating_add(SignedDuration::from_hours(i64::from(hours))).map_err(Problem::internal)
    }
}
