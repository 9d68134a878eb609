//! The refresh token as a cookie, for browsers: no script reads it, no other site sends it, and nothing but the API gets it.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
};

use crate::GatewaySettings;

/// Its name.
const NAME: &str = "picket_refresh";
/// Where it is sent: both versions of the API.
const PATH: &str = "/api";

/// The cookie that holds the refresh token for so many seconds; an empty one for no time takes it back.
pub(crate) fn refresh_cookie(value: &str, max_age_seconds: i64, secure: bool) -> Cookie<'static> {
    Cookie::build(NAME, value.to_owned())
        .path(PATH)
        .http_only(true)
        .secure(secure)
        .same_site(SameSite::Strict)
        .max_age(Duration::seconds(max_age_seconds))
        .finish()
}

/// Whether cookies are for TLS alone: always, but where the operator says that clients come without.
pub(crate) fn is_secure(settings: &GatewaySettings) -> bool {
    !settings.public_url.as_deref().is_some_and(|url| url.starts_with("http://"))
}

/// The refresh token that the client's cookie holds.
pub(crate) fn shown(request: &HttpRequest) -> Option<String> {
    request.cookie(NAME).map(|cookie| cookie.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_and_no_other_site_gets_the_cookie() {
        let cookie = refresh_cookie("rt_x", 60, true).to_string();
        assert_eq!(cookie, "picket_refresh=rt_x; HttpOnly; SameSite=Strict; Secure; Path=/api; Max-Age=60");
    }

    #[test]
    fn only_a_plain_public_url_makes_it_a_plain_cookie() {
        let secure = |url: Option<&str>| {
            is_secure(&GatewaySettings { public_url: url.map(ToOwned::to_owned), ..GatewaySettings::default() })
        };
        assert!(secure(None) && secure(Some("https://picket.example")));
        assert!(!secure(Some("http://127.0.0.1:8080")));
    }
}
