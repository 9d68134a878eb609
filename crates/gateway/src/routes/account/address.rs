//! Having another address. Nothing changes before the letter to the new address is answered, and the old address hears of
//! both the wish and the change: who only took a session over can neither hurry nor hide it. Nobody learns from it who has
//! an account.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, put, web::Data};
use picket_domain::{AuditAction, Letter};
use picket_store::{
    StoreError, Tx, audit,
    email_tokens::{self, EmailPurpose},
    mfa::factor,
    people,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, Body, Caller, Problem, Query, RequestContext,
    body::Posted,
    caller::Person,
    confirm::confirm_first_factor,
    html::{self, Field, Form},
    mailbox,
    mailed_tokens::{self, CHANGE_PATH, Redeemed},
    routes::auth::{Mailed, check_address},
};

const TITLE: &str = "Confirm your new address";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(change_email).service(open_email_change).service(confirm_email_change);
}

/// The address that somebody wants to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddressChange {
    /// The address.
    #[schema(format = "email", max_length = 254, example = "ada@example.org")]
    email: String,
    /// The current password; a person without one must have signed in within the last ten minutes.
    #[schema(value_type = Option<String>, format = "password")]
    password: Option<SecretString>,
}

/// The token of a letter.
#[derive(Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChangeToken {
    /// As it stands in the link.
    #[schema(value_type = String)]
    #[param(value_type = String)]
    token: SecretString,
}

/// An address that was changed.
#[derive(Serialize, ToSchema)]
struct AddressChangedView {
    /// The address to sign in with from now on.
    email: String,
}

/// Ask for another address.
///
/// A letter with a link goes to the new address, and a notice to the one until now. The link is good once, for an hour; it
/// is void when the password changes or another address is asked for. The answer is the same whether or not somebody has
/// the address; who has one already gets no letter.
#[utoipa::path(
    tag = "account",
    request_body = AddressChange,
    responses(
        (status = 202, description = "A letter goes out, if the address is free.", body = Mailed),
        (status = 401, description = "The password is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "A person without a password signed in too long ago (`login_required`).", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[put("/account/email")]
async fn change_email(
    app: Data<App>,
    context: RequestContext,
    caller: Caller,
    Body(body): Body<AddressChange>,
) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let email = body.email.trim();
    if let Some(error) = check_address("email", email) {
        return Err(Problem::Invalid(vec![error]));
    }
    let owner = app
        .db
        .operate("change_email_of", async |tx| Ok::<_, Problem>(factor::find(tx, person.user_id).await?))
        .await?
        .ok_or(Problem::Unauthenticated)?;
    confirm_first_factor(&app, &context, person, &owner, body.password).await?;
    let asking = app.db.operate("change_email", async |tx| ask(&app, tx, &context, person, email).await);
    mailed_tokens::evenly(asking).await?;
    Ok(HttpResponse::Accepted().json(Mailed::new()))
}

async fn ask(app: &App, tx: &Tx<'_>, context: &RequestContext, person: Person, email: &str) -> Result<(), Problem> {
    let (now, id) = (app.clock.now(), person.user_id);
    let organizations = people::lock_organizations(tx, id, None).await?;
    let known = people::find(tx, id).await?.ok_or(Problem::Unauthenticated)?;
    if known.email == email {
        return Err(Problem::field("email", "same_address", "expected another address than the one until now"));
    }
    let notice = Letter::AddressChangeAsked { name: known.name.clone(), email: email.to_owned(), at: now };
    // Strangers' mailboxes are not for a person to fill: one notice a wish, and so many in an hour.
    if mailbox::is_full(app, tx, &known.email, notice.template()).await? {
        let retry_after = u64::try_from(mailbox::PERIOD.as_secs()).unwrap_or(u64::MAX);
        return Err(Problem::RateLimited { retry_after });
    }
    email_tokens::void(tx, id, EmailPurpose::Change).await?;
    // The same address in other letters is the person's own.
    if known.email.to_lowercase() == email.to_lowercase() || !people::is_taken(tx, email).await? {
        mailed_tokens::send_to(app, tx, &known, email, EmailPurpose::Change).await?;
    }
    let entry = context.entry(now, &id.to_string(), AuditAction::EmailChangeRequested, Some(id.to_string()));
    let entry = entry.change(Some(json!({"email": known.email})), Some(json!({"email": email})));
    for organization in organizations {
        audit::record(tx, organization, &entry).await?;
    }
    mailbox::post(app, tx, mailed_tokens::recipient(&known), &notice).await
}

/// Open the link of a letter: a page with a button, and nothing changes before it is pressed.
#[utoipa::path(
    tag = "account",
    security(()),
    params(ChangeToken),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"))
)]
#[get("/account/confirm-email")]
async fn open_email_change(Query(query): Query<ChangeToken>) -> HttpResponse {
    let token = query.token.expose_secret();
    if !mailed_tokens::is_token(token, EmailPurpose::Change) {
        return failed();
    }
    let fields = [Field::hidden("token", token)];
    let form = Form { action: CHANGE_PATH, fields: &fields, button: "Confirm" };
    let text = "Press the button to use this address for your account from now on. If you did not ask for it, close this page.";
    html::page(StatusCode::OK, TITLE, text, &[], Some(form))
}

