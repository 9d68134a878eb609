//! Signing in with a password. Nobody learns from it who has an account: an unknown address, a wrong password, a person
//! without one, who is disabled or whose organization is suspended all get the same answer after the same work.

use actix_web::{
    post,
    web::{Data, Json},
};
use picket_store::accounts::{self, Login};
use secrecy::SecretString;
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::LoginRequest;
use crate::{
    App, Body, Problem, RequestContext,
    sign_in::{self, Proven, SignedIn},
    throttle::Guess,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(login);
}

/// Sign in.
///
/// The answer's token opens everything else; with a second factor it is a challenge for `POST /auth/mfa/verify`. After five
/// wrong passwords for one account, or twenty in all, an address waits up to fifteen minutes.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in, or a challenge for the second factor.", body = SignedIn),
        (status = 401, description = "The address or the password is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "The address is not proven, where the operator demands that.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/login")]
async fn login(
    app: Data<App>,
    context: RequestContext,
    Body(body): Body<LoginRequest>,
) -> Result<Json<SignedIn>, Problem> {
    let guess = Guess { account: &body.email, address: context.address, now: app.clock.now() };
    let proven = app.throttle.guard(guess, prove(&app, body.email.trim(), body.password)).await?;
    let login = proven.ok_or(Problem::WrongCredentials)?;
    if app.settings.require_verified_email && !login.is_verified {
        return Err(Problem::EmailUnverified);
    }
    let proven =
        Proven { user_id: login.user_id, organization_id: login.organization_id, has_factor: login.has_factor };
    let signed_in =
        app.db.operate("login_session", async |tx| sign_in::proceed(&app, tx, &context, proven).await).await?;
    Ok(Json(signed_in))
}

/// Whom address and password are of.
async fn prove(app: &App, email: &str, password: SecretString) -> Result<Option<Login>, Problem> {
    let known = app.db.operate("login", async |tx| Ok::<_, Problem>(accounts::find_login(tx, email).await?)).await?;
    let hash = known.as_ref().and_then(|one| one.password_hash.clone());
    let fits = app.passwords.verify(password, hash).await?;
    Ok(known.filter(|_| fits))
}
