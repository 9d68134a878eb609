//! Scripts that look at SSH servers.

use super::super::script::Script;
use crate::{
    rules::{self, Rule},
    weakness::{Place, Weakness},
};

/// `ssh-hostkey`: the keys' kinds and lengths; fingerprints are no findings.
pub(super) fn host_keys(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let keys = script.root.children.iter().filter_map(|key| Some((key.value("type")?, key.value("bits")?.parse().ok()?)));
    keys.filter(|(kind, bits): &(&str, u32)| *kind == "ssh-dss" || (*kind == "ssh-rsa" && *bits < 2048))
        .map(|(kind, bits)| Weakness::of(rules::SSH_WEAK_HOST_KEY, &format!("{kind}, {bits} bits")).about(kind))
        .collect()
}

/// `sshv1`.
pub(super) fn protocol_1(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_spoken = script.output.contains("supports SSHv1");
    if is_spoken { vec![Weakness::of(rules::SSH_PROTOCOL_1, &script.output)] } else { Vec::new() }
}

/// Whether a name is that of something weak.
type IsWeak = fn(&str) -> bool;

/// `ssh2-enum-algos`: each weak algorithm is a finding of its own.
pub(super) fn algorithms(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let kinds: [(&str, IsWeak, Rule); 3] = [
        ("kex_algorithms", is_weak_exchange, rules::SSH_WEAK_KEY_EXCHANGE),
        ("encryption_algorithms", is_weak_cipher, rules::SSH_WEAK_CIPHER),
        ("mac_algorithms", is_weak_mac, rules::SSH_WEAK_MAC),
    ];
    let mut weaknesses = Vec::new();
    for (table, is_weak, rule) in kinds {
        let listed = script.root.find(table).map(|list| list.items()).into_iter().flatten();
        weaknesses.extend(listed.filter(|name| is_weak(name)).map(|name| {
            let title = format!("{}: {name}", rule.title);
            Weakness::of(rule, name).about(name).titled(&title)
        }));
    }
    weaknesses
}

/// RFC 9142: groups of 1024 bits, and SHA-1 where it secures the exchange.
fn is_weak_exchange(name: &str) -> bool {
    name.starts_with("diffie-hellman-group1-") || name == "diffie-hellman-group-exchange-sha1" || name == "rsa1024-sha1"
}

fn is_weak_cipher(name: &str) -> bool {
    name.starts_with("arcfour") || name == "none" || ["3des", "des-", "blowfish", "cast128", "idea"].iter().any(|cipher| name.contains(cipher))
}

fn is_weak_mac(name: &str) -> bool {
    name.contains("md5") || name.contains("-96") || name == "none"
}
