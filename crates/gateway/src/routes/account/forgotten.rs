//! A forgotten password: a letter with a link, and the form that the link leads to. The second factor stays as it is, unless
//! the address was never proven before: then nothing stays that whoever registered with it could come back by.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web::Data};
use picket_domain::{AuditAction, Letter, UserId};
use picket_store::{
    Tx, audit,
    email_tokens::{self, EmailPurpose},
    identities,
    mfa::{self, backup, factor},
    people,
    sessions::{self, Which},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, FieldError, Problem, Query, RequestContext,
    body::Posted,
    html::{self, Field, Form},
    mailbox,
    mailed_tokens::{self, RESET_PATH, Redeemed},
    passwords::Passwords,
    routes::auth::{AddressRequest, Mailed},
};

const TITLE: &str = "Set a new password";
const FORGOT_PATH: &str = "/api/v1/account/forgot-password";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(forgot_password).service(open_reset).service(reset_password);
}

/// The link of a letter.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ResetLink {
    /// As it stands in the link; without it, the page asks for the address.
    #[param(value_type = Option<String>)]
    token: Option<SecretString>,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordReset {
    /// As it stands in the link.
    #[schema(value_type = String)]
    token: SecretString,
    /// The password from now on: 12 to 128 characters that are not easy to guess.
    #[schema(value_type = String, format = "password", min_length = 12, max_length = 128)]
    password: SecretString,
    /// Whether the API keys that the person made end, too.
    #[serde(default)]
    revoke_api_keys: bool,
}

/// A password that was set anew.
#[derive(Serialize, ToSchema)]
struct PasswordResetView {
    /// Sessions that ended: all.
    sessions_revoked: u64,
    /// API keys that ended.
    api_keys_revoked: u64,
}

/// Ask for a letter with a link that sets a new password.
///
/// The answer is the same whether or not somebody has the address. The link is good once, for an hour; a new letter voids
/// older ones; an address gets five an hour at most. The body may be a form's.
#[utoipa::path(
    tag = "account",
    security(()),
    request_body = AddressRequest,
    responses((status = 202, description = "A letter goes out, if somebody has the address.", body = Mailed))
)]
#[post("/account/forgot-password")]
async fn forgot_password(
    app: Data<App>,
    request: HttpRequest,
    Posted(body): Posted<AddressRequest>,
) -> Result<HttpResponse, Problem> {
    let email = body.check()?;
    let sending = app.db.operate("forgot_password", async |tx| match people::find_by_email(tx, &email).await? {
        Some(person) => mailed_tokens::send(&app, tx, &person, EmailPurpose::Reset).await,
        None => Ok(()),
    });
    mailed_tokens::evenly(sending).await?;
    if html::is_wanted(&request) {
        let text = "If somebody has this address, a letter is on its way.";
        return Ok(html::page(StatusCode::ACCEPTED, TITLE, text, &[], None));
    }
    Ok(HttpResponse::Accepted().json(Mailed::new()))
}

/// Open the link of a letter: a page with a form.
#[utoipa::path(
    tag = "account",
    security(()),
    params(ResetLink),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"))
)]
#[get("/account/reset-password")]
async fn open_reset(Query(query): Query<ResetLink>) -> HttpResponse {
    match query.token {
        Some(token) if mailed_tokens::is_token(token.expose_secret(), EmailPurpose::Reset) => {
            form(StatusCode::OK, token.expose_secret(), &[])
        }
        Some(_) => ask(StatusCode::BAD_REQUEST, "This link is not whole. Ask for another letter."),
        None => ask(StatusCode::OK, "Say your address, and a letter with a link goes there."),
    }
}

/// Set a new password with the token of a letter.
///
/// Every session of the person ends; a second factor stays on, and API keys go on unless the body says otherwise. When the
/// address was never proven before, keys, linked accounts of providers and the second factor go, too: they may be those of
/// somebody who registered with a foreign address. The body may be a form's.
#[utoipa::path(
    tag = "account",
    security(()),
    request_body = PasswordReset,
    responses((status = 200, description = "Set.", body = PasswordResetView))
)]
#[post("/account/reset-password")]
async fn reset_password(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Posted(body): Posted<PasswordReset>,
) -> Result<HttpResponse, Problem> {
    let token = body.token.clone();
    match (reset(&app, &context, body).await, html::is_wanted(&request)) {
        (Err(Problem::Invalid(errors)), true) => Ok(again(token.expose_secret(), &errors)),
        (Ok(_), true) => {
            let text = "Your password is set. Everywhere you were signed in, you are signed out.";
            Ok(html::page(StatusCode::OK, TITLE, text, &[], None))
        }
        (done, _) => Ok(HttpResponse::Ok().json(done?)),
    }
}

