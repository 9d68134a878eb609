//! Parameters, command lines, recorded, broken and hostile reports.

use std::io::BufReader;

use picket_domain::{Gap, PinnedHost, Pool, Severity, ToolOutput};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const WEAK: &str = include_str!("../../../testdata/testssl/weak.json");
const WEAK_CSV: &str = include_str!("../../../testdata/testssl/weak.csv");

fn read_as(format: &dyn Format, report: &[u8]) -> (Parsed, Vec<Observation>) {
    let mut seen = Vec::new();
    let parsed =
        format.parse(&mut BufReader::with_capacity(61, report), &Context::default(), &mut |one| seen.push(one));
    (parsed, seen)
}

fn read(report: &str) -> (Parsed, Vec<Observation>) {
    read_as(&Json, report.as_bytes())
}

fn row(id: &str, severity: &str, finding: &str) -> Value {
    json!({"id": id, "ip": "www.example.com/192.0.2.1", "port": "443", "severity": severity, "finding": finding, "cve": "CVE-2014-0160"})
}

/// A complete flat report of these rows.
fn flat(rows: &[Value]) -> String {
    let end = json!({"id": "scanTime", "ip": "www.example.com/192.0.2.1", "port": "443", "severity": "INFO", "finding": "10"});
    Value::Array(rows.iter().cloned().chain([row("service", "OK", "HTTP"), end]).collect()).to_string()
}

fn rules(rows: &[Value]) -> Vec<String> {
    let (parsed, seen) = read(&flat(rows));
    assert!(parsed.is_complete(), "{parsed:?}");
    seen.into_iter().map(|seen| seen.rule).collect()
}

fn shard(address: &str, name: Option<&str>) -> Shard {
    let address = address.parse().unwrap();
    let hosts = name.iter().map(|name| PinnedHost { name: (*name).to_owned(), address }).collect();
    Shard { target: "example.com".to_owned(), addresses: vec![address], hosts }
}

#[test]
fn a_recorded_report_becomes_findings_in_every_format() {
    let (parsed, seen) = read(WEAK);
    assert!(parsed.is_complete(), "{parsed:?}");
    insta::assert_json_snapshot!(
        seen.iter().map(|seen| format!("{} {} {}", seen.severity.name(), seen.rule, seen.location)).collect::<Vec<_>>()
    );
    let csv = read_as(&Csv, WEAK_CSV.as_bytes());
    assert!(csv.0.gap == Some(Gap::OutputIncomplete) && csv.0.reason.contains("import its JSON"), "{:?}", csv.0);
    assert_eq!(csv.1, seen);
    let rows: Vec<Value> = serde_json::from_str(WEAK).unwrap();
    let (of_service, rest): (Vec<Value>, Vec<Value>) =
        rows.into_iter().partition(|row| row["ip"] == "127.0.0.1/127.0.0.1" && row["id"] != "scanTime");
    assert!(!rest.is_empty());
    let pretty = json!({"Invocation": "testssl.sh", "openssl": "x", "startTime": "1", "scanTime": 3, "scanResult": [
        {"targetHost": "127.0.0.1", "ip": "127.0.0.1", "port": "14443", "rDNS": "", "service": "HTTP", "protocols": of_service}]});
    assert!(Json.recognizes(&Head::new(pretty.to_string().as_bytes(), true)));
    let (parsed, of_pretty) = read(&pretty.to_string());
    assert!(parsed.is_complete(), "{parsed:?}");
    assert_eq!(of_pretty, seen);
}

#[test]
fn a_cve_in_a_row_is_no_finding_by_itself() {
    assert!(rules(&[row("heartbleed", "OK", "not vulnerable"), row("heartbleed", "DEBUG", "x")]).is_empty());
    assert_eq!(rules(&[row("heartbleed", "CRITICAL", "VULNERABLE")]), ["tls.heartbleed"]);
}

#[test]
fn rows_that_inform_are_findings_under_their_own_name() {
    let told = [
        row("service", "INFO", "HTTP"),
        row("LUCKY13", "INFO", "no rule of ours says so for information"),
        row("cert_serialNumber <cert#1>", "INFO", "1"),
        row("cert_serialNumber <cert#2>", "INFO", "2"),
    ];
    let (_, seen) = read(&flat(&told));
    assert!(seen.iter().all(|seen| seen.severity == Severity::Info), "{seen:?}");
    let names: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.rule, seen.subject)).collect();
    assert_eq!(
        names,
        ["testssl:service ", "testssl:LUCKY13 ", "testssl:cert_serialNumber cert#1", "testssl:cert_serialNumber cert#2"]
    );
    let of_nobody = json!({"id": "clientProblem", "ip": "/", "port": "443", "severity": "INFO", "finding": "x"});
    assert!(rules(&[of_nobody]).is_empty(), "what names no host is of this machine");
}

