//! Members: who they are, which role they have, and that they leave.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, delete,
    dev::Payload,
    get, put,
    web::{Data, Json},
};
use picket_domain::{AuditAction, IdError, Permission, Role, UserId};
use picket_store::{
    Tx, api_keys, audit,
    members::{self, MemberRow},
    quota,
    scans::read::Range,
    sessions::{self, Which},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{rank, view::MemberView};
use crate::{App, Body, Caller, Listed, PageQuery, Problem, RequestContext, Subject, paging::PageParams};

/// What sessions of somebody who was removed say of their end.
const REMOVED: &str = "member_removed";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_members).service(set_member_role).service(remove_member);
}

/// A member's new role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    /// `owner`, `admin`, `analyst` or `viewer`; none above your own.
    #[schema(value_type = String, example = "analyst")]
    role: Role,
}

/// The path segment `{member_id}`.
struct MemberId(UserId);

impl FromRequest for MemberId {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().get("member_id").unwrap_or_default();
        let refused = |error: IdError| Problem::field("member_id", "invalid_id", error.to_string());
        ready(text.parse().map(Self).map_err(refused))
    }
}

/// List the members, oldest first.
#[utoipa::path(
    tag = "team",
    params(PageParams),
    responses((status = 200, description = "A page of members.", body = Listed<MemberView>))
)]
#[get("/settings/team")]
async fn list_members(app: Data<App>, caller: Caller, query: PageQuery) -> Result<Json<Listed<MemberView>>, Problem> {
    caller.may(Permission::TeamRead)?;
    let organization = caller.organization_id;
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let found = app
        .db
        .operate("list_members", async |tx| Ok::<_, Problem>(members::list(tx, organization, range).await?))
        .await?;
    Ok(Json(query.list(found.rows.into_iter().map(MemberView::new).collect(), found.total)))
}

/// Give a member another role.
///
/// It holds from the member's next request on, and for the API keys that the member made. The last owner stays one (409
/// `last_owner`).
#[utoipa::path(
    tag = "team",
    params(("member_id" = String, Path, description = "The member.", example = "usr_01jh…")),
    request_body = NewRole,
    responses(
        (status = 200, description = "The member as it is now.", body = MemberView),
        (status = 409, description = "The organization would have no owner.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[put("/settings/team/{member_id}/role")]
async fn set_member_role(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    MemberId(member): MemberId,
    Body(body): Body<NewRole>,
) -> Result<Json<MemberView>, Problem> {
    caller.may(Permission::TeamWrite)?;
    let (organization, now) = (caller.organization_id, app.clock.now());
    let changed = app
        .db
        .operate("set_member_role", async |tx| {
            quota::lock(tx, organization).await?;
            let mut found = touchable(tx, &caller, member).await?;
            if body.role > rank(tx, &caller, organization).await? {
                return Err(Problem::Outranked);
            }
            let before = found.role;
            if before == body.role {
                return Ok(found);
            }
            keep_an_owner(tx, &caller, &found).await?;
            members::set_role(tx, organization, member, body.role).await?;
            found.role = body.role;
            let entry = context
                .entry(now, &caller.label(), AuditAction::MemberRoleChanged, Some(member.to_string()))
                .change(Some(json!({"role": before})), Some(json!({"role": body.role})));
            audit::record(tx, organization, &entry).await?;
            Ok(found)
        })
        .await?;
    app.callers.forget();
    Ok(Json(MemberView::new(changed)))
}

/// Remove a member, or leave.
///
/// The member's sessions in the organization end, and every API key that the member made for it. Leaving needs no
/// permission. The last owner stays (409 `last_owner`).
#[utoipa::path(
    tag = "team",
    params(("member_id" = String, Path, description = "The member.", example = "usr_01jh…")),
    responses(
        (status = 204, description = "The member is none any more."),
        (status = 409, description = "The organization would have no owner.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[delete("/settings/team/{member_id}")]
async fn remove_member(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    MemberId(member): MemberId,
) -> Result<HttpResponse, Problem> {
    if !matches!(caller.subject, Subject::User { id, .. } if id == member) {
        caller.may(Permission::TeamWrite)?;
    }
    let (organization, now) = (caller.organization_id, app.clock.now());
    app.db
        .operate("remove_member", async |tx| {
            quota::lock(tx, organization).await?;
            let found = touchable(tx, &caller, member).await?;
            keep_an_owner(tx, &caller, &found).await?;
            // Sessions before the membership: whoever uses a session locks them in this order.
            let sessions = sessions::revoke_of_user(tx, member, Which::In(organization), REMOVED, now).await?;
            let keys = api_keys::revoke_of_maker(tx, organization, member, now).await?;
            members::remove(tx, organization, member).await?;
            let entry =
                context.entry(now, &caller.label(), AuditAction::MemberRemoved, Some(member.to_string())).change(
                    Some(json!({"email": found.email, "role": found.role})),
                    Some(json!({"sessions_revoked": sessions, "api_keys_revoked": keys})),
                );
            audit::record(tx, organization, &entry).await?;
            Ok::<_, Problem>(())
        })
        .await?;
    app.callers.forget();
    Ok(HttpResponse::NoContent().finish())
}

/// A member of the caller's organization whom the caller may change. Behind the organization's lock.
async fn touchable(tx: &Tx<'_>, caller: &Caller, member: UserId) -> Result<MemberRow, Problem> {
    let own = rank(tx, caller, caller.organization_id).await?;
    let found = members::find(tx, caller.organization_id, member).await?.ok_or(Problem::NotFound("member"))?;
    if found.role > own { Err(Problem::Outranked) } else { Ok(found) }
}

/// Demands an owner besides this member, if the member is one. Behind the organization's lock.
async fn keep_an_owner(tx: &Tx<'_>, caller: &Caller, member: &MemberRow) -> Result<(), Problem> {
    if member.role != Role::Owner || members::has_other_owner(tx, caller.organization_id, member.user_id).await? {
        Ok(())
    } else {
        Err(Problem::LastOwner)
    }
}
