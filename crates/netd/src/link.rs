//! Links, addresses, routes and neighbors by rtnetlink (`rtnetlink(7)`, `linux/if_link.h`, `linux/rtnetlink.h`).

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    thread,
    time::Duration,
};

use crate::{
    netlink::{APPEND, Attributes, CREATE, DUMP, EXCLUSIVE, Message, Netlink, attribute},
    nft::octets,
};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOR: u16 = 28;
/// The kind of route that leads to this namespace itself.
const LOCAL: u8 = 2;

const INET: u8 = 2;
const INET6: u8 = 10;
const UP: u32 = 1;
const LOOPBACK: u32 = 8;
/// No looking for another machine of that address: an IPv6 address works at once.
const NO_DAD: u32 = 2;
const PERMANENT: u16 = 0x80;
/// RFC 2863's "up".
const OPERATIONAL: u8 = 6;
/// How often, a millisecond apart, it is looked whether the kernel has begun to use a wire.
const LOOKS: u32 = 200;

/// Per-interface settings of IPv4, by their numbers in `linux/ip.h`.
pub(crate) const FORWARDING: u16 = 1;
/// Lets packets to and from 127.0.0.0/8 in and out by this interface.
pub(crate) const ROUTE_LOCALNET: u16 = 26;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// A veth pair that is to be made.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    /// The name of the end in this namespace.
    pub(crate) name: &'a str,
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// The name of the other end.
    pub(crate) peer: &'a str,
    /// Its hardware address.
    pub(crate) peer_mac: Mac,
    /// Where the other end is put.
    pub(crate) peer_namespace: BorrowedFd<'a>,
    /// The longest packet, for both.
    pub(crate) mtu: u32,
}

/// An interface that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number.
    pub(crate) index: u32,
    /// Its longest packet.
    pub(crate) mtu: u32,
    up: bool,
    loopback: bool,
    operational: bool,
}

impl Link {
    /// Whether it leads anywhere.
    pub(crate) const fn leads_out(&self) -> bool {
        self.up && !self.loopback
    }
}

/// The links, addresses and routes of one namespace.
#[derive(Debug)]
pub(crate) struct Links(Netlink);

impl Links {
    /// Of the namespace that the calling thread is in.
    pub(crate) fn here() -> io::Result<Self> {
        Ok(Self(Netlink::route()?))
    }

