//! What runs may take of the node's table of connections. Their packets are masqueraded, so each connection has a place in
//! it, which the node's own traffic needs too: what nobody answered is forgotten soon, and no run begins more in a second
//! than a scanner does. Nothing is left there of a run that has ended: who has its address next hears none of its answers.
//! Without masquerading runs are in no table.

use std::{io, net::IpAddr, ops::ControlFlow};

use crate::{
    NetdSettings,
    netlink::{Attributes, DUMP, Message, NESTED, Netlink, attribute},
    nft::{
        CT_NEW, Changes, Data, EQUAL, Element, Field, ICMP, ICMPV6, IIF, NETWORK, Rule, Set, TCP, UDP, octets, register,
    },
    settings::Ends,
    slot,
};

/// Counts the connections that were not begun, and names the chain that ends them.
pub(super) const HURRIED: &str = "hurried";
/// From a run's address to the chain that counts for its slot.
const COUNTED: [(&str, Field); 2] = [("hurried4", Field::Ipv4), ("hurried6", Field::Ipv6)];
/// The most that a run may begin in a second for long: nmap sends 1,000 packets (`--max-rate`), others fewer.
const BEGUN_PER_SECOND: u64 = 1_500;
/// And at once.
const BEGUN_AT_ONCE: u32 = 3_000;

/// Seconds after which a connection that nobody answered, or that was ended, is forgotten.
const UNANSWERED: u32 = 5;
/// Seconds without a packet after which one is forgotten that was answered.
const IDLE: u32 = 300;
/// The same over UDP, where nobody says that he has ended.
const IDLE_UDP: u32 = 30;

/// The name of a policy, the protocol, seconds by state.
type Policy = (&'static str, u8, &'static [(u16, u32)]);

/// One for each protocol.
const POLICIES: [Policy; 4] = [
    (
        "forget_tcp",
        TCP,
        &[
            (1, UNANSWERED), // after the first packet
            (2, UNANSWERED),
            (3, IDLE), // established
            (4, UNANSWERED),
            (5, UNANSWERED),
            (6, UNANSWERED),
            (7, UNANSWERED),
            (8, UNANSWERED),
            (9, UNANSWERED),
            (10, IDLE),       // sent again and again
            (11, UNANSWERED), // begun in the middle, and nobody answers
        ],
    ),
    ("forget_udp", UDP, &[(1, UNANSWERED), (2, IDLE_UDP)]),
    ("forget_icmp", ICMP, &[(1, UNANSWERED)]),
    ("forget_icmpv6", ICMPV6, &[(1, UNANSWERED)]),
];

/// Puts the rules at the beginning of the chain `forward`.
pub(super) fn bound(changes: &mut Changes, settings: &NetdSettings, index: u32) {
    changes.add_counter(HURRIED);
    end_hurried(changes);
    let begins = || Rule::new().interface(IIF, EQUAL, index).connection(CT_NEW, register(14));
    meter(changes, "begun4", Field::Ipv4, begins().ipv4().load(NETWORK, 12, 4, register(0)));
    if settings.ipv6 {
        meter(changes, "begun6", Field::Ipv6, begins().ipv6().load(NETWORK, 8, 16, register(0)));
    }
    for (name, protocol, seconds) in POLICIES {
        changes.add_timeouts(name, protocol, seconds);
        changes.add_rule("forward", begins().protocol(protocol).forgotten_by(name));
    }
}

/// Whoever `source` loads may begin so many.
fn meter(changes: &mut Changes, name: &str, field: Field, source: Rule) {
    changes.add_meter(name, field);
    let over = source.over(name, register(0), BEGUN_PER_SECOND, BEGUN_AT_ONCE);
    changes.add_rule("forward", over.count(HURRIED).go_to(HURRIED));
}

/// Who began too many is told apart before his packet ends.
fn end_hurried(changes: &mut Changes) {
    changes.add_chain(HURRIED);
    let from =
        [Rule::new().ipv4().load(NETWORK, 12, 4, register(0)), Rule::new().ipv6().load(NETWORK, 8, 16, register(0))];
    for ((map, field), from) in COUNTED.into_iter().zip(from) {
        let data = Some(Data::Verdict);
        changes.add_set(&Set { name: map, key: &[field], data, ranges: false, expires: false });
        changes.add_rule(HURRIED, from.verdict_of(map, register(0)));
    }
    changes.add_rule(HURRIED, Rule::new().drop());
}

