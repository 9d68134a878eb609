//! What the audit log says: one line an action, and the one text that is hashed. Never holds a secret: `before` and `after`
//! are made of views that have none.

mod walk;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::walk::{AuditHash, AuditHashError, AuditPoint, AuditRow, BreakReason, Broken, ChainWalk};
use crate::OrganizationId;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Something that was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum AuditAction {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl AuditAction {
            /// Every action, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire and in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The action of that name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.name() == name)
            }
        }
    };
}

// Alphabetical; append in place, never rename: the names are in chains of hashes.
actions! {
    /// A key was made.
    ApiKeyCreated = "api_key.created";
    /// A key was replaced by another.
    ApiKeyRotated = "api_key.rotated";
    /// A key was withdrawn.
    ApiKeyRevoked = "api_key.revoked";
    /// Somebody's picture changed.
    AvatarChanged = "user.avatar_changed";
    /// The hours in which nothing is scanned changed.
    BlackoutWindowsReplaced = "blackout_windows.replaced";
    /// A person has another address.
    EmailChanged = "user.email_changed";
    /// A person asked for another address.
    EmailChangeRequested = "user.email_change_requested";
    /// An address was proven.
    EmailVerified = "user.email_verified";
    /// Something is never scanned from now on.
    ExclusionCreated = "exclusion.created";
    /// Something may be scanned again.
    ExclusionDeleted = "exclusion.deleted";
    /// An identity at a provider was linked to a person.
    IdentityLinked = "user.identity_linked";
    /// An identity at a provider was taken from a person.
    IdentityUnlinked = "user.identity_unlinked";
    /// An invitation was taken up.
    InvitationAccepted = "invitation.accepted";
    /// Somebody was invited.
    InvitationCreated = "invitation.created";
    /// An invitation was withdrawn.
    InvitationWithdrawn = "invitation.withdrawn";
    /// A member was removed.
    MemberRemoved = "member.removed";
    /// A member got another role.
    MemberRoleChanged = "member.role_changed";
    /// New backup codes were made.
    MfaBackupCodesRegenerated = "mfa.backup_codes_regenerated";
    /// A challenge was burnt by wrong codes.
    MfaChallengeBurnt = "mfa.challenge_burnt";
    /// The second factor was taken off.
    MfaDisabled = "mfa.disabled";
    /// The second factor was put on.
    MfaEnabled = "mfa.enabled";
    /// An organization came into being.
    OrganizationCreated = "organization.created";
    /// The plan or another thing of the operator's changed.
    OrganizationAdministered = "organization.administered";
    /// Policy, name or branding changed.
    OrganizationUpdated = "organization.updated";
    /// A password was changed by who knew it.
    PasswordChanged = "user.password_changed";
    /// A password was set anew by mail.
    PasswordReset = "user.password_reset";
    /// Name, locale or time zone changed.
    ProfileUpdated = "user.profile_updated";
    /// A report was asked for.
    ReportRequested = "report.requested";
    /// What was older than the organization keeps results was taken away.
    ResultsRemoved = "results.removed";
    /// A scan was asked for.
    ScanCreated = "scan.created";
    /// A scan that had ended was removed with all that it alone had found.
    ScanDeleted = "scan.deleted";
    /// A report of a tool was imported as a scan.
    ScanImported = "scan.imported";
    /// A scan was paused.
    ScanPaused = "scan.paused";
    /// A tool was asked for with parameters that do not fit it, by a request or by the row of a task.
    ScanRefused = "scan.refused";
    /// A paused scan goes on.
    ScanResumed = "scan.resumed";
    /// A saved profile of scans got another version.
    ScanProfileChanged = "scan_profile.changed";
    /// A profile of scans was saved.
    ScanProfileCreated = "scan_profile.created";
    /// A saved profile of scans was removed.
    ScanProfileDeleted = "scan_profile.deleted";
    /// A scan was stopped.
    ScanStopped = "scan.stopped";
    /// The operator stopped scanning.
    ScanningHalted = "scanning.halted";
    /// The operator lets scans run again.
    ScanningReleased = "scanning.released";
    /// A schedule was made.
    ScheduleCreated = "schedule.created";
    /// A schedule was removed.
    ScheduleDeleted = "schedule.deleted";
    /// A schedule was changed, or switched on or off.
    ScheduleUpdated = "schedule.updated";
    /// Secrets at rest were sealed anew, with another key of the platform.
    SecretsRewrapped = "secrets.rewrapped";
    /// Somebody signed in.
    SessionOpened = "session.opened";
    /// A refresh token was used twice: its family was revoked.
    SessionReused = "session.reused";
    /// Somebody signed out, or was signed out.
    SessionRevoked = "session.revoked";
    /// A target was authorized in writing.
    TargetAuthorized = "target.authorized";
    /// A target was added.
    TargetCreated = "target.created";
    /// A target was removed.
    TargetDeleted = "target.deleted";
    /// A proof of a target was not found again, or was withdrawn.
    TargetProofEnded = "target.proof_ended";
    /// Somebody set out to prove a target.
    TargetProofStarted = "target.proof_started";
    /// Tags, criticality or owner of a target changed.
    TargetUpdated = "target.updated";
    /// A target was proven.
    TargetVerified = "target.verified";
    /// Many targets were added or changed at once.
    TargetsUpserted = "targets.upserted";
    /// The operator stopped tasks of a scan that goes on.
    TasksHalted = "tasks.halted";
    /// Tasks that had been given up wait for a worker again.
    TasksReplayed = "tasks.replayed";
    /// The operator locked somebody out.
    UserDisabled = "user.disabled";
    /// The operator let somebody in again.
    UserEnabled = "user.enabled";
    /// The operator made somebody an operator, or took that back.
    UserPlatformRoleChanged = "user.platform_role_changed";
    /// A webhook was made.
    WebhookCreated = "webhook.created";
    /// A webhook was removed.
    WebhookDeleted = "webhook.deleted";
    /// A worker was told to take no more.
    WorkerDrained = "worker.drained";
    /// A worker runs tools without a proven sandbox, as its operator has agreed to.
    WorkerUnsandboxed = "worker.unsandboxed";
}

