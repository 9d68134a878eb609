//! From credentials to a [`Caller`]: an access token or an API key (`docs/contract.md` §4). Rights are read from the
//! database, and remembered until they change, so that whoever lost them is refused within a second.

mod held;
mod memory;
mod watch;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Instant};

use actix_web::http::header::{HeaderMap, HeaderName};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{OrganizationId, Permission, SessionId};
use picket_store::{api_keys, sessions};

use crate::{
    App, Caller, Problem, RequestContext, Subject, key_text,
    ranges::{Places, Ranges},
    tokens::Bearer,
};
use memory::Found;

pub(crate) use held::Held;
pub(crate) use memory::Callers;
pub(crate) use watch::watch;

/// How often it is noted that a session is in use.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// What a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Credential {
    /// Of a person, for a request in this organization.
    Token(Bearer, OrganizationId),
    Key([u8; 32]),
}

/// What headers say of who sent them, before the database is asked.
pub(crate) enum Claim {
    /// Nothing that could be true; why.
    Refused(Problem),
    /// A caller that was looked up a moment ago.
    Known(Caller),
    /// Somebody to look up.
    Unproven(Unproven),
}

/// A credential to look up.
pub(crate) struct Unproven {
    credential: Credential,
    /// Whether it may be made up: then the look-up is counted by the client's address before it is made.
    pub(crate) is_strange: bool,
}

/// What these headers claim; costs no query.
pub(crate) fn claim(app: &App, headers: &HeaderMap) -> Claim {
    let now = app.clock.now();
    let credential = match shown(app, headers, now) {
        Ok(credential) => credential,
        Err(problem) => return Claim::Refused(problem),
    };
    match app.callers.find(credential, now, Instant::now()) {
        Some(caller) => Claim::Known(caller),
        None => Claim::Unproven(Unproven { credential, is_strange: app.callers.is_strange(credential) }),
    }
}

/// The credential that these headers show, for the organization that they name; costs no query.
fn shown(app: &App, headers: &HeaderMap, now: Timestamp) -> Result<Credential, Problem> {
    let credential = credential(app, headers, now).ok_or(Problem::Unauthenticated)?;
    Ok(match (credential, wanted(headers)?) {
        (Credential::Token(bearer, _), Some(organization)) => Credential::Token(bearer, organization),
        (credential, _) => credential,
    })
}

/// Whether an identified caller may make this request: from this address, and in the organization that a header names.
pub(crate) fn vet(caller: &Caller, address: IpAddr, headers: &HeaderMap) -> Result<(), Problem> {
    if wanted(headers)?.is_some_and(|organization| organization != caller.organization_id) {
        return Err(Problem::NotAMember);
    }
    if caller.places.allow(address) { Ok(()) } else { Err(Problem::AddressNotAllowed) }
}

