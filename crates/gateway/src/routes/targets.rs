//! `/targets`: what an organization keeps to scan. Keeping a target authorizes nothing: that is done by proving it
//! (`verification.rs`) or in writing (`authorization.rs`).

mod authorization;
mod bulk;
mod verification;
mod view;
mod words;

use actix_web::{
    HttpResponse, delete, get,
    http::header::LOCATION,
    patch, post,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, Criticality, Permission, Politeness, Subscription, Target, TargetId};
use picket_store::{
    Tx, audit, authorizations,
    quota::{self, Quota},
    scans::read::Range,
    targets::{self, ListedTarget, NewTarget, TARGET_IS_LISTED, TargetFilter, TargetWords, Verification},
    tasks::authority,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use self::view::{TargetDetailView, TargetView};
use crate::{
    App, Body, Caller, FieldError, Id, Listed, Problem, Query, RequestContext, body::Patch, idempotency,
    paging::PageParams,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(create_target)
        .service(list_targets)
        .service(bulk::upsert_targets)
        .service(get_target)
        .service(update_target)
        .service(delete_target);
    verification::configure(config);
    authorization::configure(config);
}

/// A target to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTargetRequest {
    /// A host name, an address or a network; of an `http` or `https` URL its host is kept.
    #[schema(min_length = 1, max_length = 2048, example = "example.com")]
    target: String,
    /// Words of yours.
    #[serde(default)]
    #[schema(max_items = 20)]
    tags: Vec<String>,
    /// `low`, `medium`, `high` or `critical`: how much it matters to you; `medium` when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "high")]
    criticality: Criticality,
    /// Whom to ask about it.
    #[schema(max_length = 200)]
    owner: Option<String>,
}

/// A change of a target; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TargetChange {
    /// Words of yours, in place of those that are there.
    #[schema(max_items = 20)]
    tags: Option<Vec<String>>,
    /// `low`, `medium`, `high` or `critical`.
    #[schema(value_type = Option<String>)]
    criticality: Option<Criticality>,
    /// Whom to ask about it; null for nobody.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 200)]
    owner: Patch<String>,
    /// How gently it is to be examined, in place of what is there; null for as every target.
    #[serde(default)]
    #[schema(value_type = Option<PolitenessChange>)]
    politeness: Patch<PolitenessChange>,
}

/// How gently a target is to be examined. It only ever lowers what the plan and the operator allow.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PolitenessChange {
    /// Tasks of yours that examine one of its hosts at once; at most the tasks at once of your plan.
    #[schema(minimum = 1, maximum = 40, example = 1)]
    max_tasks: Option<u32>,
    /// The most requests or packets in a second of one run, of the tools that can be told one (nmap, ffuf, nuclei).
    #[schema(minimum = 1, maximum = 1000, example = 50)]
    max_rate: Option<u32>,
}

/// Which targets are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TargetsQuery {
    /// The page, from 1.
    #[param(minimum = 1, maximum = 10000)]
    page: Option<u32>,
    /// Elements per page, under v1.
    #[param(minimum = 1, maximum = 100)]
    per_page: Option<u32>,
    /// Elements per page, under v2.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those of this kind: `host`, `address` or `network`.
    kind: Option<String>,
    /// Only those that are `verified`, `pending` or `unverified`.
    verification: Option<String>,
}

/// Keep a target.
#[utoipa::path(
    tag = "targets",
    request_body = NewTargetRequest,
    responses(
        (status = 201, description = "Kept.", body = TargetView),
        (status = 409, description = "It is kept already, or the plan allows no further one (`limit_reached`).", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/targets")]
async fn create_target(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<NewTargetRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsWrite)?;
    let now = app.clock.now();
    let (target, words) = body.check(caller.subscription)?;
    let new = NewTarget { id: TargetId::mint(now), target, words, created_at: now };
    let organization = caller.organization_id;
    let entry = context
        .entry(now, &caller.label(), AuditAction::TargetCreated, Some(new.id.to_string()))
        .change(None, Some(shown(&new.target, &new.words)));
    let stored = app.db.run("create_target", organization, async |tx| {
        quota::lock(tx, organization).await?.demand(tx, |limits| Quota::Targets(limits.targets)).await?;
        let created = targets::create(tx, organization, &new).await;
        created.map_err(|error| Problem::unless_taken(error, TARGET_IS_LISTED, "target"))?;
        audit::record(tx, organization, &entry).await?;
        let location = (LOCATION, format!("/api/{}/targets/{}", context.dialect.name(), new.id));
        let response = HttpResponse::Created().insert_header(location).json(TargetView::new(new.into()));
        idempotency::keep(&app, tx, response).await
    });
    stored.await
}

/// List targets, newest first.
#[utoipa::path(
    tag = "targets",
    params(TargetsQuery),
    responses((status = 200, description = "A page of targets.", body = Listed<TargetView>))
)]
#[get("/targets")]
async fn list_targets(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Query(query): Query<TargetsQuery>,
) -> Result<Json<Listed<TargetView>>, Problem> {
    caller.may(Permission::TargetsRead)?;
    let TargetsQuery { page, per_page, limit, tag, kind, verification } = query;
    let page = PageParams { page, per_page, limit }.check(context.dialect)?;
    let verification = verification.as_deref().map(|name| {
        let expected = || unknown("verification", &Verification::ALL.map(Verification::name));
        Verification::find(name).ok_or_else(expected)
    });
    const KINDS: [&str; 3] = ["host", "address", "network"];
    if kind.as_deref().is_some_and(|kind| !KINDS.contains(&kind)) {
        return Err(unknown("kind", &KINDS));
    }
    let filter = TargetFilter { tag: tag.as_deref(), kind: kind.as_deref(), verification: verification.transpose()? };
    let range = Range { limit: page.page().limit(), offset: page.page().offset() };
    let now = app.clock.now();
    let read = async |tx: &Tx<'_>| Ok::<_, Problem>(targets::list(tx, filter, range, now).await?);
    let found = app.db.read("list_targets", caller.organization_id, read).await?;
    Ok(Json(page.list(found.rows.into_iter().map(TargetView::new).collect(), found.total)))
}

