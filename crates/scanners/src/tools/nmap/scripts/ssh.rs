//! Scripts that look at SSH servers.

use super::super::script::Script;
use crate::{
    rules,
    ssh::{self, Kind},
    weakness::{Place, Weakness},
};

/// `ssh-hostkey`: the keys' kinds and lengths; fingerprints are no findings.
pub(super) fn host_keys(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let keys = script.root.children.iter().filter_map(|key| Some((key.value("type")?, key.value("bits")?.parse().ok()?)));
    keys.filter_map(|(kind, bits)| ssh::host_key(kind, bits)).collect()
}

/// `sshv1`.
pub(super) fn protocol_1(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_spoken = script.output.contains("supports SSHv1");
    if is_spoken { vec![Weakness::of(rules::SSH_PROTOCOL_1, &script.output)] } else { Vec::new() }
}

/// `ssh2-enum-algos`: each weak algorithm is a finding of its own.
pub(super) fn algorithms(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let names = |table: &str| script.root.find(table).map(|list| list.items().collect::<Vec<_>>()).unwrap_or_default();
    let (exchanges, ciphers, macs) = (names("kex_algorithms"), names("encryption_algorithms"), names("mac_algorithms"));
    let kinds = [
        (Kind::KeyExchange, &exchanges),
        (Kind::HostKey, &names("server_host_key_algorithms")),
        (Kind::Cipher, &ciphers),
        (Kind::Mac, &macs),
    ];
    let mut weaknesses: Vec<Weakness> = Vec::new();
    for (kind, names) in kinds {
        weaknesses.extend(names.iter().filter_map(|name| ssh::algorithm(kind, name)));
    }
    weaknesses.extend(ssh::terrapin(&exchanges, &ciphers, &macs));
    weaknesses
}
