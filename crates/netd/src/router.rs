//! The router's namespace: one for the node, between the runs' wires and the way out. What a run may reach is decided
//! here, on the far side of its wire, where nothing that it does to its own namespace or its own frames changes anything.
//! The rules know no connections. It must never let a packet pass that is not listed: whatever fails, the chains drop.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use picket_domain::special_networks;

use crate::{
    NetdSettings,
    link::{FORWARDING, Links, Mac},
    namespace::{inside, new_namespace},
    netlink::Netlink,
    nft::{
        ARP, Base, Changes, Data, EQUAL, Element, Field, Guard, Hook, ICMPV6, IIF, INET, Kind, LINK_NEIGHBORS,
        LINK_NOISE, NETWORK, OIF, Rule, Set, TRANSPORT, counter_packets, guarded, key, networks, register,
    },
    slot,
};

/// The table in the router's namespace, for IP and for ARP.
pub(crate) const TABLE: &str = "picket";
/// Counts what runs sent where they may not, all runs together.
pub(crate) const DROPPED: &str = "dropped";
/// From the number of a wire to the chain that judges what comes from it.
pub(crate) const FROM_RUN: &str = "from_run";
/// From the number of a wire to the chain that judges what goes to it.
pub(crate) const TO_RUN: &str = "to_run";
/// Which address may be told by ARP on which wire.
pub(crate) const NEIGHBORS: &str = "neighbors";
/// The name of the way out.
pub(crate) const UPLINK: &str = "up0";

/// Networks of IPv4 that no router carries: this host, loopback, groups, everybody (RFC 6890).
const ASTRAY4: [IpNet; 4] = [v4(0, 8), v4(127, 8), v4(224, 4), v4(240, 4)];
/// The same of IPv6: this host and loopback, link-local, groups.
const ASTRAY6: [IpNet; 3] = [v6(0, 127), v6(0xfe80, 10), v6(0xff00, 8)];

const fn v4(first: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(first, 0, 0, 0), prefix))
}

const fn v6(first: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), prefix))
}

/// The router.
#[derive(Debug)]
pub(crate) struct Router {
    namespace: OwnedFd,
    links: Links,
    pub(crate) filter: Netlink,
    /// The number of the way out.
    pub(crate) uplink: u32,
    /// Whether the operator lists addresses of a family that are special.
    pub(crate) listed: Families,
    /// The longest packet that the node can send on.
    mtu: u32,
}

/// The wires of runs, apart from the rules: making and removing one takes the kernel long, and no run that begins shall
/// wait for that.
#[derive(Debug)]
pub(crate) struct Wires {
    /// The links of the router's namespace.
    pub(crate) links: Links,
    /// The longest packet that the node can send on.
    pub(crate) mtu: u32,
}

/// Something for each family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Families {
    /// IPv4.
    pub(crate) v4: bool,
    /// IPv6.
    pub(crate) v6: bool,
}

impl Router {
    /// Makes the namespace with its rules. The way out is wired by the node afterwards.
    pub(crate) fn new(settings: &NetdSettings, mtu: u32) -> io::Result<Self> {
        let namespace = new_namespace()?;
        let (links, filter) = inside(namespace.as_fd(), || {
            count_lies();
            if settings.ipv6 {
                std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
            } else {
                without_ipv6();
            }
            Ok((Links::here()?, Netlink::filter()?))
        })?;
        let listed = |v4: bool| settings.allow_internal.iter().any(|net| matches!(net, IpNet::V4(_)) == v4);
        let listed = Families { v4: listed(true), v6: listed(false) };
        Ok(Self { namespace, links, filter, uplink: 0, listed, mtu })
    }

    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// What wires runs to it.
    pub(crate) fn wires(&self) -> io::Result<Wires> {
        Ok(Wires { links: inside(self.namespace.as_fd(), Links::here)?, mtu: self.mtu })
    }

