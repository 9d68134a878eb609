//! One rule: expressions that load registers, compare them, and end in a verdict. The first that does not match ends it.

use super::{IPV4, IPV6};
use crate::netlink::Attributes;

const LIST_ELEM: u16 = 1;

/// Key of `meta`: the number of the interface a packet came in by.
pub(crate) const IIF: u32 = 4;
/// The number of the interface a packet goes out by.
pub(crate) const OIF: u32 = 5;
/// The name of the interface a packet goes out by.
pub(crate) const OIFNAME: u32 = 7;
/// The protocol in an IP packet.
pub(crate) const L4PROTO: u32 = 16;
const NFPROTO: u32 = 15;

/// Where an offset of `payload` counts from: the header of IP or ARP.
pub(crate) const NETWORK: u32 = 1;
/// The header behind it.
pub(crate) const TRANSPORT: u32 = 2;

/// Comparison of `cmp`.
pub(crate) const EQUAL: u32 = 0;
/// Comparison of `cmp`.
pub(crate) const NOT_EQUAL: u32 = 1;

/// States of a connection as bits (`NF_CT_STATE_BIT`).
pub(crate) const CT_ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// The first packet of a connection, which is in no table yet.
pub(crate) const CT_NEW: u32 = 8;

const VERDICT: u32 = 0;
const ACCEPT: i32 = 1;
const DROP: i32 = 0;
const GOTO: i32 = -4;

/// The number of the `n`th register of four bytes.
pub(crate) const fn register(n: u32) -> u32 {
    8 + n
}

/// A rule that is being written.
#[derive(Debug, Default)]
pub(crate) struct Rule(Attributes);

impl Rule {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The expressions as a list.
    pub(crate) fn into_attributes(self) -> Attributes {
        self.0
    }

    fn expression(self, name: &str, data: Attributes) -> Self {
        Self(self.0.nest(LIST_ELEM, Attributes::new().text(1, name).nest(2, data)))
    }

    /// Loads a fact about the packet.
    pub(crate) fn meta(self, what: u32, to: u32) -> Self {
        self.expression("meta", Attributes::new().be32(1, to).be32(2, what))
    }

    /// Loads bytes of the packet.
    pub(crate) fn load(self, base: u32, offset: u32, length: u32, to: u32) -> Self {
        self.expression("payload", Attributes::new().be32(1, to).be32(2, base).be32(3, offset).be32(4, length))
    }

    /// Writes four bytes into the packet, and corrects the checksum at `checksum` of the same header for them; with
    /// `pseudo` also the one of TCP or UDP, which counts addresses.
    pub(crate) fn store(self, base: u32, offset: u32, checksum: u32, pseudo: bool, from: u32) -> Self {
        let place = Attributes::new().be32(5, from).be32(2, base).be32(3, offset).be32(4, 4);
        self.expression("payload", place.be32(6, 1).be32(7, checksum).be32(8, u32::from(pseudo)))
    }

    /// Writes an address into the header of IPv6, which has no checksum, and corrects the one behind it, which counts
    /// addresses.
    pub(crate) fn store_address6(self, offset: u32, from: u32) -> Self {
        let place = Attributes::new().be32(5, from).be32(2, NETWORK).be32(3, offset).be32(4, 16);
        self.expression("payload", place.be32(6, 0).be32(7, 0).be32(8, 1))
    }

    /// Writes an address into what a message of ICMPv6 is about, and corrects the message's checksum.
    pub(crate) fn store_reported6(self, offset: u32, from: u32) -> Self {
        let place = Attributes::new().be32(5, from).be32(2, TRANSPORT).be32(3, offset).be32(4, 16);
        self.expression("payload", place.be32(6, 1).be32(7, 2).be32(8, 0))
    }

    /// Goes on when the register begins with `value`.
    pub(crate) fn compare(self, register: u32, how: u32, value: &[u8]) -> Self {
        let value = Attributes::new().put(1, value);
        self.expression("cmp", Attributes::new().be32(1, register).be32(2, how).nest(3, value))
    }

    /// Keeps the bits of `mask`.
    pub(crate) fn mask(self, register: u32, mask: &[u8]) -> Self {
        let nothing = vec![0; mask.len()];
        let data = Attributes::new().be32(1, register).be32(2, register).be32(3, count(mask.len()));
        let data = data.nest(4, Attributes::new().put(1, mask)).nest(5, Attributes::new().put(1, &nothing));
        self.expression("bitwise", data)
    }

    /// Goes on when the registers from `register` on are in the set.
    pub(crate) fn in_set(self, set: &str, register: u32) -> Self {
        self.expression("lookup", Attributes::new().text(1, set).be32(2, register))
    }

