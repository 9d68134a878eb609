//! Command lines, records of all versions, and the corpus.

use picket_domain::Severity;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const CVE: &str = r#"{"template":"http/cves/2021/CVE-2021-41773.yaml","template-id":"CVE-2021-41773","info":{"name":"Apache 2.4.49 - Path Traversal","author":["a"],"tags":["cve"],"description":"Files \"outside\" can be read.","reference":["https://example.org/a","no address"],"severity":"high","remediation":"Update.","classification":{"cve-id":["cve-2021-41773"],"cwe-id":["cwe-22"],"cvss-score":7.5}},"type":"http","host":"www.example.com","port":"443","scheme":"https","matched-at":"https://www.example.com/icons/../etc/passwd","extracted-results":["root:x:0:0"],"request":"GET / HTTP/1.1\r\n","response":"\u003chtml\u003e","ip":"192.0.2.1","matcher-status":true}"#;

fn one(record: &Value) -> Observation {
    let (parsed, mut seen) = testing::read(&Lines, format!("{record}\n").as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    assert_eq!(seen.len(), 1);
    seen.remove(0)
}

#[test]
fn the_command_line_is_written_by_us() {
    let args = testing::args(&Adapter, &json!({"tls": true, "severity": ["critical", "high", "high"], "tags": ["xss", "cve"], "rate_limit": 10})).join(" ");
    assert_eq!(
        args,
        "-u https://www.example.com:443/ -jsonl -silent -nc -duc -ni -no-stdin -dr -or -ot -dut -ept \
         code,headless,file,javascript,workflow,dns,whois -etags dos,fuzz,intrusive,bruteforce,oast -t /templates -timeout 10 -retries 1 \
         -c 10 -bs 1 -lna -rl 10 -severity high,critical -tags cve,xss"
    );
    testing::writes_plain_arguments(&Adapter, &json!({}));
}

#[test]
fn a_private_address_that_was_authorized_is_not_walled_off() {
    let mut shard = testing::shard();
    for (address, walled) in [("192.0.2.1", true), ("10.0.0.1", false), ("127.0.0.1", false), ("fd00::1", false), ("2001:db8::1", true), ("::ffff:10.0.0.1", false)] {
        shard.addresses = vec![address.parse().unwrap()];
        let args = Adapter.invocation(&json!({}), &shard).unwrap().args;
        assert_eq!(args.contains(&"-lna".to_owned()), walled, "{address}");
    }
}

#[test]
fn a16_a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
    for tag in ["../", "../../x", "cve,rce -code", "-code", "all", "*", "dos", "code", "CVE"] {
        testing::refused(&Adapter, &json!({ "tags": ["cve", tag] }), "parameters.tags[1]");
    }
    for name in ["code", "tu", "template-url", "templates", "template", "workflow", "headless", "file", "iserver", "resume", "V", "var"] {
        let template = "id: x\ninfo:\n  name: x\ncode:\n  - engine: [sh]\n    source: id";
        testing::refused(&Adapter, &json!({ name: template }), &format!("parameters.{name}"));
    }
    testing::refused(&Adapter, &json!({ "severity": ["unknown"] }), "parameters.severity[0]");
    testing::refused(&Adapter, &json!({ "rate_limit": 1000 }), "parameters.rate_limit");
}

#[test]
fn a_record_of_a_cve_is_a_finding_of_it() {
    let seen = one(&serde_json::from_str(CVE).unwrap());
    assert_eq!((seen.cve.as_deref(), seen.cvss, seen.cwe, seen.severity), (Some("CVE-2021-41773"), Some(7.5), Some(22), Severity::High));
    assert_eq!((seen.rule.as_str(), seen.remediation.as_str(), seen.references.len()), ("nuclei:CVE-2021-41773", "Update.", 1));
    assert_eq!((seen.location.host.as_str(), seen.location.port), ("www.example.com", Some(443)));
    assert!(!seen.evidence.contains("root:x:0:0"), "{}", seen.evidence);
}

#[test]
fn what_was_extracted_is_kept_of_templates_that_name_software_alone() {
    let evidence = |template: &str, severity: &str, tags: &Value| {
        one(&json!({"template-id": template, "info": {"severity": severity, "tags": tags}, "matched-at": "https://u:p@a.example/x?token=s3cr3t", "extracted-results": ["v1.2"]})).evidence
    };
    assert_eq!(evidence("nginx-version", "info", &json!(["tech", "nginx"])), "https://a.example/x\nv1.2");
    assert_eq!(evidence("nginx-version", "info", &json!("nginx,tech")), "https://a.example/x\nv1.2");
    for (severity, tags) in [("high", json!(["tech"])), ("info", json!(["exposure", "token"])), ("info", json!(null))] {
        assert_eq!(evidence("some-token", severity, &tags), "https://a.example/x");
    }
}

