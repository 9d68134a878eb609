//! Links that are their own permission for a quarter of an hour: an HMAC under the platform's key over the organization, the
//! document and the end. Whoever makes one has checked that its reader may have it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{ArtifactId, OrganizationId};
use picket_kit::Sealer;
use sha2::Sha256;

use crate::Problem;

/// How long a link is good.
const LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// What the key is for.
const PURPOSE: &str = "artifacts/link";

/// A document of an organization, until a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Whose it is.
    pub(crate) organization: OrganizationId,
    /// Which one.
    pub(crate) artifact: ArtifactId,
    /// Unix seconds.
    pub(crate) expires: i64,
}

impl Grant {
    /// A grant that begins now.
    pub(crate) fn new(organization: OrganizationId, artifact: ArtifactId, now: Timestamp) -> Self {
        let expires = now.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX).as_second();
        Self { organization, artifact, expires }
    }

    /// Its signature.
    ///
    /// # Errors
    /// Never: the key has the right length.
    pub(crate) fn sign(&self, sealer: &Sealer) -> Result<String, Problem> {
        let mac = self.mac(sealer.derive(PURPOSE).as_slice())?;
        Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// Whether this is its signature, by the platform's key or one that was it before, and it has not ended.
    ///
    /// # Errors
    /// Never: the keys have the right length.
    pub(crate) fn is_good(&self, signature: &str, sealer: &Sealer, now: Timestamp) -> Result<bool, Problem> {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Ok(false) };
        let mut is_ours = false;
        for key in sealer.derive_all(PURPOSE) {
            // Compares in constant time.
            is_ours |= self.mac(key.as_slice())?.verify_slice(&signature).is_ok();
        }
        Ok(is_ours && now.as_second() < self.expires)
    }

    /// Every part has a fixed length, so that no two grants are the same bytes.
    fn mac(&self, key: &[u8]) -> Result<Hmac<Sha256>, Problem> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Problem::internal)?;
        mac.update(self.organization.uuid().as_bytes());
        mac.update(self.artifact.uuid().as_bytes());
        mac.update(&self.expires.to_be_bytes());
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_document_of_one_organization_until_its_end() {
        let sealer = Sealer::new(&Sealer::generate_key()).unwrap();
        let now: Timestamp = "2026-01-15T14:30:00Z".parse().unwrap();
        let grant = Grant::new(OrganizationId::mint(now), ArtifactId::mint(now), now);
        let signature = grant.sign(&sealer).unwrap();
        let good = |grant: Grant, signature: &str, at| grant.is_good(signature, &sealer, at).unwrap();
        assert!(good(grant, &signature, now));
        let last = now.saturating_add(SignedDuration::from_secs(15 * 60 - 1)).unwrap();
        assert!(good(grant, &signature, last));
        assert!(!good(grant, &signature, now.saturating_add(LIFETIME).unwrap()));
        for other in [
            Grant { organization: OrganizationId::mint(now), ..grant },
            Grant { artifact: ArtifactId::mint(now), ..grant },
            Grant { expires: grant.expires + 1, ..grant },
        ] {
            assert!(!good(other, &signature, now), "{other:?}");
        }
        for wrong in ["", "AA", "!", &signature[1..], &format!("{signature}A")] {
            assert!(!good(grant, wrong, now), "{wrong}");
        }
    }

    #[test]
    fn a_link_from_before_a_rotation_is_good_and_one_of_a_stranger_is_not() {
        let (first, second) = (Sealer::generate_key(), Sealer::generate_key());
        let now = Timestamp::UNIX_EPOCH;
        let grant = Grant::new(OrganizationId::mint(now), ArtifactId::mint(now), now);
        let signature = grant.sign(&Sealer::new(&first).unwrap()).unwrap();
        assert!(grant.is_good(&signature, &Sealer::with(&second, &[first]).unwrap(), now).unwrap());
        assert!(!grant.is_good(&signature, &Sealer::new(&second).unwrap(), now).unwrap());
    }
}