#[test]
fn the_rating_sums_up_and_is_no_finding() {
    let rating = ["rating_spec", "protocol_support_score_weighted", "final_score", "overall_grade", "grade_cap_reason_1"];
    let rating: Vec<Value> = rating
        .iter()
        .flat_map(|id| ["INFO", "CRITICAL", "WARN"].map(|severity| row(id, severity, "T")))
        .collect();
    assert!(rules(&rating).is_empty());
    assert_eq!(rules(&[row("SSLv3", "NOT ok", "offered")]), ["tls.weak_protocol.sslv3"], "as 2.8 graded");
}

#[test]
fn rows_that_nothing_fits_keep_their_own_name() {
    let (_, seen) = read(&flat(&[row("winshock", "HIGH", "likely")]));
    assert_eq!(
        (seen[0].rule.as_str(), seen[0].severity, seen[0].cve.as_deref()),
        ("testssl:winshock", Severity::High, Some("CVE-2014-0160"))
    );
    assert_eq!(seen[0].location.to_string(), "192.0.2.1:443/tcp");
}

#[test]
fn rows_mean_what_their_finding_says() {
    for (id, finding, rule) in [
        ("cert_expirationStatus", "expired", "tls.certificate_expired"),
        ("cert_expirationStatus", "expires < 30 days (2)", "tls.certificate_expiring"),
        ("cert_chain_of_trust", "failed (self signed).", "tls.certificate_self_signed"),
        ("cert_chain_of_trust", "failed (self signed CA in chain).", "tls.certificate_untrusted"),
        ("cert_chain_of_trust", "failed (chain incomplete).", "tls.certificate_untrusted"),
        ("cert_trust", "certificate does not match supplied URI", "tls.certificate_name_mismatch"),
        ("cert_keySize <cert#1>", "RSA 1024 bits", "tls.weak_key"),
        ("HSTS", "not offered", "http.header_missing.hsts"),
        ("HSTS_time", "364 days", "http.header_weak.hsts"),
        ("BREACH", "potentially VULNERABLE", "http.compression_with_tls"),
    ] {
        assert_eq!(rules(&[row(id, "MEDIUM", finding)]), [rule], "{id}: {finding}");
    }
    let by_address = flat(&[row("cert_trust", "HIGH", "certificate does not match supplied URI")])
        .replace("www.example.com/", "192.0.2.1/");
    assert!(read(&by_address).1.is_empty(), "a certificate is for names");
}

#[test]
fn trouble_of_the_scan_is_a_gap_and_no_finding() {
    let (parsed, seen) = read(&flat(&[row("heartbleed", "WARN", "test failed")]));
    assert_eq!((parsed.gap, seen.len()), (Some(Gap::OutputIncomplete), 0));
    let (parsed, _) = read(&flat(&[row("scanProblem", "FATAL", "Can't connect")]));
    assert_eq!(parsed.gap, Some(Gap::ToolFailed));
    assert!(parsed.reason.contains("Can't connect"), "{parsed:?}");
    assert!(rules(&[row("engine_problem", "WARN", "No engine")]).is_empty(), "the notice about GOST is none");
    let (parsed, _) = read(
        &json!({"Invocation": "x", "openssl": "x", "scanResult": [row("scanProblem", "FATAL", "Can't connect")]})
            .to_string(),
    );
    assert_eq!(parsed.gap, Some(Gap::ToolFailed));
}

#[test]
fn o7_without_its_last_row_a_report_is_never_complete() {
    for text in [
        "",
        "[",
        "[]",
        "{}",
        "null",
        "Unable to open a socket",
        r#"{"scanResult":[]}"#,
        r#"{"scanResult":[],"scanTime":1}"#,
        r#"{"scanResult":[{"targetHost":"a.example","ip":"192.0.2.1","port":"443","protocols":[{"id":"TLS1","severity":"LOW","finding":"x"}]}],"scanTime":"Scan interrupted"}"#,
    ] {
        assert!(!read(text).0.is_complete(), "{text}");
    }
    let (parsed, seen) = read(&json!([row("TLS1", "LOW", "offered")]).to_string());
    assert!(!parsed.is_complete() && seen.len() == 1);
    for cut in (0..WEAK.rfind(']').unwrap()).step_by(97) {
        assert!(!read(&WEAK[..cut]).0.is_complete(), "cut at {cut}");
    }
    for cut in (0..WEAK_CSV.len()).step_by(97) {
        assert!(!read_as(&Csv, &WEAK_CSV.as_bytes()[..cut]).0.is_complete(), "cut at {cut}");
    }
}

