//! Which other origins' pages may use the API from a browser: those that the operator lists, exactly. Nothing is reflected.

use actix_cors::Cors;
use actix_web::http::header::{self, HeaderName};
use url::Url;

use crate::GatewayError;

/// Headers of answers that a page may read, besides the few that every page may.
const EXPOSED: [&str; 12] = [
    "accept-ranges",
    "allow",
    "content-disposition",
    "content-range",
    "etag",
    "idempotent-replayed",
    "location",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
];
/// How long a browser remembers the answer, in seconds.
const MEMORY: usize = 600;

/// The origins of the setting, each in the form that browsers send.
pub(super) fn origins(setting: &[String]) -> Result<Vec<String>, GatewayError> {
    let refused = |why: String| GatewayError::setting("cors_origins", "origins such as https://console.example", why);
    let origin = |text: &String| {
        let url = Url::parse(text).map_err(|error| refused(format!("{text}: {error}")))?;
        let origin = url.origin().ascii_serialization();
        let is_plain =
            ["http", "https"].contains(&url.scheme()) && !text.contains('*') && origin == text.trim_end_matches('/');
        if is_plain { Ok(origin) } else { Err(refused(format!("{text} is not an origin"))) }
    };
    setting.iter().map(origin).collect()
}

/// The middleware for these origins.
pub(super) fn middleware(origins: &[String]) -> Cors {
    let listed = origins.iter().fold(Cors::default(), |cors, origin| cors.allowed_origin(origin));
    listed
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::IF_RANGE,
            header::RANGE,
        ])
        .allowed_headers(
            ["idempotency-key", "last-event-id", "traceparent", "x-api-key", "x-organization"]
                .map(HeaderName::from_static),
        )
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .supports_credentials()
        .max_age(MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_origins_are_taken() {
        let of = |text: &str| origins(&[text.to_owned()]);
        assert_eq!(of("https://console.example").unwrap(), ["https://console.example"]);
        assert_eq!(of("http://127.0.0.1:5173/").unwrap(), ["http://127.0.0.1:5173"]);
        for wrong in [
            "*",
            "null",
            "console.example",
            "https://*.example",
            "https://a.example/x",
            "ftp://a.example",
            "https://u@a.example",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
