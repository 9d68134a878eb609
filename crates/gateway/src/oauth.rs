//! Providers that people sign in with: GitHub, and one of OpenID Connect. Here is what is said to a provider and what is
//! believed of its answers; who may have an account for it is decided in `routes/auth/oauth`.
//!
//! Every flow is an authorization code with PKCE (RFC 7636), bound to the browser by a cookie and used once. What a provider
//! sends is hostile: calls go through the outbound guard, answers are bounded, tokens are never stored or logged, and no
//! error holds any of them.

mod calls;
mod client;
mod flow;
mod github;
mod id_token;
mod keys;
mod openid;
mod provider;
mod settings;

use picket_outbound::OutboundError;

pub(crate) use flow::{FLOW, Secrets, is_relative_path};
pub(crate) use provider::{Provider, Providers};
pub use settings::{GithubSettings, OAuthSettings, OpenIdSettings};

use crate::Problem;

/// Who a provider says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The provider's own name for the account, which never changes.
    pub subject: String,
    /// The address that the provider vouches for; none when it vouches for none.
    pub email: Option<String>,
    /// How the person is called there.
    pub name: Option<String>,
}

/// Why a provider does not say who somebody is. Holds nothing that the provider sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer, or not as HTTP.
    #[error("the provider does not answer")]
    Call(#[from] OutboundError),
    /// It answers, and not as it should.
    #[error("expected {0} of the provider")]
    Answer(&'static str),
    /// Its answer is about another sign-in, or about none.
    #[error("{0}")]
    Refused(&'static str),
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Refused(reason) => Self::SignInRefused(reason),
            ProviderError::Call(_) | ProviderError::Answer(_) => Self::Unavailable(Box::new(error)),
        }
    }
}

/// The text when it is one that may be kept: not empty, of at most `longest` bytes, without control characters.
fn bounded(text: String, longest: usize) -> Option<String> {
    ((1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)).then_some(text)
}
