//! Command lines, samples of real runs, and the corpus.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const SHOP: &[u8] = include_bytes!("../../../testdata/wapiti/shop.json");

#[test]
fn the_command_line_is_written_by_us() {
    let args = testing::args(&Adapter, &json!({"modules": ["xss", "sql", "xss"], "scope": "page", "level": 2, "max_scan_time": 60}));
    assert_eq!(
        args.join(" "),
        "-u http://www.example.com:80/ --scope page -m sql,xss -f json -o /scratch/report.json -l 2 --max-scan-time 60 --max-attack-time 1110 \
         --max-links-per-page 50 --max-files-per-dir 50 --max-parameters 20 -d 10 -t 10 --flush-session --no-bugreport -v 0"
    );
    testing::writes_plain_arguments(&Adapter, &json!({}));
}

#[test]
fn a17_a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
    for name in ["endpoint", "external_endpoint", "dns_endpoint", "store_session", "side_file", "headless", "update"] {
        testing::refused(&Adapter, &json!({ name: "http://evil" }), &format!("parameters.{name}"));
    }
    for module in ["nikto", "ssrf", "xxe", "wapp", "brute_login_form", "all", "-all", "sql,nikto", "--endpoint http://evil"] {
        testing::refused(&Adapter, &json!({ "modules": ["sql", module] }), "parameters.modules[1]");
    }
    testing::refused(&Adapter, &json!({ "scope": "punk" }), "parameters.scope");
    testing::refused(&Adapter, &json!({ "level": 3 }), "parameters.level");
    testing::refused(&Adapter, &json!({ "max_scan_time": 100_000 }), "parameters.max_scan_time");
}

#[test]
fn a_run_against_a_shop_tells_its_weaknesses() {
    let (parsed, seen) = testing::read(&Json, SHOP);
    assert!(parsed.is_complete(), "{parsed:?}");
    let seen: Vec<_> = testing::brief(&seen).into_iter().map(|(rule, path, subject)| format!("{rule} {path} {subject}")).collect();
    assert_eq!(seen, [
        "http.header_missing.csp / ", "web.cross_site_scripting /search q", "http.header_missing.x_frame_options / ",
        "wapiti:http_secure_headers / ", "http.header_missing.x_content_type_options / ", "http.header_missing.hsts / ",
        "http.cookie_without_httponly / session", "web.open_redirect /go url", "http.cookie_without_secure / session",
        "wapiti:internal_server_error /item id", "wapiti:internal_server_error /item id", "wapiti:resource_consumption /go url",
    ]);
}

#[test]
fn newer_names_of_categories_are_of_the_same_rules() {
    let entry = |info: &str| json!([{"method": "GET", "path": "/a", "info": info, "level": 1, "parameter": "p", "http_request": ""}]);
    let report = json!({
        "classifications": {"Log4Shell": {"desc": "d", "sol": "s", "ref": {"CWE-502": "https://cwe.mitre.org/data/definitions/502.html"}}},
        "vulnerabilities": {
            "Reflected Cross Site Scripting": entry("x"),
            "Clickjacking Protection": entry("X-Frame-Options is not set"),
            "HTTP Strict Transport Security (HSTS)": entry("Strict-Transport-Security is not set"),
            "MIME Type Confusion": entry("X-Content-Type-Options is not set"),
            "Content Security Policy Configuration": entry("CSP \"script-src\" value is not safe"),
            "Backup file": entry("Backup file http://192.0.2.1/a.bak found for http://192.0.2.1/a"),
            "Log4Shell": entry("URL http://192.0.2.1/a seems vulnerable"),
            "CVE-2024-55591": entry("x"),
            "Vulnerable software": entry("{\"name\": \"jQuery UI\", \"versions\": [\"1.12.1\"]}"),
        },
        "additionals": {"Fingerprint web technology": entry("{\"name\": \"nginx\", \"versions\": [\"1.22.1\"]}")},
        "infos": {"target": "http://192.0.2.1/", "version": "Wapiti 3.2.3", "crawled_pages_nbr": 3},
    });
    let (parsed, seen) = testing::read(&Json, report.to_string().as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    let mut told: Vec<_> = testing::brief(&seen).into_iter().map(|(rule, path, subject)| format!("{rule} {path} {subject}")).collect();
    told.sort();
    assert_eq!(told, [
        "http.backup_exposed /a.bak ", "http.header_missing.hsts / ", "http.header_missing.x_content_type_options / ",
        "http.header_missing.x_frame_options / ", "http.header_weak.csp / ", "wapiti:cve_2024_55591 /a p", "wapiti:log4shell /a p",
        "web.cross_site_scripting /a p", "web.outdated_component / jQuery UI", "web.technology / nginx",
    ]);
    let cves: Vec<_> = seen.iter().filter_map(|one| Some((one.cve.clone()?, one.cwe))).collect();
    assert!(cves.contains(&("CVE-2021-44228".to_owned(), Some(502))) && cves.len() == 2, "{cves:?}");
}

#[test]
fn what_breaks_off_or_crawled_nothing_is_never_complete() {
    testing::is_never_complete_when_cut(&Json, SHOP);
    let report = br#"{"vulnerabilities":{},"infos":{"target":"http://192.0.2.1/","crawled_pages_nbr":0}}"#;
    assert!(!testing::read(&Json, report).0.is_complete());
    assert!(!testing::read(&Json, br#"{"vulnerabilities":{},"infos":{}}"#).0.is_complete());
    assert!(testing::read(&Json, br#"{"infos":{}}"#).0.is_refused);
    assert!(testing::read(&Xml, b"<!DOCTYPE report [<!ENTITY a 'b'>]><report/>").0.is_refused);
}

#[test]
fn the_corpus_is_counted_by_entries() {
    for (format, name, count) in [
        (&Json as &dyn Format, "wapiti/wapiti__report.json", 3),
        (&Xml, "wapiti/wapiti__report.xml", 3),
        (&Xml, "wapiti/django-DefectDojo__example.xml", 5),
        (&Json, "loopback/wapiti_3.2.3.json", 13),
    ] {
        let Some((parsed, seen)) = testing::corpus_read(format, name) else { return };
        assert_eq!((seen.len(), parsed.is_complete()), (count, true), "{name} {parsed:?}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes: Vec<u8>, at in 0..SHOP.len(), byte: u8) {
        testing::read(&Json, &bytes);
        testing::read(&Xml, &bytes);
        let mut changed = SHOP.to_vec();
        changed[at] = byte;
        testing::read(&Json, &changed);
    }
}

#[test]
fn a_crawl_that_came_to_its_time_limit_is_told_from_one_that_ended() {
    let said = "[*] You are lucky!\nMax scan time was reached, stopping.\n[*] Saving scan state, please wait...\n";
    assert!(Adapter.stopped_early(said).is_some_and(|reason| reason.contains("time limit")));
    assert!(Adapter.stopped_early("Max attack time was reached for module xss, stopping.").is_some());
    assert_eq!(Adapter.stopped_early("[*] Launching module xss\n"), None);
}
