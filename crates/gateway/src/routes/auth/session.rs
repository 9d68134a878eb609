//! Refreshing and signing out.

use actix_web::{HttpRequest, HttpResponse, post, web::Data};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use picket_domain::AuditAction;
use picket_store::{
    audit,
    sessions::{
        self, own,
        refresh::{self, Refreshed, Rotation},
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, Caller, OptionalBody, Problem, RequestContext,
    refresh_cookie::{is_secure, refresh_cookie, shown},
    token_text::{NewToken, TokenKind},
    tokens::Bearer,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(refresh_session).service(logout);
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// The one that login or the refresh before gave.
    #[schema(value_type = String, example = "rt_…")]
    refresh_token: SecretString,
}

/// The next tokens of a session.
#[derive(Serialize, ToSchema)]
struct RefreshedTokens {
    /// Goes into the header `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token ends.
    expires_in: i64,
    /// Gives the next pair of tokens; missing when it is set as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
    /// Seconds until the session ends, however often it is refreshed.
    refresh_expires_in: i64,
}

/// Get new tokens for a refresh token.
///
/// Each refresh token is good once. For ten seconds the same one gives the same successor again, as long as nobody has used
/// that; after that it is taken for stolen, and its session ends. A browser sends no body: the cookie `picket_refresh` is
/// taken, and replaced.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = Option<RefreshRequest>,
    responses(
        (status = 200, description = "The next tokens.", body = RefreshedTokens),
        (status = 401, description = "No refresh token that is good.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/auth/refresh")]
async fn refresh_session(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    OptionalBody(body): OptionalBody<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    let is_cookie = body.is_none();
    let token = body.map(|body| body.refresh_token).or_else(|| shown(&request).map(SecretString::from));
    let token = token.ok_or(Problem::Unauthenticated)?;
    let digest = TokenKind::Refresh.parse(token.expose_secret()).ok_or(Problem::Unauthenticated)?;
    let next = successor(&app, &token)?;
    let now = app.clock.now();
    let session = rotate(&app, &context, (&digest, &next.digest), now).await?;
    let tokens = tokens(&app, session, &next, is_cookie, now)?;
    let mut answer = HttpResponse::Ok();
    if is_cookie {
        let secure = is_secure(&app.settings);
        answer.cookie(refresh_cookie(next.secret.expose_secret(), tokens.refresh_expires_in, secure));
    }
    Ok(answer.json(tokens))
}

/// Sign out.
///
/// Ends this session: its access and refresh tokens open nothing from now on.
#[utoipa::path(tag = "authentication", responses((status = 204, description = "Signed out.")))]
#[post("/auth/logout")]
async fn logout(app: Data<App>, context: RequestContext, caller: Caller) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let now = app.clock.now();
    let object = Some(person.session_id.to_string());
    let entry = context.entry(now, &caller.label(), AuditAction::SessionRevoked, object);
    let ended = app
        .db
        .operate("logout", async |tx| {
            audit::record(tx, person.organization_id, &entry).await?;
            let ended = own::revoke(tx, person.session_id, person.user_id, "signed_out", now).await?;
            // Ended by another request meanwhile: then there is nothing to record.
            if ended { Ok(()) } else { Err(Problem::Unauthenticated) }
        })
        .await;
    app.callers.forget();
    ended?;
    Ok(HttpResponse::NoContent().cookie(refresh_cookie("", 0, is_secure(&app.settings))).finish())
}

/// The one token that follows: derived, so that nobody has to keep it in order to give it twice.
fn successor(app: &App, token: &SecretString) -> Result<NewToken, Problem> {
    let key = app.sealer.derive("refresh_tokens/successor");
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(Problem::internal)?;
    mac.update(token.expose_secret().as_bytes());
    Ok(TokenKind::Refresh.of(&mac.finalize().into_bytes().into()))
}

/// Replaces the first token by the second; a token that was used before ends its session.
async fn rotate(
    app: &App,
    context: &RequestContext,
    (digest, next): (&[u8; 32], &[u8; 32]),
    now: Timestamp,
) -> Result<Refreshed, Problem> {
    let address = context.address.to_string();
    let rotation = app
        .db
        .operate("refresh_session", async |tx| {
            let rotation = refresh::rotate(tx, digest, next, now).await?;
            if let Rotation::Good(session) = rotation {
                sessions::touch(tx, session.session_id, &address, now).await?;
            }
            Ok::<_, Problem>(rotation)
        })
        .await?;
    match rotation {
        Rotation::Good(session) => Ok(session),
        Rotation::Refused => Err(Problem::Unauthenticated),
        Rotation::Reused(session) => {
            end_reused(app, context, session, now).await?;
            Err(Problem::Unauthenticated)
        }
    }
}

/// Ends the session of a token that was used twice. A transaction of its own, since it locks in another order than a
/// refresh does: the audit log first.
async fn end_reused(app: &App, context: &RequestContext, session: Refreshed, now: Timestamp) -> Result<(), Problem> {
    let (actor, object) = (session.user_id.to_string(), session.session_id.to_string());
    let entry = context.entry(now, &actor, AuditAction::SessionReused, Some(object));
    let ended = app
        .db
        .operate("end_reused_session", async |tx| {
            audit::record(tx, session.organization_id, &entry).await?;
            let ended = own::revoke(tx, session.session_id, session.user_id, "refresh_reused", now).await?;
            // Once is enough: whoever has an old token must not fill the log with it.
            if ended { Ok(()) } else { Err(Problem::Unauthenticated) }
        })
        .await;
    app.callers.forget();
    if ended.is_ok() {
        tracing::warn!(session.id = %session.session_id, "a refresh token was used twice: its session has ended");
    }
    ended
}

fn tokens(
    app: &App,
    session: Refreshed,
    next: &NewToken,
    is_cookie: bool,
    now: Timestamp,
) -> Result<RefreshedTokens, Problem> {
    let bearer =
        Bearer { user_id: session.user_id, organization_id: session.organization_id, session_id: session.session_id };
    Ok(RefreshedTokens {
        access_token: app.tokens.issue(bearer, now)?,
        token_type: "Bearer",
        expires_in: app.tokens.lifetime_seconds(),
        refresh_token: (!is_cookie).then(|| next.secret.expose_secret().to_owned()),
        refresh_expires_in: session.expires_at.duration_since(now).as_secs(),
    })
}
