//! The keys of access tokens (Ed25519). One signs; all are accepted, and shown by their public halves. A key's name is made
//! of the key itself, so two processes with the same key name it alike.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, jwk::Jwk};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::GatewayError;

/// PKCS#8 of an Ed25519 key without its 32 bytes (RFC 8410 §7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Bytes of a public key (RFC 8032 §5.1.5).
const PUBLIC_LENGTH: usize = 32;

/// A key whose tokens are accepted.
pub(super) struct AcceptedKey {
    /// Its name in the header of tokens.
    pub id: String,
    /// Its public half.
    pub decoding: DecodingKey,
    /// The same, as the set of keys shows it.
    public: String,
}

/// The public halves of the keys of access tokens (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JwkSet)]
pub(crate) struct JwkSetView {
    /// The keys; the first one signs.
    keys: Vec<JwkView>,
}

/// A public key (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Jwk)]
struct JwkView {
    /// The kind of key: an octet key pair.
    #[schema(example = "OKP")]
    kty: &'static str,
    /// The curve.
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// What it is for: signatures.
    #[serde(rename = "use")]
    #[schema(rename = "use", example = "sig")]
    purpose: &'static str,
    /// The algorithm.
    #[schema(example = "EdDSA")]
    alg: &'static str,
    /// Its name in the header of tokens.
    kid: String,
    /// The key itself, base64url.
    x: String,
}

impl AcceptedKey {
    /// The key of the setting `previous_signing_keys`: either half of it.
    pub(super) fn read(setting: &SecretString) -> Result<Self, GatewayError> {
        const SETTING: &str = "previous_signing_keys";
        let pem = pem(setting, SETTING)?;
        let failed = |error| GatewayError::setting(SETTING, "Ed25519 keys in PEM, or paths of such files", error);
        let is_private = String::from_utf8_lossy(&pem).contains("PRIVATE KEY");
        let decoding = if is_private {
            EncodingKey::from_ed_pem(&pem).and_then(|key| public_half(&key))
        } else {
            DecodingKey::from_ed_pem(&pem)
        };
        decoding.and_then(Self::of).map_err(failed)
    }

    fn of(decoding: DecodingKey) -> jsonwebtoken::errors::Result<Self> {
        let bytes = decoding.try_get_as_bytes()?;
        if bytes.len() != PUBLIC_LENGTH {
            return Err(jsonwebtoken::errors::ErrorKind::InvalidEddsaKey.into());
        }
        let id = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let public = URL_SAFE_NO_PAD.encode(bytes);
        Ok(Self { id, decoding, public })
    }
}

impl JwkSetView {
    pub(super) fn new(keys: &[AcceptedKey]) -> Self {
        let view = |key: &AcceptedKey| JwkView {
            kty: "OKP",
            crv: "Ed25519",
            purpose: "sig",
            alg: "EdDSA",
            kid: key.id.clone(),
            x: key.public.clone(),
        };
        Self { keys: keys.iter().map(view).collect() }
    }
}

/// The key that signs, and its public half.
pub(super) fn signing(setting: &SecretString) -> Result<(EncodingKey, AcceptedKey), GatewayError> {
    const SETTING: &str = "signing_key";
    let failed = |error| GatewayError::setting(SETTING, "an Ed25519 key in PKCS#8 PEM, or the path of one", error);
    let encoding = EncodingKey::from_ed_pem(&pem(setting, SETTING)?).map_err(failed)?;
    let accepted = public_half(&encoding).and_then(AcceptedKey::of).map_err(failed)?;
    Ok((encoding, accepted))
}

/// A new key for access tokens, as PEM (PKCS#8): for a development stack and for tests. Others have theirs made once, and
/// give the same to every gateway.
#[must_use]
pub fn generate_signing_key() -> SecretString {
    let mut seed = [0_u8; 32];
    rand::rng().fill_bytes(&mut seed);
    let der = STANDARD.encode([PKCS8.as_slice(), &seed].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n").into()
}

fn public_half(key: &EncodingKey) -> jsonwebtoken::errors::Result<DecodingKey> {
    DecodingKey::from_jwk(&Jwk::from_encoding_key(key, Algorithm::EdDSA)?)
}

/// The PEM of a setting, which may be the path of a file.
fn pem(setting: &SecretString, name: &'static str) -> Result<Vec<u8>, GatewayError> {
    let text = setting.expose_secret();
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    std::fs::read(text).map_err(|error| GatewayError::setting(name, "PEM, or the path of a readable file", error))
}