    /// Of the namespace in which somebody else opened the socket.
    pub(crate) fn from_socket(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(Netlink::from_socket(socket)?))
    }

    /// Makes a pair and returns the number of this end.
    pub(crate) fn add_pair(&mut self, pair: &Pair<'_>) -> io::Result<u32> {
        let namespace = u32::try_from(pair.peer_namespace.as_raw_fd()).map_err(io::Error::other)?;
        let peer = named(pair.peer, pair.peer_mac, pair.mtu).ne32(28, namespace);
        let data = Attributes::new().put(1, &peer.behind(&link_header(0, 0, 0)));
        let info = Attributes::new().text(1, "veth").nest(2, data);
        let list = named(pair.name, pair.mac, pair.mtu).nest(18, info);
        self.0.ask(Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link_header(0, 0, 0), &list))?;
        self.index_of(pair.name)
    }

    /// The number of an interface.
    pub(crate) fn index_of(&mut self, name: &str) -> io::Result<u32> {
        self.get(name).map(|link| link.index)
    }

    fn get(&mut self, name: &str) -> io::Result<Link> {
        let which = Attributes::new().text(3, name);
        let replies = self.0.ask(Message::new(GET_LINK, 0, &link_header(0, 0, 0), &which))?;
        replies.first().and_then(|reply| read(&reply.body)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Waits until the kernel has seen that the other end of a wire is up; before that it throws away what goes in here.
    /// After a fifth of a second the wire is used as it is.
    pub(crate) fn settle(&mut self, name: &str) -> io::Result<()> {
        for _ in 0..LOOKS {
            if self.get(name)?.operational {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until this namespace takes packets to an IPv6 address of its own: the kernel makes the route for it later, by
    /// itself, also where it looks for no other machine of that address.
    pub(crate) fn settle_address(&mut self, address: Ipv6Addr) -> io::Result<()> {
        let header = [INET6, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for _ in 0..LOOKS {
            let to = Attributes::new().put(1, &address.octets());
            let replies = self.0.ask(Message::new(GET_ROUTE, 0, &header, &to))?;
            if replies.first().and_then(|reply| reply.body.get(7)) == Some(&LOCAL) {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// All interfaces.
    pub(crate) fn all(&mut self) -> io::Result<Vec<Link>> {
        let replies = self.0.ask(Message::new(GET_LINK, DUMP, &link_header(0, 0, 0), &Attributes::new()))?;
        Ok(replies.iter().filter(|reply| reply.kind == NEW_LINK).filter_map(|reply| read(&reply.body)).collect())
    }

    pub(crate) fn up(&mut self, index: u32) -> io::Result<()> {
        self.set(index, UP, &Attributes::new())
    }

    /// Switches settings of IPv4 on for one interface.
    pub(crate) fn switch_on(&mut self, index: u32, settings: &[u16]) -> io::Result<()> {
        let list = settings.iter().fold(Attributes::new(), |list, setting| list.ne32(*setting, 1));
        let family = Attributes::new().nest(u16::from(INET), Attributes::new().nest(1, list));
        self.set(index, 0, &Attributes::new().nest(26, family))
    }

    fn set(&mut self, index: u32, flags: u32, attributes: &Attributes) -> io::Result<()> {
        self.0.ask(Message::new(SET_LINK, 0, &link_header(index, flags, flags), attributes)).map(drop)
    }

    /// Removes an interface, and with it its other end.
    pub(crate) fn delete(&mut self, index: u32) -> io::Result<()> {
        self.0.ask(Message::new(DELETE_LINK, 0, &link_header(index, 0, 0), &Attributes::new())).map(drop)
    }

    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let header = [&[family(address), prefix, 0, 0][..], &index.to_ne_bytes()].concat();
        let bytes = octets(address);
        let list = Attributes::new().put(1, &bytes).put(2, &bytes).ne32(8, NO_DAD);
        self.0.ask(Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE, &header, &list)).map(drop)
    }

    /// The way to `to`, or to everything, is through `via`.
    pub(crate) fn add_route(&mut self, to: Option<(IpAddr, u8)>, via: IpAddr, index: u32) -> io::Result<()> {
        // Table 254 is the main one; protocol 4 is "by an administrator"; type 1 is a host or a network.
        let prefix = to.map_or(0, |(_, prefix)| prefix);
        let header = [family(via), prefix, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        let list = Attributes::new().put(5, &octets(via)).ne32(4, index);
        let list = to.iter().fold(list, |list, (net, _)| list.put(1, &octets(*net)));
        self.0.ask(Message::new(NEW_ROUTE, CREATE | APPEND, &header, &list)).map(drop)
    }

    /// What comes in by this interface for `address` is for this machine itself, behind the routes that say so already.
    pub(crate) fn add_local(&mut self, address: Ipv6Addr, index: u32) -> io::Result<()> {
        // Table 255 is that of what is local.
        let header = [INET6, 128, 0, 0, 255, 4, 0, LOCAL, 0, 0, 0, 0];
        let list = Attributes::new().put(1, &address.octets()).ne32(4, index);
        self.0.ask(Message::new(NEW_ROUTE, CREATE | APPEND, &header, &list)).map(drop)
    }

    /// Who has an address is known for good: nobody on the wire can claim it.
    pub(crate) fn add_neighbor(&mut self, index: u32, address: IpAddr, mac: Mac) -> io::Result<()> {
        let [low, high] = PERMANENT.to_ne_bytes();
        let header = [&[family(address), 0, 0, 0][..], &index.to_ne_bytes(), &[low, high, 0, 0]].concat();
        let list = Attributes::new().put(1, &octets(address)).put(2, &mac);
        self.0.ask(Message::new(NEW_NEIGHBOR, CREATE | EXCLUSIVE, &header, &list)).map(drop)
    }
}

const fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

fn named(name: &str, mac: Mac, mtu: u32) -> Attributes {
    Attributes::new().text(3, name).put(1, &mac).ne32(4, mtu)
}

/// The structure `ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [0_u32, index, flags, change].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn read(body: &[u8]) -> Option<Link> {
    let word = |at: usize| body.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let mtu = attribute(body.get(16..)?, 4)?.try_into().ok().map(u32::from_ne_bytes)?;
    let flags = word(8)?;
    let operational = attribute(body.get(16..)?, 16)? == [OPERATIONAL];
    Some(Link { index: word(4)?, mtu, up: flags & UP != 0, loopback: flags & LOOPBACK != 0, operational })
}