/// Who sent a request to a public route; `None` for somebody who shows no credentials. The front has counted it by address.
pub(crate) async fn optional(
    app: &App,
    context: &RequestContext,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Problem> {
    if !["authorization", "x-api-key"].iter().any(|name| headers.contains_key(*name)) {
        return Ok(None);
    }
    let caller = match claim(app, headers) {
        Claim::Refused(problem) => return Err(problem),
        Claim::Known(caller) => caller,
        Claim::Unproven(unproven) => look_up(app, context, &unproven).await?,
    };
    vet(&caller, context.address, headers)?;
    Ok(Some(caller))
}

/// Whose credential it is.
pub(crate) async fn look_up(app: &App, context: &RequestContext, unproven: &Unproven) -> Result<Caller, Problem> {
    let credential = unproven.credential;
    let lookup = app.callers.begin(app.clock.now(), Instant::now());
    let found = match credential {
        Credential::Token(bearer, organization) => member(app, context, bearer, organization).await?,
        Credential::Key(digest) => {
            let found = holder(app, digest, app.clock.now()).await;
            if matches!(found, Ok(_) | Err(Problem::Unauthenticated)) {
                app.callers.prove(digest, found.is_ok());
            }
            found?
        }
    };
    let caller = found.caller.clone();
    app.callers.remember(credential, found, lookup);
    Ok(caller)
}

/// The one credential of a request; none when there are two.
fn credential(app: &App, headers: &HeaderMap, now: Timestamp) -> Option<Credential> {
    let authorization = single(headers, "authorization")?;
    let key = single(headers, "x-api-key")?;
    match (authorization, key) {
        (Some(authorization), None) => {
            let (scheme, text) = authorization.split_once(' ')?;
            let text = text.trim();
            if !scheme.eq_ignore_ascii_case("bearer") {
                None
            } else if text.starts_with(key_text::PREFIX) {
                key_text::parse(text).map(Credential::Key)
            } else {
                app.tokens.verify(text, now).map(|bearer| Credential::Token(bearer, bearer.organization_id))
            }
        }
        (None, Some(key)) => key_text::parse(key.trim()).map(Credential::Key),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

/// The organization that a request is to run in. What names none is an organization that nobody is a member of.
fn wanted(headers: &HeaderMap) -> Result<Option<OrganizationId>, Problem> {
    let text = single(headers, "x-organization").ok_or(Problem::NotAMember)?;
    text.map(|text| text.trim().parse().map_err(|_| Problem::NotAMember)).transpose()
}

/// A header that may be there once: `None` when it is repeated or no text, `Some(None)` when it is missing.
#[expect(clippy::option_option, reason = "three cases that the caller tells apart with `?`")]
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(HeaderName::from_static(name));
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

/// The person of a session, in that organization: a membership of the person's, and no other, lets the session in.
async fn member(
    app: &App,
    context: &RequestContext,
    bearer: Bearer,
    organization: OrganizationId,
) -> Result<Found, Problem> {
    let (session, home, user) = (bearer.session_id, bearer.organization_id, bearer.user_id);
    let now = app.clock.now();
    let row = app
        .db
        .look_up("identify_member", async |tx| {
            let row = sessions::find_bearer(tx, session, home, user, now).await?.ok_or(Problem::Unauthenticated)?;
            if organization == home {
                return Ok(row);
            }
            sessions::find_elsewhere(tx, session, organization).await?.ok_or(Problem::NotAMember)
        })
        .await?;
    let until = next_touch(Some(row.last_used_at), now);
    if until.is_none() {
        touch(app, context, bearer.session_id, now);
    }
    let places = Places { organization: Ranges::stored(&row.allowed_ranges)?, key: Ranges::default() };
    let caller = Caller::user(bearer, organization, &row, places);
    Ok(Found { caller, expires_at: Some(row.expires_at), until: until.unwrap_or_else(|| later(now)) })
}

/// When it is to be noted again that a credential is in use, which was noted at `last`; `None` when it is to be noted now.
fn next_touch(last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    last.map(later).filter(|next| now <= *next)
}

fn later(noted: Timestamp) -> Timestamp {
    noted.saturating_add(TOUCH_EVERY).unwrap_or(Timestamp::MAX)
}

/// Notes beside the request that a session is in use; nobody waits for it, and nothing is lost when it fails.
fn touch(app: &App, context: &RequestContext, session: SessionId, now: Timestamp) {
    let (db, address) = (app.db.clone(), context.address.to_string());
    actix_web::rt::spawn(async move {
        let touched = db.operate("touch_session", async |tx| sessions::touch(tx, session, &address, now).await).await;
        if let Err(error) = touched {
            tracing::warn!(session.id = %session, error = picket_domain::cause(&error), "a session was not touched");
        }
    });
}

async fn holder(app: &App, digest: [u8; 32], now: Timestamp) -> Result<Found, Problem> {
    let holder = app
        .db
        .look_up("identify_holder", async |tx| Ok::<_, Problem>(api_keys::find_holder(tx, &digest, now).await?))
        .await?
        .ok_or(Problem::Unauthenticated)?;
    let until = next_touch(holder.last_used_at, now);
    if until.is_none() {
        app.db.operate("touch_key", async |tx| Ok::<_, Problem>(api_keys::touch(tx, holder.id, now).await?)).await?;
    }
    let permissions: BTreeSet<Permission> =
        holder.scopes.iter().copied().filter(|scope| holder.role.allows(*scope)).collect();
    let caller = Caller {
        organization_id: holder.organization_id,
        subject: Subject::ApiKey { id: holder.id, created_by: holder.created_by, expires_at: holder.expires_at },
        subscription: holder.subscription,
        permissions: Arc::new(permissions),
        lacks_mfa: false,
        places: Places {
            organization: Ranges::stored(&holder.organization_ranges)?,
            key: Ranges::stored(&holder.allowed_ranges)?,
        },
    };
    Ok(Found { caller, expires_at: holder.expires_at, until: until.unwrap_or_else(|| later(now)) })
}
