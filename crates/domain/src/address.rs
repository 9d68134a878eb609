//! What kind of place an IP address is: the two IANA special-purpose registries, multicast, cloud metadata services, and
//! IPv4 addresses hidden in IPv6 ones. Only [`AddressClass::Global`] is ever a public target; nothing here resolves names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::AddressClass::{
    Documentation, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, SharedCgnat, Unspecified,
};

/// The kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// A unicast address of the public Internet.
    Global,
    /// `0.0.0.0/8` and `::`: "this host".
    Unspecified,
    /// The machine itself.
    Loopback,
    /// Private networks (RFC 1918) and unique local addresses (RFC 4193).
    Private,
    /// Shared address space of carriers (RFC 6598).
    SharedCgnat,
    /// Valid on one link only.
    LinkLocal,
    /// A metadata or wire service of a cloud, which hands out credentials.
    Metadata,
    /// Multicast groups.
    Multicast,
    /// Written in documents only.
    Documentation,
    /// Anything else of the registries: protocol assignments, benchmarking, transition mechanisms, unallocated space.
    Reserved,
}

impl AddressClass {
    /// The name in messages and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::SharedCgnat => "shared",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
        }
    }

    /// Whether an address of this class is refused unless the operator lists it.
    #[must_use]
    pub const fn is_forbidden(self) -> bool {
        !matches!(self, Self::Global)
    }
}

/// A block that is not ordinary public space.
pub(crate) struct Block {
    /// The addresses.
    pub(crate) net: IpNet,
    class: AddressClass,
}

const fn v4(octets: [u8; 4], prefix: u8, class: AddressClass) -> Block {
    let [a, b, c, d] = octets;
    Block { net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)), class }
}

const fn v6(segments: [u16; 8], prefix: u8, class: AddressClass) -> Block {
    let [a, b, c, d, e, f, g, h] = segments;
    Block { net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)), class }
}

/// Every block, the most specific first, so that the first match is the right one. Blocks that the registries call
/// globally reachable (anycast of PCP and TURN, AS112, AMT, NAT64) are here as well: nobody owns them.
///
/// IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), IPv4 and IPv6 Multicast Address Space, IPv6 Address
/// Space (only `2000::/3` is allocated); metadata addresses from the manuals of the clouds named.
pub(crate) const BLOCKS: &[Block] = &[
    v4([169, 254, 169, 254], 32, Metadata), // AWS, Google, Azure, and most others
    v4([169, 254, 169, 253], 32, Metadata), // AWS resolver
    v4([169, 254, 170, 2], 32, Metadata),   // AWS ECS credentials
    v4([169, 254, 170, 23], 32, Metadata),  // AWS EKS pod identity
    v4([169, 254, 42, 42], 32, Metadata),   // Scaleway
    v4([100, 100, 100, 200], 32, Metadata), // Alibaba
    v4([192, 0, 0, 192], 32, Metadata),     // Oracle classic
    v4([168, 63, 129, 16], 32, Metadata),   // Azure wire server
    v4([255, 255, 255, 255], 32, Reserved), // limited broadcast
    v4([192, 0, 0, 0], 24, Reserved),       // IETF protocol assignments
    v4([192, 0, 2, 0], 24, Documentation),
    v4([198, 51, 100, 0], 24, Documentation),
    v4([203, 0, 113, 0], 24, Documentation),
    v4([192, 31, 196, 0], 24, Reserved), // AS112
    v4([192, 52, 193, 0], 24, Reserved), // AMT
    v4([192, 88, 99, 0], 24, Reserved),  // 6to4 relays, deprecated
    v4([192, 175, 48, 0], 24, Reserved), // AS112
    v4([169, 254, 0, 0], 16, LinkLocal),
    v4([192, 168, 0, 0], 16, Private),
    v4([198, 18, 0, 0], 15, Reserved), // benchmarking
    v4([172, 16, 0, 0], 12, Private),
    v4([100, 64, 0, 0], 10, SharedCgnat),
    v4([0, 0, 0, 0], 8, Unspecified),
    v4([10, 0, 0, 0], 8, Private),
    v4([127, 0, 0, 0], 8, Loopback),
    v4([224, 0, 0, 0], 4, Multicast),
    v4([240, 0, 0, 0], 4, Reserved),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Unspecified),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Loopback),
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128, Metadata), // AWS
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x253], 128, Metadata), // AWS resolver
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23], 128, Metadata),  // AWS EKS pod identity
    v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128, Metadata), // Google
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Reserved),           // IPv4-mapped
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, Reserved),                // IPv4-compatible, deprecated
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Reserved),        // NAT64
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Reserved),            // discard
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Reserved),            // dummy prefix
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Reserved),        // local NAT64
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Reserved),           // benchmarking
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, Reserved),       // AS112
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Reserved),   // AS112
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Reserved),           // Teredo
    v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, Documentation),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Reserved), // IETF protocol assignments
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Documentation),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Reserved), // 6to4
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Reserved), // segment routing
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LinkLocal),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Multicast),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Private),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3, Reserved),      // not allocated
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, Reserved), // not allocated
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, Reserved), // not allocated
];

