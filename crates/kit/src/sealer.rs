//! Secrets at rest: AES-256-GCM under the platform's key. What is sealed for one place opens nowhere else, since the
//! context (table, row, column; the tenant where the row has one) is authenticated with it.
//!
//! Sealed form: 1 byte version, 8 bytes key id, 12 bytes nonce, then ciphertext with its tag.
//!
//! Keys rotate: everything is sealed with the primary key and opened with the one that its id names. Never remove a
//! previous key before `picket admin rotate-key` says that nothing is sealed with it.

mod key;

use std::sync::Arc;

use aes_gcm::{
    Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::RngCore;
use secrecy::SecretString;
use zeroize::Zeroizing;

use self::key::{KEY_ID_LENGTH, SealingKey};

const VERSION: u8 = 1;
const NONCE_LENGTH: usize = 12;

/// Seals and opens; cheap to clone, never printed.
#[derive(Clone)]
pub struct Sealer {
    primary: SealingKey,
    /// Open what was sealed before, and seal nothing.
    others: Arc<[SealingKey]>,
}

/// A secret could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The platform's key is not 32 bytes in base64.
    #[error("expected a key of 32 bytes in base64")]
    Key,
    /// What is stored was not sealed by us, with a key that we have, for this place.
    #[error("expected what one of these keys has sealed for this place")]
    Sealed,
}

impl Sealer {
    /// Takes the platform's key: 32 bytes in base64.
    ///
    /// # Errors
    /// [`SealError::Key`] for anything else.
    pub fn new(key: &SecretString) -> Result<Self, SealError> {
        Self::with(key, &[])
    }

    /// The same with keys that were the platform's before: what they sealed opens still.
    ///
    /// # Errors
    /// [`SealError::Key`] when one of them is not 32 bytes in base64.
    pub fn with(primary: &SecretString, others: &[SecretString]) -> Result<Self, SealError> {
        let others = others.iter().map(SealingKey::parse).collect::<Result<Arc<[_]>, _>>()?;
        Ok(Self { primary: SealingKey::parse(primary)?, others })
    }

    /// A new key, for a development stack and for tests.
    #[must_use]
    pub fn generate_key() -> SecretString {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::rng().fill_bytes(bytes.as_mut_slice());
        SecretString::from(STANDARD.encode(bytes.as_slice()))
    }

    /// What everything that is sealed now begins with: the version, and which key it was. Tells nothing of the key.
    #[must_use]
    pub fn mark(&self) -> Vec<u8> {
        [&[VERSION], self.primary.id().as_slice()].concat()
    }

    /// A key of its own for one purpose, from the platform's key: HMAC-SHA256 of `context`.
    #[must_use]
    pub fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        self.primary.derive(context)
    }

    /// The same from every key, the primary one first: for what was signed before a rotation.
    #[must_use]
    pub fn derive_all(&self, context: &str) -> Vec<Zeroizing<[u8; 32]>> {
        self.keys().map(|key| key.derive(context)).collect()
    }

    /// Seals `plaintext` for the place that `context` names.
    ///
    /// # Errors
    /// Never for plaintexts below 64 GiB.
    pub fn seal(&self, plaintext: &[u8], context: &str) -> Result<Vec<u8>, SealError> {
        let nonce = nonce();
        let payload = Payload { msg: plaintext, aad: context.as_bytes() };
        let sealed = self.primary.cipher().encrypt(&Nonce::from(nonce), payload).map_err(|_| SealError::Sealed)?;
        Ok([&[VERSION], self.primary.id().as_slice(), &nonce, &sealed].concat())
    }

    /// Opens what was sealed for `context`.
    ///
    /// # Errors
    /// [`SealError::Sealed`] when it was changed, moved, or sealed with a key that is not here.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Sealed)?;
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID_LENGTH>().ok_or(SealError::Sealed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or(SealError::Sealed)?;
        if *version != VERSION {
            return Err(SealError::Sealed);
        }
        let key = self.keys().find(|key| key.id() == key_id).ok_or(SealError::Sealed)?;
        let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
        key.cipher().decrypt(&Nonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| SealError::Sealed)
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.primary).chain(self.others.iter())
    }
}

/// 96 random bits for each sealing: a key may seal 2^32 times before two alike become likelier than NIST SP 800-38D allows.
fn nonce() -> [u8; NONCE_LENGTH] {
    let mut nonce = [0_u8; NONCE_LENGTH];
    rand::rng().fill_bytes(&mut nonce);
    nonce
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
    fn a_wrong_key_is_refused() {
        for key in ["", "short", "AAAA"] {
            let key = SecretString::from(key);
            assert_eq!(Sealer::new(&key).unwrap_err(), SealError::Key);
            assert_eq!(Sealer::with(&Sealer::generate_key(), &[key]).unwrap_err(), SealError::Key);
        }
    }

    #[test]
    fn after_a_rotation_the_old_opens_still_and_the_new_needs_the_new_key() {
        let (first, second) = (Sealer::generate_key(), Sealer::generate_key());
        let before = Sealer::new(&first).unwrap();
        let after = Sealer::with(&second, std::slice::from_ref(&first)).unwrap();
        let old = before.seal(b"seed", "place").unwrap();
        assert_eq!(after.open(&old, "place").unwrap().as_slice(), b"seed");
        let new = after.seal(b"seed", "place").unwrap();
        assert_eq!(before.open(&new, "place"), Err(SealError::Sealed));
        assert_eq!(Sealer::new(&second).unwrap().open(&new, "place").unwrap().as_slice(), b"seed");
        assert!(new.starts_with(&after.mark()) && old.starts_with(&before.mark()) && before.mark() != after.mark());
    }

    #[test]
    fn a_derived_key_depends_on_the_key_and_on_what_it_is_for() {
        let (first, second) = (Sealer::generate_key(), Sealer::generate_key());
        let (one, other) = (Sealer::new(&first).unwrap(), Sealer::with(&second, std::slice::from_ref(&first)).unwrap());
        assert_eq!(one.derive("a"), one.derive("a"));
        assert_ne!(one.derive("a"), one.derive("b"));
        assert_ne!(one.derive("a"), other.derive("a"));
        assert_eq!(other.derive_all("a"), [other.derive("a"), one.derive("a")]);
    }

    #[test]
    fn a_million_nonces_are_a_million() {
        let mut nonces: Vec<_> = (0..1_000_000).map(|_| nonce()).collect();
        nonces.sort_unstable();
        assert!(nonces.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
