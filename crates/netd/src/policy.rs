//! What a client may ask for: bounds, and each address against the node's own list. The client has judged the addresses
//! already; the helper believes nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use picket_domain::{AddressClass, classify};

use crate::{Grant, Mode, NetdSettings, nft::ranges};

const MAX_ADDRESSES: usize = 4096;
const MAX_FORWARDS: usize = 16;
const MAX_RANGES: usize = 1024;
/// Stand-ins times ranges of ports: each is an element in the packet filter, for TCP and for UDP.
const MAX_FORWARDED: usize = 4096;
/// No run lasts longer.
pub(crate) const MAX_TTL_MS: u64 = 24 * 60 * 60 * 1000;
/// Addresses of one link: there is nobody on the run's link.
const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// A request that was found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Addresses that are reached as they are.
    pub(crate) v4: Vec<Ipv4Addr>,
    /// Likewise.
    pub(crate) v6: Vec<Ipv6Addr>,
    /// Addresses that are reached through a stand-in, in the order of the request.
    pub(crate) loopback: Vec<IpAddr>,
    /// For stand-ins, sorted and merged.
    pub(crate) ports: Vec<(u16, u16)>,
    /// How long.
    pub(crate) ttl_ms: u64,
    /// What the run may do.
    pub(crate) mode: Mode,
}

/// Holds a request against the node's policy.
///
/// # Errors
/// What was expected.
pub(crate) fn check(settings: &NetdSettings, grant: &Grant) -> Result<Checked, String> {
    bounds(grant)?;
    let Grant { ttl_ms, mode, .. } = *grant;
    let mut checked = Checked { v4: vec![], v6: vec![], loopback: vec![], ports: ranges(&grant.ports), ttl_ms, mode };
    for address in &grant.addresses {
        judge(settings, *address)?;
        match address.to_canonical() {
            loopback if loopback.is_loopback() => checked.loopback.push(loopback),
            IpAddr::V4(v4) => checked.v4.push(v4),
            IpAddr::V6(v6) => checked.v6.push(v6),
        }
    }
    if checked.loopback.len() > MAX_FORWARDS || checked.loopback.len() * checked.ports.len() > MAX_FORWARDED {
        return Err("expected at most 16 loopback addresses, and 4096 times a range of ports among them".to_owned());
    }
    checked.v4.sort_unstable();
    checked.v4.dedup();
    checked.v6.sort_unstable();
    checked.v6.dedup();
    Ok(checked)
}

/// Holds loopback addresses, for which stand-ins are wanted, against the node's policy.
///
/// # Errors
/// What was expected.
pub(crate) fn check_loopback(settings: &NetdSettings, loopback: &[IpAddr]) -> Result<(), String> {
    if loopback.is_empty() || loopback.len() > MAX_FORWARDS || !loopback.iter().all(IpAddr::is_loopback) {
        return Err("expected 1 to 16 addresses of 127.0.0.0/8, or ::1".to_owned());
    }
    loopback.iter().try_for_each(|address| judge(settings, *address))
}

fn bounds(grant: &Grant) -> Result<(), String> {
    let expected = |text: &str| Err(format!("expected {text}"));
    if grant.addresses.is_empty() || grant.addresses.len() > MAX_ADDRESSES {
        return expected("1 to 4096 addresses");
    }
    if grant.ports.len() > MAX_RANGES || grant.ports.iter().any(|(first, last)| first > last) {
        return expected("at most 1024 ranges of ports, each from the lower to the higher");
    }
    if grant.ttl_ms == 0 || grant.ttl_ms > MAX_TTL_MS {
        return expected("a time to live from 1 ms to 24 hours");
    }
    Ok(())
}