/// One row of the audit log, before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `usr_…`, `key_…`, or `operator`.
    pub actor: String,
    /// What.
    pub action: AuditAction,
    /// To what: an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The request, as logs name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What it was before; without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is now; without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl AuditEntry {
    /// The same with what changed.
    #[must_use]
    pub fn change(mut self, before: Option<Value>, after: Option<Value>) -> Self {
        (self.before, self.after) = (before, after);
        self
    }

    /// The text that is stored and hashed.
    ///
    /// # Errors
    /// Never for what JSON can hold.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The hash before the first row of an organization.
#[must_use]
pub fn genesis(organization: OrganizationId) -> [u8; 32] {
    Sha256::digest(organization.uuid().as_bytes()).into()
}

/// The hash of a row: SHA-256 of the hash before, the sequence as 8 bytes (big-endian), and the entry's text. The database
/// computes the same in `picket_audit`.
#[must_use]
pub fn chain(before: &[u8; 32], sequence: i64, text: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(sequence.to_be_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own() {
        let names: HashSet<_> = AuditAction::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), AuditAction::ALL.len());
        assert!(AuditAction::ALL.iter().all(|action| AuditAction::find(action.name()) == Some(*action)));
    }

    #[test]
    fn a_hash_depends_on_place_text_and_predecessor() {
        let first = genesis(OrganizationId::from_uuid(uuid::Uuid::from_u128(1)));
        let hash = chain(&first, 1, "{}");
        assert_ne!(hash, chain(&first, 2, "{}"));
        assert_ne!(hash, chain(&first, 1, "{ }"));
        assert_ne!(hash, chain(&hash, 1, "{}"));
    }
}
