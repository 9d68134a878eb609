//! Proof that somebody controls a target: a token that only its owner can put where it is looked for. Nothing here looks;
//! and a token is never kept, only its digest, so that nobody who reads the database can prove anything with it.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{HostName, Target, TargetKind};

/// How long a token waits to be found for the first time.
pub const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a target counts as proven after its token was found.
pub const VERIFIED_LASTS: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How old the last look may be when a scan begins to rely on a proof; behind that it is looked for first.
pub const LOOK_LASTS: SignedDuration = SignedDuration::from_hours(24);
/// How often a proof is looked for again.
pub const CHECK_EVERY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The same for a proof that was missing at the last look, or that an unfinished scan relies on.
pub const CHECK_EVERY_FAILING: SignedDuration = SignedDuration::from_hours(24);
/// The path of the file.
pub const FILE_PATH: &str = "/.well-known/picket-verification.txt";
/// The name of the meta tag.
pub const META_NAME: &str = "picket-verification";
/// The longest file, in bytes.
pub const LONGEST_FILE_BYTES: usize = 128;
/// How much of the page is read, in bytes.
pub const LONGEST_PAGE_BYTES: usize = 256 * 1_024;
/// What the TXT record and the file hold before the token.
const PREFIX: &str = "picket-verification=";

/// Where a token is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofMethod {
    /// A TXT record below the name.
    DnsTxt,
    /// A file of the web site.
    HttpFile,
    /// A meta tag of the web site's first page.
    MetaTag,
}

impl ProofMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::DnsTxt, Self::HttpFile, Self::MetaTag];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DnsTxt => "dns_txt",
            Self::HttpFile => "http_file",
            Self::MetaTag => "meta_tag",
        }
    }

    /// The method of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether a target of that kind can be proven so. Whole networks cannot: they are authorized in writing.
    #[must_use]
    pub const fn suits(self, target: &Target) -> bool {
        match target.kind() {
            TargetKind::Host(_) => true,
            TargetKind::Address(_) => matches!(self, Self::HttpFile | Self::MetaTag),
            TargetKind::Network(_) => false,
        }
    }

    /// What the owner has to put there: the whole text of the record or of the file, or the content of the tag.
    #[must_use]
    pub fn text(self, token: &str) -> String {
        match self {
            Self::DnsTxt | Self::HttpFile => format!("{PREFIX}{token}"),
            Self::MetaTag => token.to_owned(),
        }
    }

    /// The token in a text that was found, if it has one.
    #[must_use]
    pub fn token(self, found: &str) -> Option<&str> {
        let token = match self {
            Self::DnsTxt => found.strip_prefix(PREFIX)?,
            // Editors end the last line.
            Self::HttpFile => {
                let line = found.strip_suffix('\n').unwrap_or(found);
                line.strip_suffix('\r').unwrap_or(line).strip_prefix(PREFIX)?
            }
            Self::MetaTag => found,
        };
        (!token.is_empty()).then_some(token)
    }
}

/// The name of the TXT record that proves `host`.
#[must_use]
pub fn record_name(host: &HostName) -> String {
    format!("_picket-challenge.{}", host.ascii())
}

/// What is kept of a token: its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofDigest([u8; 32]);

impl ProofDigest {
    /// Of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// As it is stored.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it was stored; `None` when it is no digest.
    #[must_use]
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_is_found_there() {
        for method in ProofMethod::ALL {
            assert_eq!(method.token(&method.text("abc")), Some("abc"));
            assert_eq!(ProofMethod::find(method.name()), Some(method));
        }
        assert_eq!(ProofMethod::HttpFile.token("picket-verification=abc\r\n"), Some("abc"));
        for found in ["", "abc", " picket-verification=abc", "picket-verification=", "x\npicket-verification=abc"] {
            assert_eq!(ProofMethod::HttpFile.token(found), None, "{found}");
        }
    }

    #[test]
    fn only_what_can_be_proven_is_offered() {
        let suits = |target: &str| ProofMethod::ALL.map(|method| method.suits(&Target::parse(target).unwrap()));
        assert_eq!(suits("example.com"), [true, true, true]);
        assert_eq!(suits("8.8.8.8"), [false, true, true]);
        assert_eq!(suits("8.8.8.0/24"), [false, false, false]);
    }
}
