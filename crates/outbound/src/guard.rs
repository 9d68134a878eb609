//! Which URLs and addresses may be called. Pure: names are resolved elsewhere, and every answer comes back here.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use picket_domain::classify;
use url::{Host, Position, Url};

use crate::{OutboundError, OutboundSettings};

/// The policy of the operator over addresses, ports and schemes.
#[derive(Debug, Clone)]
pub struct Guard {
    allowed_ranges: Vec<IpNet>,
    denied_ranges: Vec<IpNet>,
    allow_http: bool,
    ports: Vec<u16>,
}

/// A URL that passed the first check; its addresses are still to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) host: EndpointHost,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) path_and_query: String,
    /// The `Host` header: the port only where it is not the scheme's own.
    pub(crate) authority: String,
}

/// What stands for the host in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndpointHost {
    /// A literal address, which no resolver ever sees.
    Address(IpAddr),
    /// A name in lower case without a final dot.
    Name(String),
}

impl Guard {
    /// The guard of these settings.
    #[must_use]
    pub fn new(settings: &OutboundSettings) -> Self {
        Self {
            allowed_ranges: settings.allowed_ranges.clone(),
            denied_ranges: settings.denied_ranges.clone(),
            allow_http: settings.allow_http,
            ports: settings.ports.clone(),
        }
    }

    /// First check, without DNS: scheme, credentials, host, port. A literal address is judged at once.
    pub fn check_url(&self, url: &Url) -> Result<Endpoint, OutboundError> {
        let tls = match url.scheme() {
            "https" => true,
            "http" if self.allow_http => false,
            _ => return Err(OutboundError::RefusedUrl("its scheme is not https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::RefusedUrl("it has a user or a password"));
        }
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or(OutboundError::RefusedUrl("its port is not a port"))?;
        let host = match url.host().ok_or(OutboundError::RefusedUrl("it has no host"))? {
            Host::Ipv4(address) => EndpointHost::Address(IpAddr::V4(address)),
            Host::Ipv6(address) => EndpointHost::Address(IpAddr::V6(address)),
            Host::Domain(name) => EndpointHost::Name(name.trim_end_matches('.').to_ascii_lowercase()),
        };
        let endpoint = Endpoint {
            host,
            port,
            tls,
            path_and_query: url[Position::BeforePath..Position::AfterQuery].to_owned(),
            authority: url[Position::BeforeHost..Position::AfterPort].to_owned(),
        };
        if let EndpointHost::Address(address) = endpoint.host {
            self.check_addresses(&endpoint, &[address])?;
        }
        Ok(endpoint)
    }

    /// Second check: **every** address must be allowed, for one bad answer among good ones is an attack. Returns what may
    /// be dialed, IPv4 first.
    pub fn check_addresses(&self, endpoint: &Endpoint, found: &[IpAddr]) -> Result<Vec<SocketAddr>, OutboundError> {
        for address in found {
            self.check_address(endpoint, *address)?;
        }
        let mut sockets: Vec<_> = found.iter().map(|address| SocketAddr::new(*address, endpoint.port)).collect();
        sockets.sort_by_key(SocketAddr::is_ipv6);
        Ok(sockets)
    }

    /// Whether one address may be called in this way.
    pub(crate) fn check_address(&self, endpoint: &Endpoint, address: IpAddr) -> Result<(), OutboundError> {
        // An IPv4 address that is mapped into IPv6 is the IPv4 address.
        let canonical = address.to_canonical();
        if self.denied_ranges.iter().any(|range| range.contains(&canonical)) {
            return Err(OutboundError::RefusedAddress("the operator denies it"));
        }
        if self.allowed_ranges.iter().any(|range| range.contains(&canonical)) {
            return Ok(());
        }
        if classify(address).is_forbidden() {
            return Err(OutboundError::RefusedAddress("it is not public"));
        }
        if !endpoint.tls {
            return Err(OutboundError::RefusedAddress("plain http is not for public addresses"));
        }
        if !self.ports.contains(&endpoint.port) {
            return Err(OutboundError::RefusedAddress("the port is not on the list"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
