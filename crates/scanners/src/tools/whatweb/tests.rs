//! Command lines, samples of real runs, and the corpus.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const SHOP: &[u8] = include_bytes!("../../../testdata/whatweb/shop.json");

#[test]
fn the_command_line_is_written_by_us() {
    assert_eq!(
        testing::args(&Adapter, &json!({"port": 8443, "tls": true, "path": "/app/", "aggression": 3})).join(" "),
        "--quiet --no-errors --color=never --follow-redirect=never --max-threads=2 --open-timeout=10 --read-timeout=20 --aggression=3 \
         --log-json=/scratch/report.json https://www.example.com:8443/app/"
    );
    testing::writes_plain_arguments(&Adapter, &json!({}));
}

#[test]
fn a18_a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
    for aggression in [json!(2), json!(4), json!("3"), json!("3 -p +/tmp/x.rb"), json!(null)] {
        testing::refused(&Adapter, &json!({ "aggression": aggression }), "parameters.aggression");
    }
    for name in ["plugins", "p", "custom_plugin", "custom-plugin", "input-file", "i"] {
        testing::refused(&Adapter, &json!({ name: "+/tmp/x.rb" }), &format!("parameters.{name}"));
    }
}

#[test]
fn a_page_with_its_software_is_one_finding() {
    let (parsed, seen) = testing::read(&Json, SHOP);
    assert!(parsed.is_complete(), "{parsed:?}");
    assert_eq!(testing::brief(&seen), [("web.technology".into(), "/".into(), String::new())]);
    assert!(seen[0].title.contains("WordPress 5.0"), "{}", seen[0].title);
    assert!(seen[0].evidence.contains("HTTPServer: nginx/1.16.1"), "{}", seen[0].evidence);
    assert_eq!((seen[0].location.host.as_str(), seen[0].location.port), ("127.0.0.1", Some(8080)));
}

#[test]
fn what_breaks_off_or_holds_no_page_is_never_complete() {
    testing::is_never_complete_when_cut(&Json, SHOP);
    for nothing in ["[]", "[\n{}\n]", "[{\"target\":\"x\"}]"] {
        assert!(!testing::read(&Json, nothing.as_bytes()).0.is_complete(), "{nothing}");
    }
    assert!(testing::read(&Json, b"{}").0.is_refused);
}

#[test]
fn the_corpus_is_counted_by_pages() {
    for (name, count) in [("django-DefectDojo__whatweb_many_vuln.json", 3), ("django-DefectDojo__whatweb_one_vuln.json", 1)] {
        let Some((parsed, seen)) = testing::corpus_read(&Json, &format!("whatweb/{name}")) else { return };
        assert_eq!((seen.len(), parsed.is_complete()), (count, true), "{name} {parsed:?}");
    }
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
