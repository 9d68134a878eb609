//! Secrets that we hand out and see again: refresh tokens, challenges, links in mails. 256 random bits behind a prefix that
//! says what it is; only the SHA-256 is stored. API keys have a form of their own (`key_text`).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngCore;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Characters of 32 bytes in base64 without padding.
const LENGTH: usize = 43;

/// What a token is for; its prefix keeps one kind from being taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Replaces itself and gives an access token.
    Refresh,
    /// A login that waits for its second factor.
    MfaChallenge,
    /// Proves an address.
    Verify,
    /// Sets a new password.
    Reset,
    /// Gives a person another address.
    Change,
    /// Joins an organization.
    Invitation,
    /// `state` of a code flow.
    OAuthState,
    /// The cookie that binds a code flow to a browser.
    OAuthBrowser,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "rt_",
            Self::MfaChallenge => "mfa_",
            Self::Verify => "vt_",
            Self::Reset => "pr_",
            Self::Change => "ec_",
            Self::Invitation => "in_",
            Self::OAuthState => "os_",
            Self::OAuthBrowser => "ob_",
        }
    }

    /// A new token.
    pub(crate) fn generate(self) -> NewToken {
        let mut random = [0_u8; 32];
        rand::rng().fill_bytes(&mut random);
        self.of(&random)
    }

    /// The token of these bits.
    pub(crate) fn of(self, bits: &[u8; 32]) -> NewToken {
        let text = format!("{}{}", self.prefix(), URL_SAFE_NO_PAD.encode(bits));
        NewToken { digest: digest(&text), secret: text.into() }
    }

    /// The digest to look a token up by; `None` for what cannot be one of this kind.
    pub(crate) fn parse(self, text: &str) -> Option<[u8; 32]> {
        let body = text.strip_prefix(self.prefix())?;
        let is_token =
            body.len() == LENGTH && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_token.then(|| digest(text))
    }
}

/// A token, and what is stored of it.
pub(crate) struct NewToken {
    /// The token; shown once.
    pub secret: SecretString,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_token_is_known_as_its_own_kind_alone() {
        let token = TokenKind::Refresh.generate();
        let text = token.secret.expose_secret();
        assert_eq!(TokenKind::Refresh.parse(text), Some(token.digest));
        assert_eq!(TokenKind::Reset.parse(text), None);
        for wrong in ["", "rt_", "rt_é", &format!("{text}x"), &text.to_uppercase(), &format!(" {text}")] {
            assert_eq!(TokenKind::Refresh.parse(wrong), None, "{wrong}");
        }
    }
}
