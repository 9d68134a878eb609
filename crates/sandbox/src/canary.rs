//! Whom a sandbox reaches, and whom it must not: listeners of ours on the host's loopback, and addresses behind which
//! nobody should be. The self-test gives the list to the probe and judges what comes back.
//!
//! Nothing is sent to anybody but ourselves: the forbidden addresses are the metadata service, reserved ranges, the
//! stack's own name server and the node itself, and where the filter holds no packet to them leaves the sandbox. Silence
//! alone proves nothing, since these are silent on most machines anyway: each packet must have been counted as dropped.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::SandboxError;
use crate::probe::Reached;

/// Addresses that no run may ever reach: metadata services, the user-mode stack's name server, and ranges that are
/// reserved for documentation (RFC 5737, RFC 3849).
const FORBIDDEN: [(&str, &str, u16); 10] = [
    ("tcp", "169.254.169.254", 80),
    ("tcp", "::ffff:169.254.169.254", 80),
    ("tcp", "fd00:ec2::254", 80),
    ("tcp", "10.0.2.3", 53),
    ("udp", "10.0.2.3", 53),
    ("tcp", "192.0.2.1", 80),
    ("udp", "192.0.2.53", 53),
    ("tcp", "198.51.100.1", 443),
    ("tcp", "2001:db8::1", 80),
    ("udp", "2001:db8::53", 53),
];

/// What becomes of a try whose packet was sent, and that nobody answered: a filter on its way drops it in silence, one
/// where it begins says EPERM.
const WENT_OUT: [&str; 2] = ["silent", "error 1"];
/// What an answer looks like where nobody listens (ECONNREFUSED): somebody was reached.
const REFUSED: &str = "error 111";

/// How often the listeners look whether they are still wanted, in milliseconds.
const TURN_MS: i64 = 50;

