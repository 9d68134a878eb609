//! The way back from a provider. A flow is used up before anything else is looked at, and nothing of the answer counts before
//! the flow is found to be this browser's and this provider's.

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION};
use picket_store::identities::{self, TakenFlow};

use super::{
    settle::settle,
    views::{CallbackQuery, FinishedView},
};
use crate::{
    App, Problem, RequestContext,
    oauth::{Identity, Provider, Secrets},
    sign_in::SignedIn,
    token_text::TokenKind,
};

/// The longest code that is passed on.
const LONGEST_CODE: usize = 2_048;

/// Ends a flow.
pub(super) async fn finish(
    app: &App,
    context: &RequestContext,
    request: &HttpRequest,
    name: &str,
    query: CallbackQuery,
) -> Result<HttpResponse, Problem> {
    let provider = app.providers.find(name).ok_or(Problem::NotFound("provider"))?;
    let (flow, secrets) = take(app, request, provider, query.state.as_deref()).await?;
    let finished = match identify(app, provider, &secrets, query).await {
        Ok(identity) => settle(app, context, provider.name, &identity, flow.link).await,
        Err(problem) => Err(problem),
    };
    let after = flow.redirect_after.as_deref();
    let mut response = match (finished, after) {
        (Ok(finished), _) => answer(app, finished, after),
        // A person sees the page that the flow was begun on, which knows what to say.
        (Err(problem), Some(path)) if problem.code().status().is_client_error() => {
            go_to(path, "error", problem.code().name())
        }
        (Err(problem), _) => return Err(problem),
    };
    response.add_removal_cookie(&app.providers.cookie.removal()).map_err(Problem::internal)?;
    Ok(response)
}

/// The flow that this answer belongs to. Whatever is wrong with it, it is used up.
async fn take(
    app: &App,
    request: &HttpRequest,
    provider: &Provider,
    state: Option<&str>,
) -> Result<(TakenFlow, Secrets), Problem> {
    const UNKNOWN: Problem = Problem::SignInRefused("no sign-in waits for it");
    let digest = state.and_then(|state| TokenKind::OAuthState.parse(state)).ok_or(UNKNOWN)?;
    let now = app.clock.now();
    let flow = app
        .db
        .operate("take_oauth_flow", async |tx| Ok::<_, Problem>(identities::take(tx, &digest, now).await?))
        .await?
        .ok_or(UNKNOWN)?;
    if flow.provider != provider.name {
        return Err(Problem::SignInRefused("the answer is of another provider"));
    }
    if !app.providers.cookie.is_of(request, &flow.browser_digest) {
        return Err(Problem::SignInRefused("it was begun in another browser"));
    }
    let secrets = Secrets::open(&app.sealer, &flow.secrets, &digest).map_err(Problem::internal)?;
    Ok((flow, secrets))
}

/// Who the provider says it is. Runs in no transaction: it calls.
async fn identify(
    app: &App,
    provider: &Provider,
    secrets: &Secrets,
    query: CallbackQuery,
) -> Result<Identity, Problem> {
    let now = app.clock.now();
    provider.check_issuer(&app.http, query.iss.as_deref(), now).await?;
    if let Some(error) = query.error {
        // The provider's words are anybody's, so that only the one that people cause is repeated.
        let was_denied = error == "access_denied";
        let reason = if was_denied { "access_denied at the provider" } else { "the provider refused" };
        return Err(Problem::SignInRefused(reason));
    }
    let code = query.code.filter(|code| (1..=LONGEST_CODE).contains(&code.len()));
    let code = code.ok_or(Problem::SignInRefused("there is no code"))?;
    Ok(provider.finish(&app.http, code, secrets, now).await?)
}

/// Tokens for programs; for browsers a cookie and the way on.
fn answer(app: &App, finished: FinishedView, after: Option<&str>) -> HttpResponse {
    let Some(path) = after else { return HttpResponse::Ok().json(finished) };
    match finished {
        FinishedView::Linked(linked) => go_to(path, "linked", linked.provider),
        FinishedView::SignedIn(SignedIn::Challenge(challenge)) => go_to(path, "mfa_token", &challenge.mfa_token),
        FinishedView::SignedIn(SignedIn::Session(mut tokens)) => {
            let mut answer = HttpResponse::SeeOther();
            if let Some(cookie) = tokens.take_cookie(&app.settings) {
                answer.cookie(cookie);
            }
            answer.insert_header((LOCATION, path)).finish()
        }
    }
}

/// To a path of ours, with something for its page: in the fragment, which no server and no log sees.
fn go_to(path: &str, name: &str, value: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, format!("{path}#{name}={value}"))).finish()
}
