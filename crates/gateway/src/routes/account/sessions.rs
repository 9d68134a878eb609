//! The devices that are signed in, as their person sees them.

use std::str::FromStr;

use actix_web::{
    HttpResponse, delete, get,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, IdError, SessionId};
use picket_store::{
    audit,
    scans::read::Range,
    sessions::{
        self, Which,
        own::{self, Session},
    },
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, Caller, Id, Listed, PageQuery, Problem, RequestContext, caller::Person, paging::PageParams};

/// Why the person's sessions ended.
const REASON: &str = "revoked_by_person";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_sessions).service(delete_session);
}

/// A device that is signed in.
#[derive(Serialize, ToSchema)]
struct SessionView {
    /// Identity.
    #[schema(example = "ses_01jh…")]
    id: String,
    /// What the client calls itself.
    device: String,
    /// The address that it was used from last.
    #[schema(example = "203.0.113.7")]
    address: String,
    /// When somebody signed in.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was used last, to the minute.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When it ends, however often it is refreshed.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Whether it is the one that asks.
    current: bool,
    /// Whether a second factor was shown.
    mfa: bool,
}

/// What a client may name in the path.
#[derive(Debug, Clone, Copy)]
enum Named {
    /// All but the one that asks.
    All,
    /// This one.
    One(SessionId),
}

impl FromStr for Named {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

/// List the devices that are signed in, newest first.
#[utoipa::path(
    tag = "account",
    params(PageParams),
    responses((status = 200, description = "A page of sessions.", body = Listed<SessionView>))
)]
#[get("/account/sessions")]
async fn list_sessions(app: Data<App>, caller: Caller, query: PageQuery) -> Result<Json<Listed<SessionView>>, Problem> {
    let person = caller.person()?;
    let now = app.clock.now();
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let sessions = app
        .db
        .operate("list_sessions", async |tx| Ok::<_, Problem>(own::list(tx, person.user_id, range, now).await?))
        .await?;
    let rows = sessions.rows.into_iter().map(|session| SessionView::new(session, person.session_id)).collect();
    Ok(Json(query.list(rows, sessions.total)))
}

/// Sign a device out, or with `all` every other device.
///
/// Its tokens are refused within a second everywhere.
#[utoipa::path(
    tag = "account",
    params(("id" = String, Path, description = "The session's id, or `all` for all but this one.", example = "ses_01jh…")),
    responses((status = 204, description = "Signed out."))
)]
#[delete("/account/sessions/{id}")]
async fn delete_session(
    app: Data<App>,
    context: RequestContext,
    caller: Caller,
    Id(named): Id<Named>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let ended = match named {
        Named::One(session) => end(&app, &context, person, session).await,
        Named::All => end_others(&app, &context, person).await,
    };
    app.callers.forget();
    ended?;
    Ok(HttpResponse::NoContent().finish())
}

async fn end(app: &App, context: &RequestContext, person: Person, session: SessionId) -> Result<(), Problem> {
    let now = app.clock.now();
    let actor = person.user_id.to_string();
    let entry = context.entry(now, &actor, AuditAction::SessionRevoked, Some(session.to_string()));
    app.db
        .operate("delete_session", async |tx| {
            let organization = own::find_organization(tx, session, person.user_id, now).await?;
            let organization = organization.ok_or(Problem::NotFound("session"))?;
            // The log first: its lock comes before those of other rows.
            audit::record(tx, organization, &entry).await?;
            let ended = own::revoke(tx, session, person.user_id, REASON, now).await?;
            if ended { Ok(()) } else { Err(Problem::NotFound("session")) }
        })
        .await
}

async fn end_others(app: &App, context: &RequestContext, person: Person) -> Result<(), Problem> {
    let now = app.clock.now();
    let actor = person.user_id.to_string();
    app.db
        .operate("delete_other_sessions", async |tx| {
            for (organization, count) in own::count_others(tx, person.user_id, person.session_id, now).await? {
                let entry = context.entry(now, &actor, AuditAction::SessionRevoked, Some(actor.clone()));
                let entry = entry.change(None, Some(json!({"sessions": count})));
                audit::record(tx, organization, &entry).await?;
            }
            let which = Which::AllBut(person.session_id);
            sessions::revoke_of_user(tx, person.user_id, which, REASON, now).await?;
            Ok(())
        })
        .await
}

impl SessionView {
    fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id.to_string(),
            device: session.user_agent,
            address: session.address,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            current: session.id == current,
            mfa: session.mfa,
        }
    }
}
