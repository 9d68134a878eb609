//! Our own resolver: the operator's pins first, then DNS with a deadline and a limit on the answer. It never reads the
//! machine's hosts file or search list, for a customer's name must not reach a neighbour of ours by its short name.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData, Record, RecordType},
};

use crate::{OutboundError, OutboundSettings};

/// The most addresses that a name may have.
pub const MOST_ADDRESSES: usize = 16;

/// The most aliases (CNAME) between a name and its addresses.
pub const MOST_ALIASES: usize = 8;

/// The most TXT records of a name that are read.
pub const MOST_TEXTS: usize = 64;
/// The longest TXT record that is read, in bytes.
pub const LONGEST_TEXT_BYTES: usize = 512;

/// The longest that an answer is kept, in spite of its TTL.
const LONGEST_TTL: Duration = Duration::from_secs(30);

/// A name has no usable address.
#[derive(Debug, thiserror::Error)]
pub enum LookupFailed {
    /// The name does not exist, or has no address, or no text where texts are asked for.
    #[error("the name has no address")]
    NoAddress,
    /// The name has more than [`MOST_ADDRESSES`].
    #[error("expected at most {MOST_ADDRESSES} addresses")]
    TooMany,
    /// The name is an alias of an alias, and so on, more than [`MOST_ALIASES`] times.
    #[error("expected at most {MOST_ALIASES} aliases between the name and its addresses")]
    TooManyAliases,
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

    /// All TXT records of such a name, each in one piece; what is no UTF-8 is left out. A source that knows none has none.
    fn texts<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<String>, LookupFailed>> {
        async { Err(LookupFailed::NoAddress) }.boxed()
    }
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

    /// The TXT records of a name, asked for anew at every call; at most [`MOST_TEXTS`] of at most [`LONGEST_TEXT_BYTES`], the
    /// others are left out. The operator's pins hold no texts.
    ///
    /// # Errors
    /// [`LookupFailed::NoAddress`] when the name has none.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, LookupFailed> {
        let name = canonical(name);
        let found = tokio::time::timeout(self.timeout, self.dns.texts(&name)).await;
        let mut found = found.map_err(|_| LookupFailed::Timeout)??;
        found.retain(|text| text.len() <= LONGEST_TEXT_BYTES);
        found.truncate(MOST_TEXTS);
        if found.is_empty() { Err(LookupFailed::NoAddress) } else { Ok(found) }
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
struct Dns {
    addresses: TokioResolver,
    /// Remembers nothing: whoever has just put a record there wants it to be found.
    texts: TokioResolver,
}

impl Dns {
    fn new(settings: &OutboundSettings) -> Result<Self, OutboundError> {
        Ok(Self { addresses: dns(settings, None)?, texts: dns(settings, Some(0))? })
    }
}

/// A resolver; `kept` is how many answers it remembers, if not the usual number.
fn dns(settings: &OutboundSettings, kept: Option<u64>) -> Result<TokioResolver, OutboundError> {
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
    if let Some(kept) = kept {
        builder.options_mut().cache_size = kept;
    }
    builder.build().map_err(|error| OutboundError::Setup("no resolver", Box::new(error)))
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
            match self.addresses.lookup_ip(format!("{name}.")).await {
                Ok(answer) if aliases(answer.as_lookup().answers()) > MOST_ALIASES => Err(LookupFailed::TooManyAliases),
                // One more than allowed is enough to know.
                Ok(answer) => Ok(answer.iter().take(MOST_ADDRESSES * 2).collect()),
                Err(error) if error.is_no_records_found() => Err(LookupFailed::NoAddress),
                Err(error) => Err(LookupFailed::Failed(Box::new(error))),
            }
        }
        .boxed()
    }

    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, LookupFailed>> {
        async move {
            // Not as a host name: it begins with an underscore.
            let name = Name::from_ascii(format!("{name}.")).map_err(|error| LookupFailed::Failed(Box::new(error)))?;
            match self.texts.lookup(name, RecordType::TXT).await {
                Ok(answer) => Ok(answer.answers().iter().filter_map(text).take(MOST_TEXTS * 2).collect()),
                Err(error) if error.is_no_records_found() => Err(LookupFailed::NoAddress),
                Err(error) => Err(LookupFailed::Failed(Box::new(error))),
            }
        }
        .boxed()
    }
}

/// How many aliases an answer is made of: those of IPv4 and of IPv6 are the same ones.
fn aliases(answer: &[Record]) -> usize {
    let names: BTreeSet<&Name> =
        answer.iter().filter(|record| matches!(record.data, RData::CNAME(_))).map(|record| &record.name).collect();
    names.len()
}

/// The text of a TXT record: its strings in one piece (RFC 7208 §3.3 reads them so, too).
fn text(record: &Record) -> Option<String> {
    if let RData::TXT(txt) = &record.data { String::from_utf8(txt.txt_data.concat()).ok() } else { None }
}

#[cfg(test)]
mod tests;
