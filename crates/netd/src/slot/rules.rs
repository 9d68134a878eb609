//! What one run may send and receive, as rules of the router. Every chain of it ends in a drop.

mod forwards;

use super::{Wired, Wish, name};
use crate::{
    Mode,
    nft::{
        ARP, Changes, EQUAL, Element, Field, ICMP, ICMPV6, INET, NETWORK, NOT_EQUAL, OIF, Rule, Set, TCP, TRANSPORT,
        UDP, octets, register,
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
        self.forward_sets(changes);
    }

    /// From the run: its own source address, a listed destination that is not special unless the operator lists it.
    fn out(&self, changes: &mut Changes) {
        let chain = self.at("out");
        changes.add_chain(&chain);
        self.to_stand_ins(changes, &chain);
        if self.wired.has.v4 {
            self.to_listed4(changes, &chain);
        }
        if self.wired.has.v6 {
            self.to_listed6(changes, &chain);
        }
        changes.add_rule(&chain, Rule::new().count(&self.at("dropped")).count(DROPPED).drop());
    }

    fn to_listed4(&self, changes: &mut Changes, chain: &str) {
        for protocol in self.protocols(ICMP) {
            let from = || self.v4_from_run().protocol(protocol).load(NETWORK, 16, 4, register(0));
            let to = || from().in_set(&self.at("allow4"), register(0));
            changes.add_rule(chain, to().not_in_set("special4", register(0)).accept());
            if self.listed.v4 {
                changes.add_rule(chain, to().in_set("listed4", register(0)).accept());
            }
        }
    }

    fn to_listed6(&self, changes: &mut Changes, chain: &str) {
        for protocol in self.protocols(ICMPV6) {
            let from = || self.v6_from_run(protocol).load(NETWORK, 24, 16, register(0));
            let to = || from().in_set(&self.at("allow6"), register(0));
            changes.add_rule(chain, to().not_in_set("special6", register(0)).accept());
            if self.listed.v6 {
                changes.add_rule(chain, to().in_set("listed6", register(0)).accept());
            }
        }
    }

    fn is_raw(&self) -> bool {
        self.wish.checked.mode == Mode::Raw
    }

    /// What a run speaks: programs that make connections have no other protocol.
    fn protocols(&self, icmp: u8) -> impl Iterator<Item = u8> {
        [TCP, UDP].into_iter().chain(self.is_raw().then_some(icmp))
    }

    /// To the run: from whom it may reach, but no beginning of a connection; and what others report about packets to whom
    /// it may reach.
    fn back(&self, changes: &mut Changes) {
        let chain = self.at("back");
        changes.add_chain(&chain);
        let begins = Rule::new().protocol(TCP).load(TRANSPORT, 13, 1, register(0)).mask(register(0), &[0x12]);
        changes.add_rule(&chain, begins.compare(register(0), EQUAL, &[0x02]).drop());
        // A piece without these bits, or before them, is a beginning that nobody sees; connections need no pieces.
        let piece = Rule::new().ipv4().protocol(TCP).load(NETWORK, 6, 2, register(0)).mask(register(0), &[0x3f, 0xff]);
        changes.add_rule(&chain, piece.compare(register(0), NOT_EQUAL, &[0, 0]).drop());
        self.answers_of_stand_ins(changes, &chain);
        if self.wired.has.v4 {
            for protocol in self.protocols(ICMP) {
                let from = self.v4_to_run().protocol(protocol).load(NETWORK, 12, 4, register(0));
                changes.add_rule(&chain, from.in_set(&self.at("allow4"), register(0)).accept());
            }
            self.reports4(changes, &chain);
        }
        if self.wired.has.v6 {
            for protocol in self.protocols(ICMPV6) {
                let from = directly(self.v6_to_run(), protocol).load(NETWORK, 8, 16, register(0));
                changes.add_rule(&chain, from.in_set(&self.at("allow6"), register(0)).accept());
            }
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
            let report = directly(self.v6_to_run(), ICMPV6).load(TRANSPORT, 0, 1, register(0));
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
        if picket_faults::without("netd::source_rule") {
            return plain;
        }
        plain.ipv4().load(NETWORK, 12, 4, register(0)).compare(register(0), EQUAL, &self.wired.address.octets())
    }

    fn v6_from_run(&self, protocol: u8) -> Rule {
        let source = directly(self.outward().ipv6(), protocol).load(NETWORK, 8, 16, register(0));
        source.compare(register(0), EQUAL, &self.own6())
    }

    fn v4_to_run(&self) -> Rule {
        Rule::new().ipv4().load(NETWORK, 16, 4, register(0)).compare(register(0), EQUAL, &self.wired.address.octets())
    }

    fn v6_to_run(&self) -> Rule {
        Rule::new().ipv6().load(NETWORK, 24, 16, register(0)).compare(register(0), EQUAL, &self.own6())
    }
}

/// Goes on when `protocol` follows the header of IPv6 at once: headers between them could name a way through a listed
/// machine to others, or hide the beginning of a connection.
fn directly(rule: Rule, protocol: u8) -> Rule {
    rule.load(NETWORK, 6, 1, register(0)).compare(register(0), EQUAL, &[protocol])
}
