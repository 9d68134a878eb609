//! What an invitation's link shows: a page for people (`page.rs`), or JSON for programs. Looking at it changes nothing,
//! so a mail scanner that follows the link does no harm.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    get,
    http::{StatusCode, header},
    web::Data,
};
use jiff::Timestamp;
use picket_store::{Tx, invitations, members};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    page::{self, Filled},
    view::OfferView,
};
use crate::{App, Problem, html, token_text::TokenKind};

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
    let view = app.db.operate("get_offer", async |tx| find(tx, &digest, now).await).await?;
    if html::is_wanted(&request) {
        return Ok(page::offer(StatusCode::OK, &view, request.path(), &Filled::default()));
    }
    Ok(HttpResponse::Ok().insert_header((header::VARY, "Accept")).json(view))
}

/// What the token offers. `tx` runs as the operator.
pub(super) async fn find(tx: &Tx<'_>, digest: &[u8; 32], now: Timestamp) -> Result<OfferView, Problem> {
    let offer = invitations::find_offer(tx, digest, now).await?.ok_or(Problem::NotFound("invitation"))?;
    let registered = members::find_by_address(tx, &offer.email).await?.is_some();
    Ok(OfferView::new(offer, registered))
}
