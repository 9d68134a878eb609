//! Who somebody is at GitHub, which does not speak OpenID Connect: two documents instead of a token.

use picket_outbound::HttpClient;
use serde::Deserialize;
use url::Url;

use super::{GithubSettings, Identity, ProviderError, bounded, calls, client::Endpoints};
use crate::GatewayError;

/// The endpoints of github.com
/// (<https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps>).
const AUTHORIZE: &str = "https://github.com/login/oauth/authorize";
const TOKEN: &str = "https://github.com/login/oauth/access_token";
const USER: &str = "https://api.github.com/user";
const EMAILS: &str = "https://api.github.com/user/emails";

/// GitHub, or a GitHub Enterprise Server.
pub(super) struct Github {
    /// Where flows go.
    pub(super) endpoints: Endpoints,
    user_url: Url,
    emails_url: Url,
}

#[derive(Deserialize)]
struct User {
    /// Stays when the login changes.
    id: u64,
    login: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Email {
    email: String,
    #[serde(default)]
    primary: bool,
    #[serde(default)]
    verified: bool,
}

impl Github {
    /// The one of the settings.
    pub(super) fn new(settings: &GithubSettings) -> Result<Self, GatewayError> {
        let choose = |given: &Option<Url>, known: &str| given.clone().map_or_else(|| Url::parse(known), Ok);
        let failed = |error| GatewayError::setting("oauth.github", "urls", error);
        Ok(Self {
            endpoints: Endpoints {
                authorize: choose(&settings.authorize_url, AUTHORIZE).map_err(failed)?,
                token: choose(&settings.token_url, TOKEN).map_err(failed)?,
            },
            user_url: choose(&settings.user_url, USER).map_err(failed)?,
            emails_url: choose(&settings.emails_url, EMAILS).map_err(failed)?,
        })
    }

    /// Who has the token.
    pub(super) async fn identify(&self, http: &HttpClient, token: &str) -> Result<Identity, ProviderError> {
        let user: User = calls::read(http, &self.user_url, Some(token)).await?;
        let emails: Vec<Email> = calls::read(http, &self.emails_url, Some(token)).await?;
        let vouched = emails.into_iter().find(|one| one.primary && one.verified);
        Ok(Identity {
            subject: user.id.to_string(),
            email: vouched.and_then(|one| bounded(one.email, 254)),
            name: user.name.or(user.login).and_then(|name| bounded(name, 200)),
        })
    }
}
