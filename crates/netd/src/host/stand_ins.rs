//! The exchange of a stand-in's address for the loopback address, packet by packet and without knowing connections, so that
//! odd packets get through as they are. Nothing else that comes by the helper's interface may reach the node.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::{filter, within};
use crate::{
    NetdSettings,
    nft::{
        Changes, Data, EQUAL, Element, Field, Hook, ICMP, ICMPV6, IIF, NETWORK, OIF, Rule, Set, TRANSPORT, octets,
        register,
    },
};

/// From a stand-in to the loopback address, and back; likewise for IPv6.
const MAPS: [(&str, Field); 4] =
    [("stand_ins", Field::Ipv4), ("loopback", Field::Ipv4), ("stand_ins6", Field::Ipv6), ("loopback6", Field::Ipv6)];
const STAND_INS: &str = MAPS[0].0;
const LOOPBACK: &str = MAPS[1].0;
const STAND_INS6: &str = MAPS[2].0;
const LOOPBACK6: &str = MAPS[3].0;

/// The elements of one stand-in, each with its map.
pub(super) fn elements(stand_in: IpAddr, loopback: IpAddr) -> [(&'static str, Element); 2] {
    let gives = |from: IpAddr, to: IpAddr| Element::new(octets(from)).gives(&octets(to));
    let (there, back) = if stand_in.is_ipv4() { (STAND_INS, LOOPBACK) } else { (STAND_INS6, LOOPBACK6) };
    [(there, gives(stand_in, loopback)), (back, gives(loopback, stand_in))]
}

/// The rules; `index` is the interface on the node.
pub(super) fn exchange(changes: &mut Changes, settings: &NetdSettings, index: u32) {
    for (name, field) in MAPS {
        changes.add_set(&Set { name, key: &[field], data: Some(Data::Value(field)), ranges: false, expires: false });
    }
    into_the_node(changes, settings, index);
    out_of_the_node(changes, index);
}

/// A packet to a stand-in gets the loopback address, before it is decided where it goes.
fn into_the_node(changes: &mut Changes, settings: &NetdSettings, index: u32) {
    changes.add_base(&filter("arrive", Hook::Prerouting, -300));
    into_loopback4(changes, settings.stand_ins(), index);
    into_loopback6(changes, settings.stand_in6(), index);

    changes.add_base(&filter("input", Hook::Input, -10));
    let loopback = Rule::new().interface(IIF, EQUAL, index).ipv4().load(NETWORK, 16, 1, register(0));
    changes.add_rule("input", loopback.compare(register(0), EQUAL, &[127]).accept());
    changes.add_rule("input", to6(index).compare(register(0), EQUAL, &Ipv6Addr::LOCALHOST.octets()).accept());
    changes.add_rule("input", Rule::new().interface(IIF, EQUAL, index).drop());
}

fn into_loopback4(changes: &mut Changes, stand_ins: Ipv4Net, index: u32) {
    let to = || Rule::new().interface(IIF, EQUAL, index).ipv4().load(NETWORK, 16, 4, register(0));
    let first = Rule::new().interface(IIF, EQUAL, index).ipv4().load(NETWORK, 16, 1, register(0));
    changes.add_rule("arrive", first.compare(register(0), EQUAL, &[127]).drop());
    let change = to().map(STAND_INS, register(0), register(1)).store(NETWORK, 16, 10, true, register(1));
    changes.add_rule("arrive", change.untracked().accept());
    changes.add_rule("arrive", within(to(), stand_ins).drop());
}

/// A packet that says `::1` itself is thrown away by the kernel before it comes here.
fn into_loopback6(changes: &mut Changes, stand_in: Ipv6Addr, index: u32) {
    let change = to6(index).map(STAND_INS6, register(0), register(4)).store_address6(24, register(4));
    changes.add_rule("arrive", change.untracked().accept());
    changes.add_rule("arrive", to6(index).compare(register(0), EQUAL, &stand_in.octets()).drop());
}

/// Loads where a packet of IPv6 that came by the interface goes to.
fn to6(index: u32) -> Rule {
    Rule::new().interface(IIF, EQUAL, index).ipv6().load(NETWORK, 24, 16, register(0))
}

/// The way back: the loopback address becomes the stand-in, also in the packet that an error message is about.
fn out_of_the_node(changes: &mut Changes, index: u32) {
    changes.add_base(&filter("answer", Hook::Output, -300));
    changes.add_base(&filter("leave", Hook::Postrouting, 310));
    out_of_loopback4(changes, index);
    out_of_loopback6(changes, index);
}

/// The checksum in the header of the packet that a message is about is corrected with it, so the message's stays right.
fn out_of_loopback4(changes: &mut Changes, index: u32) {
    let from = || Rule::new().interface(OIF, EQUAL, index).ipv4().load(NETWORK, 12, 1, register(0));
    let local = || from().compare(register(0), EQUAL, &[127]);
    changes.add_rule("answer", local().untracked().accept());
    for kind in [3_u8, 11] {
        let report = local().protocol(ICMP).load(TRANSPORT, 0, 1, register(0)).compare(register(0), EQUAL, &[kind]);
        let about = report.load(TRANSPORT, 24, 4, register(0)).map(LOOPBACK, register(0), register(1));
        changes.add_rule("leave", about.store(TRANSPORT, 24, 18, false, register(1)));
    }
    let source = local().load(NETWORK, 12, 4, register(0)).map(LOOPBACK, register(0), register(1));
    changes.add_rule("leave", source.store(NETWORK, 12, 10, true, register(1)).accept());
    changes.add_rule("leave", local().drop());
}

/// The kernel says that nobody is at a port of `::1` from the interface's own address: that becomes the stand-in's too.
fn out_of_loopback6(changes: &mut Changes, index: u32) {
    let out = || Rule::new().interface(OIF, EQUAL, index).ipv6();
    let local = || out().load(NETWORK, 8, 16, register(0)).compare(register(0), EQUAL, &Ipv6Addr::LOCALHOST.octets());
    changes.add_rule("answer", local().untracked().accept());
    for kind in [1_u8, 3] {
        let report = out().protocol(ICMPV6).load(TRANSPORT, 0, 1, register(0)).compare(register(0), EQUAL, &[kind]);
        let about = report.load(TRANSPORT, 32, 16, register(0)).map(LOOPBACK6, register(0), register(4));
        let changed = about.store_reported6(32, register(4)).store_address6(8, register(4));
        changes.add_rule("leave", changed.accept());
    }
    let source = local().map(LOOPBACK6, register(0), register(4));
    changes.add_rule("leave", source.store_address6(8, register(4)).accept());
    changes.add_rule("leave", local().drop());
}
