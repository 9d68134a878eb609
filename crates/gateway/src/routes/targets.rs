//! `/targets`: what an organization keeps to scan. Keeping a target authorizes nothing.

use actix_web::{
    HttpResponse, get, post,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, Permission, Target, TargetId};
use picket_store::{
    audit,
    quota::{self, Quota},
    scans::read::Range,
    targets::{self, ListedTarget, TARGET_IS_LISTED},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, Body, Caller, FieldError, Listed, PageQuery, Problem, RequestContext, paging::PageParams};

/// Tags of one target, and characters of one tag.
const MOST_TAGS: usize = 20;
const LONGEST_TAG: usize = 50;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(create_target).service(list_targets);
}

/// A target to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTargetRequest {
    /// A host name, an address or a network.
    #[schema(min_length = 1, max_length = 253, example = "example.com")]
    target: String,
    /// Words of yours.
    #[serde(default)]
    #[schema(max_items = 20)]
    tags: Vec<String>,
}

/// A target.
#[derive(Serialize, ToSchema)]
struct TargetView {
    /// Identity.
    id: String,
    /// The target in its canonical form.
    target: String,
    /// `host`, `address` or `network`.
    kind: &'static str,
    /// Words of yours.
    tags: Vec<String>,
    /// Since when it is kept.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
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
    let (target, tags) = body.check()?;
    let new = ListedTarget { id: TargetId::mint(now), target, tags, created_at: now };
    let organization = caller.organization_id;
    let entry = context
        .entry(now, &caller.label(), AuditAction::TargetCreated, Some(new.id.to_string()))
        .change(None, Some(json!({"target": new.target.to_string(), "tags": new.tags})));
    let stored = app.db.run("create_target", organization, async |tx| {
        quota::lock(tx, organization).await?.demand(tx, |limits| Quota::Targets(limits.targets)).await?;
        targets::create(tx, organization, &new).await?;
        audit::record(tx, organization, &entry).await
    });
    stored.await.map_err(|error| Problem::unless_taken(error, TARGET_IS_LISTED, "target"))?;
    Ok(HttpResponse::Created().json(TargetView::new(new)))
}

/// List targets, newest first.
#[utoipa::path(
    tag = "targets",
    params(PageParams),
    responses((status = 200, description = "A page of targets.", body = Listed<TargetView>))
)]
#[get("/targets")]
async fn list_targets(app: Data<App>, caller: Caller, query: PageQuery) -> Result<Json<Listed<TargetView>>, Problem> {
    caller.may(Permission::TargetsRead)?;
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let targets = app
        .db
        .read("list_targets", caller.organization_id, async |tx| Ok::<_, Problem>(targets::list(tx, range).await?))
        .await?;
    Ok(Json(query.list(targets.rows.into_iter().map(TargetView::new).collect(), targets.total)))
}

impl NewTargetRequest {
    /// Names every fault.
    fn check(self) -> Result<(Target, Vec<String>), Problem> {
        let mut errors = Vec::new();
        if self.tags.len() > MOST_TAGS {
            errors.push(FieldError::new("tags", "too_many", "expected at most 20 tags"));
        }
        for (place, tag) in self.tags.iter().enumerate() {
            if !(1..=LONGEST_TAG).contains(&tag.chars().count()) || tag.chars().any(char::is_control) {
                let message = "expected 1 to 50 characters without control characters";
                errors.push(FieldError::new(format!("tags[{place}]"), "invalid_value", message));
            }
        }
        match Target::parse(&self.target) {
            Ok(target) if errors.is_empty() => Ok((target, self.tags)),
            Ok(_) => Err(Problem::Invalid(errors)),
            Err(error) => {
                errors.insert(0, FieldError::new("target", "invalid_target", error.to_string()));
                Err(Problem::Invalid(errors))
            }
        }
    }
}

impl TargetView {
    fn new(listed: ListedTarget) -> Self {
        Self {
            id: listed.id.to_string(),
            target: listed.target.to_string(),
            kind: targets::kind_name(&listed.target),
            tags: listed.tags,
            created_at: listed.created_at,
        }
    }
}