/// The counter of a slot.
pub(super) fn counter(slot: u32) -> String {
    slot::name(HURRIED, slot)
}

/// Counts for a slot from now on, whichever run has it.
pub(super) fn count(changes: &mut Changes, slot: u32, ends: &Ends) {
    let chain = counter(slot);
    changes.add_counter(&chain);
    changes.add_chain(&chain);
    changes.add_rule(&chain, Rule::new().count(&chain).drop());
    for ((map, _), address) in COUNTED.into_iter().zip([octets(ends.far.0.into()), octets(ends.far.1.into())]) {
        changes.add_elements(map, &[Element::new(address).leads_to(&chain)]);
    }
}

/// Messages about connections (`linux/netfilter/nfnetlink_conntrack.h`): get, delete, say how many there are.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
const COUNT: u16 = (1 << 8) | 5;
/// Who speaks with whom, as the connection was begun; the addresses in it; what the kernel compares.
const BEGUN: u16 = 1;
const ADDRESSES: u16 = 1;
const FILTER: u16 = 25;
/// Connections that are held at a time: the kernel is asked again for those that are left.
const MOST: usize = 1 << 10;
/// How often it is asked: for four million connections, which is more than an ordinary node has room for.
const ROUNDS: u32 = 1 << 12;
/// How often a connection is deleted that the kernel does not delete.
const VAIN_ROUNDS: u32 = 3;

/// Lets the table forget every connection that `address` began, who begins none any more. The thread must be in the node's
/// namespace. What cannot be deleted keeps no other one.
///
/// # Errors
/// The kernel's last one, when some are left; [`io::ErrorKind::Unsupported`] where it has no way to ask for that
/// (`nf_conntrack_netlink`).
pub(crate) fn forget(address: IpAddr) -> io::Result<()> {
    let (mut vain, mut last) = (0, io::Error::other("the table of connections has no end"));
    for _ in 0..ROUNDS {
        let left = begun_by(address).map_err(unsupported)?;
        if left.is_empty() {
            return Ok(());
        }
        if let Err(error) = delete(address, &left) {
            (vain, last) = (vain + 1, error);
        }
        if vain >= VAIN_ROUNDS {
            break;
        }
    }
    Err(last)
}

/// The kernel's family and its name for a source of it.
const fn family_of(address: IpAddr) -> ([u8; 4], u16) {
    if address.is_ipv4() { ([2, 0, 0, 0], 1) } else { ([10, 0, 0, 0], 3) }
}

/// Connections that `address` began, as the kernel names them, and no more than are held at a time.
fn begun_by(address: IpAddr) -> io::Result<Vec<Vec<u8>>> {
    let ((header, source), bytes) = (family_of(address), octets(address));
    let addresses = Attributes::new().nest(ADDRESSES, Attributes::new().put(source, &bytes));
    // The first bit means the source.
    let wanted = Attributes::new().nest(BEGUN, addresses).nest(FILTER, Attributes::new().ne32(1, 1));
    let mut found = Vec::new();
    Netlink::filter()?.dump(Message::new(GET, DUMP, &header, &wanted), &mut |reply| {
        let begun = reply.body.get(4..).and_then(|list| attribute(list, BEGUN));
        let from = begun.and_then(|begun| attribute(begun, ADDRESSES)).and_then(|list| attribute(list, source));
        // A kernel before 5.8 tells of all.
        found.extend(begun.filter(|_| from == Some(bytes.as_slice())).map(<[u8]>::to_vec));
        if found.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(Ok(())) }
    })?;
    Ok(found)
}

/// Deletes each, whatever becomes of the others; the last error.
fn delete(address: IpAddr, connections: &[Vec<u8>]) -> io::Result<()> {
    let (mut table, mut done) = (Netlink::filter()?, Ok(()));
    for begun in connections {
        let which = Attributes::new().put(BEGUN | NESTED, begun);
        match table.ask(Message::new(DELETE, 0, &family_of(address).0, &which)) {
            // It ended by itself meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => done = Err(error),
            Ok(_) => {}
        }
    }
    done
}

/// A kernel that knows no such messages refuses the plainest of them as malformed (`nfnetlink_rcv_msg`).
fn unsupported(error: io::Error) -> io::Error {
    let asked = Netlink::filter().and_then(|mut table| table.ask(Message::new(COUNT, 0, &[0; 4], &Attributes::new())));
    match asked {
        Err(refused) if refused.kind() == io::ErrorKind::InvalidInput => io::ErrorKind::Unsupported.into(),
        _ => error,
    }
}
