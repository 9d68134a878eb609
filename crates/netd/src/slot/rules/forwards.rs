//! The ways to the node's loopback: stand-ins at the task's ports. They must never lead to another port, and of ICMP to
//! nothing but its questions.

use std::net::IpAddr;

use super::{Rules, directly};
use crate::nft::{
    Changes, EQUAL, Element, Field, ICMP, ICMPV6, L4PROTO, NETWORK, Rule, Set, TCP, TRANSPORT, UDP, key, octets,
    register,
};

/// What ICMP may ask the node's loopback: an echo, the time.
const QUESTIONS: [u8; 2] = [8, 13];
/// The same of IPv6, where nobody tells the time.
const QUESTIONS6: [u8; 1] = [128];

impl Rules<'_> {
    pub(super) fn forward_sets(&self, changes: &mut Changes) {
        let families = [
            ("forward", Field::Ipv4, ICMP, self.wired.forwards.v4),
            ("forward6", Field::Ipv6, ICMPV6, self.wired.forwards.v6),
        ];
        for (set, field, icmp, _) in families.into_iter().filter(|(.., is_wanted)| *is_wanted) {
            let name = self.at(set);
            let fields = [field, Field::Protocol, Field::Port];
            changes.add_set(&Set { name: &name, key: &fields, data: None, ranges: true, expires: true });
            changes.add_elements(&name, &self.forwards(field == Field::Ipv4, icmp));
        }
    }

    /// Ports of TCP and UDP at each stand-in, and ICMP: where a port would be it has its kind or its checksum.
    fn forwards(&self, v4: bool, icmp: u8) -> Vec<Element> {
        let ports = self.wish.checked.ports.as_slice();
        let wanted: [(u8, &[(u16, u16)]); 3] = [(TCP, ports), (UDP, ports), (icmp, &[(0, u16::MAX)])];
        let mut stand_ins: Vec<IpAddr> =
            self.wish.stand_ins.iter().copied().filter(|stand_in| stand_in.is_ipv4() == v4).collect();
        stand_ins.sort_unstable();
        stand_ins.dedup();
        let mut elements = Vec::new();
        for stand_in in stand_ins {
            for (protocol, ranges) in wanted {
                let at = |port: u16| key(&[&octets(stand_in), &[protocol], &port.to_be_bytes()]);
                let ttl = self.wish.checked.ttl_ms;
                elements.extend(ranges.iter().map(|(first, last)| Element::new(at(*first)).to(at(*last)).for_ms(ttl)));
            }
        }
        elements
    }

    /// The node's own loopback is asked by ICMP for an echo or the time alone, and only by runs with raw sockets.
    pub(super) fn to_stand_ins(&self, changes: &mut Changes, chain: &str) {
        let questions = |kinds: &'static [u8]| kinds.iter().copied().filter(|_| self.is_raw());
        if self.wired.forwards.v4 {
            let asked = [TCP, UDP].map(|protocol| self.v4_from_run().protocol(protocol)).into_iter();
            let kind = |kind: u8| of_kind(self.v4_from_run().protocol(ICMP), kind);
            for rule in asked.chain(questions(&QUESTIONS).map(kind)) {
                let fields = rule.load(NETWORK, 16, 4, register(0)).meta(L4PROTO, register(1));
                let fields = fields.load(TRANSPORT, 2, 2, register(2));
                changes.add_rule(chain, fields.in_set(&self.at("forward"), register(0)).accept());
            }
        }
        if self.wired.forwards.v6 {
            let asked = [TCP, UDP].map(|protocol| self.v6_from_run(protocol)).into_iter();
            let kind = |kind: u8| of_kind(self.v6_from_run(ICMPV6), kind);
            for rule in asked.chain(questions(&QUESTIONS6).map(kind)) {
                let fields = rule.load(NETWORK, 24, 16, register(0)).meta(L4PROTO, register(4));
                let fields = fields.load(TRANSPORT, 2, 2, register(5));
                changes.add_rule(chain, fields.in_set(&self.at("forward6"), register(0)).accept());
            }
        }
    }

    /// What a stand-in answers.
    pub(super) fn answers_of_stand_ins(&self, changes: &mut Changes, chain: &str) {
        if self.wired.forwards.v4 {
            let fields = self.v4_to_run().load(NETWORK, 12, 4, register(0)).meta(L4PROTO, register(1));
            let fields = fields.load(TRANSPORT, 0, 2, register(2));
            changes.add_rule(chain, fields.in_set(&self.at("forward"), register(0)).accept());
        }
        if self.wired.forwards.v6 {
            for protocol in [TCP, UDP, ICMPV6] {
                let fields = directly(self.v6_to_run(), protocol).load(NETWORK, 8, 16, register(0));
                let fields = fields.meta(L4PROTO, register(4)).load(TRANSPORT, 0, 2, register(5));
                changes.add_rule(chain, fields.in_set(&self.at("forward6"), register(0)).accept());
            }
        }
    }
}

fn of_kind(rule: Rule, kind: u8) -> Rule {
    rule.load(TRANSPORT, 0, 1, register(0)).compare(register(0), EQUAL, &[kind])
}