/// The kind of `address`. An IPv6 address that carries an IPv4 address has the kind of that one when it is a forbidden
/// kind; a mapped address (`::ffff:0:0/96`) is the very same place as its IPv4 address.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    let address = address.to_canonical();
    if let IpAddr::V6(v6) = address {
        let hidden = embedded(v6).into_iter().flatten().map(|v4| lookup(IpAddr::V4(v4)));
        if let Some(class) = hidden.filter(|class| weight(*class) > 0).max_by_key(|class| weight(*class)) {
            return class;
        }
    }
    lookup(address)
}

/// Every network whose addresses are not [`AddressClass::Global`]; some lie within others.
pub fn special_networks() -> impl Iterator<Item = IpNet> {
    BLOCKS.iter().map(|block| block.net)
}

fn lookup(address: IpAddr) -> AddressClass {
    BLOCKS.iter().find(|block| block.net.contains(&address)).map_or(AddressClass::Global, |block| block.class)
}

/// Which of two hidden addresses names the whole: the one that tells the reader more. Zeroes hide nothing.
const fn weight(class: AddressClass) -> u8 {
    match class {
        AddressClass::Metadata => 3,
        AddressClass::Loopback | AddressClass::Private | AddressClass::SharedCgnat | AddressClass::LinkLocal => 2,
        AddressClass::Multicast | AddressClass::Documentation | AddressClass::Reserved => 1,
        AddressClass::Global | AddressClass::Unspecified => 0,
    }
}

