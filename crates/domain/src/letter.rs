//! Letters: what a mail says, before it is put into words. The gateway writes them, the dispatcher words and sends them.
//! A letter may hold a link with a token in it, so it is stored sealed and never printed.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Role, SeverityCounts};

/// How long a letter without an end of its own is worth sending: news of a changed password helps for days, not for weeks.
const WORTH_SENDING: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The languages that letters are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// Chinese (simplified).
    Zh,
    /// Indonesian.
    Id,
}

impl Locale {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::En, Self::Zh, Self::Id];

    /// The name on the wire and in the database (ISO 639-1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
            Self::Id => "id",
        }
    }

    /// The language of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.name() == name)
    }
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanOutcome {
    /// With a result, whole or not.
    Completed,
    /// Nothing could be examined.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl ScanOutcome {
    /// The outcome of a scan in the state of that name; none of one that goes on.
    #[must_use]
    pub fn find(state: &str) -> Option<Self> {
        match state {
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }
}

/// What happened to the proof of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofNews {
    /// It was not found where it should be.
    Missing,
    /// It was missing too often, and proves nothing any more.
    Ended,
    /// Another organization has proven the same target.
    Shared,
}

impl ProofNews {
    /// The name of its letter's template, also in the database.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Missing => "proof_missing",
            Self::Ended => "proof_ended",
            Self::Shared => "target_shared",
        }
    }

    /// The news of that template.
    #[must_use]
    pub fn find(template: &str) -> Option<Self> {
        [Self::Missing, Self::Ended, Self::Shared].into_iter().find(|news| news.template() == template)
    }
}

/// What a mail says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "template", rename_all = "snake_case", deny_unknown_fields)]
pub enum Letter {
    /// Prove that this address is yours.
    VerifyAddress {
        /// The person.
        name: String,
        /// Where to confirm; holds the token.
        link: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Somebody tried to register with an address that has an account.
    AddressTaken {
        /// The person who has it.
        name: String,
        /// Where to ask for a new password.
        link: String,
    },
    /// Set a new password.
    ResetPassword {
        /// The person.
        name: String,
        /// Where to set it; holds the token.
        link: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// The password was changed.
    PasswordChanged {
        /// The person.
        name: String,
        /// When.
        at: Timestamp,
        /// From where.
        address: String,
    },
    /// The second factor was put on or taken off.
    MfaChanged {
        /// The person.
        name: String,
        /// Whether it is on now.
        enabled: bool,
        /// When.
        at: Timestamp,
    },
    /// An account at a provider was linked or unlinked.
    IdentityChanged {
        /// The person.
        name: String,
        /// The provider.
        provider: String,
        /// Whether it opens the account now.
        linked: bool,
        /// When.
        at: Timestamp,
    },
    /// Prove that the address that an account is to have is yours.
    ConfirmNewAddress {
        /// The person.
        name: String,
        /// Where to confirm; holds the token.
        link: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// To the address until now: somebody asked for another one.
    AddressChangeAsked {
        /// The person.
        name: String,
        /// The address that is asked for.
        email: String,
        /// When.
        at: Timestamp,
    },
    /// To the address until now: the account has another one.
    AddressChanged {
        /// The person.
        name: String,
        /// The address from now on.
        email: String,
        /// When.
        at: Timestamp,
    },
    /// A scan that its reader asked to hear of has ended.
    ScanEnded {
        /// The person.
        name: String,
        /// Whose scan it is.
        organization: String,
        /// What was scanned.
        target: String,
        /// How it ended.
        outcome: ScanOutcome,
        /// When.
        at: Timestamp,
        /// What it found.
        counts: SeverityCounts,
        /// Where the result is.
        link: String,
    },
    /// Something happened to the proof of a target.
    TargetProof {
        /// The person.
        name: String,
        /// Whose target it is.
        organization: String,
        /// The target.
        target: String,
        /// What.
        news: ProofNews,
        /// When.
        at: Timestamp,
    },
    /// Join an organization.
    Invitation {
        /// Who invites.
        inviter: String,
        /// To which organization.
        organization: String,
        /// As what.
        role: Role,
        /// Where to accept; holds the token.
        link: String,
        /// Until when.
        expires_at: Timestamp,
    },
}

impl Letter {
    /// The name of its template.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::VerifyAddress { .. } => "verify_address",
            Self::AddressTaken { .. } => "address_taken",
            Self::ResetPassword { .. } => "reset_password",
            Self::PasswordChanged { .. } => "password_changed",
            Self::MfaChanged { .. } => "mfa_changed",
            Self::IdentityChanged { .. } => "identity_changed",
            Self::ConfirmNewAddress { .. } => "confirm_new_address",
            Self::AddressChangeAsked { .. } => "address_change_asked",
            Self::AddressChanged { .. } => "address_changed",
            Self::ScanEnded { .. } => "scan_ended",
            Self::TargetProof { news, .. } => news.template(),
            Self::Invitation { .. } => "invitation",
        }
    }

    /// From when on it is worth nothing to its reader: with its link, or a week after it was `written`.
    #[must_use]
    pub fn expires_at(&self, written: Timestamp) -> Timestamp {
        match self {
            Self::VerifyAddress { expires_at, .. }
            | Self::ResetPassword { expires_at, .. }
            | Self::ConfirmNewAddress { expires_at, .. }
            | Self::Invitation { expires_at, .. } => *expires_at,
            Self::AddressTaken { .. }
            | Self::PasswordChanged { .. }
            | Self::MfaChanged { .. }
            | Self::IdentityChanged { .. }
            | Self::AddressChangeAsked { .. }
            | Self::AddressChanged { .. }
            | Self::ScanEnded { .. }
            | Self::TargetProof { .. } => written.saturating_add(WORTH_SENDING).unwrap_or(Timestamp::MAX),
        }
    }
}

impl fmt::Debug for Letter {
    /// The template alone: links hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({})", self.template())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_survives_storage_and_is_never_printed() {
        let letter =
            Letter::AddressTaken { name: "Ada".to_owned(), link: "https://api.example/?token=canary".to_owned() };
        let stored = serde_json::to_string(&letter).unwrap();
        assert!(stored.contains(&format!("\"{}\"", letter.template())));
        assert_eq!(serde_json::from_str::<Letter>(&stored).unwrap(), letter);
        assert!(!format!("{letter:?}").contains("canary"));
    }

    #[test]
    fn a_letter_is_worth_sending_as_long_as_its_link_or_for_a_week() {
        let (now, link) = (Timestamp::UNIX_EPOCH, "https://api.example/".to_owned());
        let expires_at = now + SignedDuration::from_mins(30);
        let reset = Letter::ResetPassword { name: "Ada".to_owned(), link: link.clone(), expires_at };
        assert_eq!(reset.expires_at(now), expires_at);
        let taken = Letter::AddressTaken { name: "Ada".to_owned(), link };
        assert_eq!(taken.expires_at(now).duration_since(now), SignedDuration::from_hours(168));
    }

    #[test]
    fn names_find_their_languages() {
        assert!(Locale::ALL.into_iter().all(|locale| Locale::find(locale.name()) == Some(locale)));
    }
}
