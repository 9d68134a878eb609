//! The node's own side: the way out of the router, and stand-ins for the node's loopback addresses. It must never let
//! anything of a run reach the node itself but a stand-in, and it leaves alone whatever does not come by its interface.

mod connections;
mod stand_ins;

use std::{
    fs, io,
    net::{IpAddr, Ipv6Addr},
    thread,
    time::Duration,
};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{
    NetdSettings,
    link::{FORWARDING, Links, Mac, Pair, ROUTE_LOCALNET},
    netlink::Netlink,
    nft::{
        Base, CT_ESTABLISHED_OR_RELATED, Changes, EQUAL, Guard, Hook, IIF, INET, Kind, NETWORK, NOT_EQUAL, OIF, Rule,
        counter_packets, guarded, has_chain, register,
    },
    router::{Router, UPLINK},
};

const NODE_MAC: Mac = [2, 0, 0, 0, 1, 1];
const ROUTER_MAC: Mac = [2, 0, 0, 0, 1, 2];
/// The longest packet of an ordinary network, and the shortest that every IPv6 link carries.
const MTU: (u32, u32) = (1500, 1280);

/// How often, and how long apart, it is looked whether a dead helper's interface has gone.
const LOOKS: u32 = 300;
const LOOK: Duration = Duration::from_millis(10);

/// Forwarding of a family that was off before the helper came: an empty chain tells a successor, who switches it off.
const SWITCHES: [(&str, &str); 2] = [
    ("forwarding4_was_off", "/proc/sys/net/ipv4/ip_forward"),
    ("forwarding6_was_off", "/proc/sys/net/ipv6/conf/all/forwarding"),
];

/// The node's side.
#[derive(Debug)]
pub(crate) struct Host {
    links: Links,
    filter: Netlink,
    table: String,
    index: u32,
}

/// Which families this helper itself switched forwarding on for.
type Switched = [bool; 2];

impl Host {
    /// Makes the way out, removes what a dead predecessor left, and connects the router. What was begun is removed again
    /// when a step fails.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is an interface of this name: a helper has it that lives. It ends with
    /// its helper, and the kernel makes no second one, so nobody's table is removed under him.
    pub(crate) fn connect(settings: &NetdSettings) -> io::Result<(Self, Router)> {
        let (mut links, filter, table) = (Links::here()?, Netlink::filter()?, settings.table());
        vacate(&mut links, settings)?;
        let mtu = links.all()?.iter().filter(|link| link.leads_out()).map(|link| link.mtu).min();
        let mtu = mtu.unwrap_or(MTU.0).clamp(MTU.1, MTU.0);
        let mut router = Router::new(settings, mtu)?;
        let index = links.add_pair(&Pair {
            name: &settings.interface(),
            mac: NODE_MAC,
            peer: UPLINK,
            peer_mac: ROUTER_MAC,
            peer_namespace: router.namespace(),
            mtu,
        })?;
        let mut host = Self { links, filter, table, index };
        if let Err(error) = host.prepare(settings, &mut router) {
            host.disconnect(settings)?;
            return Err(error);
        }
        Ok((host, router))
    }

    fn prepare(&mut self, settings: &NetdSettings, router: &mut Router) -> io::Result<()> {
        forget(&mut self.filter, settings)?;
        let switched = switches(settings)?;
        guarded(|guard| rules(settings, self.index, switched, guard).apply(&mut self.filter))?;
        self.wire(settings)?;
        router.connect(settings, NODE_MAC)?;
        self.links.settle(&settings.interface())?;
        for (_, (_, path)) in switched.iter().zip(SWITCHES).filter(|(on, _)| **on) {
            fs::write(path, "1")?;
        }
        Ok(())
    }

