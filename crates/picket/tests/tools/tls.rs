//! TLS and SSH scanners, and nmap, against services of ours.

use std::collections::BTreeSet;

use picket_domain::{Observation, Severity};
use serde_json::{Value, json};

use crate::{
    room::{run, run_whole},
    services,
};

/// Asserts a run that ended well and saw an expired, self-signed certificate, where the tool looks at certificates.
fn sees_the_certificate(slug: &str, params: &Value) {
    let Some(ran) = run_whole(slug, params) else { return };
    assert!(ran.is_well && ran.parsed.is_complete(), "{slug}: {:?}", ran.parsed);
    for rule in ["tls.certificate_expired", "tls.certificate_self_signed"] {
        assert!(ran.rules().contains(&rule), "{slug}: {rule} is not among {:?}", ran.rules());
    }
    let older = ["tls.weak_protocol.tlsv1.0", "tls.weak_cipher.rc4", "tls.heartbleed", "tls.no_tls13"];
    assert!(!older.iter().any(|rule| ran.rules().contains(rule)), "{slug}: {:?}", ran.rules());
}

#[test]
fn sslscan_sees_what_is_wrong_with_a_certificate() {
    sees_the_certificate("sslscan", &json!({ "port": services::tls() }));
}

#[test]
fn sslyze_sees_what_is_wrong_with_a_certificate() {
    sees_the_certificate("sslyze", &json!({ "port": services::tls() }));
}

#[test]
fn testssl_sees_what_is_wrong_with_a_certificate() {
    sees_the_certificate("testssl", &json!({ "port": services::tls(), "checks": ["certificate"] }));
}

#[test]
fn nmap_sees_what_is_wrong_with_a_certificate() {
    let port = services::tls().to_string();
    sees_the_certificate("nmap", &json!({ "scan_type": "-sT -sV", "ports": port, "scripts": ["ssl-cert"] }));
}

/// One vocabulary: what all of them see of one server is one finding with so many sources.
#[test]
fn four_tools_agree_on_the_findings_of_one_server() {
    let port = services::tls();
    let asked = [
        ("nmap", json!({ "scan_type": "-sT -sV", "ports": port.to_string(), "scripts": ["ssl-cert"] })),
        ("sslscan", json!({ "port": port })),
        ("sslyze", json!({ "port": port })),
        ("testssl", json!({ "port": port, "checks": ["certificate"] })),
    ];
    let ran: Vec<_> = asked.iter().filter_map(|(slug, params)| Some((*slug, run(slug, params)?))).collect();
    for rule in ["tls.certificate_expired", "tls.certificate_self_signed"] {
        let told: Vec<(&str, String)> = ran
            .iter()
            .flat_map(|(slug, ran)| ran.seen.iter().map(|one| (*slug, one)))
            .filter(|(_, one)| one.rule == rule)
            .map(|(slug, one): (&str, &Observation)| (slug, one.identity()))
            .collect();
        let identities: BTreeSet<&String> = told.iter().map(|(_, identity)| identity).collect();
        let sources: BTreeSet<&str> = told.iter().map(|(slug, _)| *slug).collect();
        assert!(ran.is_empty() || (identities.len(), sources.len()) == (1, ran.len()), "{rule}: {told:?}");
    }
}

#[test]
fn ssh_audit_names_weak_algorithms() {
    let Some(ran) = run("ssh-audit", &json!({ "port": services::ssh() })) else { return };
    assert!(ran.is_well && ran.parsed.is_complete(), "{:?}", ran.parsed);
    let subjects: Vec<(&str, &str)> = ran.seen.iter().map(|seen| (seen.rule.as_str(), seen.subject.as_str())).collect();
    for expected in [
        ("ssh.weak_cipher", "3des-cbc"),
        ("ssh.weak_key_exchange", "diffie-hellman-group1-sha1"),
        ("ssh.weak_mac", "hmac-md5"),
        ("ssh.weak_host_key_algorithm", "ssh-rsa"),
    ] {
        assert!(subjects.contains(&expected), "{expected:?} is not among {subjects:?}");
    }
}

#[test]
fn a_service_that_hangs_up_is_never_called_clean() {
    let port = services::hanging_up();
    for (slug, params) in [
        ("sslscan", json!({ "port": port })),
        ("sslyze", json!({ "port": port })),
        ("testssl", json!({ "port": port, "checks": ["protocols"] })),
        ("ssh-audit", json!({ "port": port })),
    ] {
        if let Some(ran) = run(slug, &params) {
            // testssl.sh tells what it asked for before it gives up; that informs and judges nothing.
            let is_silent =
                ran.seen.iter().all(|seen| seen.rule.starts_with("testssl:") && seen.severity == Severity::Info);
            assert!(!ran.parsed.is_complete() && is_silent, "{slug}: {:?} {:?}", ran.parsed, ran.rules());
        }
    }
}
