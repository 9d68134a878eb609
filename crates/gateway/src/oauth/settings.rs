//! What the operator says of providers. With the id and the secret alone, GitHub and Google are themselves.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// The providers; what is missing cannot be signed in with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthSettings {
    /// GitHub, or a GitHub Enterprise Server.
    pub github: Option<GithubSettings>,
    /// Google, or another provider of OpenID Connect.
    pub google: Option<OpenIdSettings>,
}

/// How to sign in with GitHub; endpoints that are not given are those of github.com.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubSettings {
    /// What GitHub calls us.
    pub client_id: String,
    /// What we prove it with.
    pub client_secret: SecretString,
    /// Where browsers are sent.
    #[serde(default)]
    pub authorize_url: Option<Url>,
    /// Where a code becomes a token.
    #[serde(default)]
    pub token_url: Option<Url>,
    /// Who it is.
    #[serde(default)]
    pub user_url: Option<Url>,
    /// The addresses.
    #[serde(default)]
    pub emails_url: Option<Url>,
    /// What the person is asked to show.
    #[serde(default = "github_scopes")]
    pub scopes: Vec<String>,
}

/// How to sign in with a provider of OpenID Connect. Endpoints that are not given are read from the issuer's
/// `/.well-known/openid-configuration`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIdSettings {
    /// What the provider calls us.
    pub client_id: String,
    /// What we prove it with.
    pub client_secret: SecretString,
    /// The provider's name for itself, letter by letter; Google's by default.
    #[serde(default = "google_issuer")]
    pub issuer: String,
    /// Where browsers are sent.
    #[serde(default)]
    pub authorize_url: Option<Url>,
    /// Where a code becomes tokens.
    #[serde(default)]
    pub token_url: Option<Url>,
    /// The keys that ID tokens are signed with.
    #[serde(default)]
    pub jwks_url: Option<Url>,
    /// More about the person, where the ID token has no address.
    #[serde(default)]
    pub user_url: Option<Url>,
    /// What the person is asked to show; `openid` among it.
    #[serde(default = "openid_scopes")]
    pub scopes: Vec<String>,
}

fn github_scopes() -> Vec<String> {
    ["read:user", "user:email"].map(ToOwned::to_owned).to_vec()
}

fn google_issuer() -> String {
    "https://accounts.google.com".to_owned()
}

fn openid_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(ToOwned::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_a_secret_are_enough() {
        let text = r#"{"github": {"client_id": "a", "client_secret": "b"}, "google": {"client_id": "c", "client_secret": "d"}}"#;
        let settings: OAuthSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.github.unwrap().scopes, ["read:user", "user:email"]);
        assert_eq!(settings.google.unwrap().issuer, "https://accounts.google.com");
        assert!(serde_json::from_str::<OAuthSettings>(r#"{"gitlab": {}}"#).is_err());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let text = r#"{"github": {"client_id": "a", "client_secret": "hunter2"}}"#;
        let settings: OAuthSettings = serde_json::from_str(text).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