async fn reset(app: &App, context: &RequestContext, body: PasswordReset) -> Result<PasswordResetView, Problem> {
    if let Some(error) = Passwords::check("password", &body.password) {
        return Err(Problem::Invalid(vec![error]));
    }
    let token = body.token.expose_secret();
    // The work of hashing is for those alone who hold a token.
    let looking = async |tx: &Tx<'_>| mailed_tokens::look(app, tx, token, EmailPurpose::Reset).await;
    let person = app.db.operate("reset_password_of", looking).await?;
    let mut words = vec![person.name.as_str(), &person.email];
    words.extend(person.organizations.iter().map(String::as_str));
    let hash = app.passwords.hash_new("password", body.password, &words).await?;
    let view = app
        .db
        .operate("reset_password", async |tx| {
            let redeemed = mailed_tokens::redeem(app, tx, token, EmailPurpose::Reset).await?;
            store(app, tx, context, &redeemed, &hash, body.revoke_api_keys).await
        })
        .await?;
    app.callers.forget();
    Ok(view)
}

async fn store(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    redeemed: &Redeemed,
    hash: &str,
    revoke_api_keys: bool,
) -> Result<PasswordResetView, Problem> {
    let (person, now) = (&redeemed.person, app.clock.now());
    let id = person.id;
    people::set_password(tx, id, hash, person.password_hash.as_deref(), now).await?;
    // The letter arrived, which proves the address.
    people::prove_address(tx, id, now).await?;
    email_tokens::void(tx, id, EmailPurpose::Reset).await?;
    // Who asked for another address may have been somebody who knew the password before.
    email_tokens::void(tx, id, EmailPurpose::Change).await?;
    let sessions_revoked = sessions::revoke_of_user(tx, id, Which::All, "password_reset", now).await?;
    // Logins that wait for their second factor are of the password before.
    mfa::end(tx, id, now).await?;
    // Whoever registered with an address that is not theirs must not keep a way in.
    let ends_keys = revoke_api_keys || !person.is_verified;
    let api_keys_revoked = if ends_keys { people::revoke_keys(tx, id, now).await? } else { 0 };
    let taken = if person.is_verified { Taken::default() } else { take_away(tx, id).await? };
    let entry = context.entry(now, &id.to_string(), AuditAction::PasswordReset, Some(id.to_string()));
    let before = json!({"email_verified": person.is_verified});
    let after = json!({
        "email_verified": true,
        "sessions_revoked": sessions_revoked,
        "api_keys_revoked": api_keys_revoked,
        "identities_unlinked": taken.identities,
        "factors_removed": taken.factors,
        "backup_codes_removed": taken.backup_codes
    });
    let entry = entry.change(Some(before), Some(after));
    for organization in &redeemed.organizations {
        audit::record(tx, *organization, &entry).await?;
    }
    let letter = Letter::PasswordChanged { name: person.name.clone(), at: now, address: context.address.to_string() };
    mailbox::post(app, tx, mailed_tokens::recipient(person), &letter).await?;
    Ok(PasswordResetView { sessions_revoked, api_keys_revoked })
}

/// What a person lost besides sessions and keys.
#[derive(Default)]
struct Taken {
    identities: u64,
    factors: u8,
    backup_codes: i64,
}

/// Ends what else opens the account: accounts of providers, and a second factor that the owner of the address could not pass.
async fn take_away(tx: &Tx<'_>, id: UserId) -> Result<Taken, Problem> {
    let identities = identities::unlink_all(tx, id).await?;
    let backup_codes = backup::count(tx, id).await?;
    backup::replace(tx, id, &[]).await?;
    Ok(Taken { identities, factors: u8::from(factor::clear(tx, id).await?), backup_codes })
}

/// The form once more, or the page that asks for another letter when it is the token that is wrong.
fn again(token: &str, errors: &[FieldError]) -> HttpResponse {
    if errors.iter().any(|error| error.field == "token") {
        let text = "This link was used before, is too old, or is not whole. Ask for another letter.";
        return ask(StatusCode::BAD_REQUEST, text);
    }
    form(StatusCode::BAD_REQUEST, token, errors)
}

/// The page with the form for a new password.
fn form(status: StatusCode, token: &str, errors: &[FieldError]) -> HttpResponse {
    let password = Field {
        name: "password",
        label: Some("New password"),
        kind: "password",
        autocomplete: "new-password",
        value: "",
    };
    let fields = [Field::hidden("token", token), password];
    let form = Form { action: RESET_PATH, fields: &fields, button: "Set the password" };
    let text = "12 to 128 characters that are not easy to guess. You will be signed out everywhere.";
    html::page(status, TITLE, text, errors, Some(form))
}

/// The page that asks for the address.
fn ask(status: StatusCode, text: &str) -> HttpResponse {
    let email = Field { name: "email", label: Some("E-mail address"), kind: "email", autocomplete: "email", value: "" };
    let form = Form { action: FORGOT_PATH, fields: &[email], button: "Send the letter" };
    html::page(status, TITLE, text, &[], Some(form))
}