/// The IPv4 addresses that an IPv6 address may stand for.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // IPv4-compatible (RFC 4291) and NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [Some(join(high, low)), None],
        // Local NAT64 (RFC 8215): with a /48 the bits 64 to 71 are left out; with a /96 the last 32 bits.
        [0x64, 0xff9b, 1, high, split, rest, end_high, end_low] => {
            let middle =
                Ipv4Addr::from((u32::from(high) << 16) | (u32::from(split & 0xff) << 8) | u32::from(rest >> 8));
            [Some(middle), Some(join(end_high, end_low))]
        }
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [Some(join(high, low)), None],
        // Teredo (RFC 4380): the server, then flags and port, then the client with all bits inverted.
        [0x2001, 0, server_high, server_low, _, _, client_high, client_low] => {
            [Some(join(server_high, server_low)), Some(join(!client_high, !client_low))]
        }
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().unwrap())
    }

    #[test]
    fn blocks_are_sorted_with_the_most_specific_first_and_have_no_host_bits() {
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            let prefixes: Vec<u8> =
                BLOCKS.iter().filter(|block| family(&block.net.addr())).map(|block| block.net.prefix_len()).collect();
            assert!(prefixes.is_sorted_by(|a, b| a >= b), "{prefixes:?}");
        }
        assert!(BLOCKS.iter().all(|block| block.net == block.net.trunc()));
    }

    #[test]
    fn public_addresses_are_global() {
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "93.184.215.14",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.17",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(class(text), AddressClass::Global, "{text}");
            assert!(!class(text).is_forbidden());
        }
    }

    #[test]
    fn t1_the_machine_itself_is_forbidden() {
        assert_eq!(class("127.0.0.1"), AddressClass::Loopback);
        assert_eq!(class("127.255.255.254"), AddressClass::Loopback);
        assert_eq!(class("::1"), AddressClass::Loopback);
        assert_eq!(class("0.0.0.0"), AddressClass::Unspecified);
        assert_eq!(class("::"), AddressClass::Unspecified);
    }

    #[test]
    fn t4_a_hidden_ipv4_address_is_unpacked() {
        assert_eq!(class("::ffff:169.254.169.254"), AddressClass::Metadata);
        assert_eq!(class("64:ff9b::a9fe:a9fe"), AddressClass::Metadata);
        assert_eq!(class("2002:a9fe:a9fe::"), AddressClass::Metadata);
        assert_eq!(class("::127.0.0.1"), AddressClass::Loopback);
        assert_eq!(class("::ffff:10.1.2.3"), AddressClass::Private);
        // RFC 6052 §2.4, its /48 form: 192.0.2.33 as 64:ff9b:1:c000:2:2100::.
        assert_eq!(class("64:ff9b:1:c000:2:2100::"), AddressClass::Documentation);
        assert_eq!(class("64:ff9b:1::a9fe:a9fe"), AddressClass::Metadata);
        // Teredo client 10.0.0.1, inverted, behind a public server.
        assert_eq!(class("2001:0:4136:e378:8000:63bf:f5ff:fffe"), AddressClass::Private);
        // Teredo server 127.0.0.1.
        assert_eq!(class("2001:0:7f00:1:8000:63bf:f7f7:f7f7"), AddressClass::Loopback);
    }

    #[test]
    fn t4_a_tunnel_to_a_public_address_is_still_nobodys_target() {
        for text in [
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::808:808",
            "2002:808:808::1",
            "2001:0:808:808:8000:63bf:f7f7:f7f7",
        ] {
            assert_eq!(class(text), AddressClass::Reserved, "{text}");
        }
    }

    #[test]
    fn t5_metadata_services_are_forbidden() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd20:ce::254",
        ] {
            assert_eq!(class(text), AddressClass::Metadata, "{text}");
        }
    }

    #[test]
    fn t6_internal_networks_are_forbidden() {
        for (text, expected) in [
            ("10.0.0.1", AddressClass::Private),
            ("172.16.0.1", AddressClass::Private),
            ("172.31.255.255", AddressClass::Private),
            ("192.168.1.1", AddressClass::Private),
            ("100.64.0.1", AddressClass::SharedCgnat),
            ("100.127.255.255", AddressClass::SharedCgnat),
            ("169.254.1.1", AddressClass::LinkLocal),
            ("fe80::1", AddressClass::LinkLocal),
            ("fc00::1", AddressClass::Private),
            ("fdff::1", AddressClass::Private),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn the_rest_of_the_registries_is_forbidden() {
        for (text, expected) in [
            ("192.0.0.9", AddressClass::Reserved),
            ("198.19.255.255", AddressClass::Reserved),
            ("203.0.113.7", AddressClass::Documentation),
            ("224.0.0.251", AddressClass::Multicast),
            ("240.0.0.1", AddressClass::Reserved),
            ("255.255.255.255", AddressClass::Reserved),
            ("2001:db8::1", AddressClass::Documentation),
            ("3fff::1", AddressClass::Documentation),
            ("2001:1::1", AddressClass::Reserved),
            ("2001:20::1", AddressClass::Reserved),
            ("100::1", AddressClass::Reserved),
            ("5f00::1", AddressClass::Reserved),
            ("fec0::1", AddressClass::Reserved),
            ("4000::1", AddressClass::Reserved),
            ("ff02::1", AddressClass::Multicast),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }
}
