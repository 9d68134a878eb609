//! One run's wire and rules. The wire is made before its rules, perhaps long before, and a wire without rules leads nowhere.

mod rules;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::BorrowedFd,
};

use self::rules::Rules;
use crate::{
    NetdSettings,
    link::{FORWARDING, Links, Mac, Pair},
    namespace::inside,
    nft::{ARP, Changes, Element, INET},
    policy::Checked,
    router::{FROM_RUN, Families, NEIGHBORS, Router, TABLE, TO_RUN, Wires, neighbor},
    settings::Ends,
};

/// The run's end of the wire.
const RUN_END: &str = "t0";
const ROUTER_MAC: Mac = [2, 0, 0, 0, 0, 1];
const RUN_MAC: Mac = [2, 0, 0, 0, 0, 2];

/// A run that is wired.
#[derive(Debug)]
pub(crate) struct Wired {
    slot: u32,
    index: u32,
    address: Ipv4Addr,
    has: Families,
    forwards: Families,
    ruled: bool,
}

/// What a wire shall let through.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// Who may be reached.
    pub(crate) checked: &'a Checked,
    /// Stand-ins for the loopback addresses.
    pub(crate) stand_ins: &'a [IpAddr],
}

impl Wired {
    /// Which wire it is.
    pub(crate) const fn slot(&self) -> u32 {
        self.slot
    }
}

/// The name of something that belongs to one slot.
pub(crate) fn name(what: &str, slot: u32) -> String {
    format!("{what}_{slot}")
}

/// Why a run is not wired, and what of it could not be removed again.
type Unwired = (io::Error, Option<Wired>);

/// Wires a namespace to the router; nothing passes. What was begun is removed again when a step fails.
///
/// # Errors
/// The step's; what could not be removed is in the second place.
pub(crate) fn wire(
    wires: &mut Wires,
    settings: &NetdSettings,
    slot: u32,
    namespace: BorrowedFd<'_>,
) -> Result<Wired, Unwired> {
    let ends = settings.wire(slot);
    let index = wires.links.add_pair(&Pair {
        name: &wire_name(slot),
        mac: ROUTER_MAC,
        peer: RUN_END,
        peer_mac: RUN_MAC,
        peer_namespace: namespace,
        mtu: wires.mtu,
    });
    let index = index.map_err(|error| (error, None))?;
    let none = Families { v4: false, v6: false };
    let wired = Wired { slot, index, address: ends.far.0, has: none, forwards: none, ruled: false };
    let done = near_end(&mut wires.links, index, &ends, settings.ipv6)
        .and_then(|()| inside(namespace, || far_end(&ends, settings.ipv6)))
        .and_then(|()| wires.links.settle(&wire_name(slot)));
    match done {
        Ok(()) => Ok(wired),
        Err(error) => Err((error, unwire(wires, &wired).is_err().then_some(wired))),
    }
}

/// Lets pass what is wished for, in one transaction.
///
/// # Errors
/// When the packet filter refuses; then the wire still leads nowhere.
pub(crate) fn grant(
    router: &mut Router,
    settings: &NetdSettings,
    wired: &mut Wired,
    wish: &Wish<'_>,
) -> io::Result<()> {
    wired.has = Families { v4: !wish.checked.v4.is_empty(), v6: !wish.checked.v6.is_empty() };
    let forwards = |v4: bool| wish.stand_ins.iter().any(|stand_in| stand_in.is_ipv4() == v4);
    wired.forwards = Families { v4: forwards(true), v6: forwards(false) };
    let ends = settings.wire(wired.slot);
    let rules = Rules { wired, ends: &ends, wish, uplink: router.uplink, listed: router.listed };
    let mut changes = rules.changes();
    changes.join(rules.arp());
    changes.apply(&mut router.filter)?;
    wired.ruled = true;
    Ok(())
}

fn wire_name(slot: u32) -> String {
    format!("vg{slot}")
}

fn near_end(links: &mut Links, index: u32, ends: &Ends, v6: bool) -> io::Result<()> {
    links.switch_on(index, &[FORWARDING])?;
    links.up(index)?;
    for (own, run, prefix) in sides(ends.near, ends.far, v6) {
        links.add_address(index, own, prefix)?;
        links.add_neighbor(index, run, RUN_MAC)?;
    }
    Ok(())
}

/// In the run's namespace.
fn far_end(ends: &Ends, v6: bool) -> io::Result<()> {
    let mut links = Links::here()?;
    let loopback = links.index_of("lo")?;
    links.up(loopback)?;
    let index = links.index_of(RUN_END)?;
    links.up(index)?;
    for (own, router, prefix) in sides(ends.far, ends.near, v6) {
        links.add_address(index, own, prefix)?;
        links.add_neighbor(index, router, ROUTER_MAC)?;
        links.add_route(None, router, index)?;
    }
    // IPv4 is used at once, IPv6 only when the kernel has looked at wire and address.
    if v6 {
        links.settle(RUN_END)?;
        links.settle_address(ends.far.1)?;
    }
    Ok(())
}

type Side = (Ipv4Addr, std::net::Ipv6Addr);

fn sides(own: Side, other: Side, v6: bool) -> impl Iterator<Item = (IpAddr, IpAddr, u8)> {
    let both: [(IpAddr, IpAddr, u8); 2] = [(own.0.into(), other.0.into(), 30), (own.1.into(), other.1.into(), 64)];
    both.into_iter().take(if v6 { 2 } else { 1 })
}

/// Removes a run's rules, which ends everything at once: a wire without rules leads nowhere. What is gone already is no
/// failure, so it can be tried again.
pub(crate) fn revoke(router: &mut Router, wired: &Wired) -> io::Result<()> {
    if !wired.ruled {
        return Ok(());
    }
    match removal(wired).apply(&mut router.filter) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes the wire itself, likewise.
pub(crate) fn unwire(wires: &mut Wires, wired: &Wired) -> io::Result<()> {
    match wires.links.delete(wired.index) {
        // A namespace that ended took its end of the wire along.
        Err(error) if is_no_device(&error) => Ok(()),
        other => other,
    }
}

fn is_no_device(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn removal(wired: &Wired) -> Changes {
    let mut changes = Changes::of(INET, TABLE);
    let at = |what: &str| name(what, wired.slot);
    let index = wired.index.to_ne_bytes().to_vec();
    changes.delete_elements(FROM_RUN, &[Element::new(index.clone()).leads_to(&at("out"))]);
    changes.delete_elements(TO_RUN, &[Element::new(index).leads_to(&at("back"))]);
    changes.delete_chain(&at("out"));
    changes.delete_chain(&at("back"));
    let forwards = [("forward", wired.forwards.v4), ("forward6", wired.forwards.v6)];
    let sets = [("allow4", wired.has.v4), ("allow6", wired.has.v6)].into_iter().chain(forwards);
    for (what, _) in sets.filter(|(_, made)| *made) {
        changes.delete_set(&at(what));
    }
    changes.delete_counter(&at("dropped"));
    let mut arp = Changes::of(ARP, TABLE);
    arp.delete_elements(NEIGHBORS, &[neighbor(wired.index, wired.address)]);
    changes.join(arp);
    changes
}
