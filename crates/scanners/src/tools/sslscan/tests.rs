//! Parameters, command lines, recorded, broken and hostile reports.

use std::io::BufReader;

use picket_domain::{Gap, Network, PinnedHost, Pool};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const WEAK: &str = include_str!("../../../testdata/sslscan/weak.xml");

fn read(report: &[u8]) -> (Parsed, Vec<Observation>) {
    let mut seen = Vec::new();
    let parsed = Xml.parse(&mut BufReader::with_capacity(61, report), &Context::default(), &mut |one| seen.push(one));
    (parsed, seen)
}

fn rules(report: &str) -> Vec<String> {
    read(report.as_bytes()).1.into_iter().map(|seen| seen.rule).collect()
}

fn report(inner: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><document title="SSLScan Results" version="1.11"><ssltest host="192.0.2.1" port="443">{inner}</ssltest></document>"#
    )
}

const SOUND: &str =
    r#"<cipher status="accepted" sslversion="TLSv1.2" bits="256" cipher="ECDHE-RSA-AES256-GCM-SHA384"/>"#;

fn shard(address: &str, name: Option<&str>) -> Shard {
    let address = address.parse().unwrap();
    let hosts = name.iter().map(|name| PinnedHost { name: (*name).to_owned(), address }).collect();
    Shard { target: "example.com".to_owned(), addresses: vec![address], hosts }
}

