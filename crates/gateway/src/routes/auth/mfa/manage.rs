//! What a person does with a second factor that is on: looking at it, renewing its backup codes, taking it off. The last
//! two need both factors again.

use actix_web::{
    HttpResponse, delete, get, post,
    web::{Data, Json},
};
use picket_domain::{AuditAction, InvalidTransition, Letter, OrganizationId, UserId};
use picket_store::{
    Tx, audit,
    mfa::{
        self, backup,
        factor::{self, FactorOwner},
    },
    people,
    sessions::{self, Which},
};
use serde_json::{Value, json};
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::{BackupCodesView, BothFactors, FactorStatusView};
use crate::{
    App, Body, Caller, Problem, RequestContext,
    backup_code::{self, BackupCode},
    caller::Person,
    confirm::confirm_first_factor,
    factor::{FactorCode, Refusal, judge},
    mailbox::{self, Recipient},
};

/// Why other sessions end when a factor changes.
pub(super) const REVOKED: &str = "mfa_changed";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_factor_status).service(disable_factor).service(regenerate_backup_codes);
}

/// Get whether the caller has a second factor.
#[utoipa::path(
    tag = "authentication",
    responses((status = 200, description = "The caller's second factor.", body = FactorStatusView))
)]
#[get("/auth/mfa/status")]
async fn get_factor_status(app: Data<App>, caller: Caller) -> Result<Json<FactorStatusView>, Problem> {
    let user = caller.person()?.user_id;
    let view = app
        .db
        .operate("get_factor_status", async |tx| {
            let owner = factor::find(tx, user).await?.ok_or(Problem::Unauthenticated)?;
            Ok::<_, Problem>(FactorStatusView {
                enabled: owner.secret.is_some(),
                enabled_at: owner.enabled_at,
                backup_codes_left: backup::count(tx, user).await?,
                required_by_organization: factor::is_demanded(tx, user).await?,
            })
        })
        .await?;
    Ok(Json(view))
}

