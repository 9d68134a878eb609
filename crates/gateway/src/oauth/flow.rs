//! What is remembered of a flow while the person is at the provider: secrets that are sealed for its one row, and a cookie
//! that binds it to the browser. Nothing of it is usable by whoever reads the database or only sees the address bar.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
};
use jiff::SignedDuration;
use picket_kit::{SealError, Sealer};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

use crate::token_text::{NewToken, TokenKind};

/// How long a person may take at the provider.
pub(crate) const FLOW: SignedDuration = SignedDuration::from_mins(10);
/// The longest path to go to afterwards.
const LONGEST_PATH: usize = 512;

/// What only we know of a flow.
pub(crate) struct Secrets {
    /// Proves that whoever brings the code began the flow (RFC 7636).
    pub(crate) verifier: SecretString,
    /// Must be in the ID token.
    pub(crate) nonce: SecretString,
}

#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    verifier: &'a str,
    nonce: &'a str,
}

impl Secrets {
    /// Seals them for the row of this digest.
    pub(crate) fn seal(&self, sealer: &Sealer, digest: &[u8; 32]) -> Result<Vec<u8>, SealError> {
        let plain = Plain { verifier: self.verifier.expose_secret(), nonce: self.nonce.expose_secret() };
        let text = Zeroizing::new(serde_json::to_vec(&plain).map_err(|_| SealError::Sealed)?);
        sealer.seal(&text, &place(digest))
    }

    /// Opens what was sealed for the row of this digest.
    pub(crate) fn open(sealer: &Sealer, sealed: &[u8], digest: &[u8; 32]) -> Result<Self, SealError> {
        let text = sealer.open(sealed, &place(digest))?;
        let plain: Plain<'_> = serde_json::from_slice(&text).map_err(|_| SealError::Sealed)?;
        Ok(Self { verifier: plain.verifier.into(), nonce: plain.nonce.into() })
    }
}

/// Where the secrets are stored, for the seal.
fn place(digest: &[u8; 32]) -> String {
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("oauth_states/{digest}/secrets")
}

/// The cookie that binds a flow to a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrowserCookie {
    /// Whether the API is reached by TLS; by plain HTTP a browser keeps no cookie that demands it.
    pub(crate) secure: bool,
}

impl BrowserCookie {
    /// With TLS the prefix makes the browser refuse it from a neighboring host (RFC 6265bis §4.1.3.2).
    const fn name(self) -> &'static str {
        if self.secure { "__Host-picket_oauth" } else { "picket_oauth" }
    }

    /// The cookie of a flow that begins.
    pub(crate) fn of(self, token: &NewToken) -> Cookie<'static> {
        let age = Duration::seconds(FLOW.as_secs());
        self.build(token.secret.expose_secret().to_owned()).max_age(age).finish()
    }

    /// Takes it away.
    pub(crate) fn removal(self) -> Cookie<'static> {
        let mut cookie = self.build(String::new()).finish();
        cookie.make_removal();
        cookie
    }

    /// Whether the request comes from the browser with this digest.
    pub(crate) fn is_of(self, request: &HttpRequest, digest: &[u8]) -> bool {
        let shown = request.cookie(self.name()).and_then(|cookie| TokenKind::OAuthBrowser.parse(cookie.value()));
        shown.is_some_and(|shown| bool::from(shown.as_slice().ct_eq(digest)))
    }

    /// `Lax`: the way back from the provider is a navigation from another site.
    fn build(self, value: String) -> actix_web::cookie::CookieBuilder<'static> {
        Cookie::build(self.name(), value).http_only(true).secure(self.secure).same_site(SameSite::Lax).path("/")
    }
}

/// Whether a browser that is sent there stays with us: one slash, then nothing that a browser would read as a host.
pub(crate) fn is_relative_path(path: &str) -> bool {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#".contains(&byte));
    let stays = || {
        let base = Url::parse("https://picket.invalid").ok()?;
        Some(base.join(path).ok()?.origin() == base.origin())
    };
    path.len() <= LONGEST_PATH && path.starts_with('/') && !path.starts_with("//") && is_plain && stays() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_ours_is_gone_to() {
        for path in ["/", "/scans", "/scans?id=1&x=%2F", "/a//b"] {
            assert!(is_relative_path(path), "{path}");
        }
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        for path in [
            "",
            "scans",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/\r\nset-cookie: a=b",
            "/a b",
            "/a#b",
            "/é",
            "javascript:alert(1)",
            " /",
            &long,
        ] {
            assert!(!is_relative_path(path), "{path:?}");
        }
    }

    #[test]
    fn the_secrets_of_one_flow_do_not_open_as_those_of_another() {
        let sealer = Sealer::new(&Sealer::generate_key()).unwrap();
        let secrets = Secrets { verifier: "v".into(), nonce: "n".into() };
        let sealed = secrets.seal(&sealer, &[1; 32]).unwrap();
        let opened = Secrets::open(&sealer, &sealed, &[1; 32]).unwrap();
        assert_eq!((opened.verifier.expose_secret(), opened.nonce.expose_secret()), ("v", "n"));
        assert!(Secrets::open(&sealer, &sealed, &[2; 32]).is_err());
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_with_tls() {
        let token = TokenKind::OAuthBrowser.generate();
        let text = BrowserCookie { secure: true }.of(&token).to_string();
        assert!(text.starts_with("__Host-picket_oauth=ob_"), "{text}");
        for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(text.split("; ").any(|one| one == part), "{part}: {text}");
        }
        assert!(!BrowserCookie { secure: false }.of(&token).to_string().contains("Secure"));
    }
}
