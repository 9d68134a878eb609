//! Who asks, for which organization, with which rights. A handler that takes a `Caller` cannot be reached without
//! credentials, and every query runs for the caller's organization.

use std::{collections::BTreeSet, future::Ready};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use picket_domain::{ApiKeyId, OrganizationId, Permission, Role, Subscription, UserId};

use crate::Problem;

/// An identified client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Who it is.
    pub subject: Subject,
    /// What the organization pays for.
    pub subscription: Subscription,
    pub(crate) permissions: BTreeSet<Permission>,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A person with an access token.
    User {
        /// Identity.
        id: UserId,
        /// The role in the organization.
        role: Role,
    },
    /// A program with an API key.
    ApiKey {
        /// Identity of the key.
        id: ApiKeyId,
        /// The person who made it.
        created_by: UserId,
    },
}

impl Caller {
    /// A person with all that the role allows.
    #[must_use]
    pub fn user(organization_id: OrganizationId, id: UserId, role: Role, subscription: Subscription) -> Self {
        let permissions = Permission::ALL.iter().copied().filter(|one| role.allows(*one)).collect();
        Self { organization_id, subject: Subject::User { id, role }, subscription, permissions }
    }

    /// Demands a permission; the first line of every handler.
    ///
    /// # Errors
    /// [`Problem::Forbidden`] without it.
    pub fn may(&self, permission: Permission) -> Result<(), Problem> {
        if self.has(permission) { Ok(()) } else { Err(Problem::Forbidden(permission)) }
    }

    /// Whether the caller has the permission.
    #[must_use]
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// The person behind the request.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        match self.subject {
            Subject::User { id, .. } => id,
            Subject::ApiKey { created_by, .. } => created_by,
        }
    }

    /// Who asked, for the record: `usr_…` or `key_…`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.subject {
            Subject::User { id, .. } => id.to_string(),
            Subject::ApiKey { id, .. } => id.to_string(),
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(request.extensions().get::<Self>().cloned().ok_or(Problem::Unauthenticated))
    }
}
