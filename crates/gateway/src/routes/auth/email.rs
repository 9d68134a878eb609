//! Proving that an address is one's own. A letter brings a link; following it changes nothing until the person presses the
//! button, since programs follow links in letters, too (`docs/contract.md` §20).

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web::Data};
use picket_domain::AuditAction;
use picket_store::{audit, email_tokens::EmailPurpose, people};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::{AddressRequest, Mailed};
use crate::{
    App, Body, Problem, Query, RequestContext,
    body::Posted,
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
/// A browser gets a page with a button, and nothing changes before it is pressed. With `Accept: application/json` the
/// address is proven at once.
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
        prove(&app, &context, token).await?;
        return Ok(HttpResponse::Ok().json(VerifiedView { status: "verified" }));
    }
    if !mailed_tokens::is_token(token, EmailPurpose::Verify) {
        return Ok(failed());
    }
    let fields = [Field::hidden("token", token)];
    let form = Form { action: VERIFY_PATH, fields: &fields, button: "Confirm" };
    let text = "Press the button to confirm that this address is yours. If you did not register, close this page.";
    Ok(html::page(StatusCode::OK, TITLE, text, &[], Some(form)))
}

/// Prove an address with the token of a letter.
///
/// A token is good once, for 24 hours, and for the address that it was sent to. The body may be a form's.
#[utoipa::path(
    tag = "authentication",
    security(()),
    request_body = VerificationToken,
    responses((status = 200, description = "The address is proven.", body = VerifiedView))
)]
#[post("/auth/verify-email")]
async fn verify_email(
    app: Data<App>,
    context: RequestContext,
    request: HttpRequest,
    Posted(body): Posted<VerificationToken>,
) -> Result<HttpResponse, Problem> {
    let proven = prove(&app, &context, body.token.expose_secret()).await;
    match proven {
        Err(Problem::Invalid(_)) if html::is_wanted(&request) => Ok(failed()),
        Ok(()) if html::is_wanted(&request) => {
            Ok(html::page(StatusCode::OK, TITLE, "Your address is confirmed.", &[], None))
        }
        proven => {
            proven?;
            Ok(HttpResponse::Ok().json(VerifiedView { status: "verified" }))
        }
    }
}

/// The page of a link that is good for nothing.
fn failed() -> HttpResponse {
    let text = "This link was used before, is too old, or is not whole. Ask for another letter.";
    html::page(StatusCode::BAD_REQUEST, TITLE, text, &[], None)
}

async fn prove(app: &App, context: &RequestContext, token: &str) -> Result<(), Problem> {
    let now = app.clock.now();
    app.db
        .operate("verify_email", async |tx| {
            let redeemed = mailed_tokens::redeem(app, tx, token, EmailPurpose::Verify).await?;
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
