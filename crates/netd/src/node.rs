//! What the helper holds of the node: the router, the node's side, who is connected. Everything changes under one lock,
//! and each change is undone when a later step of it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Shutdown},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use crate::{
    Forward, Granted, NetdSettings, Status,
    host::Host,
    link::Links,
    namespace::{Identity, identity, inside, own},
    policy::Checked,
    router::{Router, Wires},
    settings::MAX_STAND_INS,
    slot::{self, Wired, Wish},
};

/// Why a run was not connected.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request was wrong; the text says what was expected.
    Refused(String),
    /// The kernel could not do it.
    Kernel(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

/// The node's network for runs.
#[derive(Debug)]
pub(crate) struct Node {
    settings: NetdSettings,
    host: Host,
    router: Router,
    slots: BTreeSet<u32>,
    /// Those of them whose run has not begun, and who waits there.
    waiting: BTreeMap<u32, UnixStream>,
    /// Those for which it is counted what began too many connections: once begun, for good.
    counted: BTreeSet<u32>,
    /// Wires and rules that could not be removed. Their slots stay taken: the next run would find the last one's rules.
    stuck: Vec<Wired>,
    stand_ins: BTreeMap<IpAddr, StandIn>,
}

/// What tells a run's namespace from the node's own.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// The namespaces that no client may hand in.
    forbidden: Vec<Identity>,
}

#[derive(Debug)]
struct StandIn {
    /// Among those of IPv4; `::1` has the only one of IPv6.
    index: u32,
    users: u32,
}

/// A run that is wired; whom it reaches is said later, once.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) wired: Wired,
    pub(crate) loopback: Vec<IpAddr>,
    /// What was counted for the slot's runs before this one.
    hurried: u64,
}

impl Connected {
    /// A wire that reaches nobody yet.
    pub(crate) const fn new(wired: Wired) -> Self {
        Self { wired, loopback: Vec::new(), hurried: 0 }
    }

    /// Which of the node's slots it has.
    pub(crate) const fn slot(&self) -> u32 {
        self.wired.slot()
    }
}

impl Node {
    /// Takes the node over from a predecessor, dead or never born.
    pub(crate) fn connect(settings: &NetdSettings) -> io::Result<(Self, Foreign)> {
        let (host, router) = Host::connect(settings)?;
        let first = std::fs::File::open("/proc/1/ns/net").ok();
        let mut forbidden = vec![own()?];
        forbidden.extend(first.map(Into::into));
        let known = forbidden.iter().map(AsFd::as_fd).chain([router.namespace()]);
        let forbidden = known.map(identity).collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect();
        let node = Self {
            settings: settings.clone(),
            host,
            router,
            slots: BTreeSet::new(),
            waiting: BTreeMap::new(),
            counted: BTreeSet::new(),
            stuck: Vec::new(),
            stand_ins: BTreeMap::new(),
        };
        Ok((node, Foreign { forbidden }))
    }

    /// Leaves the node as it was; runs that are connected lose their way out.
    pub(crate) fn disconnect(&mut self) -> io::Result<()> {
        self.host.disconnect(&self.settings)
    }

    pub(crate) fn status(&mut self) -> io::Result<Status> {
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let dropped_packets = self.router.dropped()?.saturating_add(self.host.hurried()?);
        Ok(Status { slots, dropped_packets })
    }

    pub(crate) fn dropped_of(&mut self, connected: &Connected) -> io::Result<u64> {
        let (slot, before) = (connected.slot(), connected.hurried);
        let hurried = self.hurried_of(slot)?.saturating_sub(before);
        Ok(self.router.dropped_of(slot)?.saturating_add(hurried))
    }

    /// Runs that are not masqueraded may begin as many connections as they like.
    fn hurried_of(&mut self, slot: u32) -> io::Result<u64> {
        if self.counted.contains(&slot) { self.host.hurried_of(slot) } else { Ok(0) }
    }

    fn count_hurried(&mut self, slot: u32) -> io::Result<u64> {
        if self.settings.masquerade && !self.counted.contains(&slot) {
            self.host.count_hurried(slot, &self.settings)?;
            // A predecessor that was killed left what its runs began.
            Host::forget_run(&self.settings, slot)?;
            self.counted.insert(slot);
        }
        self.hurried_of(slot)
    }

    /// The lowest slot that nobody has. Workers of one node do not know of each other, so the helper gives slots out.
    pub(crate) fn free_slot(&self) -> Option<u32> {
        (0..self.settings.slots).find(|slot| !self.slots.contains(slot))
    }

    /// What wires runs.
    pub(crate) fn wires(&self) -> io::Result<Wires> {
        self.router.wires()
    }

    /// Takes a slot for a wire. Those that wait for their run leave half of the slots to others.
    pub(crate) fn take_slot(&mut self, waits: Option<&UnixStream>) -> Result<u32, Fault> {
        let all = self.settings.slots;
        let Some(slot) = self.free_slot() else {
            return Err(Fault::Refused(format!("expected a free slot, and all {all} are taken")));
        };
        if let Some(stream) = waits {
            if u32::try_from(self.waiting.len()).is_ok_and(|waiting| waiting >= all / 2) {
                return Err(Fault::Refused(format!("expected fewer than half of all {all} slots to wait for a run")));
            }
            self.waiting.insert(slot, stream.try_clone()?);
        }
        self.slots.insert(slot);
        Ok(slot)
    }

