//! The helper's settings, and the addresses that follow from them.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

/// No node runs more tools at the same time; the address plan ends here.
pub(crate) const MAX_SLOTS: u32 = 1024;
/// Stand-ins for loopback addresses at the same time.
pub(crate) const MAX_STAND_INS: u32 = 256;

/// How the network helper works on this node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetdSettings {
    /// Where it listens.
    pub socket: PathBuf,
    /// The group that owns the socket, and who has it as primary group may ask (its number).
    pub gid: Option<u32>,
    /// Further users that may ask, by number: those whose primary group is not `gid`, which they are members of. Root always
    /// may.
    pub uids: Vec<u32>,
    /// Loopback, private and special addresses that runs on this node may be connected to.
    pub allow_internal: Vec<IpNet>,
    /// A /19 that nothing else on the node uses: runs, stand-ins for loopback addresses, the way out.
    pub range: Ipv4Net,
    /// The same for IPv6, a /48.
    pub range6: Ipv6Net,
    /// Whether runs may have IPv6. The node then forwards IPv6.
    pub ipv6: bool,
    /// Whether runs go out under the node's address. Otherwise the network must know the way back to `range`.
    pub masquerade: bool,
    /// Names the interface (`<name>0`) and the table of the packet filter (`<name>_netd`) on the node; at most 12 lower
    /// case letters and digits.
    pub name: String,
    /// Runs at the same time, of all workers of the node together, at most 1024.
    pub slots: u32,
}

impl Default for NetdSettings {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/picket/netd.sock"),
            gid: None,
            uids: Vec::new(),
            allow_internal: Vec::new(),
            // Of the range for measuring routers (RFC 2544): no private network and no target has it.
            range: Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 64, 0), 19),
            range6: Ipv6Net::new_assert(Ipv6Addr::new(0xfd70, 0x6963, 0x6b65, 0, 0, 0, 0, 0), 48),
            ipv6: false,
            masquerade: true,
            name: "picket".to_owned(),
            slots: 64,
        }
    }
}

impl NetdSettings {
    /// Why these settings cannot be used.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let name = self.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !name || self.name.is_empty() || self.name.len() > 12 {
            return Some("netd.name: expected 1 to 12 lower case letters and digits");
        }
        if self.slots == 0 || self.slots > MAX_SLOTS {
            return Some("netd.slots: expected a number from 1 to 1024");
        }
        if self.gid.is_none() && !self.uids.is_empty() {
            return Some(
                "netd.uids: expected netd.gid too, a group that these users are members of: it owns the socket",
            );
        }
        if self.range.prefix_len() != 19 || self.range != self.range.trunc() {
            return Some("netd.range: expected a /19 of IPv4 without host bits");
        }
        if self.range6.prefix_len() != 48 || self.range6 != self.range6.trunc() {
            return Some("netd.range6: expected a /48 of IPv6 without host bits");
        }
        None
    }

    /// The interface on the node.
    pub(crate) fn interface(&self) -> String {
        format!("{}0", self.name)
    }

    /// The table of the packet filter on the node.
    pub(crate) fn table(&self) -> String {
        format!("{}_netd", self.name)
    }

    /// Both ends of a slot's wire: the router's and the run's.
    pub(crate) fn wire(&self, slot: u32) -> Ends {
        Ends {
            near: (self.v4(slot * 4 + 1), self.v6(u128::from(slot), 1)),
            far: (self.v4(slot * 4 + 2), self.v6(u128::from(slot), 2)),
        }
    }

    /// Both ends of the way out: the node's and the router's.
    pub(crate) fn uplink(&self) -> Ends {
        Ends { near: (self.v4(8189), self.v6(0xffff, 1)), far: (self.v4(8190), self.v6(0xffff, 2)) }
    }

    /// The address that stands for the `index`th loopback address in use.
    pub(crate) fn stand_in(&self, index: u32) -> Ipv4Addr {
        self.v4(4096 + index)
    }

    /// The address that stands for `::1`, in a network in which no wire is.
    pub(crate) fn stand_in6(&self) -> Ipv6Addr {
        self.v6(0xfffe, 1)
    }

    /// All stand-ins of IPv4.
    pub(crate) fn stand_ins(&self) -> Ipv4Net {
        Ipv4Net::new(self.stand_in(0), 24).unwrap_or(self.range)
    }

    fn v4(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.range.network()) | (offset & 0x1fff))
    }

    fn v6(&self, subnet: u128, host: u128) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.range6.network()) | (subnet << 64) | host)
    }
}

/// The addresses of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Of the end that leads on.
    pub(crate) near: (Ipv4Addr, Ipv6Addr),
    /// Of the other end.
    pub(crate) far: (Ipv4Addr, Ipv6Addr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_things_have_one_address_and_all_are_in_the_range() {
        let settings = NetdSettings::default();
        let mut all = Vec::new();
        for ends in (0..MAX_SLOTS).map(|slot| settings.wire(slot)).chain([settings.uplink()]) {
            all.extend([ends.near.0, ends.far.0]);
        }
        all.extend((0..MAX_STAND_INS).map(|index| settings.stand_in(index)));
        assert!(all.iter().all(|address| settings.range.contains(address)));
        assert!(settings.range6.contains(&settings.stand_in6()));
        let wires6 = (0..MAX_SLOTS).map(|slot| settings.wire(slot)).chain([settings.uplink()]);
        let is_beside = |ends: Ends| [ends.near.1, ends.far.1].iter().all(|one| one.segments()[3] != 0xfffe);
        assert!(wires6.into_iter().all(is_beside), "the stand-in of ::1 is on nobody's wire");
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!((0..MAX_STAND_INS).all(|index| settings.stand_ins().contains(&settings.stand_in(index))));
        assert!(!settings.stand_ins().contains(&settings.wire(MAX_SLOTS - 1).far.0));
    }

    #[test]
    fn settings_that_cannot_be_used_say_why() {
        let default = NetdSettings::default();
        assert_eq!(default.fault(), None);
        for wrong in [
            NetdSettings { name: String::new(), ..default.clone() },
            NetdSettings { name: "a/../b".to_owned(), ..default.clone() },
            NetdSettings { slots: 1025, ..default.clone() },
            NetdSettings { uids: vec![1000], ..default.clone() },
            NetdSettings { range: "10.0.0.0/20".parse().unwrap(), ..default.clone() },
            NetdSettings { range6: "fd00::/64".parse().unwrap(), ..default.clone() },
        ] {
            assert!(wrong.fault().is_some_and(|text| text.starts_with("netd.")), "{wrong:?}");
        }
    }
}
