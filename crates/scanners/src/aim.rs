//! Where one run looks: one address, and the name that is pinned to it. For tools that take a single target.

use std::net::IpAddr;

use picket_domain::{Egress, Invocation, Network, PinnedHost, Shard};

use crate::{ParamsError, typed::Port};

/// The longest name of the DNS.
const MAX_NAME_BYTES: usize = 253;

/// One address, and how its service is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aim {
    address: IpAddr,
    name: Option<String>,
}

impl Aim {
    /// The only address of a shard, and its name: the target's own, else the first that is pinned to the address.
    ///
    /// # Errors
    /// When the shard has not exactly one address.
    pub(crate) fn of(shard: &Shard) -> Result<Self, ParamsError> {
        let fault = |message: &str| ParamsError {
            field: "shard.addresses".to_owned(),
            code: "not_one",
            message: message.to_owned(),
        };
        let [address] = shard.addresses.as_slice() else {
            return Err(fault("expected exactly one address in one run"));
        };
        let pinned = |host: &&PinnedHost| host.address == *address && is_plain_name(&host.name);
        let mut pins = shard.hosts.iter().filter(pinned);
        let own = shard.hosts.iter().filter(pinned).find(|host| host.name == shard.target);
        let name = own.or_else(|| pins.next()).map(|host| host.name.clone());
        Ok(Self { address: *address, name })
    }

    /// The address.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// The name that is pinned to the address.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// `192.0.2.1:443` or `[2001:db8::1]:443`.
    pub(crate) fn socket(&self, port: Port) -> String {
        if self.address.is_ipv6() { format!("[{}]:{port}", self.address) } else { format!("{}:{port}", self.address) }
    }

    /// `example.com:443` where there is a name, else as [`Self::socket`].
    pub(crate) fn named_socket(&self, port: Port) -> String {
        self.name().map_or_else(|| self.socket(port), |name| format!("{name}:{port}"))
    }

    /// A run of `program` that speaks to this address and port alone.
    pub(crate) fn invocation(&self, tool: &'static str, program: &'static str, port: Port) -> Invocation {
        let hosts = self.name.iter().map(|name| PinnedHost { name: name.clone(), address: self.address }).collect();
        let egress = Egress { addresses: vec![self.address], ports: vec![(port.0, port.0)] };
        Invocation { hosts, egress, network: Network::Connect, ..Invocation::of(tool, program) }
    }
}

/// Letters, digits, hyphens and dots; no label begins or ends with a hyphen, so no name looks like an option. No address:
/// that stands for itself.
fn is_plain_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(addresses: &[&str], hosts: &[(&str, &str)]) -> Shard {
        Shard {
            target: "example.com".to_owned(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            hosts: hosts
                .iter()
                .map(|(name, address)| PinnedHost { name: (*name).to_owned(), address: address.parse().unwrap() })
                .collect(),
        }
    }

    #[test]
    fn the_targets_own_name_goes_before_others_of_the_address() {
        let hosts = [("a.example.com", "192.0.2.1"), ("example.com", "192.0.2.1"), ("b.example.com", "192.0.2.2")];
        let name =
            |address: &str, hosts: &[(&str, &str)]| Aim::of(&shard(&[address], hosts)).unwrap().named_socket(Port(443));
        assert_eq!(name("192.0.2.1", &hosts), "example.com:443");
        assert_eq!(name("192.0.2.2", &hosts), "b.example.com:443");
        assert_eq!(name("192.0.2.3", &hosts), "192.0.2.3:443");
        assert_eq!(name("2001:db8::1", &[]), "[2001:db8::1]:443");
    }

    #[test]
    fn a13_names_that_could_be_options_or_more_than_a_name_are_never_used() {
        for name in [
            "-iL",
            "--xml=x",
            "a b",
            "a\n",
            "",
            "a..b",
            "a-.b",
            "a/b",
            "a{192.0.2.9}",
            "A",
            "a_b",
            "$(id)",
            "ä",
            "a:1",
            "a@b",
            "-iL/etc/passwd",
            "--",
            "`id`",
            "a/../b",
            ".",
            "user:x@h",
            "192.0.2.1",
        ] {
            let aim = Aim::of(&shard(&["192.0.2.1"], &[(name, "192.0.2.1")])).unwrap();
            assert_eq!(aim.name(), None, "{name:?}");
            assert!(aim.invocation("x", "/x", Port(1)).hosts.is_empty());
        }
    }

    #[test]
    fn one_run_has_one_address() {
        for addresses in [vec![], vec!["192.0.2.1", "192.0.2.2"]] {
            assert_eq!(Aim::of(&shard(&addresses, &[])).unwrap_err().code, "not_one");
        }
    }
}