    fn wire(&mut self, settings: &NetdSettings) -> io::Result<()> {
        let (ends, index, links) = (settings.uplink(), self.index, &mut self.links);
        links.switch_on(index, &[FORWARDING, ROUTE_LOCALNET])?;
        links.up(index)?;
        links.add_address(index, ends.near.0.into(), 30)?;
        links.add_neighbor(index, ends.far.0.into(), ROUTER_MAC)?;
        links.add_route(Some((settings.range.network().into(), 19)), ends.far.0.into(), index)?;
        if settings.ipv6 {
            links.add_address(index, ends.near.1.into(), 64)?;
            links.add_neighbor(index, ends.far.1.into(), ROUTER_MAC)?;
            links.add_route(Some((settings.range6.network().into(), 48)), ends.far.1.into(), index)?;
            // IPv6 knows no `route_localnet`: without a route of its own, what comes in here for `::1` has nowhere to go.
            links.add_local(Ipv6Addr::LOCALHOST, index)?;
        }
        Ok(())
    }

    /// From now on `stand_in` is `loopback`; both are of one family.
    pub(crate) fn add_stand_in(&mut self, stand_in: IpAddr, loopback: IpAddr) -> io::Result<()> {
        let mut changes = Changes::of(INET, &self.table);
        for (map, element) in stand_ins::elements(stand_in, loopback) {
            changes.add_elements(map, &[element]);
        }
        changes.apply(&mut self.filter)
    }

    /// `stand_in` is nothing any more.
    pub(crate) fn remove_stand_in(&mut self, stand_in: IpAddr, loopback: IpAddr) -> io::Result<()> {
        let mut changes = Changes::of(INET, &self.table);
        for (map, element) in stand_ins::elements(stand_in, loopback) {
            changes.delete_elements(map, &[element]);
        }
        changes.apply(&mut self.filter)
    }

    /// Packets that began more connections than a run may; 0 where there is no such limit.
    pub(crate) fn hurried(&mut self) -> io::Result<u64> {
        match counter_packets(&mut self.filter, INET, &self.table, connections::HURRIED) {
            Err(error) if is_missing(&error) => Ok(0),
            counted => counted,
        }
    }

    /// Counts the same for one slot from now on, once for the helper's life.
    pub(crate) fn count_hurried(&mut self, slot: u32, settings: &NetdSettings) -> io::Result<()> {
        let mut changes = Changes::of(INET, &self.table);
        connections::count(&mut changes, slot, &settings.wire(slot));
        changes.apply(&mut self.filter)
    }

    /// Lets the node forget the connections of the run that had this slot. Where the kernel knows no way, the next run may
    /// hear what those still answer whom it may reach as well; that is worth a warning and no node without runs.
    ///
    /// # Errors
    /// Where it knows one and some are left: then nobody may have the slot's address.
    pub(crate) fn forget_run(settings: &NetdSettings, slot: u32) -> io::Result<()> {
        let ends = settings.wire(slot);
        let both: [IpAddr; 2] = [ends.far.0.into(), ends.far.1.into()];
        let mut done = Ok(());
        for address in both.into_iter().take(if settings.ipv6 { 2 } else { 1 }).filter(|_| settings.masquerade) {
            match connections::forget(address) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    tracing::warn!(
                        slot,
                        "the node forgets no connections of runs: its kernel lacks nf_conntrack_netlink"
                    );
                }
                forgotten => done = done.and(forgotten),
            }
        }
        done
    }

    /// Such packets of all runs that had this slot.
    pub(crate) fn hurried_of(&mut self, slot: u32) -> io::Result<u64> {
        counter_packets(&mut self.filter, INET, &self.table, &connections::counter(slot))
    }

    /// Leaves the node as it was.
    pub(crate) fn disconnect(&mut self, settings: &NetdSettings) -> io::Result<()> {
        let gone = match self.links.delete(self.index) {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        };
        gone.and(forget(&mut self.filter, settings))
    }
}

