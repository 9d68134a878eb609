//! Registering: a person and the organization that the person owns. The answer never tells whether the address was free:
//! who has it already gets a letter instead.

use actix_web::{HttpResponse, post, web::Data};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{AuditAction, Letter, OrganizationId, Subscription, UserId};
use picket_store::{
    StoreError, Tx,
    accounts::{self, ADDRESS_IS_TAKEN, NewAccount},
    audit,
    email_tokens::EmailPurpose,
    people::{self, Person},
};
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::{AccountView, Registration};
use crate::{
    App, Body, Problem, RequestContext, mailbox,
    mailed_tokens::{self, RESET_PATH},
};

/// How long a trial lasts.
const TRIAL: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(register_account);
}

/// Register a person and the organization that the person owns.
///
/// A letter with a link that proves the address goes out. Whether somebody has the address already is not told: the answer
/// is the same, nothing is stored under the ids in it, and the letter goes to the one who has it.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = Registration,
    responses((status = 201, description = "Registered, unless somebody has this address.", body = AccountView))
)]
#[post("/auth/register")]
async fn register_account(
    app: Data<App>,
    context: RequestContext,
    Body(body): Body<Registration>,
) -> Result<HttpResponse, Problem> {
    let account = body.check()?;
    let known = [account.name.as_str(), &account.email, &account.organization];
    let password_hash = app.passwords.hash_new("password", account.password, &known).await?;
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
        locale: account.locale,
        email_verified_at: None,
    };
    let storing = app.db.operate("register_account", async |tx| store(&app, tx, &context, &new, now).await);
    match mailed_tokens::evenly(storing).await {
        // Somebody registered the address in this very moment.
        Err(Problem::Store(StoreError::Conflict { constraint })) if constraint == ADDRESS_IS_TAKEN => {}
        stored => stored?,
    }
    Ok(HttpResponse::Created().json(AccountView::new(&new, now)))
}

async fn store(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    new: &NewAccount<'_>,
    now: Timestamp,
) -> Result<(), Problem> {
    if let Some(owner) = people::find_by_email(tx, new.email).await? {
        return tell_owner(app, tx, &owner).await;
    }
    accounts::register(tx, new, now).await?;
    let (actor, object) = (new.user_id.to_string(), new.organization_id.to_string());
    let entry = context.entry(now, &actor, AuditAction::OrganizationCreated, Some(object));
    let after = json!({"name": new.organization_name, "plan": new.subscription, "trial_ends_at": new.trial_ends_at});
    audit::record(tx, new.organization_id, &entry.change(None, Some(after))).await?;
    let person = people::find(tx, new.user_id).await?.ok_or_else(|| Problem::internal("the person just stored"))?;
    mailed_tokens::send(app, tx, &person, EmailPurpose::Verify).await
}

/// Tells whoever has the address that somebody tried to register with it.
async fn tell_owner(app: &App, tx: &Tx<'_>, owner: &Person) -> Result<(), Problem> {
    let letter = Letter::AddressTaken { name: owner.name.clone(), link: app.links.to(RESET_PATH) };
    if mailbox::is_full(app, tx, &owner.email, letter.template()).await? {
        return Ok(());
    }
    mailbox::post(app, tx, mailed_tokens::recipient(owner), &letter).await
}

/// When the trial ends, when it is one.
pub(super) fn trial_end(plan: Subscription, now: Timestamp) -> Option<Timestamp> {
    (plan == Subscription::Trial).then(|| now.saturating_add(TRIAL).unwrap_or(now))
}
