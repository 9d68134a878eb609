//! The way to a provider.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, LOCATION},
};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{SessionId, UserId};
use picket_store::identities::{self, NewFlow};

use super::views::{AuthorizeView, StartQuery};
use crate::{
    App, Problem, RequestContext, identify,
    oauth::{FLOW, is_relative_path},
    token_text::TokenKind,
};

/// How long ago credentials may have been shown by whoever links an account.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Begins a flow, and answers with where it goes.
pub(super) async fn begin(
    app: &App,
    context: &RequestContext,
    request: &HttpRequest,
    name: &str,
    query: StartQuery,
) -> Result<HttpResponse, Problem> {
    let provider = app.providers.find(name).ok_or(Problem::NotFound("provider"))?;
    if query.redirect_after.as_deref().is_some_and(|path| !is_relative_path(path)) {
        let expected = "expected a path of at most 512 characters that begins with one slash";
        return Err(Problem::field("redirect_after", "invalid_path", expected));
    }
    let now = app.clock.now();
    let link = if query.link == Some(true) { Some(linker(app, context, request, now).await?) } else { None };
    let begun = provider.begin(&app.http, now).await?;
    let browser = TokenKind::OAuthBrowser.generate();
    let secrets = begun.secrets.seal(&app.sealer, &begun.state.digest).map_err(Problem::internal)?;
    let flow = NewFlow {
        digest: begun.state.digest,
        browser_digest: browser.digest,
        provider: provider.name,
        secrets: &secrets,
        redirect_after: query.redirect_after.as_deref(),
        link,
        expires_at: now.saturating_add(FLOW).map_err(Problem::internal)?,
    };
    app.db.operate("start_oauth_flow", async |tx| Ok::<_, Problem>(identities::start(tx, &flow, now).await?)).await?;
    let cookie = app.providers.cookie.of(&browser);
    Ok(if wants_json(request) {
        HttpResponse::Ok().cookie(cookie).json(AuthorizeView { authorize_url: begun.url.into() })
    } else {
        HttpResponse::SeeOther().cookie(cookie).insert_header((LOCATION, begun.url.as_str())).finish()
    })
}

/// Who links an account: a person whose credentials were shown a moment ago.
async fn linker(
    app: &App,
    context: &RequestContext,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<(UserId, SessionId), Problem> {
    let caller = identify::optional(app, context, request.headers()).await?.ok_or(Problem::Unauthenticated)?;
    let person = caller.person()?;
    let is_fresh = now.duration_since(person.authenticated_at) <= FRESH;
    if is_fresh { Ok((person.user_id, person.session_id)) } else { Err(Problem::NotFresh) }
}

/// Whether a program asks, and no browser that follows.
fn wants_json(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}