/// Take the second factor off.
///
/// Needs both factors; ends every other session of the caller. Refused while an organization of the caller demands one.
#[utoipa::path(
    tag = "authentication",
    request_body = BothFactors,
    responses(
        (status = 204, description = "Off."),
        (status = 401, description = "The password or the code is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "A person without a password signed in too long ago (`login_required`).", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "None is on, or an organization demands one.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong codes.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[delete("/auth/mfa/disable")]
async fn disable_factor(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<BothFactors>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let code = confirm(&app, &context, person, body, "take off").await?;
    app.db.operate("disable_factor", async |tx| take_off(&app, tx, &context, person, &code).await).await??;
    app.callers.forget();
    Ok(HttpResponse::NoContent().finish())
}

/// Replace the backup codes.
///
/// Needs both factors; the codes before are void, and every other session of the caller ends.
#[utoipa::path(
    tag = "authentication",
    request_body = BothFactors,
    responses(
        (status = 200, description = "Replaced; the only time that they are shown.", body = BackupCodesView),
        (status = 401, description = "The password or the code is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "A person without a password signed in too long ago (`login_required`).", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "No factor is on.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong codes.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/mfa/regenerate-backup")]
async fn regenerate_backup_codes(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<BothFactors>,
) -> Result<Json<BackupCodesView>, Problem> {
    let person = caller.person()?;
    let code = confirm(&app, &context, person, body, "renew the backup codes of").await?;
    let codes =
        app.db.operate("regenerate_backup_codes", async |tx| renew(&app, tx, &context, person, &code).await).await??;
    app.callers.forget();
    Ok(Json(BackupCodesView::new(codes)))
}

/// Demands the first factor, and a second one that is on; returns the code that was shown for it.
async fn confirm(
    app: &App,
    context: &RequestContext,
    person: Person,
    body: BothFactors,
    action: &'static str,
) -> Result<FactorCode, Problem> {
    let code = body.check()?;
    let owner = owner(app, person.user_id).await?;
    if owner.secret.is_none() {
        return Err(InvalidTransition { action, entity: "second factor", from: "off" }.into());
    }
    confirm_first_factor(app, context, person, &owner, body.password).await?;
    Ok(code)
}

/// Takes the factor off when the code is right.
async fn take_off(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    person: Person,
    code: &FactorCode,
) -> Result<Result<(), Refusal>, Problem> {
    let (user, now) = (person.user_id, app.clock.now());
    let organizations = people::lock_organizations(tx, user, None).await?;
    let owner = factor::lock(tx, user).await?.ok_or(Problem::Unauthenticated)?;
    if factor::is_demanded(tx, user).await? {
        let from = "demanded by an organization";
        return Err(InvalidTransition { action: "take off", entity: "second factor", from }.into());
    }
    if let Err(refusal) = judge(app, tx, user, &owner, code).await? {
        return Ok(Err(refusal));
    }
    factor::disable(tx, user).await?;
    backup::replace(tx, user, &[]).await?;
    mfa::end(tx, user, now).await?;
    factor::mark(tx, person.session_id, false).await?;
    let change = (json!({"enabled": true}), json!({"enabled": false}));
    finish(app, tx, context, (person, &organizations), AuditAction::MfaDisabled, change).await?;
    tell(app, tx, &owner, &Letter::MfaChanged { name: owner.name.clone(), enabled: false, at: now }).await?;
    Ok(Ok(()))
}

/// Replaces the backup codes when the code is right.
async fn renew(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    person: Person,
    code: &FactorCode,
) -> Result<Result<Vec<BackupCode>, Refusal>, Problem> {
    let user = person.user_id;
    let organizations = people::lock_organizations(tx, user, None).await?;
    let owner = factor::lock(tx, user).await?.ok_or(Problem::Unauthenticated)?;
    if let Err(refusal) = judge(app, tx, user, &owner, code).await? {
        return Ok(Err(refusal));
    }
    let before = backup::count(tx, user).await?;
    let codes = replace_codes(tx, user).await?;
    let change = (json!({"backup_codes_left": before}), json!({"backup_codes_left": codes.len()}));
    finish(app, tx, context, (person, &organizations), AuditAction::MfaBackupCodesRegenerated, change).await?;
    Ok(Ok(codes))
}

/// Ends the person's other sessions, and notes what changed in all organizations, which are locked.
pub(super) async fn finish(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    (person, organizations): (Person, &[OrganizationId]),
    action: AuditAction,
    (before, after): (Value, Value),
) -> Result<(), Problem> {
    let (user, now) = (person.user_id, app.clock.now());
    sessions::revoke_of_user(tx, user, Which::AllBut(person.session_id), REVOKED, now).await?;
    let id = user.to_string();
    let entry = context.entry(now, &id, action, Some(id.clone())).change(Some(before), Some(after));
    for organization in organizations {
        audit::record(tx, *organization, &entry).await?;
    }
    Ok(())
}

/// A new set in place of the one before.
pub(super) async fn replace_codes(tx: &Tx<'_>, user: UserId) -> Result<Vec<BackupCode>, Problem> {
    let codes = backup_code::generate();
    let digests: Vec<[u8; 32]> = codes.iter().map(|code| code.digest).collect();
    backup::replace(tx, user, &digests).await?;
    Ok(codes)
}

/// Writes to the person. It concerns no organization.
pub(super) async fn tell(app: &App, tx: &Tx<'_>, owner: &FactorOwner, letter: &Letter) -> Result<(), Problem> {
    let to = Recipient { email: &owner.email, locale: owner.locale, organization_id: None };
    mailbox::post(app, tx, to, letter).await
}

/// The person at the session.
pub(super) async fn owner(app: &App, user: UserId) -> Result<FactorOwner, Problem> {
    app.db
        .operate("find_factor", async |tx| Ok::<_, Problem>(factor::find(tx, user).await?))
        .await?
        .ok_or(Problem::Unauthenticated)
}
