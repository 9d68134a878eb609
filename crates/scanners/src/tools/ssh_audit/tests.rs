//! Parameters, command lines, recorded, broken and hostile reports.

use std::io::BufReader;

use picket_domain::{Confidence, Gap, Pool, Severity};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const WEAK: &str = include_str!("../../../testdata/ssh_audit/weak.json");
const REFUSED: &str = include_str!("../../../testdata/ssh_audit/refused.txt");

fn read(report: &[u8]) -> (Parsed, Vec<Observation>) {
    let mut seen = Vec::new();
    let parsed = Json.parse(&mut BufReader::with_capacity(61, report), &Context::default(), &mut |one| seen.push(one));
    (parsed, seen)
}

fn told(report: &Value) -> Vec<String> {
    let (parsed, seen) = read(report.to_string().as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    seen.iter()
        .map(|seen| format!("{} {} {} [{}]", seen.severity.name(), seen.rule, seen.location, seen.subject))
        .collect()
}

fn shard(address: &str) -> Shard {
    Shard { target: "example.com".to_owned(), addresses: vec![address.parse().unwrap()], hosts: Vec::new() }
}

#[test]
fn a_recorded_report_becomes_findings() {
    insta::assert_json_snapshot!(told(&serde_json::from_str(WEAK).unwrap()));
}

#[test]
fn notes_are_graded_by_what_they_say() {
    let kex = |notes: Value| json!({"target": "192.0.2.1", "kex": [{"algorithm": "x", "notes": notes}]});
    for (notes, severity) in [
        (json!({"fail": ["using broken SHA-1 hash algorithm"]}), "medium"),
        (
            json!({"fail": ["using elliptic curves that are suspected as being backdoored by the U.S. National Security Agency"]}),
            "low",
        ),
        (json!({"warn": ["using weak cipher mode"]}), "low"),
        (json!({"warn": ["does not provide protection against post-quantum attacks"]}), "info"),
    ] {
        assert_eq!(told(&kex(notes)), [format!("{severity} ssh-audit:kex 192.0.2.1:22/tcp [x]")]);
    }
    assert!(told(&kex(json!({"info": ["available since OpenSSH 6.2"]}))).is_empty());
}

#[test]
fn o5_a_list_that_is_too_long_is_said_to_be_cut() {
    let weak = json!({"algorithm": "diffie-hellman-group1-sha1"});
    for (key, filler) in [
        ("kex", json!({"algorithm": "invented"})),
        ("enc", json!("invented")),
        ("mac", json!("invented")),
        ("key", json!({"algorithm": "invented"})),
        ("cves", json!({"name": "no name"})),
    ] {
        let report = |count: usize| {
            let mut items = vec![filler.clone(); count];
            items.push(weak.clone());
            json!({"target": "192.0.2.1", "kex": [], key: items}).to_string()
        };
        assert_eq!(read(report(499).as_bytes()).0.gap, None, "{key}");
        assert_eq!(read(report(500).as_bytes()).0.gap, Some(Gap::OutputTruncated), "{key}");
    }
    let errors = vec![json!({"mismatched_field": "Ciphers"}); 501];
    let policy = json!({"host": "192.0.2.1", "policy": "p", "passed": false, "errors": errors}).to_string();
    assert_eq!(read(policy.as_bytes()).0.gap, Some(Gap::OutputTruncated));
}

#[test]
fn audits_of_old_versions_are_lists_of_names() {
    let old = json!({"banner": {"raw": "SSH-2.0-OpenSSH_5.6", "software": "OpenSSH_5.6"}, "target": "a.example:2222", "kex": [{"algorithm": "diffie-hellman-group1-sha1"}],
        "enc": ["3des-cbc", "aes128-ctr"], "mac": ["hmac-md5"], "key": [{"algorithm": "ssh-dss"}],
        "cves": [{"name": "CVE-2018-15473", "cvssv2": 5.3, "description": "enumerate users"}]});
    assert_eq!(
        told(&old),
        [
            "medium ssh.weak_cipher a.example:2222/tcp [3des-cbc]",
            "high ssh.weak_key_exchange a.example:2222/tcp [diffie-hellman-group1-sha1]",
            "high ssh.weak_host_key_algorithm a.example:2222/tcp [ssh-dss]",
            "low ssh.weak_mac a.example:2222/tcp [hmac-md5]",
            "high ssh.weak_host_key a.example:2222/tcp [ssh-dss]",
            "medium ssh-audit:cve a.example:2222/tcp []",
        ]
    );
    let (_, seen) = read(old.to_string().as_bytes());
    let cve = seen.last().unwrap();
    assert_eq!(
        (cve.cve.as_deref(), cve.confidence, cve.severity),
        (Some("CVE-2018-15473"), Confidence::Low, Severity::Medium)
    );
    assert_eq!(cve.service.as_ref().and_then(|service| service.version.as_deref()), Some("5.6"));
}

#[test]
fn a_policy_audit_tells_where_the_server_departs() {
    let audit = |errors: Value| json!({"policy": "ours (version 1)", "passed": false, "host": "192.0.2.1", "port": 2222, "errors": errors, "warnings": []});
    let error = json!([{"mismatched_field": "Ciphers", "expected_required": ["a"], "expected_optional": [""], "actual": ["b"]}]);
    assert_eq!(told(&audit(error)), ["medium ssh-audit:policy 192.0.2.1:2222/tcp [Ciphers]"]);
    assert!(told(&audit(json!([]))).is_empty());
    assert_eq!(
        told(&json!([audit(json!([])), {"target": "[2001:db8::1]:22", "kex": [], "enc": ["none"]}])),
        ["medium ssh.weak_cipher 2001:db8::1:22/tcp [none]"]
    );
}

#[test]
fn what_it_says_instead_of_a_report_is_the_reason() {
    let (parsed, seen) = read(REFUSED.as_bytes());
    assert!(parsed.is_refused && seen.is_empty());
    assert_eq!(
        parsed.reason,
        "ssh-audit says: [exception] cannot connect to 127.0.0.1 port 1: [Errno 111] Connection refused"
    );
    let (parsed, _) = read(json!([{"target": "192.0.2.1:22", "error": "no route"}]).to_string().as_bytes());
    assert_eq!(parsed.gap, Some(Gap::OutputIncomplete));
}

#[test]
fn o6_o7_what_is_cut_or_empty_is_never_complete() {
    for text in ["", "{}", "[]", "[{}]", "null", "{\"target\":\"\",\"kex\":[]}"] {
        assert!(!read(text.as_bytes()).0.is_complete(), "{text}");
    }
    for cut in (0..WEAK.rfind('}').unwrap()).step_by(53) {
        assert!(!read(&WEAK.as_bytes()[..cut]).0.is_complete(), "cut at {cut}");
    }
}

#[test]
fn the_command_line_is_written_by_us() {
    let shapes = Adapter.shapes(Some(&json!({"port": 2222}))).unwrap();
    assert_eq!(Adapter.shapes(Some(&shapes[0].params)).unwrap(), shapes);
    let run = Adapter.invocation(&shapes[0].params, &shard("192.0.2.1")).unwrap();
    assert_eq!(run.args.join(" "), "-j -n -t 10 --skip-rate-test -4 -p 2222 192.0.2.1");
    assert_eq!(run.egress.ports, [(2222, 2222)]);
    let v6 = Adapter.invocation(&json!({}), &shard("2001:db8::1")).unwrap();
    assert_eq!(v6.args.join(" "), "-j -n -t 10 --skip-rate-test -6 -p 22 2001:db8::1");
    assert_eq!(shapes[0].needs.pool, Pool::Net);
    assert_eq!([0, 1, 2, 3, 4].map(|code| Adapter.exit_is_ok(code)), [true, false, true, true, false]);
}

#[test]
fn hostile_parameters_are_refused() {
    for params in [
        json!({"policy": "/etc/passwd"}),
        json!({"targets": "x"}),
        json!({"port": "22 -T /etc/passwd"}),
        json!({"socks5": "x"}),
        json!({"dheat": 10}),
        json!([]),
    ] {
        let error = Adapter.shapes(Some(&params)).unwrap_err();
        assert_eq!(Adapter.invocation(&params, &shard("192.0.2.1")), Err(error), "{params}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_report_with_changed_bytes_is_read_without_panic(at in 0..WEAK.len(), byte: u8) {
        let mut report = WEAK.as_bytes().to_vec();
        report[at] = byte;
        let _ = read(&report);
    }
}
