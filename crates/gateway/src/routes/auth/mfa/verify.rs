//! The second step of a login. Whatever is wrong, the answer is the same.

use actix_web::{HttpResponse, post, web::Data};
use picket_domain::AuditAction;
use picket_store::{
    Tx, audit,
    mfa::{self, Challenge, factor},
    quota,
};
use secrecy::ExposeSecret;
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::FactorLogin;
use crate::{
    App, Body, Problem, RequestContext,
    factor::{FactorCode, Refusal, judge},
    sign_in::{self, Proven, SessionTokens},
    token_text::TokenKind,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(verify_factor);
}

/// Finish a login with the second factor.
///
/// The fifth wrong code ends the login; ten wrong codes of an app in fifteen minutes, over all logins of the person, let
/// only backup codes through.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = FactorLogin,
    responses(
        (status = 200, description = "Signed in.", body = SessionTokens),
        (status = 401, description = "The token or the code is wrong, was used, or has ended.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong codes; a backup code would do.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/mfa/verify")]
async fn verify_factor(
    app: Data<App>,
    context: RequestContext,
    Body(body): Body<FactorLogin>,
) -> Result<HttpResponse, Problem> {
    let code = body.check()?;
    let digest = TokenKind::MfaChallenge.parse(body.mfa_token.expose_secret()).ok_or(Problem::WrongFactor)?;
    let tokens = app.db.operate("verify_factor", async |tx| go_on(&app, tx, &context, &digest, &code).await).await??;
    Ok(tokens.answer(&app.settings, body.refresh_cookie))
}

/// Opens the session that the login waits for, when the code is right.
async fn go_on(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    digest: &[u8; 32],
    code: &FactorCode,
) -> Result<Result<SessionTokens, Refusal>, Problem> {
    let now = app.clock.now();
    let Some(challenge) = mfa::find(tx, digest, now).await? else { return Ok(Err(Refusal::Wrong)) };
    quota::lock(tx, challenge.organization_id).await?;
    let owner = factor::lock(tx, challenge.user_id).await?;
    // Somebody may have used or burnt it while this one waited for the locks.
    let still = mfa::find(tx, digest, now).await?;
    let (Some(owner), Some(challenge)) = (owner, still) else { return Ok(Err(Refusal::Wrong)) };
    if let Err(refusal) = judge(app, tx, challenge.user_id, &owner, code).await? {
        if refusal == Refusal::Wrong {
            count(app, tx, context, challenge, digest).await?;
        }
        return Ok(Err(refusal));
    }
    mfa::spend(tx, digest, now).await?;
    let proven = Proven { user_id: challenge.user_id, organization_id: challenge.organization_id, password_hash: None };
    Ok(Ok(sign_in::open(app, tx, context, &proven, true).await?))
}

/// Counts a wrong code against the login.
async fn count(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    challenge: Challenge,
    digest: &[u8; 32],
) -> Result<(), Problem> {
    if mfa::fail(tx, digest).await? {
        let user = challenge.user_id.to_string();
        let entry = context.entry(app.clock.now(), &user, AuditAction::MfaChallengeBurnt, Some(user.clone()));
        let after = json!({"wrong_codes": mfa::BURNS});
        audit::record(tx, challenge.organization_id, &entry.change(None, Some(after))).await?;
    }
    Ok(())
}
