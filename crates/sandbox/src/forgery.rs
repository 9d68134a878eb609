//! What raw sockets could do that connections cannot: speak in another's name, past the routes, past the queue, and by
//! ICMP. The self-test lets the probe do each once, in a run that sends nothing else; every packet must be counted as
//! dropped, so that a filter without its rule on source addresses proves no raw sockets.
//!
//! The probe's packets live for two hops (`init/forge.rs`): should the filter be broken, they do not leave the node.

use std::net::{IpAddr, Ipv4Addr};

use crate::SandboxError;
use crate::canary::hexadecimal;
use crate::probe::Reached;

/// Nobody (RFC 5737).
const FORBIDDEN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The packets, as words for the probe: two with a source that is not the run's, to somebody whom it may reach, and two to
/// somebody whom it may not.
pub(crate) fn words(allowed: IpAddr, port: u16) -> Vec<String> {
    let tries = [("spoof", allowed, port), ("forged", allowed, port), ("frame", FORBIDDEN, 80), ("echo", FORBIDDEN, 0)];
    let triples = tries.map(|(kind, address, port)| [kind.to_owned(), hexadecimal(address), port.to_string()]);
    ["probe".to_owned()].into_iter().chain(triples.into_iter().flatten()).collect()
}

/// How many packets must have been dropped; an error unless each was sent and none was answered.
pub(crate) fn judge(words: &[String], reached: &[Reached]) -> Result<u64, SandboxError> {
    let expected = words.len() / 3;
    if let Some(one) = reached.iter().find(|one| one.what != "silent") {
        return Err(SandboxError::NotProven(format!("a forged packet was not dropped: {} {}", one.address, one.what)));
    }
    if reached.len() != expected {
        let found = reached.len();
        return Err(SandboxError::NotProven(format!("expected {expected} forged packets to be sent, got {found}")));
    }
    u64::try_from(expected).map_err(|_| SandboxError::NotProven("expected fewer packets".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forged_packet_must_be_sent_and_stay_without_an_answer() {
        let words = words(IpAddr::from([198, 18, 80, 0]), 4242);
        let sent = |what: &str| -> Vec<Reached> {
            let triples = words[1..].chunks(3).map(|triple| triple.join(" "));
            triples.map(|address| Reached { address, what: what.into() }).collect()
        };
        assert_eq!(judge(&words, &sent("silent")).unwrap(), 4);
        assert_eq!(sent("silent")[0].address, "spoof c6125000 4242");
        for what in ["answered", "error 1", "error 101", "error 111"] {
            assert!(judge(&words, &sent(what)).is_err(), "{what}");
        }
        assert!(judge(&words, &sent("silent")[1..]).is_err(), "one was not tried");
    }
}
