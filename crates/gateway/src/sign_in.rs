//! The one way to a session. Whoever has proven the first factor (a password, a provider) passes through `proceed`, and a
//! person with a second factor gets a challenge instead of a session.

use actix_web::{HttpResponse, cookie::Cookie};
use jiff::SignedDuration;
use picket_domain::{AuditAction, OrganizationId, SessionId, UserId};
use picket_store::{
    Tx, accounts, audit, mfa, quota,
    sessions::{self, NewSession},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, GatewaySettings, Problem, RequestContext,
    refresh_cookie::{is_secure, refresh_cookie},
    token_text::TokenKind,
    tokens::Bearer,
};

/// How long a challenge waits for its code.
const CHALLENGE: SignedDuration = SignedDuration::from_mins(5);

/// Somebody whose first factor is proven. Never printed: it holds the hash of a password.
#[derive(Clone)]
pub(crate) struct Proven {
    /// The person.
    pub user_id: UserId,
    /// The organization to sign in to.
    pub organization_id: OrganizationId,
    /// PHC string of the password that was shown; none where it was something else that proved the person.
    pub password_hash: Option<String>,
}

/// What a login answers: the tokens of a session, or a challenge.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SignedIn {
    /// A session.
    Session(SessionTokens),
    /// Not yet: the second factor is missing.
    Challenge(MfaChallenge),
}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionTokens {
    /// Goes into the header `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    pub expires_in: i64,
    /// Gives the next pair of tokens, once; missing when it is set as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refresh_token: Option<String>,
    /// Seconds until the session ends, however often it is refreshed.
    pub refresh_expires_in: i64,
}

/// A login that waits for its second factor.
#[derive(Serialize, ToSchema)]
pub(crate) struct MfaChallenge {
    /// Always true.
    pub mfa_required: bool,
    /// Goes to `POST /auth/mfa/verify`, with a code; opens nothing else.
    pub mfa_token: String,
    /// Seconds until it ends.
    pub expires_in: i64,
}

impl SessionTokens {
    /// Takes the refresh token out of the answer's body and into a cookie, for browsers.
    pub(crate) fn take_cookie(&mut self, settings: &GatewaySettings) -> Option<Cookie<'static>> {
        let token = self.refresh_token.take()?;
        Some(refresh_cookie(&token, self.refresh_expires_in, is_secure(settings)))
    }

    /// The answer to a login: everything in its body, or the refresh token as a cookie alone.
    pub(crate) fn answer(mut self, settings: &GatewaySettings, wants_cookie: bool) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        if let Some(cookie) = wants_cookie.then(|| self.take_cookie(settings)).flatten() {
            answer.cookie(cookie);
        }
        answer.json(self)
    }
}

/// Goes on with a proven first factor. `tx` runs as the operator.
pub(crate) async fn proceed(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    proven: Proven,
) -> Result<SignedIn, Problem> {
    if !has_factor(tx, &proven).await? {
        return Ok(SignedIn::Session(open(app, tx, context, &proven, false).await?));
    }
    let now = app.clock.now();
    let token = TokenKind::MfaChallenge.generate();
    let until = now.saturating_add(CHALLENGE).map_err(Problem::internal)?;
    mfa::challenge(tx, &token.digest, proven.user_id, proven.organization_id, now, until).await?;
    Ok(SignedIn::Challenge(MfaChallenge {
        mfa_required: true,
        mfa_token: token.secret.expose_secret().to_owned(),
        expires_in: CHALLENGE.as_secs(),
    }))
}

/// Whether a second factor is on; nobody puts one on, changes the password or takes the membership away before this
/// transaction ends, so that no login slips past it. Checking a password takes long, so all of that may have happened since.
async fn has_factor(tx: &Tx<'_>, proven: &Proven) -> Result<bool, Problem> {
    quota::lock(tx, proven.organization_id).await?;
    let held = accounts::hold_login(tx, proven.user_id, proven.organization_id).await?;
    let held = held.ok_or(Problem::WrongCredentials)?;
    if proven.password_hash.is_some() && proven.password_hash != held.password_hash {
        return Err(Problem::WrongCredentials);
    }
    Ok(held.has_factor)
}

/// Opens a session; `mfa` says whether the second factor was shown. `tx` runs as the operator.
pub(crate) async fn open(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    proven: &Proven,
    mfa: bool,
) -> Result<SessionTokens, Problem> {
    let now = app.clock.now();
    let lifetime = SignedDuration::from_hours(i64::from(app.settings.session_days).saturating_mul(24));
    let refresh = TokenKind::Refresh.generate();
    let session = NewSession {
        id: SessionId::mint(now),
        organization_id: proven.organization_id,
        user_id: proven.user_id,
        expires_at: now.saturating_add(lifetime).map_err(Problem::internal)?,
        user_agent: &context.user_agent,
        address: &context.address.to_string(),
        mfa,
        refresh_digest: refresh.digest,
    };
    sessions::open(tx, &session, now).await?;
    let actor = proven.user_id.to_string();
    let entry = context.entry(now, &actor, AuditAction::SessionOpened, Some(session.id.to_string()));
    audit::record(tx, proven.organization_id, &entry).await?;
    let bearer = Bearer { user_id: proven.user_id, organization_id: proven.organization_id, session_id: session.id };
    Ok(SessionTokens {
        access_token: app.tokens.issue(bearer, now)?,
        token_type: "Bearer",
        expires_in: app.tokens.lifetime_seconds(),
        refresh_token: Some(refresh.secret.expose_secret().to_owned()),
        refresh_expires_in: lifetime.as_secs(),
    })
}
