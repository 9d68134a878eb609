//! Under which addresses a run sees its targets. In a network namespace of its own 127.0.0.1 and `::1` are the run itself, so a
//! loopback address of the host that an operator allows appears under a stand-in; what the tool then says of the stand-in
//! is translated back.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use picket_domain::{Observation, PinnedHost, SandboxLevel, Shard};
use picket_netd::{Forward, NetdClient, Reservation, USER_GATEWAY, USER_GATEWAY6, USER_NETWORK, USER_NETWORK6};

use super::Ways;
use super::whole::replace_whole;
use crate::SandboxError;

/// How the targets of runs are reached, at one level. While one of its copies lives, the stand-ins are theirs.
#[derive(Debug, Clone)]
pub struct Route {
    level: SandboxLevel,
    /// Whether raw sockets are proven, or the caller's own choice.
    pub(crate) is_raw: bool,
    forwards: Vec<Forward>,
    _reservation: Option<Arc<Reservation>>,
}

impl Route {
    /// The route to `addresses` at `level`. The stand-ins of level L0 are the helper's to choose.
    pub(crate) fn new(level: SandboxLevel, addresses: &[IpAddr], ways: &Ways) -> Result<Self, SandboxError> {
        let reservation = if level == SandboxLevel::L0 { reserve(addresses, ways)? } else { None };
        let forwards = match (&reservation, level) {
            (Some(reservation), _) => reservation.forwards.clone(),
            (None, SandboxLevel::L1) => user_mode_forwards(addresses)?,
            (None, SandboxLevel::L0 | SandboxLevel::L2 | SandboxLevel::None) => Vec::new(),
        };
        Ok(Self { level, is_raw: true, forwards, _reservation: reservation.map(Arc::new) })
    }

    /// The level of the runs that it leads.
    #[must_use]
    pub const fn level(&self) -> SandboxLevel {
        self.level
    }

    /// Whether runs may have raw sockets there.
    #[must_use]
    pub const fn is_raw(&self) -> bool {
        self.is_raw && matches!(self.level, SandboxLevel::L0)
    }

    pub(crate) fn forwards(&self) -> &[Forward] {
        &self.forwards
    }

    /// The address under which the run sees `address`.
    #[must_use]
    pub fn inside(&self, address: IpAddr) -> IpAddr {
        let forward = self.forwards.iter().find(|forward| forward.loopback == address.to_canonical());
        forward.map_or(address, |forward| forward.stand_in)
    }

    /// The address that the run sees as `address`.
    #[must_use]
    pub fn outside(&self, address: IpAddr) -> IpAddr {
        let forward = self.forwards.iter().find(|forward| forward.stand_in == address);
        forward.map_or(address, |forward| forward.loopback)
    }

    /// The shard as the run sees it.
    #[must_use]
    pub fn shard(&self, shard: &Shard) -> Shard {
        let host = |host: &PinnedHost| PinnedHost { name: host.name.clone(), address: self.inside(host.address) };
        Shard {
            target: self.rewrite(&shard.target, |forward| (forward.loopback, forward.stand_in)).into_owned(),
            addresses: shard.addresses.iter().map(|address| self.inside(*address)).collect(),
            hosts: shard.hosts.iter().map(host).collect(),
        }
    }

    /// What the tool said, as everybody else sees it.
    #[must_use]
    pub fn observation(&self, mut observation: Observation) -> Observation {
        if self.forwards.is_empty() {
            return observation;
        }
        for text in [
            &mut observation.subject,
            &mut observation.title,
            &mut observation.description,
            &mut observation.evidence,
            &mut observation.remediation,
        ] {
            self.restore(text);
        }
        self.restore(&mut observation.location.host);
        observation.location.url.iter_mut().for_each(|url| self.restore(url));
        observation.references.iter_mut().for_each(|url| self.restore(url));
        observation
    }

    /// Replaces the stand-ins in a text by what they stand for.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.rewrite(text, |forward| (forward.stand_in, forward.loopback))
    }

    fn restore(&self, text: &mut String) {
        if let Cow::Owned(changed) = self.text(text) {
            *text = changed;
        }
    }

    fn rewrite<'a>(&self, text: &'a str, pair: impl Fn(&Forward) -> (IpAddr, IpAddr)) -> Cow<'a, str> {
        self.forwards.iter().map(pair).fold(Cow::Borrowed(text), |text, (from, to)| {
            match replace_whole(&text, &from.to_string(), &to.to_string()) {
                Some(changed) => Cow::Owned(changed),
                None => text,
            }
        })
    }
}

/// The helper reaches every loopback address, each under a stand-in of its own. Where there is no such address, it is not
/// asked.
fn reserve(addresses: &[IpAddr], ways: &Ways) -> Result<Option<Reservation>, SandboxError> {
    let wanted: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).filter(IpAddr::is_loopback).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let socket = ways.netd.clone().ok_or(SandboxError::NoWay("no network helper is configured"))?;
    Ok(Some(NetdClient::new(socket).reserve(&wanted)?))
}

