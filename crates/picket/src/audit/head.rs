//! A head of a chain that left the database: whoever changes the database afterwards cannot change it, and whoever finds the
//! file cannot make another one without the platform's key.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use picket_domain::{AuditHash, AuditPoint, OrganizationId};
use picket_kit::Sealer;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What the key of signatures is derived for.
const PURPOSE: &str = "audit head";

/// A head with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedHead {
    pub(super) organization: OrganizationId,
    /// The last row.
    pub(super) sequence: i64,
    /// Its hash.
    pub(super) hash: AuditHash,
    /// When it was exported.
    pub(super) at: Timestamp,
    /// HMAC-SHA256 over the fields before, a line each.
    signature: AuditHash,
}

impl SignedHead {
    /// Signs with the platform's present key.
    pub(super) fn new(organization: OrganizationId, point: AuditPoint, at: Timestamp, sealer: &Sealer) -> Self {
        let AuditPoint { sequence, hash } = point;
        let unsigned = Self { organization, sequence, hash, at, signature: AuditHash([0; 32]) };
        let signature = unsigned.mac(sealer.derive(PURPOSE).as_slice());
        Self {
            signature: AuditHash(signature.map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()),
            ..unsigned
        }
    }

    /// Whether one of the platform's keys signed it.
    pub(super) fn is_genuine(&self, sealer: &Sealer) -> bool {
        let is_signed = |key: &[u8]| self.mac(key).is_some_and(|mac| mac.verify_slice(&self.signature.0).is_ok());
        sealer.derive_all(PURPOSE).iter().any(|key| is_signed(key.as_slice()))
    }

    /// The place in the chain.
    pub(super) const fn point(&self) -> AuditPoint {
        AuditPoint { sequence: self.sequence, hash: self.hash }
    }

    /// `None` never comes: HMAC takes keys of any length.
    fn mac(&self, key: &[u8]) -> Option<Hmac<Sha256>> {
        let Self { organization, sequence, hash, at, signature: _ } = self;
        let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        Some(mac.chain_update(format!("{organization}\n{sequence}\n{hash}\n{at}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_was_changed_or_signed_by_another_is_not_genuine() {
        let (first, second) = (Sealer::generate_key(), Sealer::generate_key());
        let sealer = Sealer::new(&first).unwrap();
        let at: Timestamp = "2026-01-15T14:30:00Z".parse().unwrap();
        let organization = OrganizationId::mint(at);
        let head = SignedHead::new(organization, AuditPoint { sequence: 7, hash: AuditHash([1; 32]) }, at, &sealer);
        let read: SignedHead = serde_json::from_str(&serde_json::to_string(&head).unwrap()).unwrap();
        assert!(read == head && head.is_genuine(&sealer));
        assert!(head.is_genuine(&Sealer::with(&second, std::slice::from_ref(&first)).unwrap()), "after a rotation");
        assert!(!head.is_genuine(&Sealer::new(&second).unwrap()));
        for changed in [
            SignedHead { organization: OrganizationId::mint(at), ..head.clone() },
            SignedHead { sequence: 6, ..head.clone() },
            SignedHead { hash: AuditHash([2; 32]), ..head.clone() },
            SignedHead { at: at + jiff::SignedDuration::from_secs(1), ..head.clone() },
            SignedHead { signature: AuditHash([0; 32]), ..head },
        ] {
            assert!(!changed.is_genuine(&sealer), "{changed:?}");
        }
    }
}
