//! What an ID token says, when it is one (OpenID Connect Core 1.0 §3.1.3.7): signed by the provider with an algorithm of
//! ours, for us, now, and for this flow.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header, jwk::Jwk};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{ProviderError, keys::Wanted};

/// What ID tokens may be signed with: public keys, none of them weak.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
/// The longest token that is looked at.
const LONGEST_BYTES: usize = 16 * 1_024;
/// How far the provider's clock may differ, in seconds.
const SKEW: i64 = 60;

/// What must be in a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
}

/// What is said of a person, in the token or in the document about the user.
#[derive(Deserialize)]
pub(super) struct Person {
    pub(super) sub: String,
    #[serde(default)]
    email: Option<Value>,
    /// Only the truth value is one: a text that says `true` is not.
    #[serde(default)]
    email_verified: Option<Value>,
    #[serde(default)]
    name: Option<Value>,
}

impl Person {
    /// Whether there is an address at all.
    pub(super) fn has_email(&self) -> bool {
        self.email.is_some()
    }

    /// The address, when the provider vouches for it.
    pub(super) fn vouched_email(&self) -> Option<String> {
        let is_verified = self.email_verified.as_ref().and_then(Value::as_bool) == Some(true);
        self.email.as_ref().and_then(Value::as_str).filter(|_| is_verified).map(ToOwned::to_owned)
    }

    /// How the person is called.
    pub(super) fn name(&self) -> Option<String> {
        self.name.as_ref().and_then(Value::as_str).map(ToOwned::to_owned)
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: String,
    #[serde(flatten)]
    person: Person,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// For us; and when for others too, issued to us.
    fn is(&self, client_id: &str, issued_to: Option<&str>) -> bool {
        let (names_us, is_shared) = match self {
            Self::One(one) => (one == client_id, false),
            Self::Many(many) => (many.iter().any(|one| one == client_id), many.len() > 1),
        };
        names_us && issued_to.map_or(!is_shared, |party| party == client_id)
    }
}

/// What the token says of its key, when it is signed in a way that we accept.
pub(super) fn header(token: &str) -> Result<Header, ProviderError> {
    let header = if token.len() <= LONGEST_BYTES { decode_header(token).ok() } else { None };
    header
        .filter(|header| ALGORITHMS.contains(&header.alg) && header.crit.is_none())
        .ok_or(ProviderError::Refused("the id token is not signed in a way that is accepted"))
}

/// What the header asks for.
pub(super) fn wanted(header: &Header) -> Wanted<'_> {
    Wanted { id: header.kid.as_deref(), algorithm: header.alg }
}

/// Who the token is about.
pub(super) fn verify(
    token: &str,
    header: &Header,
    key: &Jwk,
    expected: Expected<'_>,
    now: Timestamp,
) -> Result<Person, ProviderError> {
    let key = DecodingKey::from_jwk(key).map_err(|_| ProviderError::Answer("keys that can be read"))?;
    let mut validation = Validation::new(header.alg);
    // All of it is judged below: by our own clock, and stricter.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let refused = |_| ProviderError::Refused("the id token is not signed by the provider, or lacks what it must say");
    let claims = decode::<Claims>(token, &key, &validation).map_err(refused)?.claims;
    let now = now.as_second();
    let fault = if claims.iss != expected.issuer {
        Some("the id token is of another issuer")
    } else if !claims.aud.is(expected.client_id, claims.azp.as_deref()) {
        Some("the id token is for somebody else")
    } else if now >= claims.exp.saturating_add(SKEW) || claims.iat > now.saturating_add(SKEW) {
        Some("the id token is not valid now")
    } else if !bool::from(claims.nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        Some("the id token is of another sign-in")
    } else {
        None
    };
    fault.map_or(Ok(claims.person), |fault| Err(ProviderError::Refused(fault)))
}
