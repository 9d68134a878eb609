//! Inviting: the letter that holds the token is stored with the invitation, and nobody else ever sees the token.

use actix_web::{
    HttpResponse, delete, get, post,
    web::{Data, Json},
};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{AuditAction, InvitationId, Letter, Permission, Role};
use picket_store::{
    Tx, audit,
    invitations::{self, Invitation, NewInvitation},
    members, organizations, quota,
    scans::read::Range,
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{rank, view::InvitationView};
use crate::{
    App, Body, Caller, FieldError, Id, Listed, PageQuery, Problem, RequestContext, idempotency,
    mailbox::{self, Recipient},
    paging::PageParams,
    routes::auth::views::check_address,
    token_text::TokenKind,
};

/// How long an invitation can be taken up, unless the inviter says otherwise, and at most.
const USUAL: SignedDuration = SignedDuration::from_hours(7 * 24);
const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Invitations of one organization that can be taken up at one time.
const MOST_PENDING: u32 = 100;
/// Letters to strangers that one organization causes in a day.
const MOST_A_DAY: i64 = 200;
/// The letter's template, whose letters to one address are counted.
const TEMPLATE: &str = "invitation";
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(invite).service(list_invitations).service(withdraw_invitation);
}

/// Whom to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitationRequest {
    /// The address that the letter goes to; nobody else can take the invitation up.
    #[schema(format = "email", max_length = 254, example = "grace@example.com")]
    email: String,
    /// `owner`, `admin`, `analyst` or `viewer`; none above your own.
    #[schema(value_type = String, example = "analyst")]
    role: Role,
    /// Until when; in 7 days when absent, in 30 at most.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Invite somebody by mail.
///
/// A further invitation of the same address replaces the earlier one, whose link is dead then. Your own address must be
/// proven. An address gets five invitations an hour at most, from all organizations together.
#[utoipa::path(
    tag = "team",
    request_body = InvitationRequest,
    responses(
        (status = 201, description = "The letter is on its way.", body = InvitationView),
        (status = 403, description = "Your own address is not proven (`email_unverified`), or the role is above yours.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "Somebody with this address is a member (`already_exists`), or 100 invitations are pending (`limit_reached`).", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/settings/team/invite")]
async fn invite(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<InvitationRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TeamWrite)?;
    let now = app.clock.now();
    let (email, expires_at) = body.check(now)?;
    let token = TokenKind::Invitation.generate();
    let new = NewInvitation {
        id: InvitationId::mint(now),
        organization_id: caller.organization_id,
        email: &email,
        role: body.role,
        digest: token.digest,
        invited_by: caller.user_id(),
        expires_at,
    };
    app.db
        .operate("invite", async |tx| {
            check(tx, &caller, &new, now).await?;
            if mailbox::is_full(&app, tx, &email, TEMPLATE).await? {
                return Err(Problem::RateLimited { retry_after: mailbox::PERIOD.as_secs().unsigned_abs() });
            }
            invitations::create(tx, &new, now).await?;
            post_letter(&app, tx, &new, token.secret.expose_secret()).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::InvitationCreated, Some(new.id.to_string()))
                .change(None, Some(json!({"email": email, "role": new.role, "expires_at": expires_at})));
            audit::record(tx, caller.organization_id, &entry).await?;
            let (id, role, invited_by) = (new.id, new.role, new.invited_by);
            let email = email.clone();
            let view = InvitationView::new(Invitation { id, email, role, invited_by, created_at: now, expires_at });
            idempotency::keep(&app, tx, HttpResponse::Created().json(view)).await
        })
        .await
}

