//! What one run may send and receive, as rules of the router. Every chain of it ends in a drop.

use super::{Wired, Wish, name};
use crate::{
    nft::{
        ARP, Changes, EQUAL, Element, Field, ICMP, ICMPV6, INET, L4PROTO, NETWORK, OIF, Rule, Set, TCP, TRANSPORT, UDP,
        key, octets, register,
    },
    router::{DROPPED, FROM_RUN, Families, NEIGHBORS, TABLE, TO_RUN, neighbor},
    settings::Ends,
};

/// The rules of one run, while they are written.
pub(super) struct Rules<'a> {
    pub(super) wired: &'a Wired,
    pub(super) ends: &'a Ends,
    pub(super) wish: &'a Wish<'a>,
    pub(super) uplink: u32,
    pub(super) listed: Families,
}

impl Rules<'_> {
    fn at(&self, what: &str) -> String {
        name(what, self.wired.slot)
    }

    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes::of(INET, TABLE);
        self.sets(&mut changes);
        self.out(&mut changes);
        self.back(&mut changes);
        let index = self.wired.index.to_ne_bytes().to_vec();
        changes.add_elements(FROM_RUN, &[Element::new(index.clone()).leads_to(&self.at("out"))]);
        changes.add_elements(TO_RUN, &[Element::new(index).leads_to(&self.at("back"))]);
        changes
    }

    pub(super) fn arp(&self) -> Changes {
        let mut changes = Changes::of(ARP, TABLE);
        changes.add_elements(NEIGHBORS, &[neighbor(self.wired.index, self.wired.address)]);
        changes
    }

    fn sets(&self, changes: &mut Changes) {
        let (checked, ttl) = (self.wish.checked, self.wish.checked.ttl_ms);
        changes.add_counter(&self.at("dropped"));
        let v4: Vec<Element> = checked.v4.iter().map(|one| Element::new(octets((*one).into())).for_ms(ttl)).collect();
        let v6: Vec<Element> = checked.v6.iter().map(|one| Element::new(octets((*one).into())).for_ms(ttl)).collect();
        for (set, field, elements) in [("allow4", Field::Ipv4, v4), ("allow6", Field::Ipv6, v6)] {
            if !elements.is_empty() {
                let name = self.at(set);
                changes.add_set(&Set { name: &name, key: &[field], data: None, ranges: false, expires: true });
                changes.add_elements(&name, &elements);
            }
        }
        if self.wired.forwards {
            const FIELDS: [Field; 3] = [Field::Ipv4, Field::Protocol, Field::Port];
            let name = self.at("forward");
            changes.add_set(&Set { name: &name, key: &FIELDS, data: None, ranges: true, expires: true });
            changes.add_elements(&name, &self.forwards());
        }
    }

    /// Ports of TCP and UDP at each stand-in, and ICMP: where a port would be it has its kind or its checksum.
    fn forwards(&self) -> Vec<Element> {
        let ports = self.wish.checked.ports.as_slice();
        let wanted: [(u8, &[(u16, u16)]); 3] = [(TCP, ports), (UDP, ports), (ICMP, &[(0, u16::MAX)])];
        let mut stand_ins = self.wish.stand_ins.to_vec();
        stand_ins.sort_unstable();
        stand_ins.dedup();
        let mut elements = Vec::new();
        for stand_in in stand_ins {
            for (protocol, ranges) in wanted {
                let at = |port: u16| key(&[&stand_in.octets(), &[protocol], &port.to_be_bytes()]);
                let ttl = self.wish.checked.ttl_ms;
                elements.extend(ranges.iter().map(|(first, last)| Element::new(at(*first)).to(at(*last)).for_ms(ttl)));
            }
        }
        elements
    }

    /// From the run: its own source address, a listed destination that is not special unless the operator lists it.
    fn out(&self, changes: &mut Changes) {
        let chain = self.at("out");
        changes.add_chain(&chain);
        if self.wired.forwards {
            let fields = self.v4_from_run().load(NETWORK, 16, 4, register(0)).meta(L4PROTO, register(1));
            let fields = fields.load(TRANSPORT, 2, 2, register(2));
            changes.add_rule(&chain, fields.in_set(&self.at("forward"), register(0)).accept());
        }
        if self.wired.has.v4 {
            let to = || self.v4_from_run().load(NETWORK, 16, 4, register(0)).in_set(&self.at("allow4"), register(0));
            changes.add_rule(&chain, to().not_in_set("special4", register(0)).accept());
            if self.listed.v4 {
                changes.add_rule(&chain, to().in_set("listed4", register(0)).accept());
            }
        }
        if self.wired.has.v6 {
            let from =
                || self.outward().ipv6().load(NETWORK, 8, 16, register(0)).compare(register(0), EQUAL, &self.own6());
            let to = || from().load(NETWORK, 24, 16, register(0)).in_set(&self.at("allow6"), register(0));
            changes.add_rule(&chain, to().not_in_set("special6", register(0)).accept());
            if self.listed.v6 {
                changes.add_rule(&chain, to().in_set("listed6", register(0)).accept());
            }
        }
        changes.add_rule(&chain, Rule::new().count(&self.at("dropped")).count(DROPPED).drop());
    }

    /// To the run: from whom it may reach, but no beginning of a connection; and what others report about packets to whom
    /// it may reach.
    fn back(&self, changes: &mut Changes) {
        let chain = self.at("back");
        changes.add_chain(&chain);
        let begins = Rule::new().protocol(TCP).load(TRANSPORT, 13, 1, register(0)).mask(register(0), &[0x12]);
        changes.add_rule(&chain, begins.compare(register(0), EQUAL, &[0x02]).drop());
        if self.wired.forwards {
            let fields = self.v4_to_run().load(NETWORK, 12, 4, register(0)).meta(L4PROTO, register(1));
            let fields = fields.load(TRANSPORT, 0, 2, register(2));
            changes.add_rule(&chain, fields.in_set(&self.at("forward"), register(0)).accept());
        }
        if self.wired.has.v4 {
            let from = self.v4_to_run().load(NETWORK, 12, 4, register(0));
            changes.add_rule(&chain, from.in_set(&self.at("allow4"), register(0)).accept());
            self.reports4(changes, &chain);
        }
        if self.wired.has.v6 {
            let from = self.v6_to_run().load(NETWORK, 8, 16, register(0));
            changes.add_rule(&chain, from.in_set(&self.at("allow6"), register(0)).accept());
            self.reports6(changes, &chain);
        }
        changes.add_rule(&chain, Rule::new().drop());
    }

    /// "Unreachable" and "time exceeded" of any router: behind eight bytes is the packet that it is about.
    fn reports4(&self, changes: &mut Changes, chain: &str) {
        for kind in [3_u8, 11] {
            let report = self.v4_to_run().protocol(ICMP).load(TRANSPORT, 0, 1, register(0));
            let about = report.compare(register(0), EQUAL, &[kind]).load(TRANSPORT, 20, 4, register(0));
            let about = about.compare(register(0), EQUAL, &self.wired.address.octets());
            let to = about.load(TRANSPORT, 24, 4, register(0)).in_set(&self.at("allow4"), register(0));
            changes.add_rule(chain, to.accept());
        }
    }

    /// The same, and "too big", which only IPv6 has as a kind of its own.
    fn reports6(&self, changes: &mut Changes, chain: &str) {
        for kind in [1_u8, 2, 3] {
            let report = self.v6_to_run().protocol(ICMPV6).load(TRANSPORT, 0, 1, register(0));
            let about = report.compare(register(0), EQUAL, &[kind]).load(TRANSPORT, 16, 16, register(0));
            let about = about.compare(register(0), EQUAL, &self.own6());
            let to = about.load(TRANSPORT, 32, 16, register(0)).in_set(&self.at("allow6"), register(0));
            changes.add_rule(chain, to.accept());
        }
    }

    const fn own6(&self) -> [u8; 16] {
        self.ends.far.1.octets()
    }

    /// Never to another run, and never to the router itself.
    fn outward(&self) -> Rule {
        Rule::new().interface(OIF, EQUAL, self.uplink)
    }

    /// Without options: they could name a way through a listed machine to others.
    fn v4_from_run(&self) -> Rule {
        let plain = self.outward().ipv4().load(NETWORK, 0, 1, register(0)).compare(register(0), EQUAL, &[0x45]);
        plain.ipv4().load(NETWORK, 12, 4, register(0)).compare(register(0), EQUAL, &self.wired.address.octets())
    }

    fn v4_to_run(&self) -> Rule {
        Rule::new().ipv4().load(NETWORK, 16, 4, register(0)).compare(register(0), EQUAL, &self.wired.address.octets())
    }

    fn v6_to_run(&self) -> Rule {
        Rule::new().ipv6().load(NETWORK, 24, 16, register(0)).compare(register(0), EQUAL, &self.own6())
    }
}
