//! Sets and maps: what a rule looks up. A key of several fields is their bytes one after the other, each padded to four.

use std::{iter, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::rule;
use crate::netlink::Attributes;

const INTERVAL: u32 = 4;
const MAP: u32 = 8;
const TIMEOUT: u32 = 0x10;
const EVALUATED: u32 = 0x20;
const CONCAT: u32 = 0x80;
/// The kernel's number for "the value is a verdict".
const VERDICT_TYPE: u32 = 0xffff_ff00;
const LIST_ELEM: u16 = 1;

/// One field of a key. The numbers of types are only for `nft list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A protocol in IP.
    Protocol,
    /// A port.
    Port,
    /// The number of an interface.
    Interface,
}

impl Field {
    const fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Interface => 4,
            Self::Ipv6 => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    const fn kind(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Interface => 20,
        }
    }
}

/// What a map gives for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// Another value.
    Value(Field),
    /// Where to go on.
    Verdict,
}

/// A set or a map that is to be made.
#[derive(Debug)]
pub(crate) struct Set<'a> {
    /// Its name in the table.
    pub(crate) name: &'a str,
    /// The fields of a key.
    pub(crate) key: &'a [Field],
    /// What belongs to a key, when it is a map.
    pub(crate) data: Option<Data>,
    /// Whether an element is a range of keys.
    pub(crate) ranges: bool,
    /// Whether elements end by themselves.
    pub(crate) expires: bool,
}

impl Set<'_> {
    /// What describes the set, behind table and name.
    pub(super) fn attributes(&self, id: u32) -> Attributes {
        let length: u32 = self.key.iter().map(|field| field.length().next_multiple_of(4)).sum();
        let kind = self.key.iter().fold(0, |kind, field| (kind << 6) | field.kind());
        let list = Attributes::new().be32(3, self.flags()).be32(4, kind).be32(5, length).be32(10, id);
        let list = match self.data {
            None => list,
            Some(Data::Verdict) => list.be32(6, VERDICT_TYPE).be32(7, 16),
            Some(Data::Value(field)) => list.be32(6, field.kind()).be32(7, field.length()),
        };
        if self.is_concatenated_range() { list.nest(9, Attributes::new().nest(2, self.fields())) } else { list }
    }

    fn flags(&self) -> u32 {
        [
            (self.ranges, INTERVAL),
            (self.data.is_some(), MAP),
            (self.expires, TIMEOUT),
            (self.is_concatenated_range(), CONCAT),
        ]
        .iter()
        .filter(|(has, _)| *has)
        .fold(0, |flags, (_, flag)| flags | flag)
    }

    const fn is_concatenated_range(&self) -> bool {
        self.ranges && self.key.len() > 1
    }

    fn fields(&self) -> Attributes {
        self.key
            .iter()
            .fold(Attributes::new(), |list, field| list.nest(LIST_ELEM, Attributes::new().be32(1, field.length())))
    }
}

/// What describes a set whose elements are made by rules, each with a state of its own.
pub(super) fn meter(field: Field, id: u32) -> Attributes {
    Attributes::new().be32(3, EVALUATED).be32(4, field.kind()).be32(5, field.length()).be32(10, id)
}

/// An element of a set or a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Element {
    key: Vec<u8>,
    last: Option<Vec<u8>>,
    ends_range: bool,
    timeout_ms: Option<u64>,
    value: Option<Vec<u8>>,
    chain: Option<String>,
}

impl Element {
    pub(crate) fn new(key: Vec<u8>) -> Self {
        Self { key, ..Self::default() }
    }

    /// Every key from this one to `last`, field by field.
    pub(crate) fn to(mut self, last: Vec<u8>) -> Self {
        self.last = Some(last);
        self
    }

    /// Ends by itself after so many milliseconds; the kernel's clock, so whoever put it here may be dead by then.
    pub(crate) fn for_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// Gives a value.
    pub(crate) fn gives(mut self, value: &[u8]) -> Self {
        self.value = Some(value.to_vec());
        self
    }

    /// Leads to a chain.
    pub(crate) fn leads_to(mut self, chain: &str) -> Self {
        self.chain = Some(chain.to_owned());
        self
    }

    pub(super) fn attributes(&self) -> Attributes {
        let list = Attributes::new().nest(1, Attributes::new().put(1, &self.key));
        let list = self.last.iter().fold(list, |list, last| list.nest(10, Attributes::new().put(1, last)));
        let list = if self.ends_range { list.be32(3, 1) } else { list };
        let list = self.value.iter().fold(list, |list, value| list.nest(2, Attributes::new().put(1, value)));
        let list = self.chain.iter().fold(list, |list, chain| list.nest(2, rule::go_to(chain)));
        self.timeout_ms.iter().fold(list, |list, timeout| list.be64(4, *timeout))
    }
}

/// A key of several fields.
pub(crate) fn key(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(field);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// The elements of an interval set for networks of one family: where each begins, and where what is behind it begins.
pub(crate) fn networks(nets: &[IpNet]) -> Vec<Element> {
    IpNet::aggregate(&nets.to_vec()).into_iter().flat_map(|net| begin_and_end(&net)).collect()
}

fn begin_and_end(net: &IpNet) -> Vec<Element> {
    let behind = match net {
        IpNet::V4(net) => behind_v4(net).map(|address| IpAddr::V4(address.into())),
        IpNet::V6(net) => behind_v6(net).map(|address| IpAddr::V6(address.into())),
    };
    let end = behind.map(|address| Element { ends_range: true, ..Element::new(octets(address)) });
    iter::once(Element::new(octets(net.network()))).chain(end).collect()
}

fn behind_v4(net: &Ipv4Net) -> Option<u32> {
    u32::from(net.broadcast()).checked_add(1)
}

fn behind_v6(net: &Ipv6Net) -> Option<u128> {
    u128::from(net.broadcast()).checked_add(1)
}

/// The bytes of an address.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Inclusive ranges of ports, sorted and without overlaps: the kernel refuses elements that overlap. No range is no port.
pub(crate) fn ranges(ports: &[(u16, u16)]) -> Vec<(u16, u16)> {
    let mut sorted: Vec<_> = ports.iter().copied().filter(|(first, last)| first <= last).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_merged_and_no_port_is_none() {
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[(80, 80), (1, 10), (5, 20), (21, 21)]), [(1, 21), (80, 80)]);
        assert_eq!(ranges(&[(9, 3)]), []);
        assert_eq!(ranges(&[(65_000, 65_535), (65_535, 65_535)]), [(65_000, 65_535)]);
    }

    #[test]
    fn a_network_that_ends_where_the_addresses_end_has_no_end() {
        let count =
            |nets: &[&str]| networks(&nets.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>()).len();
        assert_eq!(count(&["10.0.0.0/8"]), 2);
        assert_eq!(count(&["224.0.0.0/4", "240.0.0.0/4"]), 1);
        assert_eq!(count(&["10.0.0.0/8", "10.1.0.0/16"]), 2);
    }

    #[test]
    fn each_field_of_a_key_is_padded() {
        assert_eq!(key(&[&[1, 2, 3, 4], &[6], &[0, 80]]), [1, 2, 3, 4, 6, 0, 0, 0, 0, 80, 0, 0]);
    }
}
