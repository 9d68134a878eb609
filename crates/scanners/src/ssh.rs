//! What is weak in SSH, judged in one place for every tool that lists algorithms. Each weak algorithm is a finding of its
//! own, whose subject is the algorithm's name.

use picket_domain::Severity;

use crate::{
    rules::{self, Rule},
    tls,
    weakness::Weakness,
};

/// What an algorithm is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    KeyExchange,
    HostKey,
    Cipher,
    Mac,
}

/// The finding of an algorithm, when it is weak; `None` says nothing about a name that is not known.
pub(crate) fn algorithm(kind: Kind, name: &str) -> Option<Weakness> {
    let rule = rule(kind, name)?;
    let severity = if is_broken(name) { Severity::High } else { rule.severity };
    Some(Weakness::of(rule, name).about(name).titled(&format!("{}: {name}", rule.title)).rated(severity))
}

/// Exchanges in groups of 1024 bits, which were precomputed or can be, and DSA keys, which have no more.
fn is_broken(name: &str) -> bool {
    let broken = ["diffie-hellman-group1-", "gss-group1-", "rsa1024-", "ssh-dss", "x509v3-ssh-dss", "pgp-sign-dss"];
    broken.iter().any(|start| name.starts_with(start))
}

fn rule(kind: Kind, name: &str) -> Option<Rule> {
    let (is_weak, rule) = match kind {
        Kind::KeyExchange => (is_weak_exchange(name), rules::SSH_WEAK_KEY_EXCHANGE),
        Kind::HostKey => (is_weak_host_key(name), rules::SSH_WEAK_HOST_KEY_ALGORITHM),
        Kind::Cipher => (is_weak_cipher(name), rules::SSH_WEAK_CIPHER),
        Kind::Mac => (is_weak_mac(name), rules::SSH_WEAK_MAC),
    };
    is_weak.then_some(rule)
}

/// A host key that is too short, by its type and size in bits.
pub(crate) fn host_key(kind: &str, bits: u32) -> Option<Weakness> {
    let is_dsa = kind.starts_with("ssh-dss");
    let is_rsa = kind.starts_with("ssh-rsa") || kind.starts_with("rsa-sha2");
    let subject = if is_dsa { "ssh-dss" } else { "ssh-rsa" };
    let is_weak = is_dsa || (is_rsa && bits > 0 && bits < 2048);
    let severity = if is_dsa || bits < 1024 { Severity::High } else { rules::SSH_WEAK_HOST_KEY.severity };
    let evidence = format!("{subject}, {bits} bits");
    is_weak.then(|| Weakness::of(rules::SSH_WEAK_HOST_KEY, &evidence).about(subject).rated(severity))
}

/// Terrapin (CVE-2023-48795): without strict key exchange, with ChaCha20-Poly1305 or with CBC and encrypt-then-MAC.
pub(crate) fn terrapin(exchanges: &[&str], ciphers: &[&str], macs: &[&str]) -> Option<Weakness> {
    let is_strict = exchanges.iter().any(|name| name.starts_with("kex-strict-s"));
    let chacha = ciphers.iter().find(|name| name.starts_with("chacha20-poly1305"));
    let cbc =
        ciphers.iter().find(|name| name.ends_with("-cbc")).filter(|_| macs.iter().any(|name| name.contains("-etm@")));
    let seen = chacha.or(cbc).filter(|_| !is_strict && !exchanges.is_empty())?;
    Some(tls::weakness(rules::SSH_TERRAPIN, &format!("{seen} is offered without strict key exchange")))
}

/// RFC 9142: groups of 1024 bits, and SHA-1 where it secures the exchange.
fn is_weak_exchange(name: &str) -> bool {
    name.starts_with("diffie-hellman-group1-")
        || name.starts_with("gss-group1-")
        || name.starts_with("diffie-hellman-group-exchange-sha1")
        || name.starts_with("gss-gex-sha1")
        || name == "rsa1024-sha1"
}

/// RFC 8332 replaces signatures over SHA-1; DSA keys have 1024 bits.
fn is_weak_host_key(name: &str) -> bool {
    name == "ssh-rsa"
        || name.starts_with("ssh-rsa-cert-")
        || name.starts_with("ssh-dss")
        || name.starts_with("x509v3-ssh-dss")
        || name == "pgp-sign-dss"
}

fn is_weak_cipher(name: &str) -> bool {
    let weak = ["3des", "des-", "blowfish", "cast128", "idea", "arcfour", "rc4"];
    name == "none" || name == "des" || weak.iter().any(|cipher| name.contains(cipher))
}

fn is_weak_mac(name: &str) -> bool {
    name.contains("md5") || name.contains("-96") || name == "none"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_algorithms_are_known_by_their_names_and_others_are_left_alone() {
        let weak = [
            (Kind::KeyExchange, "diffie-hellman-group1-sha1"),
            (Kind::KeyExchange, "diffie-hellman-group-exchange-sha1"),
            (Kind::HostKey, "ssh-dss"),
            (Kind::HostKey, "ssh-rsa"),
            (Kind::Cipher, "3des-cbc"),
            (Kind::Cipher, "arcfour256"),
            (Kind::Mac, "hmac-md5-96"),
        ];
        for (kind, name) in weak {
            assert!(algorithm(kind, name).is_some(), "{name}");
        }
        let sound = [
            (Kind::KeyExchange, "curve25519-sha256"),
            (Kind::KeyExchange, "diffie-hellman-group14-sha256"),
            (Kind::HostKey, "rsa-sha2-256"),
            (Kind::HostKey, "ssh-ed25519"),
            (Kind::Cipher, "aes128-ctr"),
            (Kind::Mac, "hmac-sha2-256"),
            (Kind::Mac, ""),
        ];
        for (kind, name) in sound {
            assert!(algorithm(kind, name).is_none(), "{name}");
        }
    }

    #[test]
    fn what_is_broken_is_high_and_what_is_weak_is_medium() {
        let place = crate::weakness::Place::tcp("192.0.2.1", 22, false);
        let rated = |weakness: Option<Weakness>| weakness.unwrap().observed(&place).severity;
        assert_eq!(rated(algorithm(Kind::KeyExchange, "diffie-hellman-group1-sha1")), Severity::High);
        assert_eq!(rated(algorithm(Kind::KeyExchange, "diffie-hellman-group-exchange-sha1")), Severity::Medium);
        assert_eq!(rated(algorithm(Kind::HostKey, "ssh-dss")), Severity::High);
        assert_eq!(rated(algorithm(Kind::HostKey, "ssh-rsa")), Severity::Medium);
        assert_eq!(
            (rated(host_key("ssh-rsa", 768)), rated(host_key("ssh-rsa", 1024))),
            (Severity::High, Severity::Medium)
        );
    }

    #[test]
    fn terrapin_needs_its_ciphers_and_no_strict_exchange() {
        let chacha = ["chacha20-poly1305@openssh.com"];
        assert!(terrapin(&["curve25519-sha256"], &chacha, &[]).is_some());
        assert!(terrapin(&["curve25519-sha256", "kex-strict-s-v00@openssh.com"], &chacha, &[]).is_none());
        assert!(terrapin(&["x"], &["aes128-cbc"], &["hmac-sha2-256-etm@openssh.com"]).is_some());
        assert!(terrapin(&["x"], &["aes128-cbc"], &["hmac-sha2-256"]).is_none());
        assert!(terrapin(&[], &chacha, &[]).is_none(), "without a list of exchanges nothing is known");
    }
}
