//! Making a key. A person must have signed in a short time ago; a key that makes keys makes none that is more than itself.

use actix_web::{HttpResponse, post, web::Data};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{ApiKeyId, AuditAction, Permission};
use picket_store::{
    api_keys::{self, ApiKey, NewApiKey},
    audit,
    quota::{self, Quota},
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    snapshot,
    view::{ApiKeyView, CreatedApiKeyView},
};
use crate::{App, Body, Caller, FieldError, Problem, RequestContext, idempotency, key_text, ranges::Ranges};

/// The longest name of a key, in characters.
const LONGEST_NAME: usize = 100;
/// The longest life of a key that has an end, in hours: ten years.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(create_api_key);
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
    /// When it ends by itself; never by default, or with the key that makes it.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Where it may be used from: networks or addresses, 100 at most. None means anywhere, or where the key that makes it
    /// may be used from.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["192.0.2.0/24"]))]
    allowed_ranges: Vec<String>,
}

/// A request without faults.
struct Checked {
    name: String,
    scopes: Vec<Permission>,
    expires_at: Option<Timestamp>,
    ranges: Ranges,
}

/// Create an API key.
///
/// A person must have signed in within the last hour (403 `login_required`). A key may make keys that have some of its own
/// scopes, end no later and are used from no other addresses.
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
    context: RequestContext,
    Body(body): Body<NewApiKeyRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ApiKeysWrite)?;
    let now = app.clock.now();
    let checked = body.check(&caller, now)?;
    if let Some(lacking) = checked.scopes.iter().copied().find(|scope| !caller.has(*scope)) {
        return Err(Problem::Escalation(lacking));
    }
    caller.fresh(now)?;
    let text = key_text::generate();
    let key = ApiKey {
        id: ApiKeyId::mint(now),
        name: checked.name,
        prefix: text.prefix,
        scopes: checked.scopes,
        created_by: caller.user_id(),
        created_at: now,
        expires_at: checked.expires_at,
        last_used_at: None,
        allowed_ranges: checked.ranges.texts(),
        rotated_to: None,
    };
    app.db
        .run("create_api_key", caller.organization_id, async |tx| {
            let allowance = quota::lock(tx, caller.organization_id).await?;
            allowance.demand(tx, |limits| Quota::ApiKeys(limits.api_keys)).await?;
            api_keys::create(tx, &stored(&caller, &key, text.digest), now).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::ApiKeyCreated, Some(key.id.to_string()))
                .change(None, Some(snapshot(&key)));
            audit::record(tx, caller.organization_id, &entry).await?;
            let secret = text.secret.expose_secret().to_owned();
            let view = CreatedApiKeyView { key: ApiKeyView::new(key), secret };
            idempotency::keep(&app, tx, HttpResponse::Created().json(view)).await
        })
        .await
}

/// The row of a new key.
pub(super) fn stored<'a>(caller: &Caller, key: &'a ApiKey, digest: [u8; 32]) -> NewApiKey<'a> {
    NewApiKey {
        id: key.id,
        organization_id: caller.organization_id,
        created_by: key.created_by,
        name: &key.name,
        prefix: &key.prefix,
        digest,
        scopes: &key.scopes,
        expires_at: key.expires_at,
        allowed_ranges: &key.allowed_ranges,
    }
}

impl NewApiKeyRequest {
    /// Names every fault.
    fn check(self, caller: &Caller, now: Timestamp) -> Result<Checked, Problem> {
        let mut errors = Vec::new();
        let name = self.name.trim().to_owned();
        if !(1..=LONGEST_NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let message = "expected 1 to 100 characters without control characters";
            errors.push(FieldError::new("name", "invalid_name", message));
        }
        let scopes = check_scopes(&self.scopes, &mut errors);
        let expires_at = self.expires_at.or(caller.ends_at());
        errors.extend(expires_at.and_then(|at| check_end(at, caller, now)));
        let ranges = check_ranges(&self.allowed_ranges, caller).unwrap_or_else(|faults| {
            errors.extend(faults);
            Ranges::default()
        });
        if errors.is_empty() { Ok(Checked { name, scopes, expires_at, ranges }) } else { Err(Problem::Invalid(errors)) }
    }
}

fn check_scopes(names: &[String], errors: &mut Vec<FieldError>) -> Vec<Permission> {
    if names.is_empty() {
        errors.push(FieldError::new("scopes", "missing_field", "expected at least one permission"));
    }
    let mut scopes = Vec::new();
    for (place, name) in names.iter().enumerate() {
        match Permission::find(name) {
            Some(scope) => scopes.push(scope),
            None => errors.push(FieldError::new(format!("scopes[{place}]"), "unknown_value", known_scopes())),
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn check_end(at: Timestamp, caller: &Caller, now: Timestamp) -> Option<FieldError> {
    let latest = now.saturating_add(LONGEST_LIFE).unwrap_or(Timestamp::MAX);
    if at <= now || at > latest {
        let message = "expected a time that is still to come, in ten years at most";
        return Some(FieldError::new("expires_at", "out_of_range", message));
    }
    let message = "expected a time no later than the end of the key that makes this one";
    caller.ends_at().is_some_and(|end| at > end).then(|| FieldError::new("expires_at", "out_of_range", message))
}

/// The ranges of a new key; those of the key that makes it when the client names none.
fn check_ranges(texts: &[String], caller: &Caller) -> Result<Ranges, Vec<FieldError>> {
    let own = &caller.places.key;
    let ranges = Ranges::parse("allowed_ranges", texts)?;
    if texts.is_empty() {
        return Ok(own.clone());
    }
    let message = "expected networks within those of the key that makes this one";
    let outside = || vec![FieldError::new("allowed_ranges", "out_of_range", message)];
    if ranges.is_within(own) { Ok(ranges) } else { Err(outside()) }
}

fn known_scopes() -> String {
    let names: Vec<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
    format!("expected one of {}", names.join(", "))
}
