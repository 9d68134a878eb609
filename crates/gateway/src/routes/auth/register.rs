//! Registering: a person and the organization that the person owns.

use actix_web::{HttpResponse, post, web::Data};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{AuditAction, Locale, OrganizationId, Subscription, UserId};
use picket_store::{
    accounts::{self, ADDRESS_IS_TAKEN, NewAccount},
    audit,
};
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::{AccountView, Registration};
use crate::{App, Body, Problem, RequestContext};

/// How long a trial lasts.
const TRIAL: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(register_account);
}

/// Register a person and the organization that the person owns.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = Registration,
    responses(
        (status = 201, description = "Registered.", body = AccountView),
        (status = 409, description = "Somebody has this address.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/register")]
async fn register_account(
    app: Data<App>,
    context: RequestContext,
    Body(body): Body<Registration>,
) -> Result<HttpResponse, Problem> {
    let account = body.check()?;
    let password_hash = app.passwords.hash(account.password).await?;
    let now = app.clock.now();
    let new = NewAccount {
        organization_id: OrganizationId::mint(now),
        organization_name: &account.organization,
        subscription: app.settings.registration_plan,
        user_id: UserId::mint(now),
        email: &account.email,
        name: &account.name,
        password_hash: Some(&password_hash),
        trial_ends_at: trial_end(app.settings.registration_plan, now),
        locale: Locale::En,
        email_verified_at: None,
    };
    let actor = new.user_id.to_string();
    let entry = context.entry(now, &actor, AuditAction::OrganizationCreated, Some(new.organization_id.to_string()));
    let stored = app
        .db
        .operate("register_account", async |tx| {
            accounts::register(tx, &new, now).await?;
            audit::record(tx, new.organization_id, &entry).await
        })
        .await;
    stored.map_err(|error| Problem::unless_taken(error, ADDRESS_IS_TAKEN, "address"))?;
    Ok(HttpResponse::Created().json(AccountView::new(&new, now)))
}

/// When the trial ends, when it is one.
fn trial_end(plan: Subscription, now: Timestamp) -> Option<Timestamp> {
    (plan == Subscription::Trial).then(|| now.saturating_add(TRIAL).unwrap_or(now))
}
