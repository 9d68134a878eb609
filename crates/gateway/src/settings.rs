//! What the operator decides about the gateway. Everything has a default that is safe on the public Internet.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use picket_domain::Subscription;
use secrecy::SecretString;
use serde::Deserialize;

use crate::OAuthSettings;

/// Settings of the gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Threads that serve requests; 0 means one per core.
    pub threads: usize,
    /// Host names on which `/api/v1` means the v2 dialect first (`docs/contract.md` §2).
    pub v2_hosts: Vec<String>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Host` are believed; from everybody else both are ignored.
    ///
    /// `X-Forwarded-For` gives the address that limits count: the rightmost that is not itself of a trusted proxy. Every
    /// proxy must append to it. `X-Forwarded-Host` stands in for `Host` where `v2_hosts` is decided; of a list the last
    /// one counts, so a proxy must set it or remove it. `X-Forwarded-Proto` is never read: the gateway writes no absolute
    /// URL but in the redirect of its own plain listener, and a proxy that ends TLS redirects plain requests itself.
    pub trusted_proxies: Vec<IpNet>,
    /// Where clients reach the API, for links in letters and the callbacks of providers: scheme, host and port.
    pub public_url: Option<String>,
    /// How long an access token is valid.
    pub access_token_minutes: u32,
    /// How long a session lasts, however often it is refreshed.
    pub session_days: u32,
    /// The Ed25519 key that access tokens are signed with: PEM (PKCS#8), or the path of such a file. Without one, a key
    /// that lives as long as the process.
    pub signing_key: Option<SecretString>,
    /// Further Ed25519 keys whose access tokens are accepted, and which sign none: public or private halves, as PEM or the
    /// path of such a file. The key before, while its tokens still live; or the next one, until every gateway knows it.
    pub previous_signing_keys: Vec<SecretString>,
    /// The plan of an organization that registers.
    pub registration_plan: Subscription,
    /// Names and ranges that may be scanned without proof (`docs/contract.md` §14).
    pub allow_targets: Vec<String>,
    /// Names, patterns and ranges that are never scanned, whatever allows them: our own public addresses, for one.
    pub deny_targets: Vec<String>,
    /// Addresses of names that are not asked of DNS.
    pub pin_hosts: BTreeMap<String, IpAddr>,
    /// Whether scans with the tool `simulate` are accepted, which send no packet; only tests of load and faults switch it on.
    pub simulator: bool,
    /// Whether requests are counted; only a load test switches it off.
    pub rate_limits: bool,
    /// The longest time that a profile may give a run of a tool which needs less by itself, in seconds; as `worker.wall_seconds`.
    pub task_seconds: u32,
    /// Requests a minute that one address may send to public routes.
    pub public_per_minute: u32,
    /// Public requests of one address that may come at once.
    pub public_burst: u32,
    /// Tries to sign in that may fail in 15 minutes, per account and network (/24, or /48 of IPv6).
    pub login_tries_per_account: u32,
    /// The same per address, whatever the account.
    pub login_tries_per_address: u32,
    /// Whether a person signs in only once the address is proven.
    pub require_verified_email: bool,
    /// Password hashes that are computed at the same time; each takes 19 MiB. 0 means as many as half of the cores.
    pub password_threads: usize,
    /// Origins whose pages may use the API from a browser, exactly as browsers send them; none by default.
    pub cors_origins: Vec<String>,
    /// How long a client may take over the head of a request, in milliseconds.
    pub request_timeout_ms: u32,
    /// How long a client may take over a body, in milliseconds.
    pub body_timeout_ms: u32,
    /// How long a client may take nothing of an answer that waits for it, or of a long one less than 16 KiB, in milliseconds;
    /// then its connection is closed.
    pub stalled_ms: u32,
    /// The most bytes of a report that is imported; the plan of the organization may have less. Reports beyond 1 MiB wait
    /// in a file in the folder for temporary files.
    pub import_bytes: u64,
    /// Live streams at one time, of all organizations together; a plan has fewer for each.
    pub streams: u32,
    /// How long a stream waits for a hint before it asks the database, in milliseconds; five times as long while Redis gives
    /// hints.
    pub stream_poll_ms: u32,
    /// How long a stream is silent before it says that it is there, in milliseconds.
    pub stream_keep_alive_ms: u32,
    /// Connections of one thread; more wait until one is closed.
    pub max_connections: usize,
    /// Providers that people may sign in with; needs `public_url`.
    pub oauth: OAuthSettings,
    /// Serve TLS 1.3 alone, and redirect plain HTTP from a second listener.
    pub tls: Option<TlsSettings>,
}

/// Settings of TLS (`docs/contract.md` §10).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Where plain HTTP is redirected from; when absent, port 8081 of the address in `listen` (a free one when that has
    /// port 0). Not port 80, which a process without privileges cannot have: publish this one as 80.
    #[serde(default)]
    pub redirect_listen: Option<SocketAddr>,
    /// How often the files are looked at for a new certificate, in milliseconds.
    #[serde(default = "default_reload_ms")]
    pub reload_ms: u32,
}

const fn default_reload_ms() -> u32 {
    10_000
}

/// The default port that redirects to TLS.
const REDIRECT_PORT: u16 = 8081;

impl TlsSettings {
    /// Where plain HTTP is redirected from, beside a gateway that listens at `listen`.
    #[must_use]
    pub fn redirect_address(&self, listen: SocketAddr) -> SocketAddr {
        let port = if listen.port() == 0 { 0 } else { REDIRECT_PORT };
        self.redirect_listen.unwrap_or(SocketAddr::new(listen.ip(), port))
    }
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            threads: 0,
            v2_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            public_url: None,
            access_token_minutes: 15,
            session_days: 30,
            signing_key: None,
            previous_signing_keys: Vec::new(),
            registration_plan: Subscription::Trial,
            allow_targets: Vec::new(),
            deny_targets: Vec::new(),
            pin_hosts: BTreeMap::new(),
            simulator: false,
            rate_limits: true,
            task_seconds: 35 * 60,
            public_per_minute: 60,
            public_burst: 30,
            login_tries_per_account: 5,
            login_tries_per_address: 20,
            require_verified_email: false,
            password_threads: 0,
            cors_origins: Vec::new(),
            request_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            stalled_ms: 30_000,
            import_bytes: 64 * 1024 * 1024,
            streams: 500,
            stream_poll_ms: 1_000,
            stream_keep_alive_ms: 15_000,
            max_connections: 10_000,
            oauth: OAuthSettings::default(),
            tls: None,
        }
    }
}

impl GatewaySettings {
    /// Whether the v2 dialect is served first on this host; `host` may carry a port.
    #[must_use]
    pub fn is_v2_host(&self, host: &str) -> bool {
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(name, _)| name);
        let name = name.trim_end_matches('.');
        !name.is_empty() && self.v2_hosts.iter().any(|known| known.trim_end_matches('.').eq_ignore_ascii_case(name))
    }

    /// Whether the headers of this peer are believed.
    #[must_use]
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|range| range.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redirect_is_beside_the_gateway_unless_it_is_told_where() {
        let mut tls =
            TlsSettings { certificate: "c".into(), key: "k".into(), redirect_listen: None, reload_ms: 10_000 };
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(tls.redirect_address(at("0.0.0.0:8443")), at("0.0.0.0:8081"));
        assert_eq!(tls.redirect_address(at("[::1]:0")), at("[::1]:0"));
        tls.redirect_listen = Some(at("0.0.0.0:8080"));
        assert_eq!(tls.redirect_address(at("127.0.0.1:8443")), at("0.0.0.0:8080"));
    }

    #[test]
    fn a_host_is_known_in_any_case_and_with_any_port() {
        let settings = GatewaySettings { v2_hosts: vec!["VMS.example".to_owned()], ..GatewaySettings::default() };
        for host in ["vms.example", "vms.example:8443", "VMS.EXAMPLE.", "vms.example.:80"] {
            assert!(settings.is_v2_host(host), "{host}");
        }
        for host in ["", ":80", "example", "x.vms.example", "vms.example.org"] {
            assert!(!settings.is_v2_host(host), "{host}");
        }
    }
}
