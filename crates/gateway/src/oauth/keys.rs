//! The keys that a provider signs with. Read once an hour, and when a token names one that is not among them, which a
//! provider that changed its keys makes happen once: a token can make us ask no more often than every ten seconds.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use picket_outbound::HttpClient;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{ProviderError, calls};

/// How long keys are believed.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// How long a key that is not there is not asked for again.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// The keys of one provider.
#[derive(Default)]
pub(super) struct Keys {
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    keys: Vec<Jwk>,
    since: Timestamp,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl Keys {
    /// The key that a token of this header is signed with.
    pub(super) async fn find(
        &self,
        http: &HttpClient,
        url: &Url,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<Jwk, ProviderError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let age = held.as_ref().map(|held| now.duration_since(held.since));
        let known = held.as_ref().and_then(|held| wanted.among(&held.keys));
        match (known, age) {
            (Some(key), Some(age)) if age < LIFETIME => return Ok(key),
            (None, Some(age)) if age < PAUSE => return Err(UNKNOWN),
            (_, _) => {}
        }
        let document: Document = calls::read(http, url, None).await?;
        // One key of a kind that we do not know makes the others no worse.
        let keys: Vec<Jwk> = document.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let found = wanted.among(&keys);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { keys, since: now });
        found.ok_or(UNKNOWN)
    }
}

const UNKNOWN: ProviderError = ProviderError::Refused("the id token is signed with a key that is not the provider's");

/// What a token says of its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The key's name.
    pub(super) id: Option<&'a str>,
    /// What it must be for.
    pub(super) algorithm: Algorithm,
}

impl Wanted<'_> {
    /// The key of that name; without a name, the only key that fits.
    fn among(self, keys: &[Jwk]) -> Option<Jwk> {
        let mut fitting = keys
            .iter()
            .filter(|key| fits(key, self.algorithm) && (self.id.is_none() || key.common.key_id.as_deref() == self.id));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key.clone()),
            (_, _) => None,
        }
    }
}

/// Whether the key is for this algorithm: a public key never becomes the secret of another.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_named =
        key.common.key_algorithm.is_none_or(|named| Algorithm::try_from(named).is_ok_and(|a| a == algorithm));
    let signs = key.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let is_kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(one), Algorithm::ES256) => one.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(one), Algorithm::EdDSA) => one.curve == EllipticCurve::Ed25519,
        (_, _) => false,
    };
    is_named && signs && is_kind
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(value: Value) -> Jwk {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_key_is_taken_for_its_own_algorithm_alone() {
        let rsa = key(json!({"kty": "RSA", "kid": "a", "alg": "RS256", "n": "AQAB", "e": "AQAB"}));
        let any = key(json!({"kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB"}));
        let encrypts = key(json!({"kty": "RSA", "kid": "c", "use": "enc", "n": "AQAB", "e": "AQAB"}));
        let secret = key(json!({"kty": "oct", "kid": "d", "k": "AQAB"}));
        assert!(fits(&rsa, Algorithm::RS256) && !fits(&rsa, Algorithm::PS256) && !fits(&rsa, Algorithm::HS256));
        assert!(fits(&any, Algorithm::PS256) && !fits(&any, Algorithm::ES256));
        assert!(!fits(&encrypts, Algorithm::RS256) && !fits(&secret, Algorithm::HS256));
        let keys = [rsa, any];
        let wanted = |id| Wanted { id, algorithm: Algorithm::RS256 }.among(&keys).and_then(|key| key.common.key_id);
        assert_eq!(wanted(Some("b")).as_deref(), Some("b"));
        assert_eq!(wanted(Some("x")), None);
        assert_eq!(wanted(None), None, "two fit");
    }
}
