//! Our own resolver: the operator's pins first, then DNS with a deadline and a limit on the answer. It never reads the
//! machine's hosts file or search list, for a customer's name must not reach a neighbour of ours by its short name.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
};

use crate::{OutboundError, OutboundSettings};

/// The most addresses that a name may have.
pub const MOST_ADDRESSES: usize = 16;

/// The longest that an answer is kept, in spite of its TTL.
const LONGEST_TTL: Duration = Duration::from_secs(30);

/// A name has no usable address.
#[derive(Debug, thiserror::Error)]
pub enum LookupFailed {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NoAddress,
    /// The name has more than [`MOST_ADDRESSES`].
    #[error("expected at most {MOST_ADDRESSES} addresses")]
    TooMany,
    /// DNS did not answer in time.
    #[error("dns took too long")]
    Timeout,
    /// DNS failed.
    #[error("dns failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where the addresses of a name come from.
pub trait Lookup: Send + Sync {
    /// All addresses (A and AAAA) of a fully qualified name without its final dot.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupFailed>>;
}

/// Names to addresses.
#[derive(Clone)]
pub struct Resolver {
    pins: Arc<BTreeMap<String, Vec<IpAddr>>>,
    dns: Arc<dyn Lookup>,
    timeout: Duration,
}

impl Resolver {
    /// The resolver of these settings; asks the machine's name servers unless others are set.
    pub fn new(settings: &OutboundSettings) -> Result<Self, OutboundError> {
        Ok(Self::with_lookup(settings, Arc::new(Dns::new(settings)?)))
    }

    /// The same with another source of addresses than DNS.
    #[must_use]
    pub fn with_lookup(settings: &OutboundSettings, dns: Arc<dyn Lookup>) -> Self {
        let pins = settings.pins.iter().map(|(name, addresses)| (canonical(name), addresses.clone())).collect();
        Self { pins: Arc::new(pins), dns, timeout: settings.dns_timeout() }
    }

    /// All addresses of a name, each once; at least one, at most [`MOST_ADDRESSES`]. None of them is judged here.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupFailed> {
        let name = canonical(name);
        let mut found = match self.pins.get(&name) {
            Some(pinned) => pinned.clone(),
            None => tokio::time::timeout(self.timeout, self.dns.lookup(&name))
                .await
                .map_err(|_| LookupFailed::Timeout)??,
        };
        found.sort_unstable();
        found.dedup();
        match found.len() {
            0 => Err(LookupFailed::NoAddress),
            1..=MOST_ADDRESSES => Ok(found),
            _ => Err(LookupFailed::TooMany),
        }
    }
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The real source: DNS.
struct Dns(TokioResolver);

impl Dns {
    fn new(settings: &OutboundSettings) -> Result<Self, OutboundError> {
        let set = || {
            let servers = settings.name_servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = if settings.name_servers.is_empty() {
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(error = %error, "the machine names no name server: only pinned names resolve");
                set()
            })
        } else {
            set()
        };
        tune(builder.options_mut(), settings.dns_timeout());
        builder.build().map(Self).map_err(|error| OutboundError::Setup("no resolver", Box::new(error)))
    }
}

/// Two tries fit into the time that a name has.
fn tune(options: &mut ResolverOpts, timeout: Duration) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_TTL);
    options.timeout = timeout / 2;
    options.attempts = 1;
    options.edns0 = true;
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

impl Lookup for Dns {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupFailed>> {
        async move {
            // The final dot keeps the search list out.
            match self.0.lookup_ip(format!("{name}.")).await {
                // One more than allowed is enough to know.
                Ok(answer) => Ok(answer.iter().take(MOST_ADDRESSES * 2).collect()),
                Err(error) if error.is_no_records_found() => Err(LookupFailed::NoAddress),
                Err(error) => Err(LookupFailed::Failed(Box::new(error))),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