/// Have another address, with the token of the letter that went there.
///
/// The address is proven with it. Sessions go on; links in letters to the address before are void. The body may be a form's.
#[utoipa::path(
    tag = "account",
    security(()),
    request_body = ChangeToken,
    responses(
        (status = 200, description = "Changed.", body = AddressChangedView),
        (status = 409, description = "Somebody else has the address by now.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/account/confirm-email")]
async fn confirm_email_change(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Posted(body): Posted<ChangeToken>,
) -> Result<HttpResponse, Problem> {
    let token = body.token.expose_secret();
    let changed = app.db.operate("confirm_email_change", async |tx| change(&app, tx, &context, token).await).await;
    let changed = changed.map_err(taken);
    match (changed, html::is_wanted(&request)) {
        (Err(Problem::Invalid(_) | Problem::AlreadyExists(_)), true) => Ok(failed()),
        (Ok(_), true) => {
            let text = "Your account has this address from now on.";
            Ok(html::page(StatusCode::OK, TITLE, text, &[], None))
        }
        (changed, _) => Ok(HttpResponse::Ok().json(AddressChangedView { email: changed? })),
    }
}

async fn change(app: &App, tx: &Tx<'_>, context: &RequestContext, token: &str) -> Result<String, Problem> {
    let now = app.clock.now();
    let (Redeemed { person, organizations }, email) = mailed_tokens::redeem_change(app, tx, token).await?;
    let id = person.id;
    people::set_address(tx, id, &email, &person.email, now).await?;
    email_tokens::void_all(tx, id).await?;
    let entry = context.entry(now, &id.to_string(), AuditAction::EmailChanged, Some(id.to_string()));
    let entry = entry.change(Some(json!({"email": person.email})), Some(json!({"email": email})));
    for organization in organizations {
        audit::record(tx, organization, &entry).await?;
    }
    let letter = Letter::AddressChanged { name: person.name.clone(), email: email.clone(), at: now };
    mailbox::post(app, tx, mailed_tokens::recipient(&person), &letter).await?;
    Ok(email)
}

/// A conflict as the problem that it is.
fn taken(error: Problem) -> Problem {
    if matches!(error, Problem::Store(StoreError::Conflict { .. })) { Problem::AlreadyExists("account") } else { error }
}

/// The page of a link that is good for nothing.
fn failed() -> HttpResponse {
    let text = "This link was used before, is too old, or is not whole, or somebody else has the address. Ask for another letter.";
    html::page(StatusCode::BAD_REQUEST, TITLE, text, &[], None)
}