#[test]
fn what_is_not_offered_needs_something_that_is() {
    let lacking =
        [row("TLS1_2", "MEDIUM", "not offered"), row("TLS1_3", "LOW", "not offered + downgraded to weaker protocol")];
    assert!(rules(&lacking).is_empty(), "a port that speaks no TLS offers nothing");
    let [tls12, tls13] = lacking;
    let old = [row("TLS1", "LOW", "offered (deprecated)"), tls12, tls13.clone()];
    assert_eq!(rules(&old), ["tls.no_modern_protocol", "tls.weak_protocol.tlsv1.0"]);
    assert_eq!(rules(&[row("TLS1_2", "OK", "offered"), tls13]), ["tls.no_tls13"]);
}

#[test]
fn services_of_one_report_are_told_apart() {
    let other = |id: &str| json!({"id": id, "ip": "b.example.com/192.0.2.2", "port": 8443, "severity": "LOW", "finding": "offered"});
    let (_, seen) = read(&flat(&[row("TLS1", "LOW", "offered"), other("TLS1"), other("TLS1_1")]));
    let places: Vec<String> = seen.iter().map(|seen| seen.location.to_string()).collect();
    assert_eq!(places, ["192.0.2.1:443/tcp", "192.0.2.2:8443/tcp", "192.0.2.2:8443/tcp"]);
}

#[test]
fn the_command_line_is_written_by_us() {
    let params = json!({"port": 8443, "starttls": "smtp", "checks": ["headers", "protocols", "protocols"]});
    let shapes = Adapter.shapes(Some(&params)).unwrap();
    assert_eq!(Adapter.shapes(Some(&shapes[0].params)).unwrap(), shapes);
    let run = Adapter.invocation(&shapes[0].params, &shard("192.0.2.1", Some("example.com"))).unwrap();
    assert_eq!(
        run.args.join(" "),
        "--warnings off --color 0 --quiet --connect-timeout 10 --openssl-timeout 10 -n none --jsonfile /scratch/report.json --ip 192.0.2.1 \
         --starttls smtp --protocols --headers example.com:8443"
    );
    assert_eq!((run.output, run.egress.ports), (ToolOutput::File("/scratch/report.json"), vec![(8443, 8443)]));
    assert!(
        Adapter
            .invocation(&json!({}), &shard("2001:db8::1", None))
            .unwrap()
            .args
            .ends_with(&["-6".to_owned(), "[2001:db8::1]:443".to_owned()])
    );
    assert_eq!(shapes[0].needs.pool, Pool::Tls);
    assert!(Adapter.exit_is_ok(3) && !Adapter.exit_is_ok(254) && !Adapter.exit_is_ok(-1));
}

#[test]
fn a15_a19_a21_a22_hostile_parameters_are_refused() {
    for params in [
        json!({"checks": ["--file=/etc/passwd"]}),
        json!({"checks": ["protocols --openssl /x"]}),
        json!({"checks": vec!["rc4"; 1000]}),
        json!({"checks": "protocols"}),
        json!({"starttls": "smtp;id"}),
        json!({"port": "443"}),
        json!({"openssl": "/bin/sh"}),
        json!({"proxy": "x"}),
        json!({"phone_out": true}),
        json!({"basicauth": "a:b"}),
    ] {
        let error = Adapter.shapes(Some(&params)).unwrap_err();
        assert_eq!(Adapter.invocation(&params, &shard("192.0.2.1", None)), Err(error), "{params}");
    }
    let hostile = Adapter.invocation(&json!({}), &shard("192.0.2.1", Some("--file"))).unwrap();
    assert!(!hostile.args.iter().any(|arg| arg.contains("--file")));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let _ = read_as(&Json, &bytes);
        let _ = read_as(&Csv, &bytes);
    }

    #[test]
    fn a_report_with_changed_bytes_is_read_without_panic(at in 0..WEAK_CSV.len(), byte: u8) {
        let mut report = WEAK_CSV.as_bytes().to_vec();
        report[at] = byte;
        let _ = read_as(&Csv, &report);
        let mut report = WEAK.as_bytes().to_vec();
        report[at] = byte;
        let _ = read_as(&Json, &report);
    }
}