    /// Goes on when the registers from `register` on are not in the set.
    pub(crate) fn not_in_set(self, set: &str, register: u32) -> Self {
        self.expression("lookup", Attributes::new().text(1, set).be32(2, register).be32(5, 1))
    }

    /// Goes on when the register is in the map, and puts what belongs to it into `to`.
    pub(crate) fn map(self, map: &str, register: u32, to: u32) -> Self {
        self.expression("lookup", Attributes::new().text(1, map).be32(2, register).be32(3, to))
    }

    /// The verdict that belongs to the register in the map.
    pub(crate) fn verdict_of(self, map: &str, register: u32) -> Self {
        self.map(map, register, VERDICT)
    }

    /// Adds one to a counter that has a name.
    pub(crate) fn count(self, counter: &str) -> Self {
        self.expression("objref", Attributes::new().be32(1, 1).text(2, counter))
    }

    /// Goes on when whoever the register names sends more than so many packets in a second, beyond a first `burst`. Each has
    /// an element of its own in the meter.
    pub(crate) fn over(self, meter: &str, register: u32, per_second: u64, burst: u32) -> Self {
        // Packets, and the condition the other way around: it holds when the limit is passed.
        let limit = Attributes::new().be64(1, per_second).be64(2, 1).be32(3, burst).be32(4, 0).be32(5, 1);
        let limit = Attributes::new().text(1, "limit").nest(2, limit);
        self.expression("dynset", Attributes::new().text(1, meter).be32(3, 1).be32(4, register).nest(7, limit))
    }

    /// Lets the table of connections forget a new one as the policy of that name says.
    pub(crate) fn forgotten_by(self, policy: &str) -> Self {
        self.expression("objref", Attributes::new().be32(1, super::TIMEOUTS).text(2, policy))
    }

    /// Goes on when the connection is in one of `states`.
    pub(crate) fn connection(self, states: u32, scratch: u32) -> Self {
        let loaded = self.expression("ct", Attributes::new().be32(1, scratch).be32(2, 0));
        loaded.mask(scratch, &states.to_ne_bytes()).compare(scratch, NOT_EQUAL, &0_u32.to_ne_bytes())
    }

    /// Keeps the packet away from the table of connections.
    pub(crate) fn untracked(self) -> Self {
        self.expression("notrack", Attributes::new())
    }

    /// Gives the packet the address of the interface that it leaves by.
    pub(crate) fn masquerade(self) -> Self {
        self.expression("masq", Attributes::new())
    }

    /// Lets the packet pass this chain.
    pub(crate) fn accept(self) -> Self {
        self.verdict(&verdict(ACCEPT, None))
    }

    /// Ends the packet.
    pub(crate) fn drop(self) -> Self {
        self.verdict(&verdict(DROP, None))
    }

    /// Goes on in another chain, and comes back from none.
    pub(crate) fn go_to(self, chain: &str) -> Self {
        self.verdict(&go_to(chain))
    }

    fn verdict(self, verdict: &Attributes) -> Self {
        let data = Attributes::new().be32(1, VERDICT).nest(2, Attributes::new().append(verdict));
        self.expression("immediate", data)
    }

    /// Goes on for packets of IPv4; uses the last register.
    pub(crate) fn ipv4(self) -> Self {
        self.meta(NFPROTO, register(15)).compare(register(15), EQUAL, &[IPV4])
    }

    /// Goes on for packets of IPv6; uses the last register.
    pub(crate) fn ipv6(self) -> Self {
        self.meta(NFPROTO, register(15)).compare(register(15), EQUAL, &[IPV6])
    }

    /// Goes on for one protocol; uses the last register.
    pub(crate) fn protocol(self, protocol: u8) -> Self {
        self.meta(L4PROTO, register(15)).compare(register(15), EQUAL, &[protocol])
    }

    /// Goes on when an interface ([`IIF`], [`OIF`]) is, or is not, the one of this number; uses the last register.
    pub(crate) fn interface(self, which: u32, how: u32, index: u32) -> Self {
        self.meta(which, register(15)).compare(register(15), how, &index.to_ne_bytes())
    }
}

/// The value of a verdict that goes on in another chain, for maps.
pub(super) fn go_to(chain: &str) -> Attributes {
    verdict(GOTO, Some(chain))
}

fn verdict(code: i32, chain: Option<&str>) -> Attributes {
    let code = Attributes::new().put(1, &code.to_be_bytes());
    Attributes::new()
        .nest(2, chain.map_or_else(Attributes::new, |chain| Attributes::new().text(2, chain)).append(&code))
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
