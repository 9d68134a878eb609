//! `/exclusions`: what an organization never has scanned, whatever allows it. Adding one stops what is on its way there, in
//! the same transaction.

use actix_web::{
    HttpResponse, delete, get, post,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, Exclusion, ExclusionId, HoursError, Permission, WeeklyHours, WrittenHours};
use picket_store::{
    Tx, audit,
    exclusions::{self, IS_EXCLUDED, ListedExclusion},
    quota,
    scans::read::Range,
    tasks::authority,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, Body, Caller, FieldError, Id, Listed, PageQuery, Problem, RequestContext, idempotency, paging::PageParams,
};

/// Characters of a reason.
const LONGEST_REASON: usize = 500;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(create_exclusion).service(list_exclusions).service(delete_exclusion);
}

/// Something that is never to be scanned.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewExclusion {
    /// A host name, an address, a network of any size, or a pattern of names where `*` stands for any characters.
    #[schema(min_length = 1, max_length = 253, example = "*.internal.example.com")]
    value: String,
    /// Why.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// The hours of the week in which it is not to be scanned; always when absent.
    #[serde(default, deserialize_with = "crate::body::object")]
    hours: Option<NewHours>,
}

/// Hours of the week.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHours {
    /// The days on which they begin: `mon` to `sun`.
    #[schema(min_items = 1, max_items = 7, example = json!(["mon", "tue", "wed", "thu", "fri"]))]
    days: Vec<String>,
    /// When they begin, `HH:MM`.
    #[schema(example = "09:00")]
    begins: String,
    /// When they end, `HH:MM` to `24:00`; on the next day when that is before they begin.
    #[schema(example = "17:00")]
    ends: String,
    /// The time zone that these are meant in; `UTC` when absent.
    #[schema(max_length = 64, example = "Europe/Berlin")]
    time_zone: Option<String>,
}

/// Something that is never scanned.
#[derive(Serialize, ToSchema)]
struct ExclusionView {
    /// Identity.
    #[schema(value_type = String)]
    id: ExclusionId,
    /// In its canonical form.
    #[schema(example = "*.internal.example.com")]
    value: String,
    /// `host`, `network` or `names`.
    #[schema(example = "names")]
    kind: &'static str,
    /// Why.
    reason: Option<String>,
    /// The hours of the week in which it holds; null for always.
    hours: Option<HoursView>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// By whom.
    created_by: String,
    /// Tasks that were on their way there and were stopped; only in the answer that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stopped_tasks: Option<u64>,
}

impl ExclusionView {
    fn new(listed: ListedExclusion, stopped_tasks: Option<u64>) -> Self {
        let ListedExclusion { id, exclusion, reason, hours, created_at, created_by } = listed;
        let (value, kind) = (exclusion.to_string(), exclusion.kind());
        Self { id, value, kind, reason, hours: hours.map(HoursView::of), created_at, created_by, stopped_tasks }
    }
}

/// Hours of the week.
#[derive(Serialize, ToSchema)]
struct HoursView {
    /// The days on which they begin.
    days: Vec<String>,
    /// When they begin.
    #[schema(example = "09:00")]
    begins: String,
    /// When they end; on the next day when that is before they begin.
    #[schema(example = "17:00")]
    ends: String,
    /// The time zone that these are meant in.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
}

impl HoursView {
    fn of(hours: WrittenHours) -> Self {
        let WrittenHours { days, begins, ends, time_zone } = hours;
        Self { days, begins, ends, time_zone }
    }
}

