//! Whom a sandbox reaches, and whom it must not: listeners of ours on the host's loopback, and addresses behind which
//! nobody should be. The self-test gives the list to the probe and judges what comes back.
//!
//! Nothing is sent to anybody but ourselves: the forbidden addresses are the metadata service, reserved ranges and the
//! stack's own name server, and where the filter holds no packet to them leaves the sandbox.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
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

/// How often the listeners look whether they are still wanted, in milliseconds.
const TURN_MS: i64 = 50;

/// Two listeners on 127.0.0.1: the sandbox may speak to one of them.
pub(crate) struct Canary {
    allowed: u16,
    forbidden: u16,
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
        let listeners = [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
        let [allowed, forbidden] = listeners.each_ref().map(|listener| listener.local_addr().map(|place| place.port()));
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let word = format!("{:016x}", RandomState::new().build_hasher().finish());
        let ended = Arc::new(AtomicBool::new(false));
        let (said, until) = (word.clone(), Arc::clone(&ended));
        let work = move || serve(&listeners, said.as_bytes(), &until);
        let thread = Some(thread::Builder::new().name("sandbox-canary".into()).spawn(work)?);
        Ok(Self { allowed: allowed?, forbidden: forbidden?, word, ended, thread })
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
        let all = through.into_iter().flatten().chain([own]).chain(fixed);
        let triples = all.flat_map(|((kind, address), port)| [kind.to_owned(), hexadecimal(address), port.to_string()]);
        ["probe".to_owned()].into_iter().chain(triples).collect()
    }

    /// Judges what the probe reached.
    pub(crate) fn judge(&self, stand_in: Option<IpAddr>, reached: &[Reached]) -> Result<(), SandboxError> {
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
                (false, _) if one.what == "silent" || one.what.starts_with("error ") => {}
                (false, _) => return unproven(format!("a forbidden address is reached: {} {}", one.address, one.what)),
            }
        }
        Ok(())
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // A thread that panicked has ended as well.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(listeners: &[TcpListener; 2], word: &[u8], ended: &AtomicBool) {
    let turn = Timespec { tv_sec: 0, tv_nsec: TURN_MS * 1_000_000 };
    while !ended.load(Ordering::Acquire) {
        let mut polled = listeners.each_ref().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
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
fn hexadecimal(address: IpAddr) -> String {
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
        canary.judge(stand_in, &reached).unwrap();
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
        assert_eq!(answers(&canary, None).len(), fixed + 1);
        assert_eq!(hexadecimal("::ffff:169.254.169.254".parse().unwrap()), "00000000000000000000ffffa9fea9fe");
    }
}
