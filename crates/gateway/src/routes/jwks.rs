//! The public keys of access tokens, for services that check them without asking us. They learn who a token was made for,
//! never whether its session still is good.

use actix_web::{HttpResponse, get, http::header, web::Data};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, tokens::JwkSetView};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_jwks);
}

/// Get the public keys of access tokens.
///
/// A JSON Web Key Set (RFC 7517): Ed25519 keys, named by `kid`. Two while keys are exchanged.
#[utoipa::path(
    tag = "platform",
    security(()),
    responses((status = 200, description = "The keys.", body = JwkSetView))
)]
#[get("/.well-known/jwks.json")]
async fn get_jwks(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(app.tokens.public_keys())
}
