//! What the operator decides about calls to the outside. The defaults suit the public Internet and nothing else.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;

/// Settings of every outbound call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundSettings {
    /// Ranges that may be called although they are not public; there any port is allowed as well.
    pub allowed_ranges: Vec<IpNet>,
    /// Ranges that are never called, whatever else is said of them: our own public addresses, for one.
    pub denied_ranges: Vec<IpNet>,
    /// Whether plain `http` may be spoken, and then inside `allowed_ranges` only.
    pub allow_http: bool,
    /// The port where proofs of ownership are looked for over plain `http`, inside `allowed_ranges` only.
    pub proof_http_port: u16,
    /// Ports of public addresses that may be called.
    pub ports: Vec<u16>,
    /// Addresses of names that are not asked of DNS. The guard holds for them all the same.
    pub pins: BTreeMap<String, Vec<IpAddr>>,
    /// Name servers; none means those of the machine.
    pub name_servers: Vec<SocketAddr>,
    /// A PEM file with further certificate authorities to trust.
    pub extra_authorities: Option<std::path::PathBuf>,
    /// How long a name may take to resolve, in milliseconds.
    pub dns_timeout_ms: u64,
    /// How long connecting may take, TLS included, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long the whole call may take, from the name to the last byte, in milliseconds.
    pub total_timeout_ms: u64,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        Self {
            allowed_ranges: Vec::new(),
            denied_ranges: Vec::new(),
            allow_http: false,
            proof_http_port: 80,
            ports: vec![443, 8443],
            pins: BTreeMap::new(),
            name_servers: Vec::new(),
            extra_authorities: None,
            dns_timeout_ms: 3_000,
            connect_timeout_ms: 5_000,
            total_timeout_ms: 15_000,
        }
    }
}

impl OutboundSettings {
    pub(crate) const fn dns_timeout(&self) -> Duration {
        Duration::from_millis(self.dns_timeout_ms)
    }

    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) const fn total_timeout(&self) -> Duration {
        Duration::from_millis(self.total_timeout_ms)
    }
}
