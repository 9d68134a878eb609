//! The accounts of providers that a person signs in with, as the person sees them. Linking one is a flow of its own
//! (`routes/auth/oauth`); taking the last way in away is refused here.

use actix_web::{
    HttpResponse, delete, get,
    web::{Data, Json, Path},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, InvalidTransition, Letter};
use picket_store::{
    Tx, audit,
    identities::{self, Linked},
    mfa::factor::{self, FactorOwner},
    people,
    sessions::{self, Which},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, Caller, Listed, OptionalBody, PageQuery, Problem, RequestContext,
    caller::Person,
    confirm::confirm_first_factor,
    mailbox::{self, Recipient},
    paging::PageParams,
};

/// Why other sessions end.
const REASON: &str = "identity_unlinked";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_identities).service(unlink_identity);
}

/// An account at a provider that signs the person in.
#[derive(Serialize, ToSchema)]
struct IdentityView {
    /// The provider.
    #[schema(example = "github")]
    provider: String,
    /// The address that the provider named when it was linked.
    email: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the person last signed in with it.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
}

/// Who unlinks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Unlinking {
    /// The current password; a person without one must have signed in within the last ten minutes.
    #[schema(value_type = Option<String>, format = "password")]
    password: Option<SecretString>,
}

/// List the accounts of providers that sign one in.
#[utoipa::path(
    tag = "account",
    params(PageParams),
    responses((status = 200, description = "A page of them, by the provider's name.", body = Listed<IdentityView>))
)]
#[get("/account/identities")]
async fn list_identities(
    app: Data<App>,
    caller: Caller,
    query: PageQuery,
) -> Result<Json<Listed<IdentityView>>, Problem> {
    let person = caller.person()?;
    let all = find(&app, person).await?;
    // There is one a provider: fewer than a page.
    let page = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let total = u64::try_from(all.len()).map_err(Problem::internal)?;
    let rows = all.into_iter().skip(page(query.page().offset())).take(page(query.page().limit()));
    Ok(Json(query.list(rows.map(IdentityView::from).collect(), total)))
}

/// Unlink the account of a provider.
///
/// It signs nobody in from now on, and every other session of the caller ends. Refused for the last way to sign in: a person
/// without a password sets one first by `POST /account/forgot-password`.
#[utoipa::path(
    tag = "account",
    params(("provider" = String, Path, description = "The provider.", example = "github")),
    request_body = Option<Unlinking>,
    responses(
        (status = 204, description = "Unlinked."),
        (status = 401, description = "The password is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "A person without a password signed in too long ago (`login_required`).", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "It is the last way to sign in.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[delete("/account/identities/{provider}")]
async fn unlink_identity(
    app: Data<App>,
    context: RequestContext,
    caller: Caller,
    provider: Path<String>,
    OptionalBody(body): OptionalBody<Unlinking>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let owner = app
        .db
        .operate("unlink_identity_of", async |tx| {
            known(tx, person, &provider).await?;
            factor::find(tx, person.user_id).await?.ok_or(Problem::Unauthenticated)
        })
        .await?;
    confirm_first_factor(&app, &context, person, &owner, body.and_then(|body| body.password)).await?;
    app.db.operate("unlink_identity", async |tx| unlink(&app, tx, &context, person, &provider).await).await?;
    app.callers.forget();
    Ok(HttpResponse::NoContent().finish())
}

async fn find(app: &App, person: Person) -> Result<Vec<Linked>, Problem> {
    app.db.operate("list_identities", async |tx| Ok::<_, Problem>(identities::list(tx, person.user_id).await?)).await
}

/// The person's accounts, when the one at this provider is among them. What a client names never reaches the database.
async fn known(tx: &Tx<'_>, person: Person, provider: &str) -> Result<Vec<Linked>, Problem> {
    let all = identities::list(tx, person.user_id).await?;
    if all.iter().any(|one| one.provider == provider) { Ok(all) } else { Err(Problem::NotFound("identity")) }
}

async fn unlink(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    person: Person,
    provider: &str,
) -> Result<(), Problem> {
    let (user, now) = (person.user_id, app.clock.now());
    let organizations = people::lock_organizations(tx, user, None).await?;
    let owner = factor::lock(tx, user).await?.ok_or(Problem::Unauthenticated)?;
    let all = known(tx, person, provider).await?;
    demand_another_way(app, &owner, &all, provider)?;
    identities::unlink(tx, user, provider).await?;
    sessions::revoke_of_user(tx, user, Which::AllBut(person.session_id), REASON, now).await?;
    let id = user.to_string();
    let entry = context.entry(now, &id, AuditAction::IdentityUnlinked, Some(id.clone()));
    let entry = entry.change(Some(json!({"provider": provider})), None);
    for organization in organizations {
        audit::record(tx, organization, &entry).await?;
    }
    let letter =
        Letter::IdentityChanged { name: owner.name.clone(), provider: provider.to_owned(), linked: false, at: now };
    let to = Recipient { email: &owner.email, locale: owner.locale, organization_id: None };
    mailbox::post(app, tx, to, &letter).await
}

/// A password, or the account of another provider that is still set up.
fn demand_another_way(app: &App, owner: &FactorOwner, all: &[Linked], provider: &str) -> Result<(), Problem> {
    let opens = |one: &Linked| one.provider != provider && app.providers.find(&one.provider).is_some();
    if owner.password_hash.is_some() || all.iter().any(opens) {
        return Ok(());
    }
    let from = "the last way to sign in; set a password by POST /account/forgot-password first";
    Err(InvalidTransition { action: "unlink", entity: "identity", from }.into())
}

impl From<Linked> for IdentityView {
    fn from(one: Linked) -> Self {
        Self { provider: one.provider, email: one.email, created_at: one.created_at, last_used_at: one.last_used_at }
    }
}
