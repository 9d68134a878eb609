//! Command lines, samples of real runs, and the corpus.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const SHOP: &[u8] = include_bytes!("../../../testdata/wafw00f/shop.json");

#[test]
fn the_command_line_is_written_by_us() {
    let args = testing::args(&Adapter, &json!({"tls": true}));
    assert_eq!(args.join(" "), "-a -r -f json -o /scratch/report.json https://www.example.com:443/");
    testing::writes_plain_arguments(&Adapter, &json!({}));
}

#[test]
fn a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
}

#[test]
fn a_firewall_is_a_finding_and_none_is_not() {
    let (parsed, seen) = testing::read(&Json, SHOP);
    assert_eq!((parsed.is_complete(), seen.len()), (true, 0), "{parsed:?}");
    let detected = r#"[{"url":"https://a.example","detected":true,"trigger_url":"https://a.example/?q","firewall":"Wallarm","manufacturer":"Wallarm Inc."},
        {"url":"https://a.example","detected":true,"firewall":"Generic","manufacturer":"Unknown"}]"#;
    let (parsed, seen) = testing::read(&Json, detected.as_bytes());
    assert!(parsed.is_complete());
    assert_eq!(testing::brief(&seen), [
        ("waf.detected".into(), "/".into(), "Wallarm".into()), ("waf.detected".into(), "/".into(), String::new())
    ]);
}

#[test]
fn what_breaks_off_or_holds_no_site_is_never_complete() {
    testing::is_never_complete_when_cut(&Json, SHOP);
    assert!(!testing::read(&Json, b"[]").0.is_complete());
    assert!(testing::read(&Json, b"{}").0.is_refused);
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes: Vec<u8>, at in 0..SHOP.len(), byte: u8) {
        testing::read(&Json, &bytes);
        let mut changed = SHOP.to_vec();
        changed[at] = byte;
        testing::read(&Json, &changed);
    }
}

#[test]
fn a_table_tells_what_the_json_tells() {
    let report = "url,detected,firewall,manufacturer\nhttps://www.example.com,True,Cloudflare,Cloudflare Inc.\nhttp://b.example,False,None,None\n";
    let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a table of WAFW00F");
    let (parsed, seen) = testing::read(format, report.as_bytes());
    assert!(parsed.is_complete() && parsed.hosts_up == 2, "{parsed:?}");
    assert_eq!(testing::brief(&seen), [("waf.detected".into(), "/".into(), "Cloudflare".into())]);
}
