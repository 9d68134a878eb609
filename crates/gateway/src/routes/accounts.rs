//! `/auth`: registering, signing in, and who one is.

mod views;

use actix_web::{
    HttpResponse, get, post,
    web::{Data, Json},
};
use picket_domain::{OrganizationId, UserId};
use picket_store::accounts::{self, ADDRESS_IS_TAKEN, NewAccount};
use utoipa_actix_web::service_config::ServiceConfig;

use self::views::{AccountView, LoginRequest, ProfileView, Registration, TokenView};
use crate::{App, Body, Caller, Problem, tokens::Bearer};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(register_account).service(login).service(get_me);
}

/// Register a person and the organization that the person owns.
#[utoipa::path(
    tag = "accounts",
    security(()),
    request_body = Registration,
    responses(
        (status = 201, description = "Registered.", body = AccountView),
        (status = 409, description = "Somebody has this address.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/register")]
async fn register_account(app: Data<App>, Body(body): Body<Registration>) -> Result<HttpResponse, Problem> {
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
        password_hash: &password_hash,
    };
    let stored = app.db.operate("register_account", async |tx| accounts::register(tx, &new, now).await).await;
    stored.map_err(|error| Problem::unless_taken(error, ADDRESS_IS_TAKEN, "address"))?;
    Ok(HttpResponse::Created().json(AccountView::new(&new, now)))
}

/// Sign in.
///
/// The answer's token opens everything else.
#[utoipa::path(
    tag = "accounts",
    security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Signed in.", body = TokenView),
        (status = 401, description = "The address or the password is wrong.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/login")]
async fn login(app: Data<App>, Body(body): Body<LoginRequest>) -> Result<Json<TokenView>, Problem> {
    let known = app
        .db
        .operate("login", async |tx| Ok::<_, Problem>(accounts::find_login(tx, body.email.trim()).await?))
        .await?;
    let hash = known.as_ref().map(|login| login.password_hash.clone());
    let fits = app.passwords.verify(body.password, hash).await?;
    let login = known.filter(|_| fits).ok_or(Problem::WrongCredentials)?;
    let bearer = Bearer { user_id: login.user_id, organization_id: login.organization_id };
    let access_token = app.tokens.issue(bearer, app.clock.now())?;
    Ok(Json(TokenView { access_token, token_type: "Bearer", expires_in: app.tokens.lifetime_seconds() }))
}

/// Get who the caller is; for an API key, who made it.
#[utoipa::path(tag = "accounts", responses((status = 200, description = "The caller.", body = ProfileView)))]
#[get("/auth/me")]
async fn get_me(app: Data<App>, caller: Caller) -> Result<Json<ProfileView>, Problem> {
    let (organization, user) = (caller.organization_id, caller.user_id());
    let profile = app
        .db
        .operate("get_me", async |tx| Ok::<_, Problem>(accounts::find_profile(tx, organization, user).await?))
        .await?
        .ok_or(Problem::Unauthenticated)?;
    Ok(Json(ProfileView::new(&caller, profile)))
}