/// Get a target, with what allows its scans.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    responses((status = 200, description = "The target.", body = TargetDetailView)),
)]
#[get("/targets/{id}")]
async fn get_target(app: Data<App>, caller: Caller, id: Id<TargetId>) -> Result<Json<TargetDetailView>, Problem> {
    caller.may(Permission::TargetsRead)?;
    let now = app.clock.now();
    Ok(Json(app.db.read("get_target", caller.organization_id, async |tx| detail(tx, id.0, now).await).await?))
}

/// Change what you say of a target.
///
/// Which target it is never changes: another one needs proofs of its own.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    request_body = TargetChange,
    responses((status = 200, description = "The target as it is now.", body = TargetDetailView)),
)]
#[patch("/targets/{id}")]
async fn update_target(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<TargetId>,
    Body(body): Body<TargetChange>,
) -> Result<Json<TargetDetailView>, Problem> {
    caller.may(Permission::TargetsWrite)?;
    let now = app.clock.now();
    let organization = caller.organization_id;
    let changed = app
        .db
        .run("update_target", organization, async |tx| {
            quota::lock(tx, organization).await?;
            let ListedTarget { target, words: before, .. } = find(tx, id.0, now).await?;
            let words = body.apply(before.clone(), caller.subscription)?;
            targets::update(tx, id.0, &words).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::TargetUpdated, Some(id.0.to_string()))
                .change(Some(shown(&target, &before)), Some(shown(&target, &words)));
            audit::record(tx, organization, &entry).await?;
            detail(tx, id.0, now).await
        })
        .await?;
    Ok(Json(changed))
}

/// Remove a target, with its proofs and its authorization.
///
/// Its scans and findings stay as long as results are kept; tasks that rely on what is gone and have not begun fail as
/// `target_not_authorized`.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    responses((status = 204, description = "The target is gone.")),
)]
#[delete("/targets/{id}")]
async fn delete_target(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<TargetId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsWrite)?;
    let now = app.clock.now();
    let organization = caller.organization_id;
    app.db
        .run("delete_target", organization, async |tx| {
            quota::lock(tx, organization).await?;
            let ListedTarget { target, words, .. } = find(tx, id.0, now).await?;
            targets::delete(tx, id.0).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::TargetDeleted, Some(id.0.to_string()))
                .change(Some(shown(&target, &words)), None);
            audit::record(tx, organization, &entry).await?;
            Ok::<_, Problem>(authority::end_fallen(tx, organization, now).await?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The caller's target; another organization's does not exist.
async fn find(tx: &Tx<'_>, id: TargetId, now: Timestamp) -> Result<ListedTarget, Problem> {
    targets::find(tx, id, now).await?.ok_or(Problem::NotFound("target"))
}

async fn detail(tx: &Tx<'_>, id: TargetId, now: Timestamp) -> Result<TargetDetailView, Problem> {
    let target = find(tx, id, now).await?;
    let written = authorizations::of_target(tx, id).await?;
    let last_scan = targets::last_scan(tx, &target.target).await?;
    let open = targets::open_findings(tx, &target.target).await?;
    Ok(TargetDetailView::new(target, written, (last_scan, open), now))
}

/// A target in the audit log.
fn shown(target: &Target, words: &TargetWords) -> Value {
    json!({
        "target": target.to_string(),
        "tags": words.tags,
        "criticality": words.criticality,
        "owner": words.owner,
        "politeness": words.politeness,
    })
}

fn unknown(field: &str, known: &[&str]) -> Problem {
    Problem::field(field, "unknown_value", format!("expected one of {}", known.join(", ")))
}

impl NewTargetRequest {
    /// Names every fault.
    fn check(self, plan: Subscription) -> Result<(Target, TargetWords), Problem> {
        let mut errors = words::faults(Some(&self.tags), self.owner.as_deref());
        match words::target(&self.target, plan) {
            Ok(target) if errors.is_empty() => {
                let Self { tags, criticality, owner, .. } = self;
                Ok((target, TargetWords { tags, criticality, owner, politeness: Politeness::default() }))
            }
            Ok(_) => Err(Problem::Invalid(errors)),
            Err(error) => {
                errors.insert(0, error);
                Err(Problem::Invalid(errors))
            }
        }
    }
}

impl TargetChange {
    fn apply(&self, mut words: TargetWords, plan: Subscription) -> Result<TargetWords, Problem> {
        self.owner.clone().apply(&mut words.owner);
        let mut errors: Vec<FieldError> = words::faults(self.tags.as_ref(), words.owner.as_deref());
        match self.politeness {
            Patch::Keep => {}
            Patch::Clear => words.politeness = Politeness::default(),
            Patch::Set(PolitenessChange { max_tasks, max_rate }) => {
                words.politeness = Politeness { max_tasks, max_rate };
                errors.extend(words::rude(words.politeness, plan));
            }
        }
        if !errors.is_empty() {
            return Err(Problem::Invalid(errors));
        }
        words.tags = self.tags.clone().unwrap_or(words.tags);
        words.criticality = self.criticality.unwrap_or(words.criticality);
        Ok(words)
    }
}