/// Waits until there is no interface of this name: the kernel removes a dead helper's a moment later.
fn vacate(links: &mut Links, settings: &NetdSettings) -> io::Result<()> {
    for _ in 0..LOOKS {
        match links.index_of(&settings.interface()) {
            Err(error) if is_missing(&error) => return Ok(()),
            other => other?,
        };
        thread::sleep(LOOK);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes the table of this name, and switches off the forwarding that its maker switched on.
fn forget(filter: &mut Netlink, settings: &NetdSettings) -> io::Result<()> {
    for (chain, path) in SWITCHES {
        if has_chain(filter, INET, &settings.table(), chain)? {
            fs::write(path, "0")?;
        }
    }
    let mut changes = Changes::of(INET, &settings.table());
    changes.delete_table();
    match changes.apply(filter) {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// For which families forwarding is needed and off.
fn switches(settings: &NetdSettings) -> io::Result<Switched> {
    let off = |path: &str| Ok::<_, io::Error>(fs::read_to_string(path)?.trim() == "0");
    let [(_, v4), (_, v6)] = SWITCHES;
    Ok([off(v4)?, settings.ipv6 && off(v6)?])
}

fn rules(settings: &NetdSettings, index: u32, switched: Switched, guard: Guard) -> Changes {
    let mut changes = Changes::of(INET, &settings.table());
    changes.add_table(guard);
    for (_, (marker, _)) in switched.iter().zip(SWITCHES).filter(|(on, _)| **on) {
        changes.add_chain(marker);
    }
    stand_ins::exchange(&mut changes, settings, index);
    through_the_node(&mut changes, settings, index, switched);
    if settings.masquerade {
        masquerade(&mut changes, settings, index);
    }
    changes
}

const fn filter<'a>(name: &'a str, hook: Hook, priority: i32) -> Base<'a> {
    Base { name, kind: Kind::Filter, hook, priority, drops: false }
}

/// Packets of runs pass on, and answers come back. Where forwarding was off before the helper came, nothing else passes.
fn through_the_node(changes: &mut Changes, settings: &NetdSettings, index: u32, switched: Switched) {
    changes.add_base(&filter("forward", Hook::Forward, -10));
    if settings.masquerade {
        connections::bound(changes, settings, index);
    }
    let from = || Rule::new().interface(IIF, EQUAL, index).interface(OIF, NOT_EQUAL, index);
    let v4 = from().ipv4().load(NETWORK, 12, 4, register(0));
    changes.add_rule("forward", within(v4, settings.range).accept());
    if settings.ipv6 {
        let v6 = from().ipv6().load(NETWORK, 8, 16, register(0));
        changes.add_rule("forward", within6(v6, settings.range6).accept());
    }
    changes.add_rule("forward", Rule::new().interface(IIF, EQUAL, index).drop());
    let to = Rule::new().interface(OIF, EQUAL, index);
    let to = if settings.masquerade { to.connection(CT_ESTABLISHED_OR_RELATED, register(0)) } else { to };
    changes.add_rule("forward", to.accept());
    changes.add_rule("forward", Rule::new().interface(OIF, EQUAL, index).drop());
    let [v4, v6] = switched;
    if v4 {
        changes.add_rule("forward", Rule::new().ipv4().drop());
    }
    if v6 {
        changes.add_rule("forward", Rule::new().ipv6().drop());
    }
}

/// Runs go out under the node's address. What belongs to no connection keeps its own one and must not get out with it.
fn masquerade(changes: &mut Changes, settings: &NetdSettings, index: u32) {
    let base = Base { name: "masquerade", kind: Kind::Nat, hook: Hook::Postrouting, priority: 100, drops: false };
    changes.add_base(&base);
    let of_runs = || {
        let other = || Rule::new().interface(OIF, NOT_EQUAL, index);
        let v4 = within(other().ipv4().load(NETWORK, 12, 4, register(0)), settings.range);
        let v6 = within6(other().ipv6().load(NETWORK, 8, 16, register(0)), settings.range6);
        [v4, v6]
    };
    for rule in of_runs() {
        changes.add_rule("masquerade", rule.masquerade());
    }
    for rule in of_runs() {
        changes.add_rule("leave", rule.drop());
    }
}

fn within(rule: Rule, net: Ipv4Net) -> Rule {
    rule.mask(register(0), &net.netmask().octets()).compare(register(0), EQUAL, &net.network().octets())
}

fn within6(rule: Rule, net: Ipv6Net) -> Rule {
    rule.mask(register(0), &net.netmask().octets()).compare(register(0), EQUAL, &net.network().octets())
}
