//! Command lines, samples of real runs, and the corpus.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

/// As 2.1.5 prints it.
const OLD: &str = r#"<?xml version="1.0" ?>
<!DOCTYPE niktoscan SYSTEM "docs/nikto.dtd">
<niktoscan>
<niktoscan hoststest="0" options="-host 192.0.2.1" version="2.1.5" scanstart="Sun Nov 22 05:00:00 2026" scanend="Thu Jan  1 01:00:00 1970" scanelapsed=" seconds" nxmlversion="1.2">
<scandetails targetip="192.0.2.1" targethostname="www.example.com" targetport="8443" targetbanner="nginx" starttime="2026-11-22 05:00:00" sitename="https://192.0.2.1:8443/" siteip="https://192.0.2.1:8443/" hostheader="www.example.com" errors="0" checks="6544">
<item id="999957" osvdbid="0" osvdblink="" method="GET"><description><![CDATA[The anti-clickjacking X-Frame-Options header is not present.]]></description><uri><![CDATA[/]]></uri></item>
<item id="000029" osvdbid="0" osvdblink="" method="GET"><description><![CDATA[Cookie session created without the httponly flag]]></description><uri><![CDATA[/app/]]></uri></item>
<item id="750000" osvdbid="3268" osvdblink="" method="GET"><description><![CDATA[/files/: Directory indexing found.]]></description><uri><![CDATA[/files/]]></uri></item>
<item id="999100" osvdbid="0" osvdblink="" method="GET"><description><![CDATA[Uncommon header 'x-cache' found, with contents: HIT]]></description><uri><![CDATA[/]]></uri></item>
<item id="003092" osvdbid="3092" osvdblink="" method="GET"><description><![CDATA[/backup/: This might be interesting...]]></description><uri><![CDATA[/backup/]]></uri></item>
<item id="006609" osvdbid="0" osvdblink="" method="GET"><description><![CDATA[/.git/HEAD: Git HEAD file found. Full repo details may be present.]]></description><uri><![CDATA[/.git/HEAD]]></uri></item>
<statistics elapsed="26" itemsfound="6" itemstested="6544" endtime="2026-11-22 05:00:26" />
</scandetails>
</niktoscan>
</niktoscan>
"#;

#[test]
fn the_command_line_is_written_by_us() {
    let args = testing::args(&Adapter, &json!({"port": 8443, "tls": true, "path": "/app/", "tuning": ["b", "1", "b"]}));
    assert_eq!(
        args.join(" "),
        "-host 192.0.2.1 -port 8443 -vhost www.example.com -ssl -root /app -Tuning x062345789acde -nointeractive -ask no -nolookup \
         -timeout 10 -Format xml -output /scratch/report.xml"
    );
    testing::writes_plain_arguments(&Adapter, &json!({}));
    let all = testing::args(&Adapter, &json!({})).join(" ");
    assert!(all.contains("-Tuning x06 "), "denial of service and uploads are never run: {all}");
}

#[test]
fn a14_a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
    for tuning in ["6", "0", "x", "-config", "1 -config /tmp/x", "12", ""] {
        testing::refused(&Adapter, &json!({ "tuning": ["1", tuning] }), "parameters.tuning[1]");
    }
    testing::refused(&Adapter, &json!({ "tuning": "1" }), "parameters.tuning");
    for name in ["host", "vhost", "Plugins", "Userdbs", "useproxy", "mutate", "evasion", "Save"] {
        testing::refused(&Adapter, &json!({ name: "/etc/passwd" }), &format!("parameters.{name}"));
    }
}

