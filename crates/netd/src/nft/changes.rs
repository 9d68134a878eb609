//! One transaction on one table: everything in it happens, or nothing. What is added must not be there yet: a leftover of
//! another run is an error and never a part of this one's rules.

use std::io;

use super::{Element, Field, Rule, Set, TIMEOUTS, set};
use crate::netlink::{APPEND, Attributes, CREATE, EXCLUSIVE, Message, Netlink, attribute};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Elements of one message; a list of attributes ends at 64 KiB.
const CHUNK: usize = 800;

/// Only the socket that made a table changes or removes it (`NFT_TABLE_F_OWNER`, since Linux 5.12), and it stays when that
/// is closed (`NFT_TABLE_F_PERSIST`, since 6.9): with the first alone nothing would be filtered between a helper's death and
/// the end of its router.
const OWNED: u32 = 0x2 | 0x4;

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;
const NEW_OBJECT: u16 = 18;
const GET_OBJECT: u16 = 19;
const DELETE_OBJECT: u16 = 20;
/// The kind of object that counts.
const COUNTER: u32 = 1;

/// Where in a packet's way a chain stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    /// Before it is decided where a packet goes.
    Prerouting,
    /// To this namespace itself; for ARP: everything that comes in.
    Input,
    /// Through this namespace.
    Forward,
    /// From this namespace itself.
    Output,
    /// Just before a packet leaves.
    Postrouting,
}

impl Hook {
    const fn number(self, family: u8) -> u32 {
        match self {
            Self::Input if family == super::ARP => 0,
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
}

/// What a chain may do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Decide.
    Filter,
    /// Change addresses by connection.
    Nat,
}

/// A chain that the kernel calls.
#[derive(Debug)]
pub(crate) struct Base<'a> {
    /// Its name in the table.
    pub(crate) name: &'a str,
    /// What it may do.
    pub(crate) kind: Kind,
    /// Where it stands.
    pub(crate) hook: Hook,
    /// Lower ones come first; 0 is that of ordinary filters.
    pub(crate) priority: i32,
    /// Whether a packet that no rule decided is dropped.
    pub(crate) drops: bool,
}

/// Whether others may remove a table, as `nft flush ruleset` removes all that it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nobody, until the socket that made it is closed.
    Owned,
    /// Whoever may change the packet filter of this namespace.
    Open,
}

/// Makes tables that are guarded, and open ones where the kernel knows no such guard.
pub(crate) fn guarded(mut make: impl FnMut(Guard) -> io::Result<()>) -> io::Result<()> {
    match make(Guard::Owned) {
        // Before Linux 5.12 it is an invalid number, and until 6.9 one that is not supported.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            make(Guard::Open)?;
            tracing::warn!(
                "this kernel is older than 6.9: whoever flushes the packet filter opens the network of runs"
            );
            Ok(())
        }
        made => made,
    }
}

/// A transaction that is being written.
#[derive(Debug)]
pub(crate) struct Changes {
    family: u8,
    table: String,
    messages: Vec<Message>,
    sets: u32,
}

impl Changes {
    pub(crate) fn of(family: u8, table: &str) -> Self {
        Self { family, table: table.to_owned(), messages: Vec::new(), sets: 0 }
    }

    fn push(&mut self, kind: u16, flags: u16, attributes: &Attributes) {
        self.messages.push(message(self.family, kind, flags, attributes));
    }

    fn named(&self, name: &str) -> Attributes {
        Attributes::new().text(1, &self.table).text(2, name)
    }

    pub(crate) fn add_table(&mut self, guard: Guard) {
        let table = Attributes::new().text(1, &self.table);
        let table = if guard == Guard::Owned { table.be32(2, OWNED) } else { table };
        self.push(NEW_TABLE, CREATE | EXCLUSIVE, &table);
    }

    pub(crate) fn delete_table(&mut self) {
        self.push(DELETE_TABLE, 0, &Attributes::new().text(1, &self.table));
    }

    pub(crate) fn add_base(&mut self, base: &Base<'_>) {
        let hook = Attributes::new().be32(1, base.hook.number(self.family)).put(2, &base.priority.to_be_bytes());
        let kind = match base.kind {
            Kind::Filter => "filter",
            Kind::Nat => "nat",
        };
        let chain = Attributes::new().text(1, &self.table).text(3, base.name).nest(4, hook);
        self.push(NEW_CHAIN, CREATE | EXCLUSIVE, &chain.be32(5, u32::from(!base.drops)).text(7, kind));
    }

