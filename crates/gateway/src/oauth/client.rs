//! The client of `oauth2`, with the one field that OpenID Connect adds to its answer.

use std::fmt;

use oauth2::{
    AuthUrl, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ExtraTokenFields, RedirectUrl,
    RequestTokenError, StandardRevocableToken, StandardTokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use picket_outbound::OutboundError;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::ProviderError;

pub(super) use oauth2::AuthType;

/// What comes for a code.
pub(super) type Tokens = StandardTokenResponse<OpenIdFields, BasicTokenType>;

/// A client that knows where to send browsers and codes.
pub(super) type CodeClient = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What OpenID Connect adds (OpenID Connect Core 1.0 §3.1.3.3).
#[derive(Serialize, Deserialize)]
pub(super) struct OpenIdFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
}

impl ExtraTokenFields for OpenIdFields {}

impl fmt::Debug for OpenIdFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenIdFields")
    }
}

/// How we are known to a provider.
pub(super) struct Registration {
    /// What it calls us.
    pub(super) client_id: String,
    /// What we prove it with.
    pub(super) client_secret: SecretString,
    /// How it wants that proven.
    pub(super) auth_type: AuthType,
    /// Where browsers come back to, exactly.
    pub(super) redirect_url: RedirectUrl,
    /// What the person is asked to show.
    pub(super) scopes: Vec<String>,
}

/// Where a flow goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// Browsers.
    pub(super) authorize: Url,
    /// Codes.
    pub(super) token: Url,
}

impl Registration {
    /// The client for these endpoints.
    pub(super) fn client(&self, endpoints: Endpoints) -> CodeClient {
        Client::new(ClientId::new(self.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.client_secret.expose_secret().to_owned()))
            .set_auth_type(self.auth_type.clone())
            .set_redirect_uri(self.redirect_url.clone())
            .set_auth_uri(AuthUrl::from_url(endpoints.authorize))
            .set_token_uri(TokenUrl::from_url(endpoints.token))
    }
}

/// Why no token came. The provider's own words stay where they are: they may quote what we sent.
pub(super) fn explain(error: RequestTokenError<OutboundError, BasicErrorResponse>) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => ProviderError::Call(error),
        RequestTokenError::ServerResponse(answer) if is_about_the_code(answer.error()) => {
            ProviderError::Refused("the provider does not take the code")
        }
        RequestTokenError::ServerResponse(_) => ProviderError::Answer("that our registration is accepted"),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => ProviderError::Answer("a token"),
    }
}

fn is_about_the_code(error: &BasicErrorResponseType) -> bool {
    // The second is GitHub's.
    ["invalid_grant", "bad_verification_code"].contains(&error.as_ref())
}