    /// Wires the way out, whose end is here already, and puts the rules into place.
    pub(crate) fn connect(&mut self, settings: &NetdSettings, node_mac: Mac) -> io::Result<()> {
        self.uplink = self.links.index_of(UPLINK)?;
        guarded(|guard| {
            let mut changes = rules(self.uplink, &settings.allow_internal, guard);
            changes.join(arp_rules(self.uplink, guard));
            changes.apply(&mut self.filter)
        })?;
        let ends = settings.uplink();
        let (uplink, links) = (self.uplink, &mut self.links);
        let far: [(IpAddr, IpAddr, u8); 2] =
            [(ends.far.0.into(), ends.near.0.into(), 30), (ends.far.1.into(), ends.near.1.into(), 64)];
        let far = far.into_iter().take(if settings.ipv6 { 2 } else { 1 });
        links.switch_on(uplink, &[FORWARDING])?;
        links.up(uplink)?;
        for (own, node, prefix) in far {
            links.add_address(uplink, own, prefix)?;
            links.add_neighbor(uplink, node, node_mac)?;
            links.add_route(None, node, uplink)?;
        }
        links.settle(UPLINK)
    }

    /// Packets of all runs that were dropped, forged ARP among them.
    pub(crate) fn dropped(&mut self) -> io::Result<u64> {
        let ip = counter_packets(&mut self.filter, INET, TABLE, DROPPED)?;
        Ok(ip.saturating_add(counter_packets(&mut self.filter, ARP, TABLE, DROPPED)?))
    }

    /// Packets of one run that were dropped.
    pub(crate) fn dropped_of(&mut self, slot: u32) -> io::Result<u64> {
        counter_packets(&mut self.filter, INET, TABLE, &slot::name("dropped", slot))
    }
}

/// A source that the routes do not expect is the rules' to drop: they count it, and the self-test of raw sockets looks at
/// that. A new namespace has the machine's own answer to it, which may be to drop it unseen.
fn count_lies() {
    for which in ["all", "default"] {
        if let Err(error) = std::fs::write(format!("/proc/sys/net/ipv4/conf/{which}/rp_filter"), "0") {
            tracing::debug!(%error, "the router looks at sources before its rules");
        }
    }
    // With 2 a source needs some route, and a strict one only with 1.
    let strict = std::fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter").is_ok_and(|text| text.trim() == "1");
    if strict {
        tracing::warn!("net.ipv4.conf.all.rp_filter is 1 and cannot be changed here: raw sockets will not be proven");
    }
}

/// The rules drop everything of IPv6 anyway, so a kernel that has none, or does not let it be switched off, is as good.
fn without_ipv6() {
    for which in ["all", "default"] {
        if let Err(error) = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1") {
            tracing::debug!(%error, "the router keeps IPv6");
        }
    }
}

/// What is the same for every run.
fn rules(uplink: u32, listed: &[IpNet], guard: Guard) -> Changes {
    let mut changes = Changes::of(INET, TABLE);
    changes.add_table(guard);
    changes.add_counter(DROPPED);
    for map in [FROM_RUN, TO_RUN] {
        let data = Some(Data::Verdict);
        changes.add_set(&Set { name: map, key: &[Field::Interface], data, ranges: false, expires: false });
    }
    special_sets(&mut changes, listed);
    changes.add_base(&Base { name: "forward", kind: Kind::Filter, hook: Hook::Forward, priority: 0, drops: true });
    let arrived = Rule::new().interface(IIF, EQUAL, uplink).meta(OIF, register(0));
    changes.add_rule("forward", arrived.verdict_of(TO_RUN, register(0)));
    changes.add_rule("forward", Rule::new().interface(IIF, EQUAL, uplink).drop());
    changes.add_rule("forward", Rule::new().meta(IIF, register(0)).verdict_of(FROM_RUN, register(0)));
    changes.add_rule("forward", Rule::new().count(DROPPED).drop());
    astray(&mut changes, uplink);
    input(&mut changes, uplink);
    changes
}

