//! Putting a second factor on: a secret for the app, and the first code that proves it arrived there.

use actix_web::{
    post,
    web::{Data, Json},
};
use picket_domain::{AuditAction, InvalidTransition, Letter};
use picket_store::{Tx, mfa::factor, people};
use secrecy::SecretString;
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    manage,
    views::{BackupCodesView, FactorProof, FactorSetup, FactorSetupView},
};
use crate::{
    App, Body, Caller, Problem, RequestContext,
    backup_code::BackupCode,
    caller::Person,
    confirm::confirm_first_factor,
    factor::{Refusal, step_of},
    totp::TotpSecret,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(set_up_factor).service(verify_factor_setup);
}

/// Make a secret for an authenticator app.
///
/// It counts for nothing until `verify-setup` proves it; made again, it replaces the one before.
#[utoipa::path(
    tag = "authentication",
    request_body = FactorSetup,
    responses(
        (status = 200, description = "What goes into the app; the only time that it is shown.", body = FactorSetupView),
        (status = 401, description = "The password is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "A person without a password signed in too long ago (`login_required`).", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "A factor is on.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/mfa/setup")]
async fn set_up_factor(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<FactorSetup>,
) -> Result<Json<FactorSetupView>, Problem> {
    let person = caller.person()?;
    let user = person.user_id;
    let owner = manage::owner(&app, user).await?;
    if owner.secret.is_some() {
        return Err(is_on());
    }
    confirm_first_factor(&app, &context, person, &owner, body.password).await?;
    let secret = TotpSecret::generate();
    let sealed = secret.seal_pending(&app.sealer, user)?;
    let enrolment = secret.enrolment(&owner.email)?;
    let is_kept =
        app.db.operate("set_up_factor", async |tx| Ok::<_, Problem>(factor::propose(tx, user, &sealed).await?)).await?;
    if is_kept { Ok(Json(FactorSetupView::new(enrolment))) } else { Err(is_on()) }
}

/// Put the second factor on with the app's first code.
///
/// Ends every other session of the caller; this one has shown the factor from now on.
#[utoipa::path(
    tag = "authentication",
    request_body = FactorProof,
    responses(
        (status = 200, description = "On; the only time that the backup codes are shown.", body = BackupCodesView),
        (status = 401, description = "The code is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "A factor is on, or none was set up.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong codes.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/mfa/verify-setup")]
async fn verify_factor_setup(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<FactorProof>,
) -> Result<Json<BackupCodesView>, Problem> {
    let person = caller.person()?;
    let code = body.check()?;
    let codes =
        app.db.operate("verify_factor_setup", async |tx| put_on(&app, tx, &context, person, &code).await).await??;
    app.callers.forget();
    Ok(Json(BackupCodesView::new(codes)))
}

/// Puts the factor on when the code fits the secret that waits.
async fn put_on(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    person: Person,
    code: &SecretString,
) -> Result<Result<Vec<BackupCode>, Refusal>, Problem> {
    let (user, now) = (person.user_id, app.clock.now());
    let organizations = people::lock_organizations(tx, user, None).await?;
    let owner = factor::lock(tx, user).await?.ok_or(Problem::Unauthenticated)?;
    if owner.secret.is_some() {
        return Err(is_on());
    }
    let Some(pending) = &owner.pending else { return Err(nothing_waits()) };
    let secret = TotpSecret::open_pending(&app.sealer, user, pending)?;
    let step = match step_of(app, tx, user, &owner, &secret, code).await? {
        Ok(step) => step,
        Err(refusal) => return Ok(Err(refusal)),
    };
    factor::enable(tx, user, &secret.seal(&app.sealer, user)?, step, now).await?;
    let codes = manage::replace_codes(tx, user).await?;
    factor::mark(tx, person.session_id, true).await?;
    let change = (json!({"enabled": false}), json!({"enabled": true}));
    manage::finish(app, tx, context, (person, &organizations), AuditAction::MfaEnabled, change).await?;
    let letter = Letter::MfaChanged { name: owner.name.clone(), enabled: true, at: now };
    manage::tell(app, tx, &owner, &letter).await?;
    Ok(Ok(codes))
}

fn is_on() -> Problem {
    InvalidTransition { action: "set up", entity: "second factor", from: "on" }.into()
}

fn nothing_waits() -> Problem {
    InvalidTransition { action: "put on", entity: "second factor", from: "not set up" }.into()
}
