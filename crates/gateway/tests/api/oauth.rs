//! Signing in with providers: GitHub and OpenID Connect as stand-ins of ours tell them, also with lies, and the certified
//! `oidc-provider` as it is.

mod accounts;
mod browser;
mod failures;
mod flows;
mod id_tokens;
mod identities;
mod links;
mod real;
mod stand_in;

use picket_gateway::{GatewaySettings, GithubSettings, OAuthSettings, OpenIdSettings};
use picket_kit::Clock;
use picket_outbound::OutboundSettings;

use self::{browser::Browser, stand_in::StandIn};
use crate::harness::{Answer, TestApp};

/// Where the API says it is. Nobody listens there: the browser is told where to go instead.
pub(crate) const PUBLIC_URL: &str = "http://picket.test";
pub(crate) const CLIENT_ID: &str = "picket";
pub(crate) const CLIENT_SECRET: &str = "a secret that the provider gave";

/// A gateway and a provider of both kinds.
pub(crate) struct Stage {
    pub(crate) app: TestApp,
    pub(crate) provider: StandIn,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::calling(loopback()).await
    }

    /// The same with other rules for calls.
    pub(crate) async fn calling(outbound: OutboundSettings) -> Self {
        let provider = StandIn::start();
        let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
        let app = TestApp::spawn_calling(clock, outbound, |settings| configure(settings, &provider.base)).await;
        Self { app, provider }
    }

    /// Somebody at a new browser.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.app.base)
    }

    /// The whole way with a new browser.
    pub(crate) async fn sign_in(&self, provider: &str) -> Answer {
        let mut browser = self.browser();
        let begun = browser.start(provider, "").await;
        browser.follow(&begun).await
    }

    /// A number that the database answers with.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let client = self.app.database.connect().await;
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Demands that nobody and nothing was made.
    pub(crate) async fn assert_nothing_was_made(&self) {
        for table in ["users", "organizations", "identities", "sessions"] {
            assert_eq!(self.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
}

/// Calls may go to this machine.
pub(crate) fn loopback() -> OutboundSettings {
    OutboundSettings {
        allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ..OutboundSettings::default()
    }
}

fn configure(settings: &mut GatewaySettings, provider: &str) {
    let url = |path: &str| Some(format!("{provider}{path}").parse().unwrap());
    settings.public_url = Some(PUBLIC_URL.to_owned());
    settings.oauth = OAuthSettings {
        github: Some(GithubSettings {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.into(),
            authorize_url: url("/github/authorize"),
            token_url: url("/github/token"),
            user_url: url("/github/user"),
            emails_url: url("/github/emails"),
            scopes: vec!["user:email".to_owned()],
        }),
        google: Some(openid(provider)),
    };
}

/// Everything but the issuer is discovered.
pub(crate) fn openid(issuer: &str) -> OpenIdSettings {
    OpenIdSettings {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.into(),
        issuer: issuer.to_owned(),
        authorize_url: None,
        token_url: None,
        jwks_url: None,
        user_url: None,
        scopes: ["openid", "email", "profile"].map(ToOwned::to_owned).to_vec(),
    }
}
