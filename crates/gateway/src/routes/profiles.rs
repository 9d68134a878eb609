//! `/scan-profiles`: ways to scan that were given a name. A profile authorizes nothing, and whatever it says is checked again
//! when a scan is made of it.

use std::collections::BTreeMap;

use actix_web::{
    HttpResponse, delete, get, post, put,
    web::{Data, Json, Path},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, Permission, Plan, ProfileId, RunLimits, ScanLimits};
use picket_planner::{BuiltIn, Wanted};
use picket_scanners::Parameters;
use picket_store::{
    audit,
    profiles::{self, MOST_VERSIONS, PROFILE_IS_NAMED, Profile, Version, Written},
    quota::{self, Quota},
    scans::read::Range,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::scans::ask::{OptionsV2, ScanTypeV2};
use crate::{App, Body, Caller, Id, Listed, PageQuery, Problem, RequestContext, idempotency, paging::PageParams};

/// Characters of a name and of a description.
const LONGEST_NAME: usize = 100;
const LONGEST_DESCRIPTION: usize = 500;
/// Tools that a profile limits.
const MOST_LIMITS: usize = 32;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(list_profiles)
        .service(create_profile)
        .service(get_profile)
        .service(change_profile)
        .service(delete_profile);
}

/// A profile: either a tool with parameters, or a plan with options.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScanProfileRequest {
    /// What you call it; no other profile of yours has the name.
    #[schema(min_length = 1, max_length = 100, example = "Nightly")]
    name: String,
    /// What it is for.
    #[schema(max_length = 500)]
    #[serde(default)]
    description: String,
    /// A tool of the catalogue (`GET /tools`).
    #[schema(example = "nmap")]
    tool: Option<String>,
    /// The tool's parameters; its defaults when absent.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Parameters,
    /// A plan.
    #[schema(inline)]
    scan_type: Option<ScanTypeV2>,
    /// What the plan looks at.
    #[serde(default, deserialize_with = "crate::body::object")]
    options: Option<OptionsV2>,
    /// Limits of the runs of each tool, by its slug: the longest time in `seconds`, and the most requests or packets in a second
    /// (`rate`, of a tool that can be told one). They shorten and slow down, and never the other way round.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({"nmap": {"seconds": 600, "rate": 100}}))]
    limits: BTreeMap<String, RunLimitsRequest>,
}

/// Limits of the runs of one tool.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunLimitsRequest {
    seconds: Option<u32>,
    rate: Option<u32>,
}

impl ScanProfileRequest {
    /// Its name, its description and what it wants, checked as for a scan.
    fn check(self, operators_seconds: u32) -> Result<(String, String, Value), Problem> {
        let Self { name, description, tool, parameters, scan_type, options, limits } = self;
        if limits.len() > MOST_LIMITS {
            return Err(Problem::field("limits", "too_many", format!("expected at most {MOST_LIMITS} tools")));
        }
        let limit = |(tool, RunLimitsRequest { seconds, rate })| (tool, RunLimits { seconds, rate });
        let limits: ScanLimits = limits.into_iter().map(limit).collect();
        let is_line = |text: &str, most| text.chars().count() <= most && !text.chars().any(char::is_control);
        if name.trim().is_empty() || !is_line(&name, LONGEST_NAME) {
            let message = "expected 1 to 100 characters without control characters";
            return Err(Problem::field("name", "invalid_value", message));
        }
        if !is_line(&description, LONGEST_DESCRIPTION) {
            let message = "expected at most 500 characters without control characters";
            return Err(Problem::field("description", "invalid_value", message));
        }
        let conflict = |field| Problem::field(field, "conflict", "expected either a tool or a plan");
        let wanted = match (tool, scan_type) {
            (Some(_), Some(_)) => return Err(conflict("scan_type")),
            (Some(_), None) if options.is_some() => return Err(conflict("options")),
            (None, Some(_)) if parameters.value().is_some() => return Err(conflict("parameters")),
            (Some(tool), None) => Wanted::Tool { tool, parameters: parameters.value().cloned(), limits },
            (None, Some(plan)) => {
                let plan = Plan::from(plan);
                Wanted::Options { plan, options: options.unwrap_or_default().under(plan), limits }
            }
            (None, None) => return Err(Problem::field("tool", "missing_field", "expected `tool` or `scan_type`")),
        };
        wanted.check()?;
        wanted.check_limits(operators_seconds)?;
        Ok((name, description, wanted.to_json()))
    }
}

/// What a profile does.
#[derive(Debug, Serialize, ToSchema)]
struct ScanProfileWantedView {
    /// The tool; null for a plan.
    #[schema(example = "nmap")]
    tool: Option<String>,
    /// The tool's parameters; null for a plan, and for the tool's defaults.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Value>,
    /// The plan: `quick`, `full` or `custom`; null for a tool.
    scan_type: Option<String>,
    /// What the plan looks at; null for a tool.
    #[schema(value_type = Option<Object>)]
    options: Option<Value>,
    /// Limits of the runs of each tool, by its slug; null where there are none.
    #[schema(value_type = Option<Object>, example = json!({"nmap": {"seconds": 600, "rate": 100}}))]
    limits: Option<Value>,
}

