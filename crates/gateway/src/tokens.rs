//! Access tokens: JWTs of one algorithm and one use, signed by one key of ours; further keys are accepted while they are
//! exchanged. Nothing in a token's header is acted upon but the name of one of these keys; it either says what ours say,
//! or the token is none.

mod keys;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use picket_domain::{OrganizationId, SessionId, UserId};
use rand::RngCore;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub(crate) use self::keys::JwkSetView;
pub use self::keys::generate_signing_key;
use self::keys::{AcceptedKey, signing};
use crate::{GatewayError, Problem};

/// The media type of access tokens (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";
const ISSUER: &str = "picket";
const AUDIENCE: &str = "picket-api";
const USE: &str = "access";
/// The longest token that is looked at.
const LONGEST_BYTES: usize = 2_048;
/// How far the clocks of two gateways may differ, in seconds.
const SKEW: i64 = 30;
/// Makes and checks access tokens.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    /// The first one signs.
    accepted: Vec<AcceptedKey>,
    lifetime_seconds: i64,
}

/// Who a token is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bearer {
    /// The person.
    pub user_id: UserId,
    /// The organization that the person signed in to.
    pub organization_id: OrganizationId,
    /// The session that the token is worth.
    pub session_id: SessionId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    org: OrganizationId,
    sid: SessionId,
    token_use: String,
    jti: String,
    iat: u32,
    nbf: u32,
    exp: u32,
}

impl Tokens {
    /// Signs with the key of the settings, or with one of its own; accepts the `others` as well.
    pub(crate) fn new(
        key: Option<&SecretString>,
        others: &[SecretString],
        lifetime_minutes: u32,
    ) -> Result<Self, GatewayError> {
        let own = generate_signing_key();
        if key.is_none() {
            tracing::warn!(
                "no signing key is set: access tokens end with this process, and no other process knows them"
            );
        }
        let (encoding, first) = signing(key.unwrap_or(&own))?;
        let mut accepted = vec![first];
        for other in others {
            accepted.push(AcceptedKey::read(other)?);
        }
        Ok(Self { encoding, accepted, lifetime_seconds: i64::from(lifetime_minutes).saturating_mul(60) })
    }

    /// The public halves of all keys, for whoever checks our tokens.
    pub(crate) fn public_keys(&self) -> JwkSetView {
        JwkSetView::new(&self.accepted)
    }

    /// How long a token is valid, in seconds.
    pub(crate) const fn lifetime_seconds(&self) -> i64 {
        self.lifetime_seconds
    }

    /// A token for this person.
    pub(crate) fn issue(&self, bearer: Bearer, now: Timestamp) -> Result<String, Problem> {
        let mut id = [0_u8; 16];
        rand::rng().fill_bytes(&mut id);
        let seconds = |at: i64| u32::try_from(at).map_err(Problem::internal);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: bearer.user_id,
            org: bearer.organization_id,
            sid: bearer.session_id,
            token_use: USE.to_owned(),
            jti: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            iat: seconds(now.as_second())?,
            nbf: seconds(now.as_second())?,
            exp: seconds(now.as_second().saturating_add(self.lifetime_seconds))?,
        };
        let key = self.accepted.first().ok_or_else(|| Problem::internal("there is no signing key"))?;
        encode(&header(&key.id), &claims, &self.encoding).map_err(Problem::internal)
    }

    /// Whom the token is about, when it is one of ours and valid now.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<Bearer> {
        if token.len() > LONGEST_BYTES {
            return None;
        }
        let shown = decode_header(token).ok()?;
        let key = self.accepted.iter().find(|key| shown == header(&key.id))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "nbf", "exp"]);
        // By our own clock, below.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key.decoding, &validation).ok()?.claims;
        let now = now.as_second();
        let begins = i64::from(claims.iat.max(claims.nbf));
        let is_current = now < i64::from(claims.exp) && begins <= now.saturating_add(SKEW);
        (is_current && claims.token_use == USE).then_some(Bearer {
            user_id: claims.sub,
            organization_id: claims.org,
            session_id: claims.sid,
        })
    }
}

/// What the header of each token of a key says, and nothing besides.
fn header(key_id: &str) -> Header {
    Header { typ: Some(TYPE.to_owned()), kid: Some(key_id.to_owned()), ..Header::new(Algorithm::EdDSA) }
}

#[cfg(test)]
mod tests;