    pub(crate) fn add_chain(&mut self, name: &str) {
        self.push(NEW_CHAIN, CREATE | EXCLUSIVE, &Attributes::new().text(1, &self.table).text(3, name));
    }

    /// Removes a chain with its rules; nothing may lead to it any more.
    pub(crate) fn delete_chain(&mut self, name: &str) {
        self.push(DELETE_CHAIN, 0, &Attributes::new().text(1, &self.table).text(3, name));
    }

    pub(crate) fn add_rule(&mut self, chain: &str, rule: Rule) {
        self.push(NEW_RULE, CREATE | APPEND, &self.named(chain).nest(4, rule.into_attributes()));
    }

    pub(crate) fn add_set(&mut self, set: &Set<'_>) {
        self.sets += 1;
        self.push(NEW_SET, CREATE | EXCLUSIVE, &self.named(set.name).append(&set.attributes(self.sets)));
    }

    /// A set for [`Rule::over`].
    pub(crate) fn add_meter(&mut self, name: &str, field: Field) {
        self.sets += 1;
        self.push(NEW_SET, CREATE | EXCLUSIVE, &self.named(name).append(&set::meter(field, self.sets)));
    }

    /// A policy for [`Rule::forgotten_by`]: seconds by the protocol's own numbers of its states
    /// (`linux/netfilter/nfnetlink_cttimeout.h`).
    pub(crate) fn add_timeouts(&mut self, name: &str, protocol: u8, seconds: &[(u16, u32)]) {
        let data = seconds.iter().fold(Attributes::new(), |data, (state, seconds)| data.be32(*state, *seconds));
        let policy = Attributes::new().put(2, &[protocol]).nest(3, data);
        self.push(NEW_OBJECT, CREATE | EXCLUSIVE, &self.named(name).be32(3, TIMEOUTS).nest(4, policy));
    }

    pub(crate) fn delete_set(&mut self, name: &str) {
        self.push(DELETE_SET, 0, &self.named(name));
    }

    pub(crate) fn add_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(NEW_ELEMENTS, CREATE, set, elements);
    }

    pub(crate) fn delete_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(DELETE_ELEMENTS, 0, set, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(CHUNK) {
            let list = chunk.iter().fold(Attributes::new(), |list, element| list.nest(1, element.attributes()));
            self.push(kind, flags, &self.named(set).nest(3, list));
        }
    }

    pub(crate) fn add_counter(&mut self, name: &str) {
        self.push(NEW_OBJECT, CREATE | EXCLUSIVE, &self.named(name).be32(3, COUNTER).nest(4, Attributes::new()));
    }

    pub(crate) fn delete_counter(&mut self, name: &str) {
        self.push(DELETE_OBJECT, 0, &self.named(name).be32(3, COUNTER));
    }

    /// Does the changes of another table in the same transaction.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.messages.append(&mut other.messages);
    }

    /// Makes the changes in the namespace of the socket.
    pub(crate) fn apply(mut self, filter: &mut Netlink) -> io::Result<()> {
        let Some(last) = self.messages.pop() else { return Ok(()) };
        let mut batch = vec![boundary(BATCH_BEGIN)];
        batch.append(&mut self.messages);
        batch.push(last.acknowledged());
        batch.push(boundary(BATCH_END));
        filter.transact(&batch).map(drop)
    }
}

/// The structure `nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn message(family: u8, kind: u16, flags: u16, attributes: &Attributes) -> Message {
    Message::new((SUBSYSTEM << 8) | kind, flags, &header(family, 0), attributes)
}

fn boundary(kind: u16) -> Message {
    Message::new(kind, 0, &header(0, SUBSYSTEM), &Attributes::new())
}

/// How many packets the counter `name` of a table has seen.
pub(crate) fn counter_packets(filter: &mut Netlink, family: u8, table: &str, name: &str) -> io::Result<u64> {
    let which = Attributes::new().text(1, table).text(2, name).be32(3, COUNTER);
    let replies = filter.ask(message(family, GET_OBJECT, 0, &which))?;
    let packets = replies.first().and_then(|reply| {
        let data = attribute(reply.body.get(4..)?, 4)?;
        Some(u64::from_be_bytes(attribute(data, 2)?.try_into().ok()?))
    });
    packets.ok_or_else(|| io::Error::other("the packet filter's counter has no number"))
}

/// Whether a table has a chain of this name.
pub(crate) fn has_chain(filter: &mut Netlink, family: u8, table: &str, name: &str) -> io::Result<bool> {
    let which = Attributes::new().text(1, table).text(3, name);
    match filter.ask(message(family, GET_CHAIN, 0, &which)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
