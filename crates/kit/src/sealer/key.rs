//! One key of the platform. Its bytes leave this file only as what is derived from them.

use std::sync::Arc;

use aes_gcm::{Aes256Gcm, Key};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SealError;

pub(super) const KEY_ID_LENGTH: usize = 8;

/// A key with the id that it is found by.
#[derive(Clone)]
pub(super) struct SealingKey {
    cipher: Aes256Gcm,
    id: [u8; KEY_ID_LENGTH],
    derivation: Arc<Hmac<Sha256>>,
}

impl SealingKey {
    /// Reads 32 bytes in base64.
    pub(super) fn parse(key: &SecretString) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(STANDARD.decode(key.expose_secret().trim()).map_err(|_| SealError::Key)?);
        let key = <&Key<Aes256Gcm>>::try_from(bytes.as_slice()).map_err(|_| SealError::Key)?;
        let digest = Sha256::digest(bytes.as_slice());
        let id = digest.first_chunk().copied().ok_or(SealError::Key)?;
        // Derived itself, so that the cipher's key is used for the cipher alone.
        let root = Hmac::<Sha256>::new_from_slice(bytes.as_slice()).map_err(|_| SealError::Key)?;
        let root: Zeroizing<[u8; 32]> =
            Zeroizing::new(root.chain_update(b"picket derived keys 1").finalize().into_bytes().into());
        let derivation = Hmac::<Sha256>::new_from_slice(root.as_slice()).map_err(|_| SealError::Key)?;
        Ok(Self { cipher: Aes256Gcm::new(key), id, derivation: Arc::new(derivation) })
    }

    /// The first bytes of its SHA-256.
    pub(super) const fn id(&self) -> &[u8; KEY_ID_LENGTH] {
        &self.id
    }

    pub(super) const fn cipher(&self) -> &Aes256Gcm {
        &self.cipher
    }

    /// HMAC-SHA256 of `context` under a key that is derived from this one.
    pub(super) fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        let mac = self.derivation.as_ref().clone().chain_update(context.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}
