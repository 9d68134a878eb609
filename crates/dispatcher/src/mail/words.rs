//! What letters say, one file a language. The words are data and know no markup: `render` fills the placeholders and
//! escapes the whole. To add a letter: a field here, and the compiler asks every language for it.
//!
//! Placeholders: `{name}`, `{inviter}`, `{organization}`, `{role}`, `{address}`, `{provider}`, `{email}`, `{target}`, the moments
//! `{expires}` and `{at}`, and numbers of findings by severity. A subject may hold `{organization}` or `{target}` alone.

mod en;
mod id;
mod zh;

use picket_domain::{Letter, Locale, ProofNews, Role, ScanOutcome};

/// The words of one letter.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) subject: &'static str,
    /// Paragraphs before the link; the first greets.
    pub(crate) before: &'static [&'static str],
    /// What the link does, if there is one.
    pub(crate) action: Option<&'static str>,
    /// Paragraphs after the link.
    pub(crate) after: &'static [&'static str],
}

/// The words of one language.
#[derive(Debug)]
pub(crate) struct Words {
    /// Its tag (BCP 47).
    pub(crate) tag: &'static str,
    pub(crate) verify_address: Text,
    pub(crate) address_taken: Text,
    pub(crate) reset_password: Text,
    pub(crate) password_changed: Text,
    pub(crate) mfa_enabled: Text,
    pub(crate) mfa_disabled: Text,
    pub(crate) identity_linked: Text,
    pub(crate) identity_unlinked: Text,
    pub(crate) confirm_new_address: Text,
    pub(crate) address_change_asked: Text,
    pub(crate) address_changed: Text,
    pub(crate) scan_completed: Text,
    pub(crate) scan_failed: Text,
    pub(crate) scan_cancelled: Text,
    pub(crate) proof_missing: Text,
    pub(crate) proof_ended: Text,
    pub(crate) target_shared: Text,
    pub(crate) invitation: Text,
    pub(crate) viewer: &'static str,
    pub(crate) analyst: &'static str,
    pub(crate) admin: &'static str,
    pub(crate) owner: &'static str,
    /// Stands before the link in full, for who cannot press the button.
    pub(crate) copy_link: &'static str,
    /// The last line: why this came and that nobody reads answers.
    pub(crate) footer: &'static str,
}

impl Words {
    /// The words of a language.
    pub(crate) const fn of(locale: Locale) -> &'static Self {
        match locale {
            Locale::En => &en::WORDS,
            Locale::Zh => &zh::WORDS,
            Locale::Id => &id::WORDS,
        }
    }

    /// The words of a letter.
    pub(crate) const fn text(&self, letter: &Letter) -> &Text {
        match letter {
            Letter::VerifyAddress { .. } => &self.verify_address,
            Letter::AddressTaken { .. } => &self.address_taken,
            Letter::ResetPassword { .. } => &self.reset_password,
            Letter::PasswordChanged { .. } => &self.password_changed,
            Letter::MfaChanged { enabled: true, .. } => &self.mfa_enabled,
            Letter::MfaChanged { enabled: false, .. } => &self.mfa_disabled,
            Letter::IdentityChanged { linked: true, .. } => &self.identity_linked,
            Letter::IdentityChanged { linked: false, .. } => &self.identity_unlinked,
            Letter::ConfirmNewAddress { .. } => &self.confirm_new_address,
            Letter::AddressChangeAsked { .. } => &self.address_change_asked,
            Letter::AddressChanged { .. } => &self.address_changed,
            Letter::ScanEnded { outcome: ScanOutcome::Completed, .. } => &self.scan_completed,
            Letter::ScanEnded { outcome: ScanOutcome::Failed, .. } => &self.scan_failed,
            Letter::ScanEnded { outcome: ScanOutcome::Cancelled, .. } => &self.scan_cancelled,
            Letter::TargetProof { news: ProofNews::Missing, .. } => &self.proof_missing,
            Letter::TargetProof { news: ProofNews::Ended, .. } => &self.proof_ended,
            Letter::TargetProof { news: ProofNews::Shared, .. } => &self.target_shared,
            Letter::Invitation { .. } => &self.invitation,
        }
    }

    /// The name of a role.
    pub(crate) const fn role(&self, role: Role) -> &'static str {
        match role {
            Role::Viewer => self.viewer,
            Role::Analyst => self.analyst,
            Role::Admin => self.admin,
            Role::Owner => self.owner,
        }
    }
}
