//! Command lines, reports of all versions, and the corpus.

use picket_domain::Severity;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

fn alert(plugin: &str, reference: &str, name: &str, instances: &Value) -> Value {
    json!({
        "pluginid": plugin, "alertRef": reference, "alert": name, "name": name, "riskcode": "2", "confidence": "2", "riskdesc": "Medium (Medium)",
        "desc": "<p>What it means.</p>", "instances": instances, "count": "1", "solution": "<p>What to do.</p>", "otherinfo": "",
        "reference": "<p>https://example.org/a</p><p>https://example.org/b</p>", "cweid": "693", "wascid": "15", "sourceid": "1",
    })
}

fn page(uri: &str, param: &str) -> Value {
    json!({"uri": uri, "method": "GET", "param": param, "attack": "", "evidence": "seen"})
}

fn report(alerts: &[Value]) -> String {
    let site = json!({"@name": "https://a.example", "@host": "a.example", "@port": "443", "@ssl": "true", "alerts": alerts});
    json!({"@version": "2.16.1", "@generated": "Sun, 22 Nov 2026 05:00:00", "site": [site]}).to_string()
}

fn told(alerts: &[Value]) -> Vec<String> {
    let (parsed, seen) = testing::read(&Json, report(alerts).as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    testing::brief(&seen).into_iter().map(|(rule, path, subject)| format!("{rule} {path} {subject}")).collect()
}

#[test]
fn the_command_line_is_written_by_us() {
    let args = testing::args(&Adapter, &json!({"mode": "full", "minutes": 5})).join(" ");
    assert_eq!(args, "-Xmx1536m -cmd -silent -notel -dir /scratch/zap -autorun /input/plan.yaml");
    testing::writes_plain_arguments(&Adapter, &json!({}));
}

#[test]
fn the_plan_holds_the_site_alone_and_attacks_only_when_asked_to() {
    let jobs = |params: &Value| {
        let invocation = Adapter.invocation(params, &testing::shard()).unwrap();
        let plan: Value = serde_json::from_slice(&invocation.input_files[0].content).unwrap();
        let jobs: Vec<String> = plan["jobs"].as_array().unwrap().iter().map(|job| job["type"].as_str().unwrap().to_owned()).collect();
        (plan, jobs)
    };
    let (plan, baseline) = jobs(&json!({"path": "/app/"}));
    assert_eq!(baseline, ["passiveScan-config", "spider", "passiveScan-wait", "report"]);
    assert_eq!(plan["env"]["contexts"][0]["includePaths"][0], r"http://www\.example\.com:80/app/.*");
    assert!(jobs(&json!({"mode": "full"})).1.contains(&"activeScan".to_owned()));
}

#[test]
fn a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
    for mode in [json!("attack"), json!("full -addonuninstall x"), json!(1), json!("Full")] {
        testing::refused(&Adapter, &json!({ "mode": mode }), "parameters.mode");
    }
    testing::refused(&Adapter, &json!({ "minutes": 31 }), "parameters.minutes");
    for name in ["plan", "script", "addons", "configfile", "autorun", "context", "jobs"] {
        testing::refused(&Adapter, &json!({ name: "jobs: [{type: script}]" }), &format!("parameters.{name}"));
    }
}

#[test]
fn an_alert_of_a_site_is_one_finding_and_an_injection_one_of_each_page() {
    let pages = json!([page("https://a.example/", "X"), page("https://a.example/b?c=1", "X"), page("https://a.example/b?c=2", "X")]);
    assert_eq!(told(&[alert("10020", "10020-1", "Missing Anti-clickjacking Header", &pages)]), ["http.header_missing.x_frame_options / "]);
    assert_eq!(told(&[alert("40018", "40018", "SQL Injection", &pages)]), ["web.sql_injection / X", "web.sql_injection /b X"]);
    assert_eq!(told(&[alert("10027", "10027", "Information Disclosure - Suspicious Comments", &pages)]), ["zap:10027 / "]);
    assert_eq!(told(&[alert("99999", "99999-3", "New", &json!([page("https://a.example/b", "")]))]), ["zap:99999 / 3"]);
    assert_eq!(told(&[alert("40035", "40035", "Hidden File Found", &json!([page("https://a.example/.git/config", "")]))]), ["http.git_exposed /.git/ "]);
    let cookies = json!([page("https://a.example/", "session"), page("https://a.example/b", "session"), page("https://a.example/b", "lang=en; path=/")]);
    assert_eq!(told(&[alert("10010", "10010", "Cookie No HttpOnly Flag", &cookies)]), ["http.cookie_without_httponly / lang, session"]);
}

#[test]
fn a_weakness_of_the_service_stands_at_the_address_behind_the_name() {
    let hosts = [picket_domain::PinnedHost { name: "a.example".to_owned(), address: [192, 0, 2, 7].into() }];
    let context = Context { hosts: &hosts, ..Context::default() };
    let text = report(&[alert("20015", "20015", "Heartbleed", &json!([page("https://a.example/", "")]))]);
    let mut seen = Vec::new();
    Json.parse(&mut text.as_bytes(), &context, &mut |one| seen.push(one));
    assert_eq!((seen[0].location.host.as_str(), seen[0].location.port, &seen[0].location.url), ("192.0.2.7", Some(443), &None));
}