impl ScanProfileWantedView {
    fn new(wanted: &Value) -> Self {
        let field = |name: &str| wanted.get(name).filter(|value| !value.is_null()).cloned();
        let text = |name: &str| wanted.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            tool: text("tool"),
            parameters: field("parameters"),
            scan_type: text("scan_type"),
            options: field("options"),
            limits: field("limits"),
        }
    }
}

/// A profile.
#[derive(Debug, Serialize, ToSchema)]
struct ScanProfileView {
    /// What a create takes as `profile`.
    #[schema(example = "prof_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: String,
    name: String,
    description: String,
    /// Whether everybody has it; such a one cannot be changed.
    built_in: bool,
    /// The newest version, from 1; null for one that everybody has.
    version: Option<i32>,
    #[serde(flatten)]
    wanted: ScanProfileWantedView,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    /// Since when there is this version.
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
}

impl ScanProfileView {
    fn own(profile: &Profile) -> Self {
        Self {
            id: profile.id.to_string(),
            name: profile.name.clone(),
            description: profile.description.clone(),
            built_in: false,
            version: Some(profile.version),
            wanted: ScanProfileWantedView::new(&profile.wanted),
            created_at: Some(profile.created_at),
            updated_at: Some(profile.updated_at),
        }
    }

    fn built_in(profile: &BuiltIn) -> Self {
        Self {
            id: profile.name.to_owned(),
            name: profile.name.to_owned(),
            description: profile.description.to_owned(),
            built_in: true,
            version: None,
            wanted: ScanProfileWantedView::new(&profile.wanted().to_json()),
            created_at: None,
            updated_at: None,
        }
    }
}

/// A profile with its versions.
#[derive(Debug, Serialize, ToSchema)]
struct ScanProfileDetailView {
    #[serde(flatten)]
    profile: ScanProfileView,
    /// All of them, newest first; none of a profile that everybody has.
    versions: Vec<ScanProfileVersionView>,
}

/// One version of a profile; it never changes.
#[derive(Debug, Serialize, ToSchema)]
struct ScanProfileVersionView {
    version: i32,
    #[serde(flatten)]
    wanted: ScanProfileWantedView,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Who wrote it.
    created_by: String,
}

impl ScanProfileVersionView {
    fn new(version: Version) -> Self {
        let Version { version, wanted, created_at, created_by } = version;
        Self { version, wanted: ScanProfileWantedView::new(&wanted), created_at, created_by }
    }
}