/// Exclude something from every scan.
///
/// Scans of what it covers are refused (`target_excluded`), and tasks on their way there are stopped, also those that run.
/// It covers a network as soon as it covers one of its addresses. With hours it holds within them alone: scans are refused then,
/// and what is on its way there when they begin is stopped, and stays stopped. To have scans wait instead, see blackout windows.
#[utoipa::path(
    tag = "targets",
    request_body = NewExclusion,
    responses(
        (status = 201, description = "It is excluded.", body = ExclusionView),
        (status = 409, description = "It is excluded already, or there are 1,000 exclusions (`limit_reached`).", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/exclusions")]
async fn create_exclusion(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<NewExclusion>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsWrite)?;
    let (now, organization) = (app.clock.now(), caller.organization_id);
    let (exclusion, hours) = body.check()?;
    let (id, created_by) = (ExclusionId::mint(now), caller.label());
    let (written, is_held) = match hours {
        Some((written, hours)) => (Some(written), hours.cover(now)),
        None => (None, true),
    };
    let new = ListedExclusion { id, exclusion, reason: body.reason, hours: written, created_at: now, created_by };
    let stored = app.db.run("create_exclusion", organization, async |tx| {
        quota::lock(tx, organization).await?;
        if exclusions::count(tx).await? >= exclusions::MOST {
            return Err(Problem::LimitReached { what: "exclusions", most: 1_000 });
        }
        if let Some(hours) = &new.hours
            && !exclusions::knows_zone(tx, &hours.time_zone).await?
        {
            return Err(Problem::field("hours.time_zone", "invalid_value", HoursError::Zone.to_string()));
        }
        let created = exclusions::create(tx, organization, &new).await;
        created.map_err(|error| Problem::unless_taken(error, IS_EXCLUDED, "exclusion"))?;
        let stopped = if is_held { authority::stop_excluded(tx, organization, &new.exclusion, now).await? } else { 0 };
        let after = json!({"exclusion": shown(&new), "stopped_tasks": stopped});
        let entry = context
            .entry(now, &caller.label(), AuditAction::ExclusionCreated, Some(id.to_string()))
            .change(None, Some(after));
        audit::record(tx, organization, &entry).await?;
        let view = ExclusionView::new(new, Some(stopped));
        idempotency::keep(&app, tx, HttpResponse::Created().json(view)).await
    });
    stored.await
}

/// List exclusions, newest first.
#[utoipa::path(
    tag = "targets",
    params(PageParams),
    responses((status = 200, description = "A page of exclusions.", body = Listed<ExclusionView>)),
)]
#[get("/exclusions")]
async fn list_exclusions(
    app: Data<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Json<Listed<ExclusionView>>, Problem> {
    caller.may(Permission::TargetsRead)?;
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let read = async |tx: &Tx<'_>| Ok::<_, Problem>(exclusions::list(tx, range).await?);
    let found = app.db.read("list_exclusions", caller.organization_id, read).await?;
    let views = found.rows.into_iter().map(|one| ExclusionView::new(one, None)).collect();
    Ok(Json(query.list(views, found.total)))
}

/// Take an exclusion away. What was stopped stays stopped.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The exclusion.")),
    responses((status = 204, description = "It may be scanned again where something allows it.")),
)]
#[delete("/exclusions/{id}")]
async fn delete_exclusion(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<ExclusionId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsAuthorize)?;
    let (now, organization) = (app.clock.now(), caller.organization_id);
    app.db
        .run("delete_exclusion", organization, async |tx| {
            quota::lock(tx, organization).await?;
            let gone = exclusions::delete(tx, id.0).await?.ok_or(Problem::NotFound("exclusion"))?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::ExclusionDeleted, Some(id.0.to_string()))
                .change(Some(shown(&gone)), None);
            Ok::<_, Problem>(audit::record(tx, organization, &entry).await?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// An exclusion in the audit log.
fn shown(one: &ListedExclusion) -> Value {
    json!({"value": one.exclusion.to_string(), "reason": one.reason, "hours": one.hours})
}

impl NewExclusion {
    /// Names every fault.
    fn check(&self) -> Result<(Exclusion, Option<(WrittenHours, WeeklyHours)>), Problem> {
        let mut errors = Vec::new();
        let hours = self.hours.as_ref().map(NewHours::check).transpose();
        if let Err(error) = &hours {
            errors.push(FieldError::new(format!("hours.{}", error.field()), "invalid_value", error.to_string()));
        }
        if let Some(reason) = &self.reason
            && (!(1..=LONGEST_REASON).contains(&reason.chars().count()) || reason.chars().any(char::is_control))
        {
            let message = "expected 1 to 500 characters without control characters";
            errors.push(FieldError::new("reason", "invalid_value", message));
        }
        match (Exclusion::parse(&self.value), hours) {
            (Ok(exclusion), Ok(hours)) if errors.is_empty() => Ok((exclusion, hours)),
            (Ok(_), _) => Err(Problem::Invalid(errors)),
            (Err(error), _) => {
                errors.insert(0, FieldError::new("value", "invalid_value", error.to_string()));
                Err(Problem::Invalid(errors))
            }
        }
    }
}

impl NewHours {
    /// As they are kept, and what they mean. The name of the zone is kept as its database spells it.
    fn check(&self) -> Result<(WrittenHours, WeeklyHours), HoursError> {
        let Self { days, begins, ends, time_zone } = self;
        let hours = WeeklyHours::parse(days, begins, ends, time_zone.as_deref().unwrap_or("UTC"))?;
        let (days, begins, ends) = (days.clone(), begins.clone(), ends.clone());
        Ok((WrittenHours { days, begins, ends, time_zone: hours.zone().to_owned() }, hours))
    }
}