#[test]
fn cookies_are_a_finding_of_their_site() {
    let record = json!({"template-id": "cookies-without-httponly", "info": {"severity": "info"}, "matched-at": "https://a.example/x",
        "extracted-results": ["session=abc; Path=/", "Set-Cookie: lang=en", "session"]});
    let (_, seen) = testing::read(&Lines, format!("{record}\n").as_bytes());
    let told: Vec<_> = testing::brief(&seen).into_iter().map(|(rule, path, subject)| format!("{rule} {path} {subject}")).collect();
    assert_eq!(told, ["http.cookie_without_httponly / lang, session"]);
    assert!(seen.iter().all(|one| !one.evidence.contains("abc")));
}

#[test]
fn a_weakness_of_the_service_stands_at_the_address_behind_the_name() {
    let hosts = [picket_domain::PinnedHost { name: "a.example".to_owned(), address: [192, 0, 2, 7].into() }];
    let context = Context { hosts: &hosts, ..Context::default() };
    let mut seen = Vec::new();
    let record = "{\"template-id\":\"http-trace\",\"info\":{},\"matched-at\":\"http://a.example/\"}\n";
    Lines.parse(&mut record.as_bytes(), &context, &mut |one| seen.push(one));
    assert_eq!((seen[0].location.host.as_str(), &seen[0].location.url), ("192.0.2.7", &None));
}

#[test]
fn records_of_all_versions_say_where_they_matched() {
    for (record, host, port, url) in [
        (json!({"templateID": "t", "info": {}, "matched": "www.example.com:22", "host": "https://www.example.com"}), "www.example.com", Some(22), None),
        (json!({"template-id": "t", "info": {}, "host": "Example.COM", "matched-at": "example.com"}), "example.com", None, None),
        (json!({"template-id": "t", "info": {}, "port": "80", "url": "/http://a_b/", "path": "http://a_b/"}), "a_b", Some(80), Some("http://a_b/")),
        (json!({"template-id": "t", "info": {}, "matched-at": "[2001:db8::1]:443", "type": "ssl"}), "2001:db8::1", Some(443), None),
        (json!({"template-id": "t", "info": {}, "ip": "192.0.2.1", "port": 8080}), "192.0.2.1", Some(8080), None),
        (json!({"template-id": "t", "info": {}, "request": ";; QUESTION SECTION:\n;a.example.\tIN\tNS\n"}), "a.example", None, None),
    ] {
        let seen = one(&record);
        assert_eq!((seen.location.host.as_str(), seen.location.port), (host, port), "{record}");
        if url.is_some() {
            assert_eq!(seen.location.url.as_deref(), url, "{record}");
        }
    }
}

#[test]
fn templates_that_see_what_others_see_are_of_our_rules() {
    let record = |template: &str, matcher: &str, matched: &str| {
        one(&json!({"template-id": template, "info": {"severity": "info"}, "matcher-name": matcher, "matched-at": matched, "extracted-results": [matcher]}))
    };
    for (template, matcher, matched, rule, url) in [
        ("http-missing-security-headers", "content-security-policy", "http://a.example/x", "http.header_missing.csp", Some("http://a.example/")),
        ("http-missing-security-headers", "clear-site-data", "http://a.example/", "nuclei:http-missing-security-headers", Some("http://a.example/")),
        ("git-config", "", "http://a.example/shop/.git/config", "http.git_exposed", Some("http://a.example/shop/.git/")),
        ("expired-ssl", "", "a.example:443", "tls.certificate_expired", None),
        ("deprecated-tls", "tls10", "a.example:443", "tls.weak_protocol.tlsv1.0", None),
        ("tech-detect", "nginx", "http://a.example/x", "web.technology", Some("http://a.example/")),
    ] {
        let seen = record(template, matcher, matched);
        assert_eq!((seen.rule.as_str(), seen.location.url.as_deref()), (rule, url), "{template}");
    }
}

