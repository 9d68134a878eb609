//! Who one is, and what one says of oneself.

use actix_web::{
    get, put,
    web::{Data, Json},
};
use picket_domain::AuditAction;
use picket_store::{
    Tx, accounts, audit,
    people::{self, ProfileChange},
};
use serde_json::{Value, json};
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::{CheckedProfile, ProfileRequest, ProfileView};
use crate::{App, Body, Caller, Problem, RequestContext, caller::Person};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_me).service(update_profile);
}

/// Get who the caller is; for an API key, who made it.
#[utoipa::path(tag = "authentication", responses((status = 200, description = "The caller.", body = ProfileView)))]
#[get("/auth/me")]
async fn get_me(app: Data<App>, context: RequestContext, caller: Caller) -> Result<Json<ProfileView>, Problem> {
    Ok(Json(show(&app, &context, &caller).await?))
}

/// Change one's name, language or time zone; what the body leaves out stays.
#[utoipa::path(
    tag = "authentication",
    request_body = ProfileRequest,
    responses((status = 200, description = "The caller, changed.", body = ProfileView))
)]
#[put("/auth/profile")]
async fn update_profile(
    app: Data<App>,
    context: RequestContext,
    caller: Caller,
    Body(body): Body<ProfileRequest>,
) -> Result<Json<ProfileView>, Problem> {
    let person = caller.person()?;
    let wanted = body.check()?;
    app.db.operate("update_profile", async |tx| store(&app, tx, &context, person, &wanted).await).await?;
    Ok(Json(show(&app, &context, &caller).await?))
}

async fn show(app: &App, context: &RequestContext, caller: &Caller) -> Result<ProfileView, Problem> {
    let (organization, user) = (caller.organization_id, caller.user_id());
    let profile = app
        .db
        .operate("get_me", async |tx| Ok::<_, Problem>(accounts::find_profile(tx, organization, user).await?))
        .await?
        .ok_or(Problem::Unauthenticated)?;
    Ok(ProfileView::new(caller, profile, context.dialect))
}

async fn store(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    person: Person,
    wanted: &CheckedProfile,
) -> Result<(), Problem> {
    let (now, id) = (app.clock.now(), person.user_id);
    people::lock_organizations(tx, id, Some(person.organization_id)).await?;
    let known = people::find(tx, id).await?.ok_or(Problem::Unauthenticated)?;
    let before = ProfileChange { name: &known.name, locale: known.locale, time_zone: &known.time_zone };
    let after = ProfileChange {
        name: wanted.name.as_deref().unwrap_or(before.name),
        locale: wanted.locale.unwrap_or(before.locale),
        time_zone: wanted.time_zone.as_deref().unwrap_or(before.time_zone),
    };
    if after == before {
        return Ok(());
    }
    people::set_profile(tx, id, after).await?;
    let entry = context.entry(now, &id.to_string(), AuditAction::ProfileUpdated, Some(id.to_string()));
    audit::record(tx, person.organization_id, &entry.change(Some(shown(before)), Some(shown(after)))).await?;
    Ok(())
}

fn shown(profile: ProfileChange<'_>) -> Value {
    json!({"name": profile.name, "locale": profile.locale, "time_zone": profile.time_zone})
}
