//! Proving that an address is one's own. A letter brings a link; following it changes nothing until the person presses the
//! button, since programs follow links in letters, too (`docs/contract.md` §20).
//!
//! Whoever registers says an address, and it may be a stranger's. The owner of the address, who gets the letter, must not make
//! that stranger's account look like their own by pressing a button: the page asks for the account's password, which the
//! owner does not know, and says how to take the account over instead. The published form for programs has no place for a
//! password; no mail program and no browser that opens a link sends it.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web::Data};
use picket_domain::AuditAction;
use picket_store::{Tx, audit, email_tokens::EmailPurpose, people};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::{AddressRequest, Mailed};
use crate::{
    App, Body, FieldError, Problem, Query, RequestContext,
    body::Posted,
    confirm::is_password,
    html::{self, Field, Form},
    mailed_tokens::{self, VERIFY_PATH},
};

const TITLE: &str = "Confirm your address";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(resend_verification).service(open_verification).service(verify_email);
}

/// The token of a letter.
#[derive(Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerificationToken {
    /// As it stands in the link.
    #[schema(value_type = String)]
    #[param(value_type = String)]
    token: SecretString,
}

/// The token of a letter, from who has the account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verification {
    /// As it stands in the link.
    #[schema(value_type = String)]
    token: SecretString,
    /// The password of the account.
    #[schema(value_type = String, format = "password")]
    password: Option<SecretString>,
}

/// An address that is proven.
#[derive(Serialize, ToSchema)]
struct VerifiedView {
    /// Always `verified`.
    status: &'static str,
}

/// Ask for another letter that proves an address.
///
/// The answer is the same whether or not somebody has the address, and whether or not it is proven. A new letter voids the
/// links of older ones; an address gets five an hour at most.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = AddressRequest,
    responses((status = 202, description = "A letter goes out, if somebody waits for one.", body = Mailed))
)]
#[post("/auth/resend-verification")]
async fn resend_verification(app: Data<App>, Body(body): Body<AddressRequest>) -> Result<HttpResponse, Problem> {
    let email = body.check()?;
    let sending = app.db.operate("resend_verification", async |tx| match people::find_by_email(tx, &email).await? {
        Some(person) if !person.is_verified => mailed_tokens::send(&app, tx, &person, EmailPurpose::Verify).await,
        Some(_) | None => Ok(()),
    });
    mailed_tokens::evenly(sending).await?;
    Ok(HttpResponse::Accepted().json(Mailed::new()))
}

/// Open the link of a letter.
///
/// A browser gets a page that asks for the password, and nothing changes before its button is pressed. With
/// `Accept: application/json` the address is proven at once.
#[utoipa::path(
    tag = "authentication",
    security(()),
    params(VerificationToken),
    responses(
        (status = 200, description = "The page; for a program, the address is proven.", content((VerifiedView = "application/json"), (String = "text/html")))
    )
)]
#[get("/auth/verify-email")]
async fn open_verification(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Query(query): Query<VerificationToken>,
) -> Result<HttpResponse, Problem> {
    let token = query.token.expose_secret();
    if html::is_json_wanted(&request) {
        prove(&app, &context, token, None).await?;
        return Ok(HttpResponse::Ok().json(VerifiedView { status: "verified" }));
    }
    if !mailed_tokens::is_token(token, EmailPurpose::Verify) {
        return Ok(failed());
    }
    Ok(form(StatusCode::OK, token, &[]))
}

/// Prove an address with the token of a letter.
///
/// A token is good once, for 24 hours, and for the address that it was sent to; with it goes the password of the account, so
/// that nobody confirms what a stranger registered. Who does not know it sets one by `POST /account/forgot-password`, which
/// proves the address as well and ends what the stranger made. The body may be a form's.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = Verification,
    responses((status = 200, description = "The address is proven.", body = VerifiedView))
)]
#[post("/auth/verify-email")]
async fn verify_email(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Posted(body): Posted<Verification>,
) -> Result<HttpResponse, Problem> {
    let token = body.token.clone();
    let proven = confirm(&app, &context, body).await;
    match proven {
        Err(Problem::Invalid(errors)) if html::is_wanted(&request) => Ok(again(token.expose_secret(), &errors)),
        Ok(()) if html::is_wanted(&request) => {
            Ok(html::page(StatusCode::OK, TITLE, "Your address is confirmed.", &[], None))
        }
        proven => {
            proven?;
            Ok(HttpResponse::Ok().json(VerifiedView { status: "verified" }))
        }
    }
}

/// Proves the address for who knows the account's password; one without a password was made by a provider.
async fn confirm(app: &App, context: &RequestContext, body: Verification) -> Result<(), Problem> {
    let token = body.token.expose_secret();
    let looking = async |tx: &Tx<'_>| mailed_tokens::look(app, tx, token, EmailPurpose::Verify).await;
    let person = app.db.operate("verify_email_of", looking).await?;
    if person.password_hash.is_some() {
        let missing = || Problem::field("password", "missing_field", "expected the password of the account");
        let password = body.password.ok_or_else(missing)?;
        if !is_password(app, context, &person.email, person.password_hash.clone(), password).await? {
            return Err(wrong_password());
        }
    }
    prove(app, context, token, Some(&person.password_hash)).await
}

fn wrong_password() -> Problem {
    let expected =
        "expected the password of the account; if it is not yours, set a new one by POST /account/forgot-password";
    Problem::field("password", "wrong_password", expected)
}

/// The page with the form.
fn form(status: StatusCode, token: &str, errors: &[FieldError]) -> HttpResponse {
    let password = Field {
        name: "password",
        label: Some("Password"),
        kind: "password",
        autocomplete: "current-password",
        value: "",
    };
    let fields = [Field::hidden("token", token), password];
    let form = Form { action: VERIFY_PATH, fields: &fields, button: "Confirm" };
    let text = "Enter the password that you registered with to confirm that this address is yours. If you did not \
                register, somebody else did with your address: close this page, or set a new password at \
                /api/v1/account/reset-password to make the account yours and end what they did with it.";
    html::page(status, TITLE, text, errors, Some(form))
}

/// The form once more, or the page of a link that is good for nothing.
fn again(token: &str, errors: &[FieldError]) -> HttpResponse {
    if errors.iter().any(|error| error.field == "token") {
        return failed();
    }
    form(StatusCode::BAD_REQUEST, token, errors)
}

/// The page of a link that is good for nothing.
fn failed() -> HttpResponse {
    let text = "This link was used before, is too old, or is not whole. Ask for another letter.";
    html::page(StatusCode::BAD_REQUEST, TITLE, text, &[], None)
}

/// Proves the address; of an account whose password was shown, only while it is `shown`.
async fn prove(
    app: &App,
    context: &RequestContext,
    token: &str,
    shown: Option<&Option<String>>,
) -> Result<(), Problem> {
    let now = app.clock.now();
    app.db
        .operate("verify_email", async |tx| {
            let redeemed = mailed_tokens::redeem(app, tx, token, EmailPurpose::Verify).await?;
            if shown.is_some_and(|shown| *shown != redeemed.person.password_hash) {
                return Err(wrong_password());
            }
            let id = redeemed.person.id;
            people::prove_address(tx, id, now).await?;
            let entry = context.entry(now, &id.to_string(), AuditAction::EmailVerified, Some(id.to_string()));
            let verified = |is_verified: bool| Some(json!({"email_verified": is_verified}));
            let entry = entry.change(verified(redeemed.person.is_verified), verified(true));
            for organization in redeemed.organizations {
                audit::record(tx, organization, &entry).await?;
            }
            Ok(())
        })
        .await
}