#[test]
fn what_a_template_extracted_under_two_names_is_two_findings_that_stay_the_same_at_the_next_run() {
    let told = |extractor: &str, value: &str, severity: &str| {
        let record = json!({"template-id": "credentials-disclosure", "info": {"name": "Credentials", "severity": severity}, "type": "http",
            "extractor-name": extractor, "extracted-results": [value], "matched-at": "http://a.example/app.js"});
        let seen = one(&record);
        assert!(!format!("{seen:?}").contains(value), "{seen:?}");
        (seen.rule, seen.location, seen.subject)
    };
    let first = told("aws_access_key", "AKIA-FIRST", "high");
    assert_eq!(first.2, "aws_access_key");
    assert_ne!(first, told("slack_token", "xoxb-FIRST", "high"), "another thing at the same page");
    assert_eq!(first, told("aws_access_key", "AKIA-SECOND", "info"), "whatever was extracted, and however it is rated");
    let both = one(&json!({"template-id": "t", "info": {}, "matcher-name": "m", "extractor-name": "e", "host": "a.example"}));
    assert_eq!(both.subject, "m", "the matcher decides, as before");
}

#[test]
fn a_severity_that_is_not_told_stays_unknown_and_what_did_not_match_is_no_finding() {
    for severity in [json!("unknown"), json!(null), json!(""), json!("fatal")] {
        assert_eq!(one(&json!({"template-id": "t", "info": {"severity": severity}, "host": "a.example"})).severity, Severity::Unknown);
    }
    let (parsed, seen) = testing::read(&Lines, b"{\"template-id\":\"t\",\"info\":{},\"host\":\"a.example\",\"matcher-status\":false}\n");
    assert_eq!((parsed.is_complete(), seen.len()), (true, 0));
}

#[test]
fn what_breaks_off_or_says_nothing_is_never_complete() {
    let two = format!("{CVE}\n{CVE}\n");
    for length in CVE.len() + 2..two.len() - 2 {
        let (parsed, seen) = testing::read(&Lines, &two.as_bytes()[..length]);
        assert!(!parsed.is_complete() && !parsed.is_refused && seen.len() == 1, "cut at {length}");
    }
    assert_eq!(testing::read(&Lines, two.trim_end().as_bytes()).0.observations, 2, "a last line may lack its end");
    let empty = testing::read(&Lines, b"").0;
    assert!(!empty.is_complete() && !empty.is_refused, "{empty:?}");
    assert!(testing::read(&Lines, b"<html>\n").0.is_refused);
    let array = format!("[{CVE},{CVE}]");
    testing::is_never_complete_when_cut(&Array, array.as_bytes());
    assert!(testing::read(&Array, b"{}").0.is_refused);
}

#[test]
fn a_record_without_a_place_is_left_out_and_said() {
    let (parsed, seen) = testing::read(&Lines, b"{\"template-id\":\"t\",\"info\":{}}\n");
    assert_eq!((parsed.is_complete(), seen.len()), (false, 0));
}

#[test]
fn the_corpus_is_counted_by_records() {
    for (format, name, count) in [
        // One of the 27 asks for the root of the name system, and so names no host.
        (&Lines as &dyn Format, "django-DefectDojo__issue_14071.json", 26),
        (&Lines, "django-DefectDojo__many_findings.json", 18),
        (&Array, "django-DefectDojo__multi_cwe_fabricated.json", 1),
        (&Array, "django-DefectDojo__multiple_v3.json", 6),
        (&Lines, "secureCodeBox__hostname-without-port.jsonl", 1),
    ] {
        let Some((parsed, seen)) = testing::corpus_read(format, &format!("nuclei/{name}")) else { return };
        assert_eq!((seen.len(), parsed.is_complete()), (count, count != 26), "{name} {parsed:?}");
    }
}

#[test]
fn memory_stays_flat_and_strings_are_not_copied_needlessly() {
    let record: super::record::Record<'_> = serde_json::from_str(CVE).unwrap();
    let line = CVE.as_bytes().as_ptr_range();
    assert!(line.contains(&record.matched.as_str().as_ptr()), "borrowed from the line");
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes: Vec<u8>, at in 0..CVE.len(), byte: u8, text: String) {
        testing::read(&Lines, &bytes);
        testing::read(&Array, &bytes);
        let mut changed = CVE.as_bytes().to_vec();
        changed[at] = byte;
        testing::read(&Lines, &changed);
        for name in ["matched-at", "host", "url", "ip", "port", "matcher-name"] {
            let record = json!({"template-id": text.clone(), "info": {"name": text.clone()}, name: text.clone()});
            testing::read(&Lines, record.to_string().as_bytes());
        }
    }
}
