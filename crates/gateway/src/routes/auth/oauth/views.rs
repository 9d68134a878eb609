//! What is asked and answered. No view holds a token of a provider.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::sign_in::SignedIn;

/// How a flow begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StartQuery {
    /// A path to go to afterwards; it begins with one slash.
    #[param(max_length = 512, example = "/scans")]
    pub redirect_after: Option<String>,
    /// Whether the provider's account is linked to the caller's; then credentials are needed.
    pub link: Option<bool>,
}

/// What a provider sends. It may send more, which means nothing to us (RFC 6749 §4.1.2).
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackQuery {
    /// Names the flow.
    pub state: Option<String>,
    /// What becomes a token.
    pub code: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
pub(super) struct AuthorizeView {
    /// The provider's page.
    #[schema(format = "uri")]
    pub authorize_url: String,
}

/// How a flow ends.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum FinishedView {
    /// Somebody is signed in, or waits for the second factor.
    SignedIn(SignedIn),
    /// The identity is linked to who asked for it.
    Linked(LinkedView),
}

/// An account at a provider that was linked.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkedView {
    /// Always true.
    pub linked: bool,
    /// The provider.
    #[schema(example = "github")]
    pub provider: &'static str,
}
