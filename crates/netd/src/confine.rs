//! The packet filter of level L1: a worker without privileges puts it into a network namespace of its own, in which a
//! user-mode network stack (slirp4netns) is the only way out. It must never open more than it was told: the stack's own
//! name server stays shut, and its door to the host's loopback opens for listed ports alone.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{
    NetdError,
    netlink::Netlink,
    nft::{
        Base, Changes, EQUAL, Element, Field, Guard, Hook, ICMPV6, INET, Kind, L4PROTO, LINK_NEIGHBORS, LINK_NOISE,
        NETWORK, OIFNAME, Rule, Set, TCP, TRANSPORT, UDP, counter_packets, key, octets, ranges, register,
    },
};

/// The network that slirp4netns makes by default (`slirp4netns(1)`): the run is .100, the host .2, the name server .3.
pub const USER_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 2, 0), 24);
/// The one of IPv6: the host is ::2, the name server ::3.
pub const USER_NETWORK6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 64);
/// Under this address slirp4netns shows the host's 127.0.0.1.
pub const USER_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Under this one its `::1`.
pub const USER_GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const TABLE: &str = "picket";
const CHAIN: &str = "out";
const DROPPED: &str = "dropped";
const MAX_ADDRESSES: usize = 4096;
const MAX_RANGES: usize = 1024;

/// Whom a confined namespace may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The addresses, at most 4096. Mapped IPv4 addresses count as IPv4.
    pub addresses: Vec<IpAddr>,
    /// Where the host's 127.0.0.1 and `::1` are reached, when the run may reach it at all.
    pub gateway: Option<Gateway>,
}

/// The one way to the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The addresses that stand for 127.0.0.1 and `::1`; see [`USER_GATEWAY`] and [`USER_GATEWAY6`].
    pub stand_ins: Vec<IpAddr>,
    /// Ports of TCP and UDP, as inclusive ranges, at most 1024; empty means none.
    pub ports: Vec<(u16, u16)>,
}

/// The filter of a network namespace. A worker without privileges cannot enter the namespaces of its runs, but may act on
/// them through a socket that was opened inside.
#[derive(Debug)]
pub struct Confined(Netlink);

impl Confined {
    /// Puts the filter into the namespace in which `filter`, a netlink socket of the family `NETLINK_NETFILTER`, was opened
    /// by a process with `CAP_NET_ADMIN` there; the calling process must own that user namespace, or be root. From then on
    /// everything that goes out is dropped and counted but what is listed. The counter can be read also when every process
    /// of the namespace has ended.
    ///
    /// # Errors
    /// [`NetdError::Refused`] for a list that is too long or names the user-mode network itself; [`NetdError::Kernel`] when
    /// the kernel cannot do it, also when the namespace has a filter of ours already.
    pub fn install(filter: OwnedFd, egress: &Confinement) -> Result<Self, NetdError> {
        let (v4, v6) = families(egress)?;
        let kernel = |source| NetdError::Kernel { step: "install the packet filter", source };
        let mut filter = Netlink::from_socket(filter).map_err(kernel)?;
        ruleset(egress.gateway.as_ref(), &v4, &v6).apply(&mut filter).map_err(kernel)?;
        Ok(Self(filter))
    }

    /// Puts another list in the place of the one of [`Confined::install`], in one step: at no moment is there no filter. The
    /// counter begins anew.
    ///
    /// # Errors
    /// As [`Confined::install`].
    pub fn replace(&mut self, egress: &Confinement) -> Result<(), NetdError> {
        let (v4, v6) = families(egress)?;
        let kernel = |source| NetdError::Kernel { step: "change the packet filter", source };
        let mut changes = Changes::of(INET, TABLE);
        changes.delete_table();
        changes.join(ruleset(egress.gateway.as_ref(), &v4, &v6));
        changes.apply(&mut self.0).map_err(kernel)
    }

    /// How many packets were dropped so far.
    ///
    /// # Errors
    /// [`NetdError::Kernel`].
    pub fn dropped(&mut self) -> Result<u64, NetdError> {
        counter_packets(&mut self.0, INET, TABLE, DROPPED)
            .map_err(|source| NetdError::Kernel { step: "read the packet filter's counter", source })
    }
}

fn families(egress: &Confinement) -> Result<(Vec<Element>, Vec<Element>), NetdError> {
    let refused = |text: &str| Err(NetdError::Refused(text.to_owned()));
    if egress.addresses.len() > MAX_ADDRESSES {
        return refused("expected at most 4096 addresses");
    }
    if egress.gateway.as_ref().is_some_and(|gateway| gateway.ports.len() > MAX_RANGES) {
        return refused("expected at most 1024 ranges of ports");
    }
    let mut addresses: Vec<IpAddr> = egress.addresses.iter().map(IpAddr::to_canonical).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.iter().any(|address| is_the_networks_own(*address)) {
        return refused("expected no address of the user-mode network or of the namespace itself");
    }
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let elements = |of: Vec<IpAddr>| of.into_iter().map(|one| Element::new(octets(one))).collect();
    Ok((elements(v4), elements(v6)))
}

