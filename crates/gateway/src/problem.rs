//! Every way a request can fail, and the only place where a failure becomes HTTP (RFC 9457, `docs/contract.md` §7).
//! A 5xx says nothing of its cause: the front logs it, once, under the request id.

mod code;
mod refused;
#[cfg(test)]
mod tests;

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use picket_domain::{InvalidTransition, Permission, TargetError};
use picket_store::{StoreError, quota::Refusal};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::code::ProblemCode;
use crate::routes::platform::ComponentsView;

/// Seconds after which a client may ask again when something of ours is down.
const RETRY_AFTER_OUTAGE: u64 = 5;

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The path of the field, such as `options.port_scan`; of a query, the parameter's name.
    pub field: String,
    /// What a program may match on, such as `unknown_field`.
    pub code: &'static str,
    /// What was expected.
    pub message: String,
}

impl FieldError {
    /// A field that is wrong.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The body or the query is not in the form it claims to have.
    #[error("{0}")]
    Malformed(&'static str),
    /// Fields are wrong.
    #[error("the request has fields that cannot be accepted")]
    Invalid(Vec<FieldError>),
    /// The target is of a class that nobody may scan here.
    #[error("{}", .0.message)]
    TargetForbidden(FieldError),
    /// The organization has excluded the target.
    #[error("{}", .0.message)]
    TargetExcluded(FieldError),
    /// Nothing says that the caller may scan the target.
    #[error("expected a target whose ownership is proven or that the operator allows, found `{0}`")]
    TargetNotAuthorized(String),
    /// A file that cannot be read as a report of a tool.
    #[error("{}", .0.message)]
    UnreadableReport(FieldError),
    /// No credentials, or none that are valid.
    #[error("expected a valid access token or API key")]
    Unauthenticated,
    /// Login with credentials that do not fit.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// A second factor that does not fit.
    #[error("the code is wrong or was used, or the login that waits for it has ended")]
    WrongFactor,
    /// A person whose address is not proven, where it must be.
    #[error("expected an address that is proven; ask for another letter by POST /auth/resend-verification")]
    EmailUnverified,
    /// The same, where only a new password proves enough: the one there is may be that of a stranger.
    #[error("expected an address that is proven; set a new password by POST /account/forgot-password first")]
    ResetFirst,
    /// The caller lacks a permission.
    #[error("expected a caller with the permission `{}`", .0.name())]
    Forbidden(Permission),
    /// A person who does not operate the platform.
    #[error("expected an operator of the platform")]
    NotAnOperator,
    /// An API key where a person is needed.
    #[error("expected the access token of a person, an API key cannot do this")]
    NotAPerson,
    /// The organization demands a second factor that the session has not shown.
    #[error("expected a session with a second factor, which the organization demands; set one up and sign in again")]
    MfaRequired,
    /// The credentials were shown too long ago for what is asked.
    #[error("expected credentials that were shown in the last minutes; sign in again")]
    NotFresh,
    /// A provider's account cannot be used to sign in or to link.
    #[error("expected an answer of the provider to a sign-in that was begun here: {0}; begin again")]
    SignInRefused(&'static str),
    /// The provider does not vouch for the address.
    #[error("expected an account at the provider whose e-mail address is verified there")]
    UnverifiedByProvider,
    /// Somebody has the address that the provider vouches for; nothing is merged.
    #[error("there is an account with this address; sign in to it, and link the provider there")]
    AccountExists,
    /// The header names an organization that the credentials do not open, whether there is such a one or not.
    #[error("expected credentials of a member of the organization in X-Organization")]
    NotAMember,
    /// The organization or the key is used from other addresses alone.
    #[error("expected a request from an address that the organization and the key allow")]
    AddressNotAllowed,
    /// A role above the caller's own, or a member who has one.
    #[error("expected a role no higher than your own, and a member who has none that is higher")]
    Outranked,
    /// The invitation is for another address than the one that the caller has proven.
    #[error("expected an invitation of the address that you have proven to be yours")]
    NotYourInvitation,
    /// A key would be good for longer, or from more addresses, than the key that makes it.
    #[error("expected a key that ends no later than the one that replaces it, and is used from no other addresses")]
    Outlives,
    /// A key would grant what its creator does not have.
    #[error("expected scopes that the caller has, `{}` is not among them", .0.name())]
    Escalation(Permission),
    /// The resource does not exist, or the caller must not see it.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The resource has no such method.
    #[error("expected one of the methods {allow}")]
    MethodNotAllowed {
        /// The methods it has.
        allow: String,
    },
    /// Such a thing exists already.
    #[error("such {0} exists already")]
    AlreadyExists(&'static str),
    /// Without this member the organization would have no owner.
    #[error("expected another owner to stay; make somebody else an owner first")]
    LastOwner,
    /// The state of the resource does not allow it.
    #[error(transparent)]
    InvalidState(#[from] InvalidTransition),
    /// The resource is still being made.
    #[error("the {what} is not ready yet")]
    NotReady {
        /// What is being made.
        what: &'static str,
        /// Seconds after which to ask again.
        retry_after: u64,
    },
    /// The body is longer than allowed.
    #[error("expected a body of at most {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body is of another type.
    #[error("expected a body of type {0}")]
    UnsupportedMediaType(&'static str),
    /// The range lies outside the document.
    #[error("expected a range inside the document of {size_bytes} bytes")]
    RangeNotSatisfiable {
        /// The document's size.
        size_bytes: u64,
    },
    /// Too many requests.
    #[error("expected fewer requests; see Retry-After")]
    RateLimited {
        /// Seconds after which one request is allowed.
        retry_after: u64,
    },
    /// The database failed.
    #[error("something went wrong on our side")]
    Store(#[from] StoreError),
    /// The organization keeps as many of such a thing as its plan allows.
    #[error("expected at most {most} {what}; delete one, or ask for a larger plan")]
    LimitReached {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        most: u32,
    },
    /// Another request under the same key is on its way.
    #[error("a request with this Idempotency-Key is in flight; see Retry-After")]
    IdempotencyInFlight,
    /// The key stands for another request.
    #[error("expected the request that this Idempotency-Key was first sent with; take a new key for a new request")]
    IdempotencyMismatch,
    /// The readiness of a gateway whose database is down; says what else is known.
    #[error("something that we need is down; try again later")]
    NotServing {
        /// What is up and what is not.
        components: ComponentsView,
        /// Why the database did not answer.
        source: StoreError,
    },
    /// Something else that we need is down.
    #[error("something that we need is down; try again later")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Ours to repair.
    #[error("something went wrong on our side")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The body of a failed request (RFC 9457), `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// What a program may match on.
    pub code: ProblemCode,
    /// Names the request in our logs.
    pub request_id: String,
    /// What is wrong with which field; for 400 alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What is up and what is not; for `/ready` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) components: Option<ComponentsView>,
}

impl Problem {
    /// One wrong field.
    pub fn field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    /// A target that cannot be read.
    pub fn target(field: impl Into<String>, error: &TargetError) -> Self {
        Self::field(field, "invalid_target", error.to_string())
    }

    /// A failure of the store, which is no failure when this constraint refused: then such a thing exists already.
    pub fn unless_taken(error: StoreError, constraint: &str, what: &'static str) -> Self {
        let is_taken = matches!(&error, StoreError::Conflict { constraint: refused } if refused == constraint);
        if is_taken { Self::AlreadyExists(what) } else { Self::Store(error) }
    }

    /// Ours to repair, with its cause.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The code of the problem.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Malformed(_) => ProblemCode::Malformed,
            Self::Invalid(_) => ProblemCode::Invalid,
            Self::TargetForbidden(_) => ProblemCode::TargetForbidden,
            Self::TargetExcluded(_) => ProblemCode::TargetExcluded,
            Self::TargetNotAuthorized(_) => ProblemCode::TargetNotAuthorized,
            Self::UnreadableReport(_) => ProblemCode::UnreadableReport,
            Self::Unauthenticated => ProblemCode::Unauthenticated,
            Self::WrongCredentials | Self::WrongFactor => ProblemCode::WrongCredentials,
            Self::EmailUnverified | Self::ResetFirst => ProblemCode::EmailUnverified,
            Self::Forbidden(_) | Self::Escalation(_) | Self::Outranked | Self::Outlives => ProblemCode::Forbidden,
            Self::NotAMember => ProblemCode::NotAMember,
            Self::AddressNotAllowed => ProblemCode::AddressNotAllowed,
            Self::NotYourInvitation => ProblemCode::NotYourInvitation,
            Self::LastOwner => ProblemCode::LastOwner,
            Self::NotAnOperator => ProblemCode::OperatorRequired,
            Self::NotAPerson => ProblemCode::PersonRequired,
            Self::MfaRequired => ProblemCode::MfaRequired,
            Self::NotFresh => ProblemCode::LoginRequired,
            Self::SignInRefused(_) => ProblemCode::SignInRefused,
            Self::UnverifiedByProvider => ProblemCode::EmailUnverified,
            Self::AccountExists => ProblemCode::AccountExists,
            Self::NotFound(_) => ProblemCode::NotFound,
            Self::MethodNotAllowed { .. } => ProblemCode::MethodNotAllowed,
            Self::AlreadyExists(_) | Self::Store(StoreError::Conflict { .. }) => ProblemCode::AlreadyExists,
            Self::IdempotencyInFlight => ProblemCode::IdempotencyInFlight,
            Self::IdempotencyMismatch => ProblemCode::IdempotencyMismatch,
            Self::LimitReached { .. } | Self::Store(StoreError::Refused(Refusal::LimitReached { .. })) => {
                ProblemCode::LimitReached
            }
            Self::Store(StoreError::Halted { .. }) => ProblemCode::ScanningHalted,
            Self::InvalidState(_) => ProblemCode::InvalidState,
            Self::NotReady { .. } => ProblemCode::NotReady,
            Self::TooLarge { .. } => ProblemCode::TooLarge,
            Self::UnsupportedMediaType(_) => ProblemCode::UnsupportedMediaType,
            Self::RangeNotSatisfiable { .. } => ProblemCode::RangeNotSatisfiable,
            Self::RateLimited { .. } => ProblemCode::RateLimited,
            Self::Store(StoreError::Stale { .. }) => ProblemCode::Changed,
            Self::Store(StoreError::Refused(Refusal::TrialEnded)) => ProblemCode::TrialEnded,
            Self::Store(error) if error.is_outage() => ProblemCode::Unavailable,
            Self::Unavailable(_) | Self::NotServing { .. } => ProblemCode::Unavailable,
            Self::Store(_) | Self::Internal(_) => ProblemCode::Internal,
        }
    }

    /// Words for the client; for what is ours to repair always the same.
    pub(crate) fn detail(&self) -> String {
        let fixed = [
            (ProblemCode::Internal, "something went wrong on our side"),
            (ProblemCode::Unavailable, "something that we need is down; try again later"),
            (ProblemCode::Changed, "expected something that did not change meanwhile; read it again"),
        ];
        if let Some((_, text)) = fixed.iter().find(|(code, _)| *code == self.code()) {
            return (*text).to_owned();
        }
        if let Self::Store(StoreError::Refused(refusal)) = self {
            return refusal.to_string();
        }
        if let Self::Store(halted @ StoreError::Halted { .. }) = self {
            return halted.to_string();
        }
        if matches!(self, Self::Store(_)) { "such a thing exists already".to_owned() } else { self.to_string() }
    }

    fn errors(&self) -> &[FieldError] {
        if let Self::Invalid(errors) = self {
            errors
        } else if let Self::TargetExcluded(error) | Self::TargetForbidden(error) | Self::UnreadableReport(error) = self
        {
            std::slice::from_ref(error)
        } else {
            &[]
        }
    }

    /// The header that goes with the problem.
    fn header(&self) -> Option<(HeaderName, String)> {
        if let Self::MethodNotAllowed { allow } = self {
            return Some((header::ALLOW, allow.clone()));
        }
        if let Self::NotReady { retry_after, .. } | Self::RateLimited { retry_after } = self {
            return Some((header::RETRY_AFTER, retry_after.to_string()));
        }
        if matches!(self, Self::IdempotencyInFlight) {
            return Some((header::RETRY_AFTER, "1".to_owned()));
        }
        if let Self::RangeNotSatisfiable { size_bytes } = self {
            return Some((header::CONTENT_RANGE, format!("bytes */{size_bytes}")));
        }
        if self.code() == ProblemCode::Unavailable {
            return Some((header::RETRY_AFTER, RETRY_AFTER_OUTAGE.to_string()));
        }
        (self.status_code() == StatusCode::UNAUTHORIZED).then(|| (header::WWW_AUTHENTICATE, "Bearer".to_owned()))
    }

    /// The response without its body, headers included.
    fn head(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        response
    }

    /// The whole answer.
    #[must_use]
    pub(crate) fn answer(&self, request_id: &str) -> HttpResponse {
        let code = self.code();
        let view = ProblemView {
            kind: format!("urn:picket:problem:{}", code.name()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: self.detail(),
            code,
            request_id: request_id.to_owned(),
            errors: self.errors().to_vec(),
            components: if let Self::NotServing { components, .. } = self { Some(*components) } else { None },
        };
        let body = serde_json::to_vec(&view).unwrap_or_default();
        self.head().content_type("application/problem+json").body(body)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code().status()
    }

    /// The head alone: the front knows the request id and puts the body in.
    fn error_response(&self) -> HttpResponse {
        self.head().finish()
    }
}
