//! The kernel's packet filter (nf_tables), as far as the helper needs it: tables that are changed in one transaction, and
//! counters that are read. Numbers are those of `linux/netfilter/nf_tables.h`; the words are those of `nft(8)`, with which
//! an operator can look at the result.

mod changes;
mod rule;
mod set;

pub(crate) use changes::{Base, Changes, Guard, Hook, Kind, counter_packets, guarded, has_chain};
pub(crate) use rule::{
    CT_ESTABLISHED_OR_RELATED, CT_NEW, EQUAL, IIF, L4PROTO, NETWORK, NOT_EQUAL, OIF, OIFNAME, Rule, TRANSPORT, register,
};
pub(crate) use set::{Data, Element, Field, Set, key, networks, octets, ranges};

/// The kind of object that says when the table of connections forgets one.
const TIMEOUTS: u32 = 7;

/// IPv4 in a table for both, and the number of `meta nfproto`.
pub(crate) const IPV4: u8 = 2;
/// IPv6 likewise.
pub(crate) const IPV6: u8 = 10;
/// A table for IPv4 and IPv6.
pub(crate) const INET: u8 = 1;
/// A table for ARP.
pub(crate) const ARP: u8 = 3;

/// Protocol numbers of IANA.
pub(crate) const ICMP: u8 = 1;
/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;
/// ICMP for IPv6.
pub(crate) const ICMPV6: u8 = 58;
/// What every IPv6 host says on its link by itself (multicast listeners, looking for routers): dropped, but no sign of
/// anything.
pub(crate) const LINK_NOISE: [u8; 4] = [131, 132, 133, 143];
/// Who has an IPv6 address on the link.
pub(crate) const LINK_NEIGHBORS: [u8; 2] = [135, 136];
