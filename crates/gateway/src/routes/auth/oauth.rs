//! Signing in through providers, and linking an identity to one's account: a flow begins here, goes to the provider with the
//! browser, and comes back to the callback.

mod begin;
mod finish;
mod settle;
mod views;

use actix_web::{
    HttpRequest, HttpResponse, get,
    web::{Data, Path},
};
use utoipa_actix_web::service_config::ServiceConfig;

use self::views::{AuthorizeView, CallbackQuery, FinishedView, StartQuery};
use crate::{App, Problem, Query, RequestContext};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(start_github).service(start_google).service(finish_flow);
}

/// Begin to sign in with GitHub.
///
/// Sends the browser to the provider; with `Accept: application/json` the answer names the URL instead. With `link=true` and
/// the access token of a login of the last ten minutes, the provider's account is linked to the caller's.
#[utoipa::path(
    tag = "authentication",
    security(()),
    params(StartQuery),
    responses(
        (status = 200, description = "Where to send the browser.", body = AuthorizeView),
        (status = 303, description = "To the provider."),
        (status = 404, description = "The provider is not set up.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[get("/auth/github")]
async fn start_github(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Query(query): Query<StartQuery>,
) -> Result<HttpResponse, Problem> {
    begin::begin(&app, &context, &request, "github", query).await
}

/// Begin to sign in with Google, or the OpenID provider in its place.
///
/// Like `GET /auth/github`.
#[utoipa::path(
    tag = "authentication",
    security(()),
    params(StartQuery),
    responses(
        (status = 200, description = "Where to send the browser.", body = AuthorizeView),
        (status = 303, description = "To the provider."),
        (status = 404, description = "The provider is not set up.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[get("/auth/google")]
async fn start_google(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Query(query): Query<StartQuery>,
) -> Result<HttpResponse, Problem> {
    begin::begin(&app, &context, &request, "google", query).await
}

/// End a sign-in at a provider.
///
/// The provider sends the browser here. A known account is signed in, by its second factor too; an unknown one whose address
/// is verified and free becomes a person with an organization. An address that somebody has is never merged. With
/// `redirect_after` the browser goes there: with the refresh token as a cookie, or with `#mfa_token=…`, `#linked=…` or
/// `#error=…` (the code of the problem).
#[utoipa::path(
    tag = "account",
    security(()),
    params(("provider" = String, Path, description = "`github` or `google`."), CallbackQuery),
    responses(
        (status = 200, description = "Signed in, or linked.", body = FinishedView),
        (status = 303, description = "To `redirect_after`."),
        (status = 403, description = "The provider does not vouch for the address.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "Somebody has the address, or the provider's account.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[get("/oauth/{provider}/callback")]
async fn finish_flow(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    provider: Path<String>,
    Query(query): Query<CallbackQuery>,
) -> Result<HttpResponse, Problem> {
    finish::finish(&app, &context, &request, &provider, query).await
}