/// Whether this may be stored: the inviter has the role and a proven address, the invited is no member, and there is room. Takes the lock.
async fn check(tx: &Tx<'_>, caller: &Caller, new: &NewInvitation<'_>, now: Timestamp) -> Result<(), Problem> {
    let organization = caller.organization_id;
    quota::lock(tx, organization).await?;
    // Whoever took a foreign address must not write to strangers in its name.
    if !members::find_person(tx, new.invited_by).await?.is_some_and(|inviter| inviter.is_verified) {
        return Err(Problem::EmailUnverified);
    }
    if new.role > rank(tx, caller, organization).await? {
        return Err(Problem::Outranked);
    }
    if let Some(person) = members::find_by_address(tx, new.email).await?
        && members::find(tx, organization, person.user_id).await?.is_some()
    {
        return Err(Problem::AlreadyExists("member"));
    }
    let since = now.saturating_sub(DAY).map_err(Problem::internal)?;
    let counts = invitations::count(tx, organization, now, since).await?;
    if counts.pending >= i64::from(MOST_PENDING) {
        return Err(Problem::LimitReached { what: "pending invitations", most: MOST_PENDING });
    }
    if counts.recent >= MOST_A_DAY {
        return Err(Problem::RateLimited { retry_after: DAY.as_secs().unsigned_abs() });
    }
    Ok(())
}

async fn post_letter(app: &App, tx: &Tx<'_>, new: &NewInvitation<'_>, token: &str) -> Result<(), Problem> {
    let inviter = members::find_person(tx, new.invited_by).await?.ok_or(Problem::Unauthenticated)?;
    let organization = organizations::name(tx, new.organization_id).await?;
    let letter = Letter::Invitation {
        inviter: inviter.name,
        organization: organization.ok_or(Problem::NotFound("organization"))?,
        role: new.role,
        link: link(app, token),
        expires_at: new.expires_at,
    };
    let to = Recipient { email: new.email, locale: inviter.locale, organization_id: Some(new.organization_id) };
    mailbox::post(app, tx, to, &letter).await
}

/// Where the invited looks at the offer.
fn link(app: &App, token: &str) -> String {
    app.links.to(&format!("/api/v1/settings/team/invitations/{token}/accept"))
}

/// List the invitations that can be taken up, newest first.
#[utoipa::path(
    tag = "team",
    params(PageParams),
    responses((status = 200, description = "A page of invitations.", body = Listed<InvitationView>))
)]
#[get("/settings/team/invitations")]
async fn list_invitations(
    app: Data<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Json<Listed<InvitationView>>, Problem> {
    caller.may(Permission::TeamRead)?;
    let now = app.clock.now();
    let range = Range { limit: query.page().limit(), offset: query.page().offset() };
    let found = app
        .db
        .read("list_invitations", caller.organization_id, async |tx| {
            Ok::<_, Problem>(invitations::list(tx, range, now).await?)
        })
        .await?;
    Ok(Json(query.list(found.rows.into_iter().map(InvitationView::new).collect(), found.total)))
}

/// Withdraw an invitation. Its link is dead at once.
#[utoipa::path(
    tag = "team",
    params(("id" = String, Path, description = "The invitation.", example = "inv_01jh…")),
    responses((status = 204, description = "Withdrawn."))
)]
#[delete("/settings/team/invitations/{id}")]
async fn withdraw_invitation(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Id(id): Id<InvitationId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TeamWrite)?;
    let now = app.clock.now();
    app.db
        .run("withdraw_invitation", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            let gone = invitations::withdraw(tx, id, now).await?.ok_or(Problem::NotFound("invitation"))?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::InvitationWithdrawn, Some(id.to_string()))
                .change(Some(json!({"email": gone.email, "role": gone.role})), None);
            Ok::<_, Problem>(audit::record(tx, caller.organization_id, &entry).await?)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

impl InvitationRequest {
    /// Names every fault.
    fn check(&self, now: Timestamp) -> Result<(String, Timestamp), Problem> {
        let email = self.email.trim().to_owned();
        let mut errors: Vec<FieldError> = check_address("email", &email).into_iter().collect();
        let latest = now.saturating_add(LONGEST).map_err(Problem::internal)?;
        let usual = now.saturating_add(USUAL).map_err(Problem::internal)?;
        let expires_at = self.expires_at.unwrap_or(usual);
        if expires_at <= now || expires_at > latest {
            let message = "expected a time that is still to come, in 30 days at most";
            errors.push(FieldError::new("expires_at", "out_of_range", message));
        }
        if errors.is_empty() { Ok((email, expires_at)) } else { Err(Problem::Invalid(errors)) }
    }
}