/// List profiles: those that everybody has, then yours, newest first.
#[utoipa::path(
    tag = "scans",
    params(PageParams),
    responses((status = 200, description = "A page of profiles.", body = Listed<ScanProfileView>))
)]
#[get("/scan-profiles")]
async fn list_profiles(
    app: Data<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Json<Listed<ScanProfileView>>, Problem> {
    caller.may(Permission::ScansRead)?;
    let (limit, offset) = (query.page().limit(), query.page().offset());
    let place = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
    let mut views: Vec<_> =
        BuiltIn::ALL.iter().skip(place(offset)).take(place(limit)).map(ScanProfileView::built_in).collect();
    let everybodys = i64::try_from(BuiltIn::ALL.len()).unwrap_or_default();
    let shown = i64::try_from(views.len()).unwrap_or_default();
    let range = Range { limit: limit.saturating_sub(shown), offset: offset.saturating_sub(everybodys).max(0) };
    let own = app
        .db
        .read("list_profiles", caller.organization_id, async |tx| Ok::<_, Problem>(profiles::list(tx, range).await?))
        .await?;
    views.extend(own.rows.iter().map(ScanProfileView::own));
    let total = own.total.saturating_add(u64::try_from(everybodys).unwrap_or_default());
    Ok(Json(query.list(views, total)))
}

/// Save a profile.
#[utoipa::path(
    tag = "scans",
    request_body = ScanProfileRequest,
    responses(
        (status = 201, description = "The profile is saved.", body = ScanProfileView),
        (status = 409, description = "Another one has the name, or the plan allows no further one (`limit_reached`).", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/scan-profiles")]
async fn create_profile(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<ScanProfileRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let (name, description, wanted) = body.check(app.settings.task_seconds)?;
    let (now, organization, by) = (app.clock.now(), caller.organization_id, caller.label());
    let id = ProfileId::mint(now);
    let entry = context
        .entry(now, &by, AuditAction::ScanProfileCreated, Some(id.to_string()))
        .change(None, Some(json!({"name": name, "version": 1, "wanted": wanted})));
    let new = Written { name: &name, description: &description, wanted: &wanted, by: &by };
    let stored = app.db.run("create_profile", organization, async |tx| {
        quota::lock(tx, organization).await?.demand(tx, |limits| Quota::Profiles(limits.profiles)).await?;
        let created = profiles::create(tx, organization, id, new, now).await;
        created.map_err(|error| Problem::unless_taken(error, PROFILE_IS_NAMED, "scan profile"))?;
        audit::record(tx, organization, &entry).await?;
        let (name, description, wanted) = (name.clone(), description.clone(), wanted.clone());
        let profile = Profile { id, name, description, version: 1, wanted, created_at: now, updated_at: now };
        idempotency::keep(&app, tx, HttpResponse::Created().json(ScanProfileView::own(&profile))).await
    });
    stored.await
}

/// Get a profile with its versions.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The profile.")),
    responses((status = 200, description = "The profile.", body = ScanProfileDetailView))
)]
#[get("/scan-profiles/{id}")]
async fn get_profile(app: Data<App>, caller: Caller, id: Path<String>) -> Result<Json<ScanProfileDetailView>, Problem> {
    caller.may(Permission::ScansRead)?;
    if let Some(profile) = BuiltIn::find(&id) {
        return Ok(Json(ScanProfileDetailView { profile: ScanProfileView::built_in(&profile), versions: Vec::new() }));
    }
    let id: ProfileId = id.parse().map_err(|error| invalid_id(&error))?;
    let found = app.db.read("get_profile", caller.organization_id, async |tx| {
        let profile = profiles::find(tx, id).await?.ok_or(Problem::NotFound("scan profile"))?;
        Ok::<_, Problem>((profile, profiles::versions(tx, id).await?))
    });
    let (profile, versions) = found.await?;
    let versions = versions.into_iter().map(ScanProfileVersionView::new).collect();
    Ok(Json(ScanProfileDetailView { profile: ScanProfileView::own(&profile), versions }))
}

/// The same answer as for any other id that cannot be read.
fn invalid_id(error: &picket_domain::IdError) -> Problem {
    Problem::field("id", "invalid_id", error.to_string())
}

/// Give a profile another version.
///
/// The whole profile is written anew. Scans keep the version that they were made with. A profile has at most 100 versions.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The profile.")),
    request_body = ScanProfileRequest,
    responses(
        (status = 200, description = "The profile with its new version.", body = ScanProfileView),
        (status = 409, description = "Another one has the name, or it has all the versions that one may have (`limit_reached`).", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[put("/scan-profiles/{id}")]
async fn change_profile(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ProfileId>,
    Body(body): Body<ScanProfileRequest>,
) -> Result<Json<ScanProfileView>, Problem> {
    caller.may(Permission::ScansWrite)?;
    let (name, description, wanted) = body.check(app.settings.task_seconds)?;
    let (now, organization, by) = (app.clock.now(), caller.organization_id, caller.label());
    let new = Written { name: &name, description: &description, wanted: &wanted, by: &by };
    let stored = app.db.run("change_profile", organization, async |tx| {
        quota::lock(tx, organization).await?;
        let before = profiles::find(tx, id.0).await?.ok_or(Problem::NotFound("scan profile"))?;
        if before.version >= MOST_VERSIONS {
            let most = MOST_VERSIONS.unsigned_abs();
            return Err(Problem::LimitReached { what: "versions of one profile", most });
        }
        let version = profiles::change(tx, organization, id.0, new, now).await;
        let version = version.map_err(|error| Problem::unless_taken(error, PROFILE_IS_NAMED, "scan profile"))?;
        let version = version.ok_or(Problem::NotFound("scan profile"))?;
        let was = json!({"name": before.name, "version": before.version, "wanted": before.wanted});
        let entry = context
            .entry(now, &by, AuditAction::ScanProfileChanged, Some(id.0.to_string()))
            .change(Some(was), Some(json!({"name": name, "version": version, "wanted": wanted})));
        audit::record(tx, organization, &entry).await?;
        Ok((version, before.created_at))
    });
    let (version, created_at) = stored.await?;
    let profile = Profile { id: id.0, name, description, version, wanted, created_at, updated_at: now };
    Ok(Json(ScanProfileView::own(&profile)))
}

/// Delete a profile with its versions. Scans keep what they were made with.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The profile.")),
    responses((status = 204, description = "The profile is gone."))
)]
#[delete("/scan-profiles/{id}")]
async fn delete_profile(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ProfileId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let (now, organization) = (app.clock.now(), caller.organization_id);
    app.db
        .run("delete_profile", organization, async |tx| {
            quota::lock(tx, organization).await?;
            let before = profiles::find(tx, id.0).await?.ok_or(Problem::NotFound("scan profile"))?;
            profiles::delete(tx, id.0).await?;
            let was = json!({"name": before.name, "version": before.version, "wanted": before.wanted});
            let entry = context
                .entry(now, &caller.label(), AuditAction::ScanProfileDeleted, Some(id.0.to_string()))
                .change(Some(was), None);
            Ok::<_, Problem>(audit::record(tx, organization, &entry).await?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