/// Two listeners on 127.0.0.1, of which the sandbox may speak to one, and one on the node's own address.
pub(crate) struct Canary {
    allowed: u16,
    forbidden: u16,
    node: Option<(Ipv4Addr, u16)>,
    word: String,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Canary {
    /// Listens.
    pub(crate) fn new() -> Result<Self, SandboxError> {
        Self::listen().map_err(SandboxError::set_up("listen for the self-test"))
    }

    fn listen() -> io::Result<Self> {
        let listen = |address| {
            let listener = TcpListener::bind((address, 0))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            io::Result::Ok((listener, port))
        };
        let ((first, allowed), (second, forbidden)) = (listen(Ipv4Addr::LOCALHOST)?, listen(Ipv4Addr::LOCALHOST)?);
        let mut listeners = vec![first, second];
        let mut node = None;
        if let Some(address) = own_address() {
            let (listener, port) = listen(address)?;
            listeners.push(listener);
            node = Some((address, port));
        }
        let word = format!("{:016x}", RandomState::new().build_hasher().finish());
        let ended = Arc::new(AtomicBool::new(false));
        let (said, until) = (word.clone(), Arc::clone(&ended));
        let work = move || serve(&listeners, said.as_bytes(), &until);
        let thread = Some(thread::Builder::new().name("sandbox-canary".into()).spawn(work)?);
        Ok(Self { allowed, forbidden, node, word, ended, thread })
    }

    /// The port that the sandbox may speak to.
    pub(crate) const fn port(&self) -> u16 {
        self.allowed
    }

    /// What the probe tries, when the host's 127.0.0.1 appears to it as `stand_in`.
    pub(crate) fn words(&self, stand_in: Option<IpAddr>) -> Vec<String> {
        let own = (("tcp", IpAddr::from(Ipv4Addr::LOCALHOST)), self.allowed);
        let through = stand_in.map(|address| [(("tcp", address), self.allowed), (("tcp", address), self.forbidden)]);
        let fixed = FORBIDDEN.iter().filter_map(|(kind, address, port)| Some(((*kind, address.parse().ok()?), *port)));
        let node = self.node.map(|(address, port)| (("tcp", address.into()), port));
        let all = through.into_iter().flatten().chain([own]).chain(fixed).chain(node);
        let triples = all.flat_map(|((kind, address), port)| [kind.to_owned(), hexadecimal(address), port.to_string()]);
        ["probe".to_owned()].into_iter().chain(triples).collect()
    }

    /// Judges what the probe reached; says how many packets must have been dropped.
    pub(crate) fn judge(&self, stand_in: Option<IpAddr>, reached: &[Reached]) -> Result<u64, SandboxError> {
        let own = format!("tcp {} {}", hexadecimal(Ipv4Addr::LOCALHOST.into()), self.allowed);
        let mut sent = 0;
        let wanted = stand_in.map(|address| format!("tcp {} {}", hexadecimal(address), self.allowed));
        let unproven = |what: String| Err(SandboxError::NotProven(what));
        let expected = self.words(stand_in).len() / 3;
        if reached.len() != expected {
            return unproven(format!("expected answers on {expected} addresses, got {}", reached.len()));
        }
        for one in reached {
            let is_wanted = wanted.as_deref() == Some(one.address.as_str());
            match (is_wanted, one.what.split_once(' ')) {
                (true, Some(("connected", said))) if said == self.word => {}
                (true, _) => {
                    return unproven(format!("an allowed address is not reached: {} {}", one.address, one.what));
                }
                // Its own loopback, where nobody listens.
                (false, _) if one.address == own && one.what == REFUSED => {}
                (false, _) if WENT_OUT.contains(&one.what.as_str()) => sent += 1,
                (false, _) if one.is_v6() && one.what.starts_with("error ") && one.what != REFUSED => {}
                (false, _) => return unproven(format!("a forbidden address is reached: {} {}", one.address, one.what)),
            }
        }
        Ok(sent)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // A thread that panicked has ended as well.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The address that this machine speaks to others from. Nothing is sent: a datagram socket only looks up its way.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn serve(listeners: &[TcpListener], word: &[u8], ended: &AtomicBool) {
    let turn = Timespec { tv_sec: 0, tv_nsec: TURN_MS * 1_000_000 };
    while !ended.load(Ordering::Acquire) {
        let polled = listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
        let mut polled: Vec<_> = polled.collect();
        // An error here makes the self-test fail, since nobody answers.
        let _ = poll(&mut polled, Some(&turn));
        for listener in listeners {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(word);
            }
        }
    }
}

/// The probe reads no addresses but of this form.
pub(crate) fn hexadecimal(address: IpAddr) -> String {
    let digits = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
    match address {
        IpAddr::V4(address) => digits(&address.octets()),
        IpAddr::V6(address) => digits(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(canary: &Canary, stand_in: Option<IpAddr>) -> Vec<Reached> {
        let words = canary.words(stand_in);
        let triples = words[1..].chunks(3).map(|triple| triple.join(" "));
        triples.map(|address| Reached { address, what: "silent".into() }).collect()
    }

    #[test]
    fn only_the_allowed_listener_may_answer_and_must() {
        let (canary, stand_in) = (Canary::new().unwrap(), Some(IpAddr::from([10, 0, 2, 2])));
        let mut reached = answers(&canary, stand_in);
        assert!(canary.judge(stand_in, &reached).is_err(), "nobody answers");
        reached[0].what = format!("connected {}", canary.word);
        let own = reached.iter().position(|one| one.address.starts_with("tcp 7f000001 ")).unwrap();
        assert!(canary.judge(stand_in, &reached).is_ok(), "silence in one's own loopback is no answer");
        reached[own].what = REFUSED.into();
        let tries = FORBIDDEN.len() + 1 + usize::from(canary.node.is_some());
        assert_eq!(canary.judge(stand_in, &reached).unwrap(), u64::try_from(tries).unwrap());
        for what in [REFUSED, "error 113", "error 101"] {
            let mut answered = reached.clone();
            answered[own + 1].what = what.into();
            assert!(canary.judge(stand_in, &answered).is_err(), "the metadata service: {what}");
        }
        let v6 = reached.iter().position(|one| one.address.contains("20010db8")).unwrap();
        reached[v6].what = "error 101".into();
        assert_eq!(canary.judge(stand_in, &reached).unwrap(), u64::try_from(tries - 1).unwrap(), "no IPv6 here");
        for what in ["connected", "answered abc", "connected abc"] {
            let mut open = reached.clone();
            open[3].what = what.into();
            assert!(canary.judge(stand_in, &open).is_err(), "{what}");
        }
        reached[0].what = "connected somebodyelse".into();
        assert!(canary.judge(stand_in, &reached).is_err());
        assert!(canary.judge(stand_in, &reached[1..]).is_err(), "too few answers");
    }

    #[test]
    fn every_forbidden_address_is_one() {
        let (canary, fixed) = (Canary::new().unwrap(), FORBIDDEN.len());
        assert_eq!(answers(&canary, None).len(), fixed + 1 + usize::from(canary.node.is_some()));
        assert_eq!(hexadecimal("::ffff:169.254.169.254".parse().unwrap()), "00000000000000000000ffffa9fea9fe");
    }
}