#[test]
fn texts_of_an_alert_are_cut_and_its_addresses_do_not_multiply() {
    let pages: Vec<Value> = (0..50).map(|number| page(&format!("https://a.example/{number}"), "X")).collect();
    let mut long = alert("40018", "40018", "SQL Injection", &json!(pages));
    long["reference"] = json!("<p>https://example.org/a</p>".repeat(20_000));
    long["desc"] = json!("<".repeat(1 << 20));
    long["instances"][0]["evidence"] = json!("e".repeat(1 << 20));
    let (parsed, seen) = testing::read(&Json, report(&[long]).as_bytes());
    assert_eq!((parsed.is_complete(), seen.len()), (true, 50));
    assert!(seen.iter().all(|one| one.references.len() == 3 && one.evidence.len() < 3000));
}

#[test]
fn one_plugin_may_be_of_several_rules() {
    let pages = json!([page("https://a.example/", "")]);
    assert_eq!(told(&[alert("10035", "10035-1", "Strict-Transport-Security Header Not Set", &pages)]), ["http.header_missing.hsts / "]);
    assert_eq!(told(&[alert("10035", "10035-2", "Strict-Transport-Security Disabled", &pages)]), ["http.header_weak.hsts / "]);
    assert_eq!(told(&[alert("10038", "10038-1", "Content Security Policy (CSP) Header Not Set", &pages)]), ["http.header_missing.csp / "]);
    assert_eq!(told(&[alert("10055", "10055-4", "CSP: Wildcard Directive", &pages)]), ["http.header_weak.csp / "]);
}

#[test]
fn false_positives_are_left_out_and_texts_are_kept() {
    let mut doubtful = alert("10096", "10096", "Timestamp Disclosure", &json!([page("https://a.example/", "")]));
    doubtful["confidence"] = json!("0");
    assert!(told(&[doubtful.clone()]).is_empty());
    doubtful["confidence"] = json!("1");
    let (_, seen) = testing::read(&Json, report(&[doubtful]).as_bytes());
    assert_eq!((seen[0].confidence, seen[0].severity, seen[0].cwe), (picket_domain::Confidence::Low, Severity::Medium, Some(693)));
    assert_eq!((seen[0].description.as_str(), seen[0].remediation.as_str(), seen[0].references.len()), ("What it means.", "What to do.", 2));
}

#[test]
fn what_breaks_off_or_holds_no_site_is_never_complete() {
    let whole = report(&[alert("10020", "", "x", &json!([page("https://a.example/", "")]))]);
    testing::is_never_complete_when_cut(&Json, whole.as_bytes());
    assert!(!testing::read(&Json, br#"{"@version":"","@generated":"","site":[]}"#).0.is_complete());
    assert!(testing::read(&Json, b"{}").0.is_refused);
    assert!(testing::read(&Xml, b"<!DOCTYPE OWASPZAPReport [<!ENTITY a 'b'>]><OWASPZAPReport/>").0.is_refused);
    let xml = "<?xml version=\"1.0\"?><OWASPZAPReport version=\"2.16\"><site name=\"http://a.example\" host=\"a.example\" port=\"80\" ssl=\"false\"><alerts>\
        <alertitem><pluginid>10021</pluginid><alert>x</alert><riskcode>1</riskcode><confidence>2</confidence><desc>&lt;p&gt;d&lt;/p&gt;</desc>\
        <instances><instance><uri>http://a.example/</uri></instance></instances></alertitem></alerts></site></OWASPZAPReport>";
    testing::is_never_complete_when_cut(&Xml, xml.as_bytes());
}

#[test]
fn the_corpus_is_counted_by_alerts() {
    for (name, count) in [
        ("django-DefectDojo__1_zap_sample_0_and_new_absent.xml", 4),
        ("django-DefectDojo__3_zap_sampl_0_and_different_severities.xml", 4),
        ("django-DefectDojo__juicy2.xml", 6),
        ("dradis-zap__ZAP_2.4.3_report-merged.xml", 10),
        ("dradis-zap__ZAP_2.4.3_report-unmerged.xml", 295),
        ("secureCodeBox__nginx.xml", 4),
        ("secureCodeBox__not-found.xml", 0),
    ] {
        let Some((parsed, seen)) = testing::corpus_read(&Xml, &format!("zap/{name}")) else { return };
        assert_eq!((seen.len(), parsed.is_complete()), (count, true), "{name} {parsed:?}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes: Vec<u8>, byte: u8, at in 0_usize..600, text: String) {
        testing::read(&Json, &bytes);
        testing::read(&Xml, &bytes);
        let mut changed = report(&[alert("10020", "", &text, &json!([page(&text, &text)]))]).into_bytes();
        let at = at % changed.len();
        testing::read(&Json, &changed);
        changed[at] = byte;
        testing::read(&Json, &changed);
    }
}
