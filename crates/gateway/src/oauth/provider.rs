//! A provider as handlers see it: a flow begins, comes back with a code, and ends with an identity.

use jiff::Timestamp;
use oauth2::{
    AuthorizationCode, CsrfToken, HttpRequest, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};
use picket_outbound::HttpClient;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    GithubSettings, Identity, OAuthSettings, OpenIdSettings, ProviderError, Secrets, calls,
    client::{AuthType, Endpoints, Registration, explain},
    flow::BrowserCookie,
    github::Github,
    openid::OpenId,
};
use crate::{
    GatewayError,
    token_text::{NewToken, TokenKind},
};

/// The providers that the operator has set up.
pub(crate) struct Providers {
    github: Option<Provider>,
    google: Option<Provider>,
    /// How flows are bound to browsers.
    pub(crate) cookie: BrowserCookie,
}

/// One of them.
pub(crate) struct Provider {
    /// Its name in paths and in the database.
    pub(crate) name: &'static str,
    registration: Registration,
    kind: Kind,
}

enum Kind {
    Github(Box<Github>),
    OpenId(Box<OpenId>),
}

/// A flow that begins.
pub(crate) struct Begun {
    /// Where the browser goes.
    pub(crate) url: Url,
    /// What the provider gives back.
    pub(crate) state: NewToken,
    /// What only we know.
    pub(crate) secrets: Secrets,
}

impl Providers {
    /// The providers of the settings, which come back to the public URL.
    pub(crate) fn new(settings: &OAuthSettings, public_url: Option<&str>) -> Result<Self, GatewayError> {
        let secure = !public_url.is_some_and(|url| url.starts_with("http:"));
        let redirect = |name: &str| callback(public_url, name);
        let github = settings.github.clone().map(|one| Provider::github(one, redirect("github")?));
        let google =
            settings.google.clone().map(|one| Ok::<_, GatewayError>(Provider::openid(one, redirect("google")?)));
        Ok(Self { github: github.transpose()?, google: google.transpose()?, cookie: BrowserCookie { secure } })
    }

    /// The provider of that name, when it is set up.
    pub(crate) fn find(&self, name: &str) -> Option<&Provider> {
        [&self.github, &self.google].into_iter().flatten().find(|provider| provider.name == name)
    }
}

/// Where browsers come back to: one URL for each provider, which it must know letter by letter.
fn callback(public_url: Option<&str>, name: &str) -> Result<RedirectUrl, GatewayError> {
    let expected = "the https or http url where clients reach the api, since providers send browsers back there";
    let base = public_url.ok_or_else(|| GatewayError::setting("public_url", expected, "it is not set"))?;
    if !["https://", "http://"].iter().any(|scheme| base.starts_with(scheme)) {
        return Err(GatewayError::setting("public_url", expected, "it has another scheme"));
    }
    RedirectUrl::new(format!("{}/api/v1/oauth/{name}/callback", base.trim_end_matches('/')))
        .map_err(|error| GatewayError::setting("public_url", expected, error))
}

impl Provider {
    fn github(settings: GithubSettings, redirect_url: RedirectUrl) -> Result<Self, GatewayError> {
        let provider = Github::new(&settings)?;
        Ok(Self {
            name: "github",
            registration: Registration {
                client_id: settings.client_id,
                client_secret: settings.client_secret,
                auth_type: AuthType::RequestBody,
                redirect_url,
                scopes: settings.scopes,
            },
            kind: Kind::Github(Box::new(provider)),
        })
    }

    fn openid(settings: OpenIdSettings, redirect_url: RedirectUrl) -> Self {
        Self {
            name: "google",
            registration: Registration {
                client_id: settings.client_id.clone(),
                client_secret: settings.client_secret.clone(),
                auth_type: AuthType::BasicAuth,
                redirect_url,
                scopes: settings.scopes.clone(),
            },
            kind: Kind::OpenId(Box::new(OpenId::new(settings))),
        }
    }

    /// Begins a flow.
    pub(crate) async fn begin(&self, http: &HttpClient, now: Timestamp) -> Result<Begun, ProviderError> {
        let state = TokenKind::OAuthState.generate();
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        // As random as the verifier is, and for another purpose.
        let (_, nonce) = PkceCodeChallenge::new_random_sha256();
        let client = self.registration.client(self.endpoints(http, now).await?);
        let csrf = state.secret.expose_secret().to_owned();
        let mut request = client
            .authorize_url(|| CsrfToken::new(csrf))
            .add_scopes(self.registration.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        if let Kind::OpenId(_) = self.kind {
            request = request.add_extra_param("nonce", nonce.secret().clone());
        }
        let (url, _) = request.url();
        let secret = |text: &PkceCodeVerifier| SecretString::from(text.secret().as_str());
        Ok(Begun { url, state, secrets: Secrets { verifier: secret(&verifier), nonce: secret(&nonce) } })
    }

    /// Refuses an answer that names another provider than this one.
    pub(crate) async fn check_issuer(
        &self,
        http: &HttpClient,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        let is_ours = match &self.kind {
            Kind::OpenId(provider) => provider.check_issuer(http, issuer, now).await?,
            // GitHub has no issuer to compare with, but nobody else speaks for its host.
            Kind::Github(provider) => issuer.is_none_or(|issuer| {
                Url::parse(issuer).is_ok_and(|issuer| issuer.origin() == provider.endpoints.authorize.origin())
            }),
        };
        if is_ours { Ok(()) } else { Err(ProviderError::Refused("the answer is of another provider")) }
    }

    /// Ends a flow: who the code is about.
    pub(crate) async fn finish(
        &self,
        http: &HttpClient,
        code: String,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Identity, ProviderError> {
        let client = self.registration.client(self.endpoints(http, now).await?);
        let send = |request: HttpRequest| calls::exchange(http, request);
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.expose_secret().to_owned()))
            .request_async(&send)
            .await
            .map_err(explain)?;
        match &self.kind {
            Kind::Github(provider) => provider.identify(http, tokens.access_token().secret()).await,
            Kind::OpenId(provider) => provider.identify(http, &tokens, secrets, now).await,
        }
    }

    async fn endpoints(&self, http: &HttpClient, now: Timestamp) -> Result<Endpoints, ProviderError> {
        match &self.kind {
            Kind::Github(provider) => Ok(provider.endpoints.clone()),
            Kind::OpenId(provider) => provider.endpoints(http, now).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> OAuthSettings {
        serde_json::from_str(r#"{"github": {"client_id": "a", "client_secret": "b"}}"#).unwrap()
    }

    #[test]
    fn a_provider_needs_a_place_to_come_back_to() {
        for url in [None, Some(""), Some("picket.example"), Some("ftp://picket.example")] {
            assert!(Providers::new(&settings(), url).is_err(), "{url:?}");
        }
        assert!(Providers::new(&OAuthSettings::default(), None).is_ok());
    }

    #[test]
    fn browsers_come_back_to_one_url() {
        for base in ["https://picket.example", "https://picket.example/"] {
            let providers = Providers::new(&settings(), Some(base)).unwrap();
            let github = providers.find("github").unwrap();
            let url = github.registration.redirect_url.as_str();
            assert_eq!(url, "https://picket.example/api/v1/oauth/github/callback");
            assert!(providers.cookie.secure && providers.find("google").is_none());
        }
        assert!(!Providers::new(&settings(), Some("http://localhost:8080")).unwrap().cookie.secure);
    }
}
