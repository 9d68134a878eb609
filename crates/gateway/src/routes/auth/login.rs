//! Signing in with a password.

use actix_web::{
    post,
    web::{Data, Json},
};
use picket_store::accounts;
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::LoginRequest;
use crate::{
    App, Body, Problem, RequestContext,
    sign_in::{self, Proven, SignedIn},
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(login);
}

/// Sign in.
///
/// The answer's token opens everything else.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in.", body = SignedIn),
        (status = 401, description = "The address or the password is wrong.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/login")]
async fn login(
    app: Data<App>,
    context: RequestContext,
    Body(body): Body<LoginRequest>,
) -> Result<Json<SignedIn>, Problem> {
    let known = app
        .db
        .operate("login", async |tx| Ok::<_, Problem>(accounts::find_login(tx, body.email.trim()).await?))
        .await?;
    let hash = known.as_ref().and_then(|login| login.password_hash.clone());
    let fits = app.passwords.verify(body.password, hash).await?;
    let login = known.filter(|_| fits).ok_or(Problem::WrongCredentials)?;
    let proven =
        Proven { user_id: login.user_id, organization_id: login.organization_id, has_factor: login.has_factor };
    let signed_in =
        app.db.operate("login_session", async |tx| sign_in::proceed(&app, tx, &context, proven).await).await?;
    Ok(Json(signed_in))
}
