//! Absolute links to this API, for letters and for providers that send browsers back. A token goes into a link here and
//! nowhere else.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{GatewayError, GatewaySettings};

/// Makes links to this API.
#[derive(Debug)]
pub(crate) struct Links {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
}

/// Where clients reach the API: scheme, host and port, without a slash at the end.
///
/// # Errors
/// When the public URL is more or less than scheme, host and port.
pub fn origin(settings: &GatewaySettings) -> Result<String, GatewayError> {
    Links::new(settings).map(|links| links.origin)
}

impl Links {
    /// Links to the public URL; without one, to the address where the gateway listens. When that is every address, which
    /// is none that a client could go to, to this machine: good enough to try things out, and the log warns.
    ///
    /// # Errors
    /// When the public URL is more or less than scheme, host and port.
    pub(crate) fn new(settings: &GatewaySettings) -> Result<Self, GatewayError> {
        let Some(text) = &settings.public_url else {
            let scheme = if settings.tls.is_some() { "https" } else { "http" };
            return Ok(Self { origin: format!("{scheme}://{}", reachable(settings.listen)) });
        };
        let expected = "a URL of scheme (http or https), host and port alone";
        let url = Url::parse(text).map_err(|error| GatewayError::setting("public_url", expected, error))?;
        let is_origin = ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if is_origin {
            Ok(Self { origin: url.origin().ascii_serialization() })
        } else {
            Err(GatewayError::setting("public_url", expected, "it has more or less"))
        }
    }

    /// The link to a path that begins with a slash.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The link that hands a token to a path. A token has no character that would need escaping.
    pub(crate) fn with_token(&self, path: &str, token: &SecretString) -> String {
        format!("{}{path}?token={}", self.origin, token.expose_secret())
    }
}

/// The address itself, or this machine's own for one that stands for all.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    tracing::warn!("links in letters lead to 127.0.0.1: set gateway.public_url to where clients reach the API");
    SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(public_url: Option<&str>) -> Result<Links, GatewayError> {
        let public_url = public_url.map(ToOwned::to_owned);
        Links::new(&GatewaySettings { public_url, ..GatewaySettings::default() })
    }

    #[test]
    fn a_link_begins_with_the_public_url_or_the_address_of_the_listener() {
        assert_eq!(links(Some("https://API.example:8443/")).unwrap().to("/x"), "https://api.example:8443/x");
        assert_eq!(links(Some("https://api.example:443")).unwrap().to("/x"), "https://api.example/x");
        assert_eq!(links(None).unwrap().with_token("/x", &"vt_a".into()), "http://127.0.0.1:8080/x?token=vt_a");
    }

    #[test]
    fn a_link_never_begins_with_an_address_that_stands_for_all() {
        for listen in ["0.0.0.0:8080", "[::]:8080"] {
            let settings = GatewaySettings { listen: listen.parse().unwrap(), ..GatewaySettings::default() };
            assert_eq!(Links::new(&settings).unwrap().to("/x"), "http://127.0.0.1:8080/x", "{listen}");
        }
        let listen = "192.0.2.1:80".parse().unwrap();
        let settings = GatewaySettings { listen, ..GatewaySettings::default() };
        assert_eq!(Links::new(&settings).unwrap().to("/x"), "http://192.0.2.1:80/x");
    }

    #[test]
    fn a_public_url_that_is_no_origin_is_refused_at_the_start() {
        for text in [
            "",
            "api.example",
            "ftp://api.example",
            "https://api.example/base",
            "https://api.example/?a",
            "https://api.example/#a",
            "https://user@api.example",
            "https://u:p@api.example",
            "mailto:ada@example.com",
            "javascript:alert(1)",
        ] {
            assert!(links(Some(text)).is_err(), "{text}");
        }
    }
}
