//! Typed identities. In the database an id is a UUIDv7; on the wire it is `<prefix>_<26 characters of Crockford base32>`.
//! Never put a bare `Uuid` into a signature: two ids of different kinds must not be exchangeable.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that starts with `{prefix}_`")]
pub struct IdError {
    prefix: &'static str,
}

fn encode(uuid: Uuid) -> String {
    let value = uuid.as_u128();
    (0..DIGITS)
        .rev()
        .map(|place| {
            let digit = usize::try_from((value >> (place * 5)) & 31).unwrap_or_default();
            char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
        })
        .collect()
}

fn decode(text: &str) -> Option<Uuid> {
    if text.len() != DIGITS || !text.starts_with(|first: char| ('0'..='7').contains(&first)) {
        return None;
    }
    let value = text.bytes().try_fold(0_u128, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        Some((value << 5) | u128::try_from(digit).ok()?)
    })?;
    Some(Uuid::from_u128(value))
}

/// A new UUIDv7 of the given moment; times before 1970 count as 1970.
fn mint(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new identity; `now` comes from the caller's clock and makes ids sort by age.
            #[must_use]
            pub fn mint(now: Timestamp) -> Self {
                Self(mint(now))
            }

            /// Wraps the stored form.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The stored form.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
    )*};
}

// Alphabetical; append, never rename: a prefix is part of the public API.
ids! {
    /// A key that a program authenticates with.
    ApiKeyId = "key";
    /// A written authorization to scan a target.
    AuthorizationId = "aut";
    /// What one run of a tool printed, as it is kept.
    ArtifactId = "art";
    /// A picture of a person.
    AvatarId = "avt";
    /// One event on its way to one webhook.
    DeliveryId = "dlv";
    /// Something that happened.
    EventId = "evt";
    /// Something that is never scanned for an organization.
    ExclusionId = "exc";
    /// A weakness of one target, known across scans.
    FindingId = "vuln";
    /// An invitation to an organization.
    InvitationId = "inv";
    /// A letter on its way.
    MailId = "mail";
    /// The tenant.
    OrganizationId = "org";
    /// A saved way to scan.
    ProfileId = "prof";
    /// A proof that an organization controls a target.
    ProofId = "prf";
    /// A rendered document.
    ReportId = "rep";
    /// One request to examine targets with a plan.
    ScanId = "scan";
    /// Something that is done again and again.
    ScheduleId = "sch";
    /// A signed-in user's session.
    SessionId = "ses";
    /// A host, URL, domain or network that an organization may scan.
    TargetId = "tgt";
    /// One sandboxed run of one tool against one shard of the targets.
    TaskId = "task";
    /// A person.
    UserId = "usr";
    /// An endpoint that receives events.
    WebhookId = "whk";
    /// A running worker process.
    WorkerId = "wrk";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_survives_its_wire_form(value: u128) {
            let id = ScanId::from_uuid(Uuid::from_u128(value));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_text_parses_or_is_refused_without_a_panic(text in ".{0,40}") {
            if let Ok(id) = format!("scan_{text}").parse::<ScanId>() {
                prop_assert_eq!(id.to_string(), format!("scan_{text}"));
            }
        }
    }

    #[test]
    fn the_wire_form_has_the_published_shape_and_sorts_by_age() {
        let older = ScanId::mint("2026-01-15T14:30:00Z".parse().unwrap());
        let newer = ScanId::mint("2026-01-15T14:30:01Z".parse().unwrap());
        let text = older.to_string();
        assert_eq!(text.len(), "scan_".len() + DIGITS);
        assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        assert!(older.to_string() < newer.to_string());
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let organization = OrganizationId::from_uuid(Uuid::from_u128(7)).to_string();
        let error = organization.parse::<ScanId>().unwrap_err();
        assert_eq!(error.to_string(), "expected an id that starts with `scan_`");
    }
}
