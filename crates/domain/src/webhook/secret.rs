//! The secret that a webhook's deliveries are signed with. It cannot be printed, and is shown to its owner once.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{OrganizationId, WebhookId};

/// What the shown form begins with (Standard Webhooks).
const PREFIX: &str = "whsec_";

/// 32 random bytes that sign a webhook's deliveries.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<[u8; 32]>);

impl WebhookSecret {
    /// Wraps bytes from a cryptographic source of randomness, or from the store once unsealed.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the stored bytes; `None` when they are not 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_bytes)
    }

    /// The bytes, for signing and sealing alone.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The place that it is sealed for: opened anywhere else, it stays shut.
    #[must_use]
    pub fn context(organization: OrganizationId, webhook: WebhookId) -> String {
        format!("{organization}/webhooks/{webhook}/secret")
    }

    /// The form that its owner is shown once: `whsec_` and base64.
    #[must_use]
    pub fn to_wire(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(self.expose())))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_the_shape_of_standard_webhooks_and_is_never_printed() {
        let secret = WebhookSecret::from_bytes([7; 32]);
        assert_eq!(secret.to_wire().as_str(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(hidden)");
        assert!(WebhookSecret::from_slice(&[0; 31]).is_none());
    }
}
