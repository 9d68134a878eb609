//! What clients may ask nmap for: the scripts they may name, and the JSON Schema that tells them.

use serde_json::{Value, json};

use super::params::{DEFAULT_TIMING, DEFAULT_TOP_PORTS, MAX_FLAGS_BYTES, MAX_RATE, MAX_TOP_PORTS};

/// Scripts that a client may name: of nmap's categories default, safe and vuln, and none of external, dos, brute, exploit,
/// fuzzer, broadcast or intrusive (nmap 7.93). Names, never categories or expressions.
pub(super) const SCRIPTS: &[&str] = &[
    "banner",
    "dns-recursion",
    "ftp-anon",
    "http-auth",
    "http-cookie-flags",
    "http-cors",
    "http-git",
    "http-internal-ip-disclosure",
    "http-ls",
    "http-methods",
    "http-robots.txt",
    "http-security-headers",
    "http-svn-info",
    "http-title",
    "http-trace",
    "memcached-info",
    "mongodb-databases",
    "mongodb-info",
    "mysql-info",
    "nfs-showmount",
    "ntp-info",
    "rdp-ntlm-info",
    "realvnc-auth-bypass",
    "redis-info",
    "rpcinfo",
    "rsa-vuln-roca",
    "rsync-list-modules",
    "smb-protocols",
    "smb-security-mode",
    "smb-vuln-ms17-010",
    "smb2-security-mode",
    "smtp-commands",
    "snmp-info",
    "ssh-hostkey",
    "ssh2-enum-algos",
    "sshv1",
    "ssl-ccs-injection",
    "ssl-cert",
    "ssl-dh-params",
    "ssl-heartbleed",
    "ssl-known-key",
    "ssl-poodle",
    "sslv2",
    "vnc-info",
    "x11-access",
];

/// The JSON Schema of the parameters.
pub(super) fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "scan_type": {
                "description": "Flags, each separated by one space. -sS, -sU and -O need raw sockets and become tasks of their own. \
                    -Pn is always on. -sC leaves out scripts that are intrusive or call third parties.",
                "type": "string",
                "maxLength": MAX_FLAGS_BYTES,
                "pattern": "^-(s[TSUVC]|O|F|Pn)( -(s[TSUVC]|O|F|Pn))*$",
                "default": "-sT",
                "examples": ["-sV -sC -O"]
            },
            "ports": {
                "description": "Ports and ranges; T: and U: hold until the next prefix. Excludes top_ports and -F.",
                "type": "string",
                "maxLength": 4096,
                "pattern": "^(?:[TU]:)?\\d{1,5}(?:-\\d{1,5})?(?:,(?:[TU]:)?\\d{1,5}(?:-\\d{1,5})?)*$",
                "examples": ["1-10000", "T:22,80,443,U:53"]
            },
            "top_ports": {
                "description": "How many of the most common ports. Excludes ports and -F.",
                "type": "integer", "minimum": 1, "maximum": MAX_TOP_PORTS, "default": DEFAULT_TOP_PORTS
            },
            "timing": {
                "description": "How fast: 2 is polite, 4 is fast.",
                "enum": ["-T2", "-T3", "-T4", "T2", "T3", "T4", 2, 3, 4],
                "default": DEFAULT_TIMING
            },
            "min_rate": {
                "description": "Packets per second that the scan must not stay below, however slowly the target answers.",
                "type": "integer", "minimum": 1, "maximum": MAX_RATE
            },
            "scripts": {
                "description": "Scripts to run beside those of -sC.",
                "type": "array", "uniqueItems": true, "maxItems": SCRIPTS.len(),
                "items": { "enum": SCRIPTS }
            }
        }
    })
}
