//! `/org`: the organization, its policy and limits. Plan, trial and suspension are the operator's: nothing here changes
//! them.

mod change;
mod view;

use actix_web::{
    get, patch,
    web::{Data, Json},
};
use picket_domain::{AuditAction, Permission};
use picket_store::{audit, organizations, quota};
use utoipa_actix_web::service_config::ServiceConfig;

use self::{
    change::OrganizationChange,
    view::{OrganizationDetailView, snapshot},
};
use crate::{App, Body, Caller, Problem, RequestContext};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_organization).service(change_organization);
}

/// Get the organization: its plan and limits, its policy, the days of its service levels, the branding of its reports.
#[utoipa::path(
    tag = "organization",
    responses((status = 200, description = "The organization.", body = OrganizationDetailView))
)]
#[get("/org")]
async fn get_organization(app: Data<App>, caller: Caller) -> Result<Json<OrganizationDetailView>, Problem> {
    caller.may(Permission::OrganizationRead)?;
    let organization = app
        .db
        .read("get_organization", caller.organization_id, async |tx| {
            organizations::find(tx).await?.ok_or(Problem::NotFound("organization"))
        })
        .await?;
    Ok(Json(OrganizationDetailView::new(organization)))
}

/// Change the organization.
///
/// What is absent stays as it is; null, where it is allowed, returns to the default. The policy holds within a second for
/// everybody: sessions without a second factor and requests from other addresses are refused from then on.
/// Only a person who has signed in within the last hour changes it (403 `person_required`, `login_required`).
#[utoipa::path(
    tag = "organization",
    request_body = OrganizationChange,
    responses((status = 200, description = "The organization as it is now.", body = OrganizationDetailView))
)]
#[patch("/org")]
async fn change_organization(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<OrganizationChange>,
) -> Result<Json<OrganizationDetailView>, Problem> {
    caller.may(Permission::OrganizationWrite)?;
    let now = app.clock.now();
    if body.changes_policy() {
        caller.person()?;
        caller.fresh(now)?;
    }
    let change = body.check(&context, caller.subscription.limits().retention_days)?;
    let changed = app
        .db
        .run("change_organization", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            let mut organization = organizations::find(tx).await?.ok_or(Problem::NotFound("organization"))?;
            let before = snapshot(&organization.choices);
            change.apply(&mut organization.choices);
            let after = snapshot(&organization.choices);
            if before != after {
                organizations::save(tx, &organization.choices).await?;
                let object = caller.organization_id.to_string();
                let entry = context
                    .entry(now, &caller.label(), AuditAction::OrganizationUpdated, Some(object))
                    .change(Some(before), Some(after));
                audit::record(tx, caller.organization_id, &entry).await?;
            }
            Ok::<_, Problem>(organization)
        })
        .await?;
    app.callers.forget();
    Ok(Json(OrganizationDetailView::new(changed)))
}