/// What no router carries on ends in the kernel before any chain but this one, and would be counted by nobody: to or from an
/// address of one link or of one machine, or to a group. Nothing leaves by the way out here, so a run's own chain only
/// counts and drops. What IPv6 says on its link by itself goes on, to be dropped without a sign.
fn astray(changes: &mut Changes, uplink: u32) {
    changes.add_base(&Base { name: "arrive", kind: Kind::Filter, hook: Hook::Prerouting, priority: 0, drops: false });
    changes.add_rule("arrive", Rule::new().interface(IIF, EQUAL, uplink).accept());
    for kind in LINK_NEIGHBORS.into_iter().chain(LINK_NOISE) {
        let message = Rule::new().ipv6().protocol(ICMPV6).load(TRANSPORT, 0, 1, register(0));
        changes.add_rule("arrive", message.compare(register(0), EQUAL, &[kind]).accept());
    }
    for (set, field, nets) in [("astray4", Field::Ipv4, ASTRAY4.as_slice()), ("astray6", Field::Ipv6, &ASTRAY6)] {
        changes.add_set(&Set { name: set, key: &[field], data: None, ranges: true, expires: false });
        changes.add_elements(set, &networks(nets));
    }
    let loads =
        [("astray4", true, 16, 4), ("astray4", true, 12, 4), ("astray6", false, 24, 16), ("astray6", false, 8, 16)];
    for (set, v4, offset, length) in loads {
        let family = if v4 { Rule::new().ipv4() } else { Rule::new().ipv6() };
        let stray = family.load(NETWORK, offset, length, register(0)).in_set(set, register(0));
        changes.add_rule("arrive", stray.meta(IIF, register(0)).verdict_of(FROM_RUN, register(0)));
    }
}

/// Nobody speaks with the router itself. The node may ask for its hardware address over IPv6; a run need not, since all are
/// known for good, and could only claim what is not its own.
fn input(changes: &mut Changes, uplink: u32) {
    changes.add_base(&Base { name: "input", kind: Kind::Filter, hook: Hook::Input, priority: 0, drops: true });
    let message = |kind: u8| {
        Rule::new().ipv6().protocol(ICMPV6).load(TRANSPORT, 0, 1, register(0)).compare(register(0), EQUAL, &[kind])
    };
    for kind in LINK_NEIGHBORS {
        changes.add_rule("input", message(kind).interface(IIF, EQUAL, uplink).accept());
    }
    for kind in LINK_NEIGHBORS.into_iter().chain(LINK_NOISE) {
        changes.add_rule("input", message(kind).drop());
    }
    // Nothing leaves by the way out here, so a run's own chain only counts and drops.
    changes.add_rule("input", Rule::new().meta(IIF, register(0)).verdict_of(FROM_RUN, register(0)));
}

/// Special networks, and those that the operator lists all the same: the second lock behind the policy's first.
fn special_sets(changes: &mut Changes, listed: &[IpNet]) {
    let special: Vec<IpNet> = special_networks().collect();
    for (v4, field, deny, allow) in
        [(true, Field::Ipv4, "special4", "listed4"), (false, Field::Ipv6, "special6", "listed6")]
    {
        let of = |nets: &[IpNet]| networks(&nets.iter().copied().filter(|net| is_v4(net) == v4).collect::<Vec<_>>());
        for (name, elements) in [(deny, of(&special)), (allow, of(listed))] {
            changes.add_set(&Set { name, key: &[field], data: None, ranges: true, expires: false });
            changes.add_elements(name, &elements);
        }
    }
}

const fn is_v4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

/// A run may tell its own address alone. Hardware addresses are known for good on both sides, so nobody needs to ask; a
/// tool that asks all the same is answered.
fn arp_rules(uplink: u32, guard: Guard) -> Changes {
    let mut changes = Changes::of(ARP, TABLE);
    changes.add_table(guard);
    changes.add_counter(DROPPED);
    let fields = [Field::Interface, Field::Ipv4];
    changes.add_set(&Set { name: NEIGHBORS, key: &fields, data: None, ranges: false, expires: false });
    changes.add_base(&Base { name: "input", kind: Kind::Filter, hook: Hook::Input, priority: 0, drops: true });
    changes.add_rule("input", Rule::new().interface(IIF, EQUAL, uplink).accept());
    let sender = Rule::new().meta(IIF, register(0)).load(NETWORK, 14, 4, register(1));
    changes.add_rule("input", sender.in_set(NEIGHBORS, register(0)).accept());
    changes.add_rule("input", Rule::new().count(DROPPED).drop());
    changes
}

/// The element by which a run may tell its own address.
pub(crate) fn neighbor(wire: u32, address: Ipv4Addr) -> Element {
    Element::new(key(&[&wire.to_ne_bytes(), &address.octets()]))
}