    /// Takes a wire away from somebody who only waits: its slot is free when its thread has seen that. Nobody's run ends by
    /// it, since a wire whose run begins waits no more.
    pub(crate) fn reclaim(&mut self) {
        if let Some((slot, stream)) = self.waiting.pop_first() {
            tracing::debug!(slot, "a wire that waits makes room for a run");
            // Whoever has gone already is as good.
            let _gone = stream.shutdown(Shutdown::Read);
        }
    }

    /// Whether the run of a wire that waited may begin: from now on nobody takes it away.
    pub(crate) fn begins(&mut self, slot: u32) -> bool {
        self.waiting.remove(&slot).is_some()
    }

    /// Gives a slot back, of which nothing is left.
    pub(crate) fn free(&mut self, slot: u32) {
        self.waiting.remove(&slot);
        self.slots.remove(&slot);
    }

    /// Keeps what could not be removed, and its slot.
    pub(crate) fn keep(&mut self, wired: Wired) {
        self.waiting.remove(&wired.slot());
        self.stuck.push(wired);
    }

    /// What could not be removed, to try again.
    pub(crate) fn take_stuck(&mut self) -> Vec<Wired> {
        std::mem::take(&mut self.stuck)
    }

    /// Removes the rules of a wire.
    pub(crate) fn revoke(&mut self, wired: &Wired) -> io::Result<()> {
        slot::revoke(&mut self.router, wired)
    }

    /// Lets a wired run reach whom it may.
    pub(crate) fn grant(&mut self, connected: &mut Connected, checked: &Checked) -> Result<Granted, Fault> {
        connected.hurried = self.count_hurried(connected.slot())?;
        let stand_ins = self.take_stand_ins(&checked.loopback)?;
        let wish = Wish { checked, stand_ins: &stand_ins };
        if let Err(error) = slot::grant(&mut self.router, &self.settings, &mut connected.wired, &wish) {
            self.give_stand_ins_back(&checked.loopback)?;
            return Err(error.into());
        }
        connected.loopback.clone_from(&checked.loopback);
        let forwards = forwards(&checked.loopback, stand_ins);
        Ok(Granted { address: self.settings.wire(connected.slot()).far.0, forwards })
    }

    /// Takes stand-ins without a run; they stay those of their addresses until they are given back.
    pub(crate) fn reserve(&mut self, loopback: &[IpAddr]) -> Result<Vec<Forward>, Fault> {
        Ok(forwards(loopback, self.take_stand_ins(loopback)?))
    }

    /// A stand-in for each address; runs that use the same address share it. Undone when one fails.
    fn take_stand_ins(&mut self, loopback: &[IpAddr]) -> Result<Vec<IpAddr>, Fault> {
        let mut taken = Vec::new();
        for (count, address) in loopback.iter().enumerate() {
            match self.take_stand_in(*address) {
                Ok(stand_in) => taken.push(stand_in),
                Err(fault) => {
                    self.give_stand_ins_back(loopback.get(..count).unwrap_or_default())?;
                    return Err(fault);
                }
            }
        }
        Ok(taken)
    }

    fn take_stand_in(&mut self, loopback: IpAddr) -> Result<IpAddr, Fault> {
        if let Some(known) = self.stand_ins.get_mut(&loopback) {
            known.users += 1;
            let index = known.index;
            return Ok(self.stand_in(loopback, index));
        }
        let used: BTreeSet<u32> =
            self.stand_ins.iter().filter(|(one, _)| one.is_ipv4()).map(|(_, known)| known.index).collect();
        let Some(index) = (0..MAX_STAND_INS).find(|index| !used.contains(index)) else {
            return Err(Fault::Refused("expected fewer than 256 loopback addresses in use".to_owned()));
        };
        let stand_in = self.stand_in(loopback, index);
        self.host.add_stand_in(stand_in, loopback)?;
        self.stand_ins.insert(loopback, StandIn { index, users: 1 });
        Ok(stand_in)
    }

    /// The address that stands for a loopback address.
    fn stand_in(&self, loopback: IpAddr, index: u32) -> IpAddr {
        match loopback {
            IpAddr::V4(_) => self.settings.stand_in(index).into(),
            IpAddr::V6(_) => self.settings.stand_in6().into(),
        }
    }

    /// The other half of it.
    pub(crate) fn give_stand_ins_back(&mut self, loopback: &[IpAddr]) -> io::Result<()> {
        let mut done = Ok(());
        for address in loopback {
            let Some(known) = self.stand_ins.get_mut(address) else { continue };
            known.users = known.users.saturating_sub(1);
            if known.users == 0 {
                let index = known.index;
                let stand_in = self.stand_in(*address, index);
                self.stand_ins.remove(address);
                done = done.and(self.host.remove_stand_in(stand_in, *address));
            }
        }
        done
    }
}

impl Foreign {
    /// Whether a namespace is empty and nobody's own. How much is in it is its owner's choice, so it is looked at before
    /// the node is held.
    pub(crate) fn inspect(&self, namespace: BorrowedFd<'_>) -> Result<(), Fault> {
        let refused = |text: &str| Err(Fault::Refused(text.to_owned()));
        let Some(which) = identity(namespace)? else {
            return refused("expected the descriptor of a network namespace");
        };
        if self.forbidden.contains(&which) {
            return refused("expected a network namespace of the run's own");
        }
        match inside(namespace, || Links::here()?.all()) {
            Ok(links) if links.iter().any(|link| link.leads_out()) => {
                refused("expected an empty network namespace, and this one is connected already")
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                refused("expected the descriptor of a network namespace")
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn forwards(loopback: &[IpAddr], stand_ins: Vec<IpAddr>) -> Vec<Forward> {
    loopback.iter().zip(stand_ins).map(|(loopback, stand_in)| Forward { loopback: *loopback, stand_in }).collect()
}
