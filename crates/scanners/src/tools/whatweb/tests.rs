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

#[test]
fn brief_lines_and_xml_tell_what_the_json_tells() {
    let brief = "\u{1b}[1m\u{1b}[34mhttp://192.0.2.7:8080/a\u{1b}[0m [200 OK] \u{1b}[1mApache\u{1b}[0m[2.4.49], Country[RESERVED][ZZ], HTTPServer[Unix][Apache/2.4.49 (Unix)], Title[a, b]\n\
                 http://192.0.2.7/ [301 Moved Permanently] nginx, RedirectLocation[http://192.0.2.7/b]\nERROR Opening: http://192.0.2.8/ - Connection refused\n";
    let xml = "<?xml version=\"1.0\"?><?xml-stylesheet type=\"text/xml\" href=\"whatweb.xsl\"?>\n<log>\n<target>\n\t<uri>http://192.0.2.7:8080/a</uri>\n\t<http-status>200</http-status>\n\
               \t<request-config>\n\t</request-config>\n\t<plugin>\n\t\t<name>Apache</name>\n\t\t<version>2.4.49</version>\n\t</plugin>\n\
               \t<plugin>\n\t\t<name>Title</name>\n\t\t<string>a, b</string>\n\t</plugin>\n\t<plugin>\n\t\t<name>HTTPServer</name>\n\t\t<os>Unix</os>\n\t\t<string>Apache/2.4.49 (Unix)</string>\n\t</plugin>\n</target>\n</log>\n";
    for (report, count) in [(brief, 2), (xml, 1)] {
        let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a report of WhatWeb");
        assert_eq!(format.tool(), "whatweb");
        let (parsed, seen) = testing::read(format, report.as_bytes());
        assert!(parsed.is_complete(), "{parsed:?}");
        assert_eq!(seen.len(), count);
        assert_eq!(seen[0].location.url.as_deref(), Some("http://192.0.2.7:8080/a"));
        assert!(seen[0].title.starts_with("Recognized: Apache 2.4.49"), "{}", seen[0].title);
        assert!(seen[0].evidence.contains("Title: a, b") && seen[0].evidence.contains("HTTPServer: Unix, Apache/2.4.49 (Unix)"), "{}", seen[0].evidence);
    }
    // What httpx and other tools print.
    for line in ["http://192.0.2.7 [200] [Title]\n", "http://192.0.2.7/ [200 OK\n", "ftp://192.0.2.7 [200 OK] a\n", "<log><target>x</target></log>"] {
        assert!(crate::recognize(&Head::new(line.as_bytes(), true)).is_none(), "{line}");
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

#[test]
fn more_software_than_is_read_of_a_page_is_said_to_be_cut() {
    let brief = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("P{n}[a, b]")).collect();
        format!("http://192.0.2.1/ [200 OK] {}\n", list.join(", "))
    };
    let xml = |count: usize| {
        let list: String = (0..count).map(|n| format!("<plugin><name>P{n}</name></plugin>")).collect();
        format!("<?xml version=\"1.0\"?><log><target><uri>http://192.0.2.1/</uri><http-status>200</http-status>{list}</target></log>\n")
    };
    for (few, many) in [(brief(500), brief(501)), (xml(500), xml(501)), (brief(500), brief(200_000))] {
        for (report, is_cut) in [(few, false), (many, true)] {
            let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a report of WhatWeb");
            let (parsed, seen) = testing::read(format, report.as_bytes());
            assert_eq!((seen.len(), parsed.reason.contains("more")), (1, is_cut), "{parsed:?}");
        }
    }
}