/// The user-mode stack reaches 127.0.0.1 and `::1` alone, and its own network hides a real one of the same addresses.
fn user_mode_forwards(addresses: &[IpAddr]) -> Result<Vec<Forward>, SandboxError> {
    let mut forwards = Vec::new();
    for address in addresses {
        let (loopback, stand_in) = match address.to_canonical() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => (Ipv4Addr::LOCALHOST.into(), USER_GATEWAY.into()),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => (Ipv6Addr::LOCALHOST.into(), USER_GATEWAY6.into()),
            IpAddr::V4(v4) if !v4.is_loopback() && !USER_NETWORK.contains(&v4) => continue,
            IpAddr::V6(v6) if !USER_NETWORK6.contains(&v6) => continue,
            IpAddr::V4(_) | IpAddr::V6(_) => {
                return Err(SandboxError::Unreachable { address: *address, level: SandboxLevel::L1 });
            }
        };
        let forward = Forward { loopback, stand_in };
        if !forwards.contains(&forward) {
            forwards.push(forward);
        }
    }
    Ok(forwards)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_l1(addresses: &[&str]) -> Result<Route, SandboxError> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Route::new(SandboxLevel::L1, &addresses, &Ways::default())
    }

    #[test]
    fn the_loopback_appears_under_its_stand_in_and_nothing_else_changes() {
        let route = at_l1(&["127.0.0.1", "192.0.2.7"]).unwrap();
        let shard = Shard {
            target: "http://127.0.0.1:8080/".into(),
            addresses: ["127.0.0.1", "192.0.2.7"].map(|text| text.parse().unwrap()).into(),
            hosts: vec![PinnedHost { name: "localhost".into(), address: Ipv4Addr::LOCALHOST.into() }],
        };
        let inside = route.shard(&shard);
        assert_eq!(inside.target, "http://10.0.2.2:8080/");
        assert_eq!(inside.addresses, ["10.0.2.2", "192.0.2.7"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(inside.hosts[0].address, IpAddr::from([10, 0, 2, 2]));
        assert_eq!(route.outside(IpAddr::from([10, 0, 2, 2])), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(route.outside(IpAddr::from([192, 0, 2, 7])), IpAddr::from([192, 0, 2, 7]));
    }

    #[test]
    fn a_stand_in_is_replaced_only_where_it_stands_alone() {
        let route = at_l1(&["127.0.0.1"]).unwrap();
        for (said, meant) in [
            ("http://10.0.2.2/x", "http://127.0.0.1/x"),
            ("10.0.2.2", "127.0.0.1"),
            ("at 10.0.2.2. The end", "at 127.0.0.1. The end"),
            ("10.0.2.2:80, [10.0.2.2]", "127.0.0.1:80, [127.0.0.1]"),
            ("10.0.2.25", "10.0.2.25"),
            ("110.0.2.2", "110.0.2.2"),
            ("1.10.0.2.2", "1.10.0.2.2"),
            ("10.0.2.2.example.com", "10.0.2.2.example.com"),
            ("v10.0.2.2", "v10.0.2.2"),
            ("", ""),
        ] {
            assert_eq!(route.text(said), meant);
        }
        assert_eq!(at_l1(&["192.0.2.7"]).unwrap().text("10.0.2.2"), "10.0.2.2", "nothing stands for anything");
    }

    #[test]
    fn the_loopback_of_ipv6_has_a_stand_in_of_its_own() {
        let route = at_l1(&["::1", "127.0.0.1", "::ffff:127.0.0.1", "2001:db8::1"]).unwrap();
        assert_eq!(route.forwards().len(), 2);
        let shard = Shard {
            target: "http://[::1]:8080/".into(),
            addresses: vec!["::1".parse().unwrap()],
            hosts: vec![PinnedHost { name: "localhost".into(), address: Ipv6Addr::LOCALHOST.into() }],
        };
        let inside = route.shard(&shard);
        assert_eq!((inside.target.as_str(), inside.addresses[0]), ("http://[fd00::2]:8080/", USER_GATEWAY6.into()));
        assert_eq!(inside.hosts[0].address, IpAddr::from(USER_GATEWAY6));
        assert_eq!(route.outside(USER_GATEWAY6.into()), IpAddr::from(Ipv6Addr::LOCALHOST));
        for (said, meant) in [
            ("http://[fd00::2]:80/x at fd00::2.", "http://[::1]:80/x at ::1."),
            ("fd00::2/128, 10.0.2.2", "::1/128, 127.0.0.1"),
            ("fd00::20 1fd00::2 fd00::2:1 2001:fd00::2 xfd00::2", "fd00::20 1fd00::2 fd00::2:1 2001:fd00::2 xfd00::2"),
        ] {
            assert_eq!(route.text(said), meant);
        }
        let other = Shard { target: "[2001:db8::1]".into(), addresses: vec![], hosts: vec![] };
        assert_eq!(route.shard(&other).target, "[2001:db8::1]", "an address that ends like it is another one");
    }

    #[test]
    fn what_cannot_be_reached_is_refused_and_never_replaced() {
        for address in ["127.0.0.2", "10.0.2.9", "::ffff:127.0.0.9", "fd00::2", "fd00::3"] {
            assert!(at_l1(&[address]).is_err(), "{address}");
        }
        let at = |level, address: &str| Route::new(level, &[address.parse().unwrap()], &Ways::default());
        assert!(at(SandboxLevel::L2, "127.0.0.2").is_ok());
        assert!(matches!(at(SandboxLevel::L0, "127.0.0.2"), Err(SandboxError::NoWay(_))), "there is no helper to ask");
        assert!(matches!(at(SandboxLevel::L0, "::1"), Err(SandboxError::NoWay(_))), "nor for IPv6");
        assert!(at(SandboxLevel::L0, "192.0.2.7").is_ok(), "nobody needs to be asked");
    }
}