#[test]
fn a_recorded_report_becomes_findings() {
    let (parsed, seen) = read(WEAK.as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    let expected = [
        "tls.cbc_in_tls10",
        "tls.certificate_expired",
        "tls.certificate_self_signed",
        "tls.no_forward_secrecy",
        "tls.weak_cipher.anonymous",
        "tls.weak_cipher.cbc",
        "tls.weak_cipher.null",
        "tls.weak_dh_group",
        "tls.weak_key",
        "tls.weak_protocol.tlsv1.0",
        "tls.weak_protocol.tlsv1.1",
        "tls.weak_signature",
    ];
    assert_eq!(seen.iter().map(|seen| seen.rule.as_str()).collect::<Vec<_>>(), expected);
    assert!(seen.iter().all(|seen| seen.location.to_string() == "127.0.0.1:14443/tcp" && !seen.evidence.is_empty()));
}

#[test]
fn what_is_shown_beside_the_usual_is_chosen_by_name() {
    let args = |params: Value| {
        let shapes = Adapter.shapes(Some(&params)).unwrap();
        Adapter.invocation(&shapes[0].params, &shard("192.0.2.1", None)).unwrap().args.join(" ")
    };
    assert!(!args(json!({})).contains("--show"));
    let all = args(json!({"show": ["times", "client_cas", "times", "signatures"]}));
    assert!(all.contains("--show-client-cas --show-sigs --show-times 192.0.2.1:443"), "{all}");
    for show in [json!(["--targets=/etc/passwd"]), json!("times"), json!(vec!["times"; 5]), json!([["times"]])] {
        let error = Adapter.shapes(Some(&json!({ "show": show }))).unwrap_err();
        assert!(error.field.starts_with("parameters.show"), "{error}");
    }
    // The whole certificate stands beside its summary, and says of itself less.
    let whole = r#"<certificates><certificate type="full"><signature-algorithm>sha256WithRSAEncryption</signature-algorithm>
        <pk error="false" type="RSA" bits="2048"/></certificate><certificate type="short">
        <signature-algorithm>sha256WithRSAEncryption</signature-algorithm><pk error="false" type="RSA" bits="2048"/>
        <self-signed>true</self-signed></certificate></certificates>"#;
    assert_eq!(rules(&report(&format!("{SOUND}{whole}"))), ["tls.certificate_self_signed"]);
}

#[test]
fn a_run_is_passive_only_when_its_command_line_leaves_heartbleed_out() {
    assert!(!Adapter.is_passive());
    for (params, is_passive) in [
        (json!({}), false),
        (json!({"heartbleed": true}), false),
        (json!({"show": ["times"], "port": 8443}), false),
        (json!({"heartbleed": false}), true),
        (json!({"heartbleed": false, "starttls": "smtp", "port": 25}), true),
    ] {
        let shapes = Adapter.shapes(Some(&params)).unwrap();
        let args = Adapter.invocation(&shapes[0].params, &shard("192.0.2.1", None)).unwrap().args;
        assert_eq!(args.iter().any(|arg| arg == "--no-heartbleed"), is_passive, "{params}");
        assert_eq!(Adapter.is_passive_with(&shapes[0].params), is_passive, "{params}");
    }
    assert!(!Adapter.is_passive_with(&json!({"heartbleed": "no"})), "what cannot be read is no passive run");
    assert_eq!(Adapter.shapes(None).unwrap()[0].params.get("heartbleed"), None, "the default is as it was");
}

#[test]
fn each_element_tells_what_it_means() {
    assert!(rules(&report(SOUND)).is_empty());
    for (inner, rule) in [
        (r#"<protocol type="ssl" version="2" enabled="1"/>"#, "tls.weak_protocol.sslv2"),
        (r#"<protocol type="tls" version="1.3" enabled="0"/>"#, "tls.no_tls13"),
        (r#"<fallback supported="0"/>"#, "tls.no_fallback_scsv"),
        (r#"<renegotiation supported="1" secure="0"/>"#, "tls.insecure_renegotiation"),
        (r#"<compression supported="1"/>"#, "tls.compression"),
        (r#"<heartbleed sslversion="TLSv1.0" vulnerable="1"/>"#, "tls.heartbleed"),
        (r#"<group sslversion="TLSv1.2" bits="80" name="secp160k1" id="0x000f"/>"#, "tls.weak_curve"),
        (
            r#"<cipher status="accepted" sslversion="TLSv1.2" cipher="DHE-RSA-AES256-GCM-SHA384" dhebits="1024"/>"#,
            "tls.weak_dh_group",
        ),
        ("<certificate><expired>true</expired></certificate>", "tls.certificate_expired"),
        (
            "<certificates><certificate type=\"short\"><self-signed>true</self-signed></certificate></certificates>",
            "tls.certificate_self_signed",
        ),
        (
            "<certificate><not-valid-before>Sep  5 00:00:00 2026 GMT</not-valid-before><not-valid-after>Nov 11 00:00:00 2030 GMT</not-valid-after></certificate>",
            "tls.certificate_long_validity",
        ),
    ] {
        assert_eq!(rules(&report(&format!("{SOUND}{inner}"))), [rule], "{inner}");
    }
    for inner in [
        r#"<renegotiation supported="0" secure="0"/>"#,
        r#"<heartbleed sslversion="TLSv1.0" vulnerable="0"/>"#,
        r#"<cipher status="rejected" sslversion="TLSv1.2" cipher="RC4-MD5"/>"#,
        r#"<fallback supported="x"/>"#,
    ] {
        assert!(rules(&report(&format!("{SOUND}{inner}"))).is_empty(), "{inner}");
    }
}

#[test]
fn o7_what_was_not_seen_is_never_clean() {
    for text in
        ["", "\n", "ERROR: Could not connect", "<document/>", r#"<document title="SSLScan Results"></document>"#]
    {
        assert!(!read(text.as_bytes()).0.is_complete(), "{text:?}");
    }
    let (parsed, _) = read(report("").as_bytes());
    assert!(
        parsed.gap == Some(Gap::OutputIncomplete) && parsed.reason.contains("no TLS, or no connection"),
        "{parsed:?}"
    );
    let hostless = report(SOUND).replace("192.0.2.1", "<x>&amp;");
    assert!(!read(hostless.as_bytes()).0.is_complete());
}

#[test]
fn o6_a_report_cut_anywhere_is_never_complete() {
    let end = WEAK.rfind("</document>").unwrap();
    for cut in (0..=end).step_by(41) {
        assert_eq!(read(WEAK.as_bytes().get(..cut).unwrap()).0.gap, Some(Gap::OutputIncomplete), "cut at {cut}");
    }
}

#[test]
fn the_command_line_is_written_by_us() {
    let args = |params: Value, shard: &Shard| {
        let shapes = Adapter.shapes(Some(&params)).unwrap();
        assert_eq!(Adapter.shapes(Some(&shapes[0].params)).unwrap(), shapes);
        Adapter.invocation(&shapes[0].params, shard).unwrap()
    };
    let named = args(json!({"port": 8443, "starttls": "smtp"}), &shard("192.0.2.1", Some("example.com")));
    assert_eq!(
        named.args,
        ["--no-colour", "--xml=-", "--timeout=5", "--sni-name=example.com", "--starttls-smtp", "192.0.2.1:8443"]
    );
    assert_eq!((named.egress.ports, named.network), (vec![(8443, 8443)], Network::Connect));
    let bare = args(json!({}), &shard("2001:db8::1", None));
    assert_eq!(bare.args, ["--no-colour", "--xml=-", "--timeout=5", "[2001:db8::1]:443"]);
    assert_eq!(Adapter.shapes(None).unwrap()[0].needs.pool, Pool::Tls);
    assert!(Adapter.exit_is_ok(0) && !Adapter.exit_is_ok(1));
}

#[test]
fn hostile_parameters_are_refused() {
    for params in [
        json!({"port": "443 --targets=/etc/passwd"}),
        json!({"port": 0}),
        json!({"starttls": "smtp --pk=/x"}),
        json!({"starttls": "SMTP"}),
        json!({"targets": "/etc/passwd"}),
        json!({"certs": "x"}),
        json!({"pkpass": "x"}),
        json!({"xml": "/etc/x"}),
        json!([]),
        json!("--targets=x"),
    ] {
        let error = Adapter.shapes(Some(&params)).unwrap_err();
        assert_eq!(Adapter.invocation(&params, &shard("192.0.2.1", None)), Err(error), "{params}");
    }
    let hostile = Adapter.invocation(&json!({}), &shard("192.0.2.1", Some("--targets=/etc/passwd"))).unwrap();
    assert!(!hostile.args.iter().any(|arg| arg.contains("targets")));
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