#[test]
fn a_weakness_of_the_service_stands_at_the_address_and_both_formats_know_tls_alike() {
    let hosts = [picket_domain::PinnedHost { name: "www.example.com".to_owned(), address: [192, 0, 2, 7].into() }];
    let context = Context { hosts: &hosts, ..Context::default() };
    let message = "HTTP TRACE method is active, suggesting the host is vulnerable to XST";
    let xml = format!(
        "<niktoscan><scandetails targethostname=\"www.example.com\" targetport=\"8443\"><item id=\"1\" method=\"TRACE\"><description>{message}</description><uri>/</uri></item>\
         <item id=\"2\" method=\"GET\"><description>/files/: Directory indexing found.</description><uri>/files/</uri></item><statistics/></scandetails></niktoscan>"
    );
    let items = json!([{"id": "1", "method": "TRACE", "url": "/", "msg": message}, {"id": "2", "method": "GET", "url": "/files/", "msg": "/files/: Directory indexing found."}]);
    let json = json!([{"host": "www.example.com", "port": "8443", "vulnerabilities": items}]).to_string();
    for (format, report) in [(&Xml as &dyn Format, xml), (&Json, json)] {
        let mut seen = Vec::new();
        format.parse(&mut report.as_bytes(), &context, &mut |one| seen.push(one));
        assert_eq!((seen[0].rule.as_str(), seen[0].location.host.as_str()), ("http.trace_enabled", "192.0.2.7"));
        assert_eq!(seen[1].location.url.as_deref(), Some("https://www.example.com:8443/files/"));
    }
}

