//! What an invitation's link shows: a page for people, without script, or JSON for programs. Looking at it changes nothing,
//! so a mail scanner that follows the link does no harm.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, get, http::header, web::Data};
use picket_store::{invitations, members};
use utoipa_actix_web::service_config::ServiceConfig;

use super::view::OfferView;
use crate::{App, Problem, html::escape, token_text::TokenKind};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_offer);
}

/// The path segment `{token}`, as the digest to look it up by. What cannot be a token is no invitation.
pub(super) struct InvitationToken(pub(super) [u8; 32]);

impl FromRequest for InvitationToken {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let digest = TokenKind::Invitation.parse(request.match_info().get("token").unwrap_or_default());
        ready(digest.map(Self).ok_or(Problem::NotFound("invitation")))
    }
}

/// Look at an invitation.
///
/// Whoever holds the link sees what it offers: a page where HTML is asked for, JSON otherwise. An invitation that was taken
/// up, withdrawn, replaced or has expired is 404.
#[utoipa::path(
    tag = "team",
    security(()),
    params(("token" = String, Path, description = "The token of the letter.")),
    responses((status = 200, description = "What it offers.", content((OfferView = "application/json"), (String = "text/html"))))
)]
#[get("/settings/team/invitations/{token}/accept")]
async fn get_offer(
    app: Data<App>,
    InvitationToken(digest): InvitationToken,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let view = app
        .db
        .operate("get_offer", async |tx| {
            let offer = invitations::find_offer(tx, &digest, now).await?.ok_or(Problem::NotFound("invitation"))?;
            let registered = members::find_by_address(tx, &offer.email).await?.is_some();
            Ok::<_, Problem>(OfferView::new(offer, registered))
        })
        .await?;
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::VARY, "Accept"));
    if accept.contains("text/html") {
        Ok(answer.content_type("text/html; charset=utf-8").body(page(&view)))
    } else {
        Ok(answer.json(view))
    }
}

/// The page for people; every text of somebody else's is escaped.
fn page(offer: &OfferView) -> String {
    let how = if offer.registered {
        "Sign in with this address, then send <code>POST</code> to the address of this page with your access token."
    } else {
        "Send <code>POST</code> to the address of this page with a JSON body of <code>name</code> and \
         <code>password</code>: that makes your account and signs you in."
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Invitation – Picket</title></head><body>\
         <h1>You are invited to {organization}</h1><p>{email} can join as <strong>{role}</strong> until \
         <time>{until}</time>.</p><p>{how}</p><p>If you did not expect this, do nothing.</p></body></html>\n",
        organization = escape(&offer.organization),
        email = escape(&offer.email),
        role = offer.role.name(),
        until = offer.expires_at,
    )
}

#[cfg(test)]
mod tests {
    use picket_domain::Role;

    use super::*;

    #[test]
    fn names_of_others_stay_text() {
        let offer = OfferView {
            organization: "<script>alert(1)</script>".to_owned(),
            email: "\"<b>\"@example.com".to_owned(),
            role: Role::Viewer,
            expires_at: "2026-01-15T14:30:00Z".parse().unwrap(),
            registered: false,
        };
        let page = page(&offer);
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
}
