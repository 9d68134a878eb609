//! What scripts of nmap mean in the words of our rules. A script that is not in the table tells nothing, unless it speaks
//! the common form of vulnerability reports; texts such as key fingerprints are no findings.
//!
//! To teach another one: a function in the file of its kind and a line in the table. Read its verdict, not its mere
//! presence: most scripts print something on sound services as well.

mod http;
mod service;
mod ssh;
mod tls;
mod vulns;

use super::script::Script;
use crate::weakness::{Place, Weakness};

/// Findings kept of one script.
const MAX_WEAKNESSES: usize = 2000;

type Reader = fn(&Script, &Place<'_>) -> Vec<Weakness>;

const READERS: &[(&str, Reader)] = &[
    ("dns-recursion", service::dns_recursion),
    ("ftp-anon", service::ftp_anon),
    ("html-title", http::title),
    ("http-auth", http::auth),
    ("http-cookie-flags", http::cookie_flags),
    ("http-cors", http::cors),
    ("http-enum", http::paths),
    ("http-git", http::git),
    ("http-internal-ip-disclosure", http::internal_address),
    ("http-ls", http::listing),
    ("http-methods", http::methods),
    ("http-open-proxy", http::open_proxy),
    ("http-robots.txt", http::robots),
    ("http-security-headers", http::security_headers),
    ("http-server-header", http::server_header),
    ("http-svn-info", http::svn),
    ("http-title", http::title),
    ("http-trace", http::trace),
    ("memcached-info", service::memcached),
    ("mongodb-databases", service::mongodb),
    ("mysql-empty-password", service::mysql_empty_password),
    ("nfs-showmount", service::nfs),
    ("redis-info", service::redis),
    ("rsync-list-modules", service::rsync),
    ("smb-protocols", service::smb_protocols),
    ("smb-security-mode", service::smb_security_mode),
    ("smb2-security-mode", service::smb2_security_mode),
    ("snmp-info", service::snmp),
    ("ssh-hostkey", ssh::host_keys),
    ("ssh2-enum-algos", ssh::algorithms),
    ("sshv1", ssh::protocol_1),
    ("ssl-cert", tls::certificate),
    ("ssl-enum-ciphers", tls::ciphers),
    ("ssl-known-key", tls::known_key),
    ("sslv2", tls::ssl2),
    ("vnc-info", service::vnc),
    ("vulners", vulns::vulners),
    ("vulscan", vulns::vulscan),
    ("x11-access", service::x11),
];

/// What `script` tells of `place`, and whether it tells more than is kept.
pub(super) fn read(script: &Script, place: &Place<'_>) -> (Vec<Weakness>, bool) {
    if script.is_failed() {
        return (Vec::new(), false);
    }
    let known = READERS.iter().find(|(id, _)| *id == script.id);
    let mut weaknesses = match known {
        Some((_, read)) => read(script, place),
        None => vulns::reported(script, place),
    };
    let is_cut = weaknesses.len() > MAX_WEAKNESSES;
    weaknesses.truncate(MAX_WEAKNESSES);
    (weaknesses, is_cut)
}

/// Whether a script that tests for weaknesses says that it could not test. `false` is a verdict of such scripts, and scripts
/// that read banners fail at every service that does not speak their protocol: neither is told of.
pub(super) fn is_unchecked(script: &Script) -> bool {
    let begins = |starts: &[&str]| starts.iter().any(|start| script.id.starts_with(start));
    let is_check = script.id.contains("vuln") || begins(&["ssl-", "sslv2", "tls-ticketbleed"]);
    let output = script.output.trim_start();
    let is_failed = output.starts_with("ERROR") || output.starts_with("TIMEOUT");
    is_check && (is_failed || output.contains("No vulnerability lookups were made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_each_script_once() {
        assert!(READERS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