fn judge(settings: &NetdSettings, asked: IpAddr) -> Result<(), String> {
    let address = asked.to_canonical();
    let refused = |why: &str| Err(format!("{asked}: {why}"));
    let own = [IpNet::V4(settings.range), IpNet::V6(settings.range6)];
    if own.iter().any(|net| net.contains(&address)) {
        return refused("expected an address outside of the node's own networks");
    }
    let class = classify(address);
    if matches!(class, AddressClass::Unspecified | AddressClass::Multicast) || is_link_local(address) {
        return refused("expected an address of one machine that can be routed to");
    }
    if address.is_ipv6() && !settings.ipv6 {
        return refused("expected IPv4: runs on this node have no IPv6 (netd.ipv6)");
    }
    // A broad list is about networks; what hands out credentials within them must be named by itself.
    let alone = class == AddressClass::Metadata;
    let names = |net: &IpNet| net.contains(&address) && (!alone || net.prefix_len() == net.max_prefix_len());
    if class.is_forbidden() && !settings.allow_internal.iter().any(names) {
        return refused(&format!(
            "expected a public address, or one that netd.allow_internal lists{}; it is {}",
            if alone { " by itself (a /32 or /128)" } else { "" },
            class.name()
        ));
    }
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => LINK_LOCAL.contains(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

    fn settings(allowed: &[&str]) -> NetdSettings {
        let allow_internal = allowed.iter().map(|net| net.parse().unwrap()).collect();
        NetdSettings { allow_internal, ipv6: true, ..NetdSettings::default() }
    }

    fn grant(addresses: &[&str]) -> Grant {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Grant { addresses, ports: vec![], ttl_ms: 1000, mode: Mode::Connect }
    }

    #[test]
    fn public_addresses_pass_and_mapped_ones_are_what_they_hide() {
        let checked = check(&settings(&[]), &grant(&["8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111"])).unwrap();
        assert_eq!(checked.v4, [Ipv4Addr::new(8, 8, 8, 8)]);
        assert_eq!(checked.v6.len(), 1);
    }

    #[test]
    fn special_addresses_are_refused_unless_they_are_listed() {
        for address in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "10.0.0.5",
            "::ffff:10.0.0.5",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "100.100.100.200",
            "203.0.113.7",
            "fd00:ec2::254",
            "255.255.255.255",
        ] {
            let refused = check(&settings(&[]), &grant(&["8.8.8.8", address])).unwrap_err();
            assert!(refused.contains("allow_internal"), "{address}: {refused}");
        }
        let listed = settings(&["127.0.0.1/32", "10.0.0.0/24"]);
        let checked = check(&listed, &grant(&["127.0.0.1", "::ffff:10.0.0.5"])).unwrap();
        assert_eq!((checked.loopback.len(), checked.v4.len()), (1, 1));
        assert!(check(&listed, &grant(&["127.0.0.2"])).is_err());
        assert!(check(&listed, &grant(&["10.0.1.5"])).is_err());
    }

    #[test]
    fn some_addresses_are_refused_even_when_everything_is_listed() {
        let everything = settings(&["0.0.0.0/0", "::/0"]);
        for address in
            ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1", "198.18.64.2", "198.18.80.0", "fd70:6963:6b65::2"]
        {
            assert!(check(&everything, &grant(&[address])).is_err(), "{address}");
        }
    }

    #[test]
    fn the_loopback_of_ipv6_needs_its_own_place_in_the_list() {
        assert!(check(&settings(&["127.0.0.0/8"]), &grant(&["::1"])).unwrap_err().contains("allow_internal"));
        let listed = settings(&["::1/128", "127.0.0.0/8"]);
        let checked = check(&listed, &grant(&["::1", "127.0.0.1"])).unwrap();
        let expected: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        assert_eq!((checked.loopback, checked.v4.len() + checked.v6.len()), (expected.to_vec(), 0));
        assert!(check_loopback(&listed, &expected).is_ok());
        let v4_only = NetdSettings { ipv6: false, ..listed };
        assert!(check_loopback(&v4_only, &expected).unwrap_err().contains("netd.ipv6"));
    }

    #[test]
    fn a_metadata_service_is_refused_unless_it_is_listed_by_itself() {
        let broad = settings(&["0.0.0.0/0", "169.254.0.0/16", "169.254.169.254/31", "::/0", "fd00:ec2::/32"]);
        for address in
            ["169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"]
        {
            let refused = check(&broad, &grant(&[address])).unwrap_err();
            assert!(refused.contains("a /32 or /128"), "{address}: {refused}");
        }
        assert!(check(&broad, &grant(&["169.254.1.1", "10.0.0.5"])).is_ok());
        let named = settings(&["169.254.169.254/32", "fd00:ec2::254/128"]);
        assert!(check(&named, &grant(&["169.254.169.254", "fd00:ec2::254"])).is_ok());
    }

    #[test]
    fn without_ipv6_on_the_node_no_ipv6_address_passes() {
        let v4_only = NetdSettings { ipv6: false, ..settings(&[]) };
        assert!(check(&v4_only, &grant(&["2606:4700::1111"])).unwrap_err().contains("netd.ipv6"));
        assert!(check(&v4_only, &grant(&["::ffff:8.8.8.8"])).is_ok());
    }

    #[test]
    fn everything_is_bounded() {
        let settings = settings(&["127.0.0.0/8"]);
        let good = grant(&["8.8.8.8"]);
        let loopbacks: Vec<IpAddr> = (1..=17_u8).map(|n| [127, 0, 0, n].into()).collect();
        for wrong in [
            Grant { addresses: vec![], ..good.clone() },
            Grant { addresses: vec![[8, 8, 8, 8].into(); 4097], ..good.clone() },
            Grant { ports: vec![(2, 1)], ..good.clone() },
            Grant { ports: vec![(1, 1); 1025], ..good.clone() },
            Grant { ttl_ms: 0, ..good.clone() },
            Grant { ttl_ms: MAX_TTL_MS + 1, ..good.clone() },
            Grant { addresses: loopbacks, ..good.clone() },
        ] {
            assert!(check(&settings, &wrong).is_err(), "{wrong:?}");
        }
        assert!(check(&settings, &good).is_ok());
    }
}
