//! A provider of OpenID Connect: where it is, and who it says somebody is.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use oauth2::TokenResponse;
use picket_outbound::HttpClient;
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;

use super::{
    Identity, OpenIdSettings, ProviderError, Secrets, bounded, calls,
    client::{Endpoints, Tokens},
    id_token::{self, Expected, Person},
    keys::Keys,
};

/// How long a provider's description is believed.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// The longest subject (OpenID Connect Core 1.0 §2).
const LONGEST_SUBJECT: usize = 255;

/// The provider.
pub(super) struct OpenId {
    settings: OpenIdSettings,
    discovered: Mutex<Option<(Description, Timestamp)>>,
    keys: Keys,
}

/// What a provider says of itself (OpenID Connect Discovery 1.0 §3).
#[derive(Debug, Clone, Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    #[serde(default)]
    userinfo_endpoint: Option<Url>,
    /// Whether every answer names the issuer (RFC 9207 §3).
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl OpenId {
    pub(super) fn new(settings: OpenIdSettings) -> Self {
        Self { settings, discovered: Mutex::default(), keys: Keys::default() }
    }

    /// Where a flow goes.
    pub(super) async fn endpoints(&self, http: &HttpClient, now: Timestamp) -> Result<Endpoints, ProviderError> {
        let known = self.describe(http, now).await?;
        Ok(Endpoints { authorize: known.authorization_endpoint, token: known.token_endpoint })
    }

    /// Refuses an answer that names another issuer, or none where it should (RFC 9207 §2.4).
    pub(super) async fn check_issuer(
        &self,
        http: &HttpClient,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, ProviderError> {
        let known = self.describe(http, now).await?;
        Ok(issuer.map_or(!known.authorization_response_iss_parameter_supported, |issuer| issuer == known.issuer))
    }

    /// Who the tokens are about.
    pub(super) async fn identify(
        &self,
        http: &HttpClient,
        tokens: &Tokens,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Identity, ProviderError> {
        let token = tokens.extra_fields().id_token.as_deref().ok_or(ProviderError::Answer("an id token"))?;
        let known = self.describe(http, now).await?;
        let header = id_token::header(token)?;
        let key = self.keys.find(http, &known.jwks_uri, id_token::wanted(&header), now).await?;
        let expected = Expected {
            issuer: &known.issuer,
            client_id: &self.settings.client_id,
            nonce: secrets.nonce.expose_secret(),
        };
        let mut person = id_token::verify(token, &header, &key, expected, now)?;
        if let Some(url) = known.userinfo_endpoint.filter(|_| !person.has_email()) {
            let told: Person = calls::read(http, &url, Some(tokens.access_token().secret())).await?;
            if told.sub != person.sub {
                return Err(ProviderError::Refused("the provider tells of somebody else than its id token"));
            }
            person = told;
        }
        let (email, name) = (person.vouched_email(), person.name());
        Ok(Identity {
            subject: bounded(person.sub, LONGEST_SUBJECT)
                .ok_or(ProviderError::Answer("a subject of 1 to 255 bytes"))?,
            email: email.and_then(|email| bounded(email, 254)),
            name: name.and_then(|name| bounded(name, 200)),
        })
    }

    /// What is known of the provider: the operator's word, and for the rest its own.
    async fn describe(&self, http: &HttpClient, now: Timestamp) -> Result<Description, ProviderError> {
        if let Some(given) = self.given() {
            return Ok(given);
        }
        let held = self.discovered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((known, since)) = held
            && now.duration_since(since) < LIFETIME
        {
            return Ok(known);
        }
        let known = self.discover(http).await?;
        *self.discovered.lock().unwrap_or_else(PoisonError::into_inner) = Some((known.clone(), now));
        Ok(known)
    }

    /// What the operator said, when it is enough.
    fn given(&self) -> Option<Description> {
        Some(Description {
            issuer: self.settings.issuer.clone(),
            authorization_endpoint: self.settings.authorize_url.clone()?,
            token_endpoint: self.settings.token_url.clone()?,
            jwks_uri: self.settings.jwks_url.clone()?,
            userinfo_endpoint: self.settings.user_url.clone(),
            authorization_response_iss_parameter_supported: false,
        })
    }

    async fn discover(&self, http: &HttpClient) -> Result<Description, ProviderError> {
        let settings = &self.settings;
        let url = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| ProviderError::Answer("an issuer that is a url"))?;
        let mut known: Description = calls::read(http, &url, None).await?;
        if known.issuer != settings.issuer {
            return Err(ProviderError::Answer("a description of the issuer that the operator named"));
        }
        let choose = |own: &mut Url, given: &Option<Url>| {
            if let Some(given) = given {
                own.clone_from(given);
            }
        };
        choose(&mut known.authorization_endpoint, &settings.authorize_url);
        choose(&mut known.token_endpoint, &settings.token_url);
        choose(&mut known.jwks_uri, &settings.jwks_url);
        known.userinfo_endpoint = settings.user_url.clone().or(known.userinfo_endpoint);
        Ok(known)
    }
}
