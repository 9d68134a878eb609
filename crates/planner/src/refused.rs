//! Why a plan is not made. It knows nothing of HTTP: each of its doors (the gateway, the steward) says it in its own way.

use picket_domain::TargetError;
use picket_scanners::ParamsError;

/// A request that no scan is made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefused {
    /// A field is wrong.
    #[error("{message}")]
    Field {
        /// The path of the field, such as `parameters.ports`.
        field: String,
        /// What a program may match on.
        code: &'static str,
        /// What was expected.
        message: String,
    },
    /// The target is of a class that nobody may scan here. The class alone is told: an address behind a name may say
    /// something of the resolver's network.
    #[error("expected a public target; this one has a {class} address")]
    TargetForbidden {
        /// The class of the address, such as `private`; `denied` of what the operator never has scanned.
        class: &'static str,
    },
    /// The organization has excluded the target.
    #[error("expected a target that your organization has not excluded; `{exclusion}` covers this one")]
    TargetExcluded {
        /// The exclusion, in its canonical form.
        exclusion: String,
    },
    /// Nothing says that the organization may scan the target.
    #[error("expected a target whose ownership is proven or that the operator allows, found `{0}`")]
    TargetNotAuthorized(String),
}

impl PlanRefused {
    /// One wrong field.
    pub(crate) fn field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Field { field: field.into(), code, message: message.into() }
    }

    /// What a program may match on; the same that the API answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Field { code, .. } => code,
            Self::TargetForbidden { .. } => "target_forbidden",
            Self::TargetExcluded { .. } => "target_excluded",
            Self::TargetNotAuthorized(_) => "target_not_authorized",
        }
    }

    /// Whether it is the target that may not be scanned, rather than a request that nobody could read.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        matches!(self, Self::TargetForbidden { .. } | Self::TargetExcluded { .. } | Self::TargetNotAuthorized(_))
    }
}

impl From<ParamsError> for PlanRefused {
    fn from(error: ParamsError) -> Self {
        Self::field(error.field, error.code, error.message)
    }
}

impl From<TargetError> for PlanRefused {
    fn from(error: TargetError) -> Self {
        Self::field("target", "invalid_target", error.to_string())
    }
}
