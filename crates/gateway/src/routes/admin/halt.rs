//! The kill switch: stops everything, an organization, or a target, and lifts that again.

use actix_web::{HttpResponse, delete, post, web::Data};
use jiff::Timestamp;
use picket_domain::{AuditAction, OrganizationId, TargetPattern};
use picket_store::halts::{self, ALREADY_THROWN, Halt, HaltBy, HaltScope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::operator;
use crate::{App, Body, Caller, Problem, RequestContext, idempotency};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(throw_switch).service(lift_switch);
}

/// What is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ScopeChoice {
    /// Everything.
    Global,
    /// One organization.
    Organization,
    /// What a pattern covers, of everybody or of one organization.
    Target,
}

/// What to stop, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ThrowRequest {
    #[schema(inline)]
    scope: ScopeChoice,
    /// For `organization`; for `target` where it is meant for one organization alone.
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    /// For `target`: a host name, an address, a network of any size, or `*.` and a name for every name below it.
    #[schema(max_length = 255, example = "192.0.2.0/24")]
    target: Option<String>,
    /// Why; the people whose scans are stopped or refused read it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What to let run again: just what was stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LiftRequest {
    #[schema(inline)]
    scope: ScopeChoice,
    /// As it was stopped.
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    /// As it was stopped.
    #[schema(max_length = 255)]
    target: Option<String>,
}

/// Something that is stopped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HaltView {
    /// `global`, `organization` or `target`.
    scope: &'static str,
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    target: Option<String>,
    reason: String,
    created_by: String,
    created_at: Timestamp,
}

impl HaltView {
    pub(super) fn new(halt: Halt) -> Self {
        let scope = match (&halt.scope.pattern, halt.scope.organization_id) {
            (Some(_), _) => "target",
            (None, Some(_)) => "organization",
            (None, None) => "global",
        };
        Self {
            scope,
            organization_id: halt.scope.organization_id,
            target: halt.scope.pattern.map(|pattern| pattern.text().to_owned()),
            reason: halt.reason,
            created_by: halt.created_by,
            created_at: halt.created_at,
        }
    }
}

/// Stop scanning.
///
/// What it covers is admitted no longer, unfinished scans of it are cancelled within seconds, and new ones are refused with
/// 409 `scanning_halted`. Lifting it brings nothing back that was cancelled. Needs credentials shown within the last hour.
#[utoipa::path(
    tag = "administration",
    request_body = ThrowRequest,
    responses(
        (status = 201, description = "It is stopped.", body = HaltView),
        (status = 409, description = "It is stopped already.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/admin/kill-switch")]
async fn throw_switch(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<ThrowRequest>,
) -> Result<HttpResponse, Problem> {
    let person = operator(&app, &caller).await?;
    let now = app.clock.now();
    caller.fresh(now)?;
    let scope = scope(body.scope, body.organization_id, body.target.as_deref())?;
    let reason = reason(&body.reason)?;
    let by = by(&caller, &context, person.organization_id, now);
    let halt = Halt { scope, created_at: now, created_by: caller.label(), reason };
    let response = app.db.operate("throw_switch", async |tx| {
        let thrown = halts::throw(tx, &halt, &by).await;
        if !thrown.map_err(|error| Problem::unless_taken(error, ALREADY_THROWN, "kill switch"))? {
            return Err(Problem::NotFound("organization"));
        }
        idempotency::keep(&app, tx, HttpResponse::Created().json(HaltView::new(halt.clone()))).await
    });
    let response = response.await?;
    tracing::warn!(scope = ?halt.scope, "an operator has stopped scanning");
    Ok(response)
}

/// Let scans run again.
#[utoipa::path(
    tag = "administration",
    request_body = LiftRequest,
    responses(
        (status = 204, description = "It is stopped no longer."),
        (status = 404, description = "It was not stopped.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[delete("/admin/kill-switch")]
async fn lift_switch(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<LiftRequest>,
) -> Result<HttpResponse, Problem> {
    let person = operator(&app, &caller).await?;
    let now = app.clock.now();
    caller.fresh(now)?;
    let scope = scope(body.scope, body.organization_id, body.target.as_deref())?;
    let by = by(&caller, &context, person.organization_id, now);
    let lifted = app.db.operate("lift_switch", async |tx| halts::lift(tx, &scope, &by).await);
    if !lifted.await.map_err(Problem::Store)? {
        return Err(Problem::NotFound("kill switch"));
    }
    tracing::warn!(?scope, "an operator lets scans run again");
    Ok(HttpResponse::NoContent().finish())
}

fn scope(
    wanted: ScopeChoice,
    organization_id: Option<OrganizationId>,
    target: Option<&str>,
) -> Result<HaltScope, Problem> {
    let missing = |field| Err(Problem::field(field, "missing_field", format!("expected `{field}` for this scope")));
    let conflict = |field| Err(Problem::field(field, "conflict", format!("expected no `{field}` for this scope")));
    match (wanted, organization_id, target) {
        (ScopeChoice::Global, Some(_), _) => conflict("organization_id"),
        (ScopeChoice::Global | ScopeChoice::Organization, _, Some(_)) => conflict("target"),
        (ScopeChoice::Organization, None, None) => missing("organization_id"),
        (ScopeChoice::Target, _, None) => missing("target"),
        (ScopeChoice::Global | ScopeChoice::Organization, organization_id, None) => {
            Ok(HaltScope { organization_id, pattern: None })
        }
        (ScopeChoice::Target, organization_id, Some(target)) => {
            let pattern = TargetPattern::parse(target).map_err(|error| Problem::target("target", &error))?;
            Ok(HaltScope { organization_id, pattern: Some(pattern) })
        }
    }
}

fn reason(text: &str) -> Result<String, Problem> {
    if (1..=LONGEST_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let message = format!("expected 1 to {LONGEST_REASON} characters without control characters");
    Err(Problem::field("reason", "invalid_value", message))
}

fn by(caller: &Caller, context: &RequestContext, organization_id: OrganizationId, now: Timestamp) -> HaltBy {
    // The action is told by what is done.
    HaltBy { organization_id, entry: context.entry(now, &caller.label(), AuditAction::ScanningHalted, None) }
}
