//! Secrets at rest: AES-256-GCM under the platform's key. What is sealed for one place opens nowhere else, since the
//! context (table, row, column) is authenticated with it.
//!
//! Sealed form: 1 byte version, 8 bytes key id, 12 bytes nonce, then ciphertext with its tag.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_ID_LENGTH: usize = 8;
const NONCE_LENGTH: usize = 12;

/// Seals and opens; cheap to clone, never printed.
#[derive(Clone)]
pub struct Sealer {
    cipher: Aes256Gcm,
    key_id: [u8; KEY_ID_LENGTH],
    /// What other keys are derived from; itself derived, so that the cipher's key is used for the cipher alone.
    root: Zeroizing<[u8; 32]>,
}

/// A secret could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The platform's key is not 32 bytes in base64.
    #[error("expected a key of 32 bytes in base64")]
    Key,
    /// What is stored was not sealed by us, with this key, for this place.
    #[error("expected what this key has sealed for this place")]
    Sealed,
}

impl Sealer {
    /// Takes the platform's key: 32 bytes in base64.
    ///
    /// # Errors
    /// [`SealError::Key`] for anything else.
    pub fn new(key: &SecretString) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(STANDARD.decode(key.expose_secret().trim()).map_err(|_| SealError::Key)?);
        let key = <&Key<Aes256Gcm>>::try_from(bytes.as_slice()).map_err(|_| SealError::Key)?;
        let digest = Sha256::digest(bytes.as_slice());
        let key_id = digest.first_chunk().copied().ok_or(SealError::Key)?;
        let root = Zeroizing::new(keyed(bytes.as_slice(), "picket derived keys 1")?);
        Ok(Self { cipher: Aes256Gcm::new(key), key_id, root })
    }

    /// A key for the use that `context` names: the same in every process with the same platform's key, and of no use for
    /// finding that key or the one of another context (HMAC-SHA256).
    ///
    /// # Errors
    /// Never: HMAC takes keys of any length.
    pub fn derive(&self, context: &str) -> Result<Zeroizing<[u8; 32]>, SealError> {
        keyed(self.root.as_slice(), context).map(Zeroizing::new)
    }

    /// A new key, for a development stack and for tests.
    #[must_use]
    pub fn generate_key() -> SecretString {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::rng().fill_bytes(bytes.as_mut_slice());
        SecretString::from(STANDARD.encode(bytes.as_slice()))
    }

    /// Seals `plaintext` for the place that `context` names.
    ///
    /// # Errors
    /// Never for plaintexts below 64 GiB.
    pub fn seal(&self, plaintext: &[u8], context: &str) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_LENGTH];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plaintext, aad: context.as_bytes() };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| SealError::Sealed)?;
        Ok([&[VERSION], self.key_id.as_slice(), &nonce, &sealed].concat())
    }

    /// Opens what was sealed for `context`.
    ///
    /// # Errors
    /// [`SealError::Sealed`] when it was changed, moved, or sealed with another key.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Sealed)?;
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID_LENGTH>().ok_or(SealError::Sealed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or(SealError::Sealed)?;
        if *version != VERSION || *key_id != self.key_id {
            return Err(SealError::Sealed);
        }
        let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
        self.cipher.decrypt(&Nonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| SealError::Sealed)
    }
}

fn keyed(key: &[u8], context: &str) -> Result<[u8; 32], SealError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SealError::Key)?;
    mac.update(context.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&Sealer::generate_key()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let sealer = sealer();
        let sealed = sealer.seal(b"whsec", "webhooks/1/secret").unwrap();
        assert_eq!(sealer.open(&sealed, "webhooks/1/secret").unwrap().as_slice(), b"whsec");
        assert_eq!(sealer.open(&sealed, "webhooks/2/secret"), Err(SealError::Sealed));
    }

    #[test]
    fn what_was_changed_or_sealed_with_another_key_stays_shut() {
        let sealed = sealer().seal(b"whsec", "place").unwrap();
        assert_eq!(sealer().open(&sealed, "place"), Err(SealError::Sealed));
        let sealer = sealer();
        let sealed = sealer.seal(b"whsec", "place").unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(sealer.open(&changed, "place"), Err(SealError::Sealed), "byte {position}");
            assert!(sealer.open(&sealed[..position], "place").is_err());
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_the_same_way() {
        let sealer = sealer();
        assert_ne!(sealer.seal(b"x", "place").unwrap(), sealer.seal(b"x", "place").unwrap());
    }

    #[test]
    fn a_derived_key_depends_on_the_key_and_on_its_use_alone() {
        let key = Sealer::generate_key();
        let derive = |key: &SecretString, context: &str| *Sealer::new(key).unwrap().derive(context).unwrap();
        assert_eq!(derive(&key, "a"), derive(&key, "a"));
        assert_ne!(derive(&key, "a"), derive(&key, "b"));
        assert_ne!(derive(&key, "a"), derive(&Sealer::generate_key(), "a"));
        assert_ne!(derive(&key, "a").as_slice(), STANDARD.decode(key.expose_secret()).unwrap());
    }

    #[test]
    fn a_wrong_key_is_refused() {
        for key in ["", "short", "AAAA"] {
            assert_eq!(Sealer::new(&SecretString::from(key)).unwrap_err(), SealError::Key);
        }
    }
}
