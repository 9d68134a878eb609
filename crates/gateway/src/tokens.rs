//! Access tokens: JWTs of one algorithm, one key and one use. Nothing in a token's header is acted upon; it either says
//! what ours say, or the token is none.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, jwk::Jwk};
use picket_domain::{OrganizationId, SessionId, UserId};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
/// PKCS#8 of an Ed25519 key without its 32 bytes (RFC 8410 §7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Makes and checks access tokens.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    key_id: String,
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
    exp: u32,
}

impl Tokens {
    /// Signs with the key of the settings, or with one of its own.
    pub(crate) fn new(key: Option<&SecretString>, lifetime_minutes: u32) -> Result<Self, GatewayError> {
        let failed =
            |error| GatewayError::setting("signing_key", "an Ed25519 key in PKCS#8 PEM, or the path of one", error);
        let encoding = match key {
            Some(key) => EncodingKey::from_ed_pem(&read(key.expose_secret())?).map_err(failed)?,
            None => {
                tracing::warn!(
                    "no signing key is set: access tokens end with this process, and no other process knows them"
                );
                ephemeral()
            }
        };
        let public = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA).map_err(failed)?;
        let decoding = DecodingKey::from_jwk(&public).map_err(failed)?;
        let fingerprint = Sha256::digest(decoding.try_get_as_bytes().map_err(failed)?);
        let key_id = fingerprint.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { encoding, decoding, key_id, lifetime_seconds: i64::from(lifetime_minutes).saturating_mul(60) })
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
            exp: seconds(now.as_second().saturating_add(self.lifetime_seconds))?,
        };
        encode(&self.header(), &claims, &self.encoding).map_err(Problem::internal)
    }

    /// Whom the token is about, when it is one of ours and valid now.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<Bearer> {
        if token.len() > LONGEST_BYTES || decode_header(token).ok()? != self.header() {
            return None;
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // By our own clock, below.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &self.decoding, &validation).ok()?.claims;
        let now = now.as_second();
        let is_current = now < i64::from(claims.exp) && i64::from(claims.iat) <= now.saturating_add(SKEW);
        (is_current && claims.token_use == USE).then_some(Bearer {
            user_id: claims.sub,
            organization_id: claims.org,
            session_id: claims.sid,
        })
    }

    /// What the header of each of our tokens says, and nothing besides.
    fn header(&self) -> Header {
        Header { typ: Some(TYPE.to_owned()), kid: Some(self.key_id.clone()), ..Header::new(Algorithm::EdDSA) }
    }
}

/// The PEM of the setting, which may be the path of a file.
fn read(setting: &str) -> Result<Vec<u8>, GatewayError> {
    if setting.trim_start().starts_with("-----BEGIN") {
        return Ok(setting.as_bytes().to_vec());
    }
    std::fs::read(setting)
        .map_err(|error| GatewayError::setting("signing_key", "PEM, or the path of a readable file", error))
}

fn ephemeral() -> EncodingKey {
    let mut seed = [0_u8; 32];
    rand::rng().fill_bytes(&mut seed);
    EncodingKey::from_ed_der(&[PKCS8.as_slice(), &seed].concat())
}

#[cfg(test)]
mod tests;
