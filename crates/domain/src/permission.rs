//! Who may do what: one line a permission. A role grants permissions to people, scopes grant them to API keys.

use serde::{Deserialize, Serialize};

/// What a member may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Scans and reports.
    Analyst,
    /// Manages keys, webhooks and members.
    Admin,
    /// Everything.
    Owner,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Analyst, Self::Admin, Self::Owner];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether the role may do it.
    #[must_use]
    pub fn allows(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $role:ident;)*) => {
        /// One thing that a caller may do; also the scopes of API keys.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Permission {
            /// Every permission, in the order of this file.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire and in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The least role that has it.
            #[must_use]
            pub const fn least_role(self) -> Role {
                match self { $(Self::$variant => Role::$role,)* }
            }

            /// The permission of that name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|permission| permission.name() == name)
            }
        }
    };
}

permissions! {
    /// See API keys.
    ApiKeysRead = "api_keys:read", Admin;
    /// Make and withdraw API keys.
    ApiKeysWrite = "api_keys:write", Admin;
    /// See the audit log.
    AuditRead = "audit:read", Admin;
    /// See the organization: plan, limits, policy.
    OrganizationRead = "organization:read", Viewer;
    /// Change the organization's policy.
    OrganizationWrite = "organization:write", Admin;
    /// See reports and download them.
    ReportsRead = "reports:read", Viewer;
    /// Ask for reports.
    ReportsWrite = "reports:write", Analyst;
    /// See scans and their results.
    ScansRead = "scans:read", Viewer;
    /// Start and stop scans.
    ScansWrite = "scans:write", Analyst;
    /// Say in writing that a target may be scanned, withdraw proofs, and take exclusions away.
    TargetsAuthorize = "targets:authorize", Admin;
    /// See targets.
    TargetsRead = "targets:read", Viewer;
    /// Add, change, prove and remove targets; add exclusions.
    TargetsWrite = "targets:write", Analyst;
    /// See members and invitations.
    TeamRead = "team:read", Viewer;
    /// Invite and remove members, change their roles.
    TeamWrite = "team:write", Admin;
    /// See the catalogue of tools.
    ToolsRead = "tools:read", Viewer;
    /// See webhooks and their deliveries.
    WebhooksRead = "webhooks:read", Admin;
    /// Make and remove webhooks.
    WebhooksWrite = "webhooks:write", Admin;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_reads_and_an_owner_does_everything() {
        assert!(Role::Viewer.allows(Permission::ScansRead));
        assert!(!Role::Viewer.allows(Permission::ScansWrite));
        assert!(!Role::Analyst.allows(Permission::ApiKeysWrite));
        assert!(Permission::ALL.iter().all(|permission| Role::Owner.allows(*permission)));
    }

    #[test]
    fn names_find_their_values() {
        assert!(Permission::ALL.iter().all(|one| Permission::find(one.name()) == Some(*one)));
        assert!(Role::ALL.into_iter().all(|role| Role::find(role.name()) == Some(role)));
    }
}
