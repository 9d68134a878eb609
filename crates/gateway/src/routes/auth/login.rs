//! Signing in with a password. Nobody learns from it who has an account: an unknown address, a wrong password, a person
//! without one, who is disabled or whose organization is suspended all get the same answer after the same work. So does who
//! has not proven the address, where the operator demands that; then a letter goes there.

use actix_web::{HttpResponse, post, web::Data};
use picket_store::{
    Tx,
    accounts::{self, Login},
    email_tokens::EmailPurpose,
    people,
};
use secrecy::SecretString;
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::LoginRequest;
use crate::{
    App, Body, Problem, RequestContext, mailed_tokens,
    sign_in::{self, Proven, SignedIn},
    throttle::Guess,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(login);
}

/// Sign in.
///
/// The answer's token opens everything else; with a second factor it is a challenge for `POST /auth/mfa/verify`. After five
/// wrong passwords for one account, or twenty in all, an address waits up to fifteen minutes. Where the operator demands that
/// addresses are proven, the right password of somebody whose address is not gets the answer of a wrong one, and another
/// letter goes out. A browser asks for `refresh_cookie`: no script of its page need ever hold the refresh token.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in, or a challenge for the second factor.", body = SignedIn),
        (status = 401, description = "The address or the password is wrong.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/login")]
async fn login(
    app: Data<App>,
    context: RequestContext,
    Body(body): Body<LoginRequest>,
) -> Result<HttpResponse, Problem> {
    let guess = Guess { account: &body.email, address: context.address, now: app.clock.now() };
    let proven = app.throttle.guard(guess, prove(&app, body.email.trim(), body.password)).await?;
    let Login { user_id, organization_id, password_hash, .. } = proven.ok_or(Problem::WrongCredentials)?;
    let proven = Proven { user_id, organization_id, password_hash };
    let signed_in =
        app.db.operate("login_session", async |tx| sign_in::proceed(&app, tx, &context, proven).await).await?;
    Ok(match signed_in {
        SignedIn::Session(tokens) => tokens.answer(&app.settings, body.refresh_cookie),
        challenge @ SignedIn::Challenge(_) => HttpResponse::Ok().json(challenge),
    })
}

/// Whom address and password are of.
async fn prove(app: &App, email: &str, password: SecretString) -> Result<Option<Login>, Problem> {
    let known = app.db.operate("login", async |tx| Ok::<_, Problem>(accounts::find_login(tx, email).await?)).await?;
    let hash = known.as_ref().and_then(|one| one.password_hash.clone());
    let fits = app.passwords.verify(password, hash).await?;
    let known = known.filter(|_| fits);
    if !app.settings.require_verified_email || known.as_ref().is_some_and(|one| one.is_verified) {
        return Ok(known);
    }
    mailed_tokens::evenly(remind(app, known)).await?;
    Ok(None)
}

/// Sends another letter to who has not proven the address, if it is somebody. It counts as a wrong password: otherwise
/// registering and then signing in would tell who has an account.
async fn remind(app: &App, unproven: Option<Login>) -> Result<(), Problem> {
    let Some(one) = unproven else { return Ok(()) };
    let send = async |tx: &Tx<'_>| match people::find(tx, one.user_id).await? {
        Some(person) if !person.is_verified => mailed_tokens::send(app, tx, &person, EmailPurpose::Verify).await,
        Some(_) | None => Ok(()),
    };
    app.db.operate("remind_to_verify", send).await
}
