//! What speaks behind an open port, as far as a port scan could tell. It decides where the next tools look, so nothing of a
//! target's own words is in it: the service's name is one of the port scanner's own list, and what is not known here says
//! nothing.

use std::net::IpAddr;

use picket_domain::{Observation, Protocol};

use crate::rules;

/// An open TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenPort {
    /// Where; not judged here.
    pub address: IpAddr,
    /// Its number, never 0.
    pub port: u16,
    /// Whether it speaks TLS from the first byte.
    pub is_tls: bool,
    /// What it speaks, inside TLS where there is TLS.
    pub speaks: Speaks,
}

/// A protocol that some tool of ours looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaks {
    /// HTTP.
    Http,
    /// SSH.
    Ssh,
    /// Something else, or nobody knows.
    Other,
}

/// The open port that an observation tells of; `None` for every other observation.
#[must_use]
pub fn open_port(observation: &Observation) -> Option<OpenPort> {
    let at = &observation.location;
    if observation.rule != rules::PORT_OPEN.id || at.protocol != Some(Protocol::Tcp) || at.url.is_some() {
        return None;
    }
    let (address, port) = (at.host.parse().ok()?, at.port.filter(|port| *port > 0)?);
    let name = observation.service.as_ref().and_then(|service| service.name.as_deref());
    let (is_tls, speaks) = name.map_or_else(|| usual(port), spoken);
    Some(OpenPort { address, port, is_tls, speaks })
}

/// By the name that nmap gives to a service (nmap-service-probes; `ssl/` is its tunnel).
fn spoken(name: &str) -> (bool, Speaks) {
    let (is_tls, inside) = match name.strip_prefix("ssl/") {
        Some(inside) => (true, inside),
        None => (matches!(name, "https" | "ssl"), name),
    };
    let speaks = match inside {
        "http" | "https" | "http-proxy" => Speaks::Http,
        "ssh" => Speaks::Ssh,
        _ => Speaks::Other,
    };
    (is_tls, speaks)
}

/// Where the service did not tell: what is usual at that port. A server that answers a known name alone is such a one.
const fn usual(port: u16) -> (bool, Speaks) {
    match port {
        22 => (false, Speaks::Ssh),
        80 | 8000 | 8080 => (false, Speaks::Http),
        443 | 8443 => (true, Speaks::Http),
        _ => (false, Speaks::Other),
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::Service;

    use super::*;
    use crate::weakness::{Place, Weakness};

    fn observed(port: u16, name: Option<&str>) -> Observation {
        let service = name.map(|name| Service { name: Some(name.to_owned()), ..Service::default() });
        let port = Some((port, Protocol::Tcp));
        let place = Place { host: "192.0.2.7", port, service: service.as_ref(), is_tls: false, started: None };
        Weakness::of(rules::PORT_OPEN, "whatever").observed(&place)
    }

    #[test]
    fn a_service_is_known_by_its_name_and_else_by_its_usual_port() {
        let told = |port, name| open_port(&observed(port, name)).map(|one| (one.is_tls, one.speaks));
        for (port, name, expected) in [
            (8081, Some("http"), (false, Speaks::Http)),
            (9443, Some("https"), (true, Speaks::Http)),
            (9443, Some("ssl/http-proxy"), (true, Speaks::Http)),
            (993, Some("ssl/imap"), (true, Speaks::Other)),
            (993, Some("ssl"), (true, Speaks::Other)),
            (2222, Some("ssh"), (false, Speaks::Ssh)),
            (443, Some("ssh"), (false, Speaks::Ssh)),
            (443, None, (true, Speaks::Http)),
            (9999, None, (false, Speaks::Other)),
            (80, Some("http; id"), (false, Speaks::Other)),
        ] {
            assert_eq!(told(port, name), Some(expected), "{port} {name:?}");
        }
    }

    #[test]
    fn only_an_open_tcp_port_of_an_address_counts() {
        let with = |change: fn(&mut Observation)| {
            let mut one = observed(80, Some("http"));
            change(&mut one);
            open_port(&one)
        };
        assert!(with(|_| {}).is_some());
        assert_eq!(with(|one| one.rule = "http.server_header".to_owned()), None);
        assert_eq!(with(|one| one.location.protocol = Some(Protocol::Udp)), None);
        assert_eq!(with(|one| one.location.port = Some(0)), None);
        assert_eq!(with(|one| one.location.port = None), None);
        assert_eq!(with(|one| one.location.host = "example.com".to_owned()), None);
        assert_eq!(with(|one| one.location.url = Some("http://x/".to_owned())), None);
    }
}
