//! TLS and SSH scanners, and nmap, against services of ours.

use picket_domain::Severity;
use serde_json::{Value, json};

use crate::{room::run, services};

/// Asserts a run that ended well and saw an expired, self-signed certificate, where the tool looks at certificates.
fn sees_the_certificate(slug: &str, params: &Value) {
    let Some(ran) = run(slug, params) else { return };
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
