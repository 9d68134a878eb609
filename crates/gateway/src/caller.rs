//! Who asks, for which organization, with which rights. A handler that takes a `Caller` cannot be reached without
//! credentials, and every query runs for the caller's organization.

use std::{collections::BTreeSet, future::Ready, sync::Arc};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{ApiKeyId, Grounds, OrganizationId, Permission, Role, SessionId, Subscription, UserId};
use picket_planner::Asker;
use picket_store::sessions::BearerRow;

use crate::{Problem, RequestContext, idempotency, ranges::Places, tokens::Bearer};

/// How long ago credentials may have been shown by a person who makes keys or changes the policy.
const FRESH: SignedDuration = SignedDuration::from_mins(60);

/// An identified client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Who it is.
    pub subject: Subject,
    /// What the organization pays for.
    pub subscription: Subscription,
    /// Shared, since a caller is copied for each request.
    pub(crate) permissions: Arc<BTreeSet<Permission>>,
    /// Whether the organization demands a second factor that the session has not shown: then there are no permissions.
    pub(crate) lacks_mfa: bool,
    /// Where requests may come from.
    pub(crate) places: Places,
}

/// A caller who is a person, for routes about the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Person {
    /// Identity.
    pub user_id: UserId,
    /// The organization that the session is in.
    pub organization_id: OrganizationId,
    /// The session.
    pub session_id: SessionId,
    /// When credentials were shown last.
    pub authenticated_at: Timestamp,
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
        /// The session.
        session_id: SessionId,
        /// The organization that the session is in; `X-Organization` may name another for a request.
        home: OrganizationId,
        /// When credentials were shown last.
        authenticated_at: Timestamp,
    },
    /// A program with an API key.
    ApiKey {
        /// Identity of the key.
        id: ApiKeyId,
        /// The person who made it.
        created_by: UserId,
        /// When it ends by itself.
        expires_at: Option<Timestamp>,
    },
}

impl Caller {
    /// A person with all that the role in this organization allows.
    pub(crate) fn user(bearer: Bearer, organization_id: OrganizationId, row: &BearerRow, places: Places) -> Self {
        let may = |one: &Permission| row.role.allows(*one) && !row.lacks_mfa;
        Self {
            organization_id,
            subject: Subject::User {
                id: bearer.user_id,
                role: row.role,
                session_id: bearer.session_id,
                home: bearer.organization_id,
                authenticated_at: row.authenticated_at,
            },
            subscription: row.subscription,
            permissions: Arc::new(Permission::ALL.iter().copied().filter(may).collect()),
            lacks_mfa: row.lacks_mfa,
            places,
        }
    }

    /// The person; the first line of every handler about the person.
    ///
    /// # Errors
    /// [`Problem::NotAPerson`] for an API key.
    pub(crate) const fn person(&self) -> Result<Person, Problem> {
        match self.subject {
            Subject::User { id, session_id, home, authenticated_at, .. } => {
                Ok(Person { user_id: id, organization_id: home, session_id, authenticated_at })
            }
            Subject::ApiKey { .. } => Err(Problem::NotAPerson),
        }
    }

    /// Demands a permission; the first line of every handler.
    ///
    /// # Errors
    /// [`Problem::Forbidden`] without it.
    pub fn may(&self, permission: Permission) -> Result<(), Problem> {
        if self.has(permission) {
            idempotency::note(permission);
            Ok(())
        } else if self.lacks_mfa {
            Err(Problem::MfaRequired)
        } else {
            Err(Problem::Forbidden(permission))
        }
    }

    /// Whether the caller has the permission.
    #[must_use]
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Demands that a person has shown credentials within the last hour; a key always shows them.
    ///
    /// # Errors
    /// [`Problem::NotFresh`] when it is longer ago.
    pub(crate) fn fresh(&self, now: Timestamp) -> Result<(), Problem> {
        match self.subject {
            Subject::User { authenticated_at, .. } if now.duration_since(authenticated_at) > FRESH => {
                Err(Problem::NotFresh)
            }
            Subject::User { .. } | Subject::ApiKey { .. } => {
                idempotency::note_fresh();
                Ok(())
            }
        }
    }

    /// When the caller ends by itself: only of a key that does.
    #[must_use]
    pub(crate) const fn ends_at(&self) -> Option<Timestamp> {
        match self.subject {
            Subject::User { .. } => None,
            Subject::ApiKey { expires_at, .. } => expires_at,
        }
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

    /// The caller as one who asks for a scan of a target; for a scan that looks at nothing, no grounds are needed.
    #[must_use]
    pub(crate) fn asker(&self, context: &RequestContext, now: Timestamp, grounds: Grounds) -> Asker {
        Asker {
            organization_id: self.organization_id,
            subscription: self.subscription,
            requested_by: self.label(),
            grounds,
            traceparent: Some(context.traceparent()),
            now,
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