#[test]
fn items_are_known_by_what_they_say() {
    let (parsed, seen) = testing::read(&Xml, OLD.as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    let told: Vec<_> = testing::brief(&seen).into_iter().map(|(rule, path, subject)| format!("{rule} {path} {subject}")).collect();
    assert_eq!(told, [
        "http.header_missing.x_frame_options / ", "http.cookie_without_httponly / session", "http.directory_listing /files/ ",
        "nikto:999100 / x-cache", "http.interesting_path /backup/ ", "http.git_exposed /.git/ ",
    ]);
    assert_eq!(seen[0].location.url.as_deref(), Some("https://www.example.com:8443/"));
}

#[test]
fn what_a_server_sent_in_another_encoding_takes_nothing_with_it() {
    let items = |text: &[u8]| {
        let item = |path: &str| [b"<item id=\"1\"><description><![CDATA[", text, b": Directory indexing found.]]></description><uri>", path.as_bytes(), b"</uri></item>"].concat();
        [b"<niktoscan><scandetails targetip=\"192.0.2.1\" targetport=\"80\">".to_vec(), item("/a/"), item("/b/"), b"<statistics/></scandetails></niktoscan>".to_vec()].concat()
    };
    let (parsed, seen) = testing::read(&Xml, &items(b"caf\xe9"));
    assert!(parsed.is_complete() && seen.len() == 2, "{parsed:?}");
    assert_eq!(seen, testing::read(&Xml, &items("caf\u{fffd}".as_bytes())).1);
    let json = [b"[{\"host\":\"192.0.2.1\",\"ip\":\"192.0.2.1\",\"port\":\"80\",\"banner\":\"caf".as_slice(), b"\xe9", b"\",\"vulnerabilities\":[{\"id\":\"1\",\"url\":\"/\",\"msg\":\"x\"}]}]"].concat();
    assert!(testing::read(&Json, &json).0.is_complete());
}

#[test]
fn cves_and_kinds_come_from_the_references() {
    let report = json!([{"host": "192.0.2.1", "ip": "192.0.2.1", "port": 80, "server_banner": null, "vulnerabilities": [
        {"id": "000001", "method": "GET", "msg": "Remote file inclusion.", "references": "CVE-2006-1234 https://example.org/x CWE-98", "url": "/a.php?x=1"},
        {"id": "600575", "method": "HEAD", "msg": "nginx/1.22.1 appears to be outdated (current is at least 1.31.3).", "references": "", "url": "/"},
    ]}]);
    let (parsed, seen) = testing::read(&Json, report.to_string().as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    assert_eq!((seen[0].cve.as_deref(), seen[0].cwe, seen[0].references.len()), (Some("CVE-2006-1234"), Some(98), 1));
    assert_eq!((seen[1].rule.as_str(), seen[1].subject.as_str()), ("web.outdated_component", "nginx"));
}

#[test]
fn a_run_that_failed_or_stopped_says_so() {
    let report = |message: &str| json!([{"host": "192.0.2.1", "ip": "192.0.2.1", "port": "80", "banner": "", "vulnerabilities": [{"id": "0", "url": "/", "msg": message}]}]).to_string();
    for (message, gap) in [
        ("ERROR: Host maximum execution time of 900 seconds reached", picket_domain::Gap::TimedOut),
        ("ERROR: Error limit (20) reached for host, giving up.", picket_domain::Gap::ToolFailed),
    ] {
        let (parsed, seen) = testing::read(&Json, report(message).as_bytes());
        assert_eq!((parsed.gap, seen.len()), (Some(gap), 0), "{message}");
    }
}

#[test]
fn what_breaks_off_or_did_not_finish_is_never_complete() {
    testing::is_never_complete_when_cut(&Xml, OLD.as_bytes());
    let unfinished = OLD.lines().filter(|line| !line.starts_with("<statistics")).collect::<String>();
    assert!(!testing::read(&Xml, unfinished.as_bytes()).0.is_complete());
    assert!(!testing::read(&Json, b"[]").0.is_complete());
    assert!(testing::read(&Json, b"{}").0.is_refused);
    assert!(testing::read(&Xml, b"<!DOCTYPE niktoscan [<!ENTITY a 'b'>]><niktoscan/>").0.is_refused);
}

#[test]
fn a_limit_of_time_is_told_by_what_nikto_says_beside_its_report() {
    let shard = picket_domain::Shard {
        target: "192.0.2.1".to_owned(),
        addresses: vec!["192.0.2.1".parse().unwrap()],
        hosts: Vec::new(),
    };
    let args = |params: Value| Adapter.invocation(&params, &shard).unwrap().args.join(" ");
    assert!(!args(json!({})).contains("maxtime"));
    assert!(args(json!({"max_time": 600, "ssl": true})).contains("-port 443 -ssl -Tuning x06 -maxtime 600 -nointeractive"));
    for params in [json!({"max_time": 59}), json!({"max_time": "1h"}), json!({"max_time": 2101}), json!({"ssl": 1})] {
        assert!(Adapter.shapes(Some(&params)).is_err(), "{params}");
    }
    // As 2.1.5 and 2.6 print it.
    for said in ["+ ERROR: Host maximum execution time of 600 seconds reached\n", "+ Scan terminated:  20 error(s) and 5 item(s) reported on remote host\n"] {
        assert!(Adapter.stopped_early(said).is_some(), "{said}");
    }
    assert!(Adapter.stopped_early("+ 6469 items checked: 4 error(s) and 5 item(s) reported on remote host\n").is_none());
    assert!(Adapter.stopped_early("+ 1 host(s) tested").is_none());
}

#[test]
fn the_corpus_is_counted_by_items() {
    for (format, name, count, is_complete) in [
        (&Xml as &dyn Format, "nikto/django-DefectDojo__nikto-report-old-format.xml", 1, true),
        (&Xml, "nikto/django-DefectDojo__nikto-report-one-vuln.xml", 1, true),
        (&Xml, "nikto/dradis-nikto__sample_v2.1.4.xml", 4, true),
        (&Json, "nikto/django-DefectDojo__tdh.json", 8, true),
        // The only item says that the host could not be found.
        (&Json, "nikto/secureCodeBox__unresolvable-host.json", 0, false),
        (&Json, "loopback/nikto_2.6.json", 20, true),
    ] {
        let Some((parsed, seen)) = testing::corpus_read(format, name) else { return };
        assert_eq!((seen.len(), parsed.is_complete()), (count, is_complete), "{name} {parsed:?}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes: Vec<u8>, at in 0..OLD.len(), byte: u8, message: String, url: String) {
        testing::read(&Json, &bytes);
        testing::read(&Xml, &bytes);
        let mut changed = OLD.as_bytes().to_vec();
        changed[at] = byte;
        testing::read(&Xml, &changed);
        let report = json!([{"host": "192.0.2.1", "port": 80, "banner": "", "vulnerabilities": [{"id": "1", "msg": message, "url": url}]}]);
        testing::read(&Json, report.to_string().as_bytes());
    }
}
