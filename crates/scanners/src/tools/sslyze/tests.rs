//! Parameters, command lines, recorded, broken and hostile reports.

use std::io::BufReader;

use picket_domain::{Gap, PinnedHost, Pool};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const WEAK: &str = include_str!("../../../testdata/sslyze/weak.json");

fn read(report: &[u8]) -> (Parsed, Vec<Observation>) {
    let mut seen = Vec::new();
    let parsed = Json.parse(&mut BufReader::with_capacity(61, report), &Context::default(), &mut |one| seen.push(one));
    (parsed, seen)
}

/// A complete report of one server with these results.
fn report(results: Value) -> String {
    json!({"server_scan_results": [{"server_location": {"hostname": "www.example.com", "port": 443, "ip_address": "192.0.2.1"},
        "connectivity_status": "COMPLETED", "scan_status": "COMPLETED", "scan_result": results}],
        "date_scans_started": "2026-11-22T05:22:03.541149Z"})
    .to_string()
}

fn rules(results: Value) -> Vec<String> {
    let (parsed, seen) = read(report(results).as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    seen.into_iter().map(|seen| seen.rule).collect()
}

fn done(result: Value) -> Value {
    json!({"status": "COMPLETED", "error_reason": null, "error_trace": null, "result": result})
}

fn shard(address: &str, name: Option<&str>) -> Shard {
    let address = address.parse().unwrap();
    let hosts = name.iter().map(|name| PinnedHost { name: (*name).to_owned(), address }).collect();
    Shard { target: "example.com".to_owned(), addresses: vec![address], hosts }
}

#[test]
fn a_recorded_report_becomes_findings() {
    let (parsed, seen) = read(WEAK.as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    insta::assert_json_snapshot!(
        seen.iter().map(|seen| format!("{} {} {}", seen.severity.name(), seen.rule, seen.location)).collect::<Vec<_>>()
    );
}

#[test]
fn o5_more_certificates_than_are_read_are_said_to_be_cut() {
    let deployment = json!({"received_certificate_chain": [{"subject": {"rfc4514_string": "CN=a"}}]});
    for (count, gap) in [(16, None), (17, Some(Gap::OutputTruncated))] {
        let result = done(json!({"certificate_deployments": vec![deployment.clone(); count]}));
        assert_eq!(read(report(json!({"certificate_info": result})).as_bytes()).0.gap, gap, "{count}");
    }
}

#[test]
fn each_check_tells_what_it_means() {
    for (check, result, rule) in [
        ("heartbleed", json!({"is_vulnerable_to_heartbleed": true}), "tls.heartbleed"),
        ("openssl_ccs_injection", json!({"is_vulnerable_to_ccs_injection": true}), "tls.ccs_injection"),
        ("robot", json!({"robot_result": "VULNERABLE_WEAK_ORACLE"}), "tls.robot"),
        ("session_renegotiation", json!({"supports_secure_renegotiation": false}), "tls.insecure_renegotiation"),
        (
            "session_renegotiation",
            json!({"supports_secure_renegotiation": true, "accepts_client_renegotiation": true}),
            "tls.client_renegotiation",
        ),
        (
            "session_renegotiation",
            json!({"is_vulnerable_to_client_renegotiation_dos": true}),
            "tls.client_renegotiation",
        ),
        ("tls_compression", json!({"supports_compression": true}), "tls.compression"),
        ("tls_fallback_scsv", json!({"supports_fallback_scsv": false}), "tls.no_fallback_scsv"),
        ("tls_1_3_early_data", json!({"supports_early_data": true}), "tls.early_data"),
        (
            "elliptic_curves",
            json!({"supported_curves": [{"name": "prime192v1"}, {"name": "X25519"}]}),
            "tls.weak_curve",
        ),
        ("http_headers", json!({"strict_transport_security_header": null}), "http.header_missing.hsts"),
        ("http_headers", json!({"strict_transport_security_header": {"max_age": 60}}), "http.header_weak.hsts"),
    ] {
        assert_eq!(rules(json!({check: done(result.clone())})), [rule], "{check}");
        let old = json!({"server_scan_results": [{"server_info": {"server_location": {"hostname": "a.example", "port": 443}},
            "scan_commands_results": {check: result}, "scan_commands_errors": {}}]});
        let (parsed, seen) = read(old.to_string().as_bytes());
        assert!(parsed.is_complete() && seen.len() == 1, "{check}: versions before 5 give the bare result");
    }
    for (check, result) in [
        ("robot", json!({"robot_result": "NOT_VULNERABLE_NO_ORACLE"})),
        ("http_headers", json!({"http_error_trace": "x", "strict_transport_security_header": null})),
        ("session_resumption", json!({"x": true})),
        ("heartbleed", json!({})),
        ("unknown", json!([1])),
    ] {
        assert!(rules(json!({check: done(result)})).is_empty(), "{check}");
    }
}

#[test]
fn the_modulus_of_a_key_is_no_reason_to_stop() {
    let key = report(json!({"heartbleed": done(json!({"is_vulnerable_to_heartbleed": true}))}))
        .replace("\"status\"", &format!("\"rsa_n\":{},\"status\"", "9".repeat(617)));
    let (parsed, seen) = read(key.as_bytes());
    assert!(parsed.is_complete() && seen.len() == 1, "{parsed:?}");
}

#[test]
fn suites_tell_of_protocols_and_groups() {
    let suite = json!({"tls_version_used": "TLS_1_2", "is_tls_version_supported": true, "accepted_cipher_suites": [
        {"cipher_suite": {"name": "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"}, "ephemeral_key": {"type_name": "DH", "size": 1024}}]});
    let none = json!({"tls_version_used": "TLS_1_3", "is_tls_version_supported": false, "accepted_cipher_suites": []});
    assert_eq!(
        rules(json!({"tls_1_2_cipher_suites": done(suite), "tls_1_3_cipher_suites": done(none)})),
        ["tls.no_tls13", "tls.weak_dh_group"]
    );
}

#[test]
fn chains_and_names_are_judged_apart() {
    let leaf = |more: Value| {
        let mut leaf = json!({"subject": {"rfc4514_string": "CN=a"}, "issuer": {"rfc4514_string": "CN=b"}, "not_valid_before": "2026-10-01T00:00:00Z",
            "not_valid_after": "2027-10-01T00:00:00Z", "public_key": {"algorithm": "RSAPublicKey", "key_size": 2048}, "signature_hash_algorithm": {"name": "sha256"}});
        leaf.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        leaf
    };
    let judged = |leaf: Value, fault: &str| {
        let deployment = json!({"received_certificate_chain": [leaf], "path_validation_results": [
            {"was_validation_successful": fault.is_empty(), "validation_error": fault}]});
        rules(json!({"certificate_info": done(json!({"certificate_deployments": [deployment]}))}))
    };
    assert!(judged(leaf(json!({})), "").is_empty());
    assert_eq!(
        judged(leaf(json!({})), "candidates exhausted: all candidates exhausted"),
        ["tls.certificate_untrusted"]
    );
    assert_eq!(
        judged(leaf(json!({})), "leaf certificate has no matching subjectAltName"),
        ["tls.certificate_name_mismatch"]
    );
    assert_eq!(
        judged(leaf(json!({"not_valid_after": "2026-11-01T00:00:00"})), "cert is not valid at validation time"),
        ["tls.certificate_expired"]
    );
    assert_eq!(judged(leaf(json!({"issuer": {"rfc4514_string": "CN=a"}})), "x"), ["tls.certificate_self_signed"]);
    assert_eq!(judged(leaf(json!({"signature_hash_algorithm": {"name": "sha1"}})), ""), ["tls.weak_signature"]);
}

#[test]
fn a_check_or_server_that_failed_is_a_gap() {
    let failed = json!({"status": "ERROR", "error_reason": "BUG_IN_SSLYZE", "error_trace": "Traceback\nValueError: x"});
    let (parsed, seen) = read(
        report(json!({"certificate_info": failed, "heartbleed": done(json!({"is_vulnerable_to_heartbleed": true}))}))
            .as_bytes(),
    );
    assert_eq!((parsed.gap, seen.len()), (Some(Gap::OutputIncomplete), 1));
    assert!(parsed.reason.contains("certificate_info: BUG_IN_SSLYZE ValueError: x"), "{parsed:?}");
    assert!(rules(json!({"http_headers": {"status": "NOT_SCHEDULED", "result": null}})).is_empty());
    for broken in [
        json!({"server_scan_results": []}),
        json!({"server_scan_results": [{"server_location": {"hostname": "a.example", "port": 1}, "connectivity_status": "ERROR", "scan_result": null}]}),
        json!({"server_scan_results": [{}]}),
        json!({"server_scan_results": [], "server_connectivity_errors": [{"error_message": "no"}]}),
        json!({"server_scan_results": [], "invalid_server_strings": [{"server_string": "x"}]}),
    ] {
        assert!(!read(broken.to_string().as_bytes()).0.is_complete(), "{broken}");
    }
}

#[test]
fn o6_o7_what_is_cut_or_empty_is_never_complete() {
    for text in ["", "{}", "[]", "Traceback (most recent call last):", "{\"server_scan_results\": 1}"] {
        assert!(!read(text.as_bytes()).0.is_complete(), "{text}");
    }
    for cut in (0..WEAK.rfind('}').unwrap()).step_by(499) {
        assert!(!read(&WEAK.as_bytes()[..cut]).0.is_complete(), "cut at {cut}");
    }
}

#[test]
fn the_command_line_is_written_by_us() {
    let shapes = Adapter.shapes(Some(&json!({"port": 25, "starttls": "smtp", "slow": true}))).unwrap();
    assert_eq!(Adapter.shapes(Some(&shapes[0].params)).unwrap(), shapes);
    let run = Adapter.invocation(&shapes[0].params, &shard("192.0.2.1", Some("example.com"))).unwrap();
    assert!(run.args.starts_with(&["--json_out=-".to_owned(), "--mozilla_config=disable".to_owned()]));
    assert!(run.args.ends_with(&[
        "--slow_connection".to_owned(),
        "--starttls=smtp".to_owned(),
        "example.com:25{192.0.2.1}".to_owned()
    ]));
    assert_eq!(
        Adapter.invocation(&json!({}), &shard("2001:db8::1", None)).unwrap().args.last().unwrap(),
        "[2001:db8::1]:443"
    );
    assert_eq!(shapes[0].needs.pool, Pool::Tls);
    assert!(Adapter.exit_is_ok(0) && !Adapter.exit_is_ok(1));
    assert!(Adapter.appetite().memory_bytes >= 4 << 30, "its threads do not start in 1 GiB of address space");
}

#[test]
fn a_run_tries_named_attacks_and_is_never_passive() {
    let args = Adapter.invocation(&json!({}), &shard("192.0.2.1", None)).unwrap().args;
    assert!(["--heartbleed", "--openssl_ccs", "--robot"].iter().all(|attack| args.iter().any(|arg| arg == attack)));
    assert!(!Adapter.is_passive() && !Adapter.is_passive_with(&json!({})));
}

#[test]
fn hostile_parameters_are_refused() {
    for params in [
        json!({"targets_in": "/etc/passwd"}),
        json!({"cert": "/x"}),
        json!({"https_tunnel": "http://x"}),
        json!({"starttls": "auto"}),
        json!({"starttls": "smtp --cert=/x"}),
        json!({"port": 70000}),
        json!({"slow": "yes"}),
        json!({"update_trust_stores": true}),
    ] {
        let error = Adapter.shapes(Some(&params)).unwrap_err();
        assert_eq!(Adapter.invocation(&params, &shard("192.0.2.1", None)), Err(error), "{params}");
    }
    let hostile = Adapter.invocation(&json!({}), &shard("192.0.2.1", Some("a{192.0.2.9}"))).unwrap();
    assert_eq!(hostile.args.last().unwrap(), "192.0.2.1:443");
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