/// The stack answers for these itself, so a target of that address would be something else.
fn is_the_networks_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => USER_NETWORK.contains(&address) || address.is_loopback() || address.is_unspecified(),
        IpAddr::V6(address) => USER_NETWORK6.contains(&address) || address.is_loopback() || address.is_unspecified(),
    }
}

fn ruleset(gateway: Option<&Gateway>, v4: &[Element], v6: &[Element]) -> Changes {
    let mut changes = Changes::of(INET, TABLE);
    // The namespace is the run's, where nobody else has any right.
    changes.add_table(Guard::Open);
    changes.add_counter(DROPPED);
    changes.add_base(&Base { name: CHAIN, kind: Kind::Filter, hook: Hook::Output, priority: 0, drops: true });
    changes.add_rule(CHAIN, Rule::new().meta(OIFNAME, register(0)).compare(register(0), EQUAL, b"lo\0").accept());
    if let Some(gateway) = gateway {
        forward(&mut changes, gateway);
    }
    if !v4.is_empty() {
        allow(&mut changes, "allow4", Field::Ipv4, v4);
        changes.add_rule(
            CHAIN,
            Rule::new().ipv4().load(NETWORK, 16, 4, register(0)).in_set("allow4", register(0)).accept(),
        );
    }
    if gateway.is_some_and(|gateway| gateway.stand_ins.iter().any(IpAddr::is_ipv6)) || !v6.is_empty() {
        neighbors(&mut changes);
    }
    if !v6.is_empty() {
        allow(&mut changes, "allow6", Field::Ipv6, v6);
        changes.add_rule(
            CHAIN,
            Rule::new().ipv6().load(NETWORK, 24, 16, register(0)).in_set("allow6", register(0)).accept(),
        );
    }
    for kind in LINK_NOISE.into_iter().chain(LINK_NEIGHBORS) {
        changes.add_rule(CHAIN, link_message(kind).drop());
    }
    changes.add_rule(CHAIN, Rule::new().count(DROPPED).drop());
    changes
}

fn allow(changes: &mut Changes, name: &str, field: Field, elements: &[Element]) {
    changes.add_set(&Set { name, key: &[field], data: None, ranges: false, expires: false });
    changes.add_elements(name, elements);
}

/// To the stand-ins: listed ports of TCP and UDP, and nothing else.
fn forward(changes: &mut Changes, gateway: &Gateway) {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = gateway.stand_ins.iter().partition(|stand_in| stand_in.is_ipv4());
    // An address of IPv6 fills four registers.
    let to4 = || Rule::new().ipv4().load(NETWORK, 16, 4, register(0)).meta(L4PROTO, register(1));
    let to6 = || Rule::new().ipv6().load(NETWORK, 24, 16, register(0)).meta(L4PROTO, register(4));
    let families =
        [("forward", Field::Ipv4, v4, to4(), register(2)), ("forward6", Field::Ipv6, v6, to6(), register(5))];
    for (name, field, stand_ins, to, port) in families.into_iter().filter(|(_, _, stand_ins, ..)| !stand_ins.is_empty())
    {
        let key = [field, Field::Protocol, Field::Port];
        changes.add_set(&Set { name, key: &key, data: None, ranges: true, expires: false });
        let elements: Vec<Element> = stand_ins.iter().flat_map(|one| forwards(*one, &gateway.ports)).collect();
        changes.add_elements(name, &elements);
        changes.add_rule(CHAIN, to.load(TRANSPORT, 2, 2, port).in_set(name, register(0)).accept());
    }
}

fn forwards(stand_in: IpAddr, ports: &[(u16, u16)]) -> Vec<Element> {
    let at = |protocol: u8, port: u16| key(&[&octets(stand_in), &[protocol], &port.to_be_bytes()]);
    let range = |protocol, (first, last)| Element::new(at(protocol, first)).to(at(protocol, last));
    let of = |protocol| ranges(ports).into_iter().map(move |ports| range(protocol, ports));
    of(TCP).chain(of(UDP)).collect()
}

/// IPv6 asks for a neighbor's hardware address with packets of its own, which never leave the link.
fn neighbors(changes: &mut Changes) {
    for kind in LINK_NEIGHBORS {
        let on_link = link_message(kind).load(NETWORK, 7, 1, register(0));
        changes.add_rule(CHAIN, on_link.compare(register(0), EQUAL, &[255]).accept());
    }
}

fn link_message(kind: u8) -> Rule {
    Rule::new().ipv6().protocol(ICMPV6).load(TRANSPORT, 0, 1, register(0)).compare(register(0), EQUAL, &[kind])
}
