//! The web site that a run is given. A URL for a command line is made of a scheme, a pinned name or an address, a number and
//! a checked path; nothing of a client's text is copied.

use std::net::IpAddr;

use picket_domain::{Egress, Invocation, Network, Pool, Shard};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    ParamsError, TaskShape,
    aim::Aim,
    typed::{self, Port, RootPath},
};

/// Where a run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// The one address of the shard.
    pub(crate) address: IpAddr,
    /// Its pinned name, if it has one.
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    path: String,
}

impl Start {
    /// The start page of a run against `shard`. Without `tls`, port 443 alone speaks TLS.
    pub(crate) fn of(
        port: Option<Port>,
        tls: Option<bool>,
        path: &RootPath,
        shard: &Shard,
    ) -> Result<Self, ParamsError> {
        let aim = Aim::of(shard)?;
        let is_tls = tls.unwrap_or_else(|| port.is_some_and(|port| port.0 == 443));
        let port = port.map_or(if is_tls { 443 } else { 80 }, |port| port.0);
        let name = aim.name().map(str::to_owned);
        Ok(Self { address: aim.address(), name, port, is_tls, path: path.to_string() })
    }

    /// The name, else the address as it stands in URLs.
    pub(crate) fn authority(&self) -> String {
        match (&self.name, self.address) {
            (Some(name), _) => name.clone(),
            (None, IpAddr::V4(address)) => address.to_string(),
            (None, IpAddr::V6(address)) => format!("[{address}]"),
        }
    }

    /// The URL of the start page.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.authority(), self.port, self.path)
    }

    /// The path of the start page.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A run of `program` that may speak to this port alone.
    pub(crate) fn run(
        &self,
        tool: &'static str,
        program: &'static str,
        args: Vec<String>,
        shard: &Shard,
    ) -> Invocation {
        let egress = Egress { addresses: vec![self.address], ports: vec![(self.port, self.port)] };
        let hosts = shard.hosts.iter().filter(|host| host.address == self.address).cloned().collect();
        Invocation { args, hosts, egress, network: Network::Connect, ..Invocation::of(tool, program) }
    }
}

/// The one task that parameters of a web tool ask for.
pub(crate) fn shapes<P: DeserializeOwned + Serialize>(params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
    let params: P = typed::read(params)?;
    Ok(vec![TaskShape::one_port(&params, Pool::Web)])
}

/// Arguments from constants.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use picket_domain::PinnedHost;

    use super::*;

    fn shard(name: &str, address: &str) -> Shard {
        let address: IpAddr = address.parse().unwrap();
        Shard {
            target: name.to_owned(),
            addresses: vec![address],
            hosts: vec![PinnedHost { name: name.to_owned(), address }],
        }
    }

    fn url(port: Option<u16>, tls: Option<bool>, name: &str, address: &str) -> String {
        Start::of(port.map(Port), tls, &RootPath::default(), &shard(name, address)).unwrap().url()
    }

    #[test]
    fn the_start_page_is_of_the_pinned_name_or_the_address() {
        assert_eq!(url(None, None, "www.example.com", "192.0.2.1"), "http://www.example.com:80/");
        assert_eq!(url(Some(443), None, "www.example.com", "192.0.2.1"), "https://www.example.com:443/");
        assert_eq!(url(Some(443), Some(false), "www.example.com", "192.0.2.1"), "http://www.example.com:443/");
        assert_eq!(url(Some(8443), Some(true), "192.0.2.1", "192.0.2.1"), "https://192.0.2.1:8443/");
        assert_eq!(url(None, Some(true), "2001:db8::1", "2001:db8::1"), "https://[2001:db8::1]:443/");
    }

    #[test]
    fn a13_a_name_that_is_none_never_reaches_a_command_line() {
        for name in
            ["-iL/etc/passwd", "--", "`id`", "$(id)", "a b", "a/../b", "a@b", "", ".", "a..b", "a_b", "user:x@h"]
        {
            assert_eq!(url(None, None, name, "192.0.2.1"), "http://192.0.2.1:80/", "{name:?}");
        }
    }

    #[test]
    fn the_targets_own_name_goes_before_others_of_the_address() {
        let mut shard = shard("www.example.com", "192.0.2.1");
        shard.hosts.insert(0, PinnedHost { name: "a.example.com".to_owned(), ..shard.hosts[0].clone() });
        let name = |shard: &Shard| Start::of(None, None, &RootPath::default(), shard).unwrap().name;
        assert_eq!(name(&shard).as_deref(), Some("www.example.com"));
        shard.target = "192.0.2.1".to_owned();
        assert_eq!(name(&shard).as_deref(), Some("a.example.com"));
    }

    #[test]
    fn a_run_has_one_address() {
        let mut shard = shard("www.example.com", "192.0.2.1");
        shard.addresses.push("192.0.2.2".parse().unwrap());
        assert_eq!(Start::of(None, None, &RootPath::default(), &shard).unwrap_err().code, "not_one");
        shard.addresses.clear();
        assert!(Start::of(None, None, &RootPath::default(), &shard).is_err());
    }
}
