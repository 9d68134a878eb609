//! `GET /scan/{id}/gate`: what passes, what does not, and the findings as SARIF.

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(allow_example).await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

/// A report of another scanner: rules, each with a score and the text of its one finding.
pub(crate) fn report(found: &[(&str, &str, &str)]) -> String {
    let rule = |(id, score, _): &(&str, &str, &str)| json!({"id": id, "properties": {"security-severity": score}});
    let result = |(id, _, text): &(&str, &str, &str)| {
        json!({"ruleId": id, "message": {"text": text},
               "locations": [{"physicalLocation": {"artifactLocation": {"uri": format!("src/{id}.c")}}}]})
    };
    let rules: Vec<Value> = found.iter().map(rule).collect();
    let results: Vec<Value> = found.iter().map(result).collect();
    let driver = json!({"name": "x", "rules": rules});
    json!({"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}).to_string()
}

/// Imports a report as a scan of that target, and returns the scan's id.
pub(crate) async fn import(app: &TestApp, member: &Member, target: &str, report: String) -> String {
    let path = format!("/api/v1/scans/import?target={target}");
    let imported = app.request("POST", &path, Some(&member.token), |request| request.body(report)).await;
    assert_eq!(imported.status, 201, "{}", imported.text);
    imported.json()["id"].as_str().unwrap().to_owned()
}

async fn ask(app: &TestApp, member: &Member, scan: &str, query: &str) -> Answer {
    app.get(&format!("/api/v1/scan/{scan}/gate{query}"), Some(&member.token)).await
}

async fn verdict(app: &TestApp, member: &Member, scan: &str, query: &str) -> String {
    let answer = ask(app, member, scan, query).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let verdict = body["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict == "pass", body["reasons"] == json!([]), "{body}");
    verdict
}

const THREE: &[(&str, &str, &str)] = &[("a", "9.8", "bad"), ("b", "7.5", "not good"), ("c", "5.0", "so so")];

#[tokio::test]
async fn a_gate_fails_on_what_the_policy_forbids_and_names_it() {
    let (app, member) = start().await;
    let scan = import(&app, &member, "app.example.com", report(THREE)).await;
    let said = ask(&app, &member, &scan, "").await.json();
    assert_eq!(
        (&said["verdict"], &said["status"], &said["scan_id"]),
        (&json!("fail"), &json!("completed"), &json!(scan))
    );
    assert_eq!((&said["findings"]["total"], &said["policy"]["max"]["high"]), (&json!(3), &json!(0)), "{said}");
    assert_eq!(said["policy"]["max"]["medium"], Value::Null);
    let reasons = said["reasons"].as_array().unwrap();
    let seen: Vec<_> = reasons.iter().map(|one| (&one["code"], &one["severity"], &one["found"])).collect();
    let too_many = json!("too_many_findings");
    assert_eq!(seen, [(&too_many, &json!("critical"), &json!(1)), (&too_many, &json!("high"), &json!(1))]);
    let worst = &reasons[0]["findings"][0];
    assert_eq!(worst["fingerprint"].as_str().map(str::len), Some(64), "{worst}");
    let result = app.get(&format!("/api/v1/scan/{scan}/result"), Some(&member.token)).await.json();
    assert_eq!(worst["id"], result["vulnerabilities"][0]["id"]);
    for (query, expected) in [
        ("?fail_on=critical", "fail"),
        ("?fail_on=none", "pass"),
        ("?fail_on=medium&max_critical=1&max_high=1&max_medium=1", "pass"),
        ("?max_critical=1&max_high=1", "pass"),
        ("?max_critical=1", "fail"),
        ("?fail_on=none&max_medium=0", "fail"),
        ("?min_confidence=high", "pass"),
    ] {
        assert_eq!(verdict(&app, &member, &scan, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn with_only_new_what_the_base_had_is_not_judged() {
    let (app, member) = start().await;
    let first = import(&app, &member, "app.example.com", report(&THREE[..1])).await;
    assert_eq!(verdict(&app, &member, &first, "?only_new=true").await, "fail", "without a base all is new");
    let second = import(&app, &member, "app.example.com", report(THREE)).await;
    let said = ask(&app, &member, &second, "?only_new=true").await.json();
    assert_eq!((&said["policy"]["base_scan_id"], &said["findings"]["total"]), (&json!(first), &json!(2)), "{said}");
    assert_eq!(said["reasons"].as_array().map(Vec::len), Some(1), "{said}");
    assert_eq!(said["reasons"][0]["severity"], "high");
    let third = import(&app, &member, "app.example.com", report(THREE)).await;
    assert_eq!(verdict(&app, &member, &third, "?only_new=true").await, "pass");
    assert_eq!(verdict(&app, &member, &third, &format!("?only_new=true&base={first}")).await, "fail");
    assert_eq!(verdict(&app, &member, &third, "").await, "fail");
    let log = ask(&app, &member, &second, "?only_new=true&format=sarif").await.json();
    let states: Vec<&Value> =
        log["runs"][0]["results"].as_array().unwrap().iter().map(|one| &one["baselineState"]).collect();
    assert_eq!(states, ["unchanged", "new", "new"]);
}

#[tokio::test]
async fn what_was_not_looked_at_does_not_pass() {
    let (app, member) = start().await;
    let partial = "/admin               (Status: 200) [Size: 1]\n".to_owned();
    let scan = import(&app, &member, "app.example.com", partial).await;
    let said = ask(&app, &member, &scan, "").await.json();
    assert_eq!((&said["verdict"], &said["reasons"][0]["code"]), (&json!("incomplete"), &json!("coverage_incomplete")));
    assert_eq!(said["coverage"][0]["state"], "partial");
    assert_eq!(verdict(&app, &member, &scan, "?allow_incomplete=true").await, "pass");
    let asked = json!({"target": "example.com", "tool": "nmap"});
    let waits = app.post("/api/v1/scans/create", Some(&member.token), &asked).await.json();
    let waits = waits["id"].as_str().unwrap();
    for query in ["", "?allow_incomplete=true", "?fail_on=none&allow_incomplete=true"] {
        assert_eq!(verdict(&app, &member, waits, query).await, "pending", "{query}");
    }
    app.post(&format!("/api/v1/scan/{waits}/stop"), Some(&member.token), &json!({})).await;
    for query in ["", "?allow_incomplete=true"] {
        assert_eq!(verdict(&app, &member, waits, query).await, "incomplete", "{query}");
    }
}

#[tokio::test]
async fn a_condition_that_is_not_understood_is_refused() {
    let (app, member) = start().await;
    let scan = import(&app, &member, "app.example.com", report(THREE)).await;
    let itself = format!("only_new=true&base={scan}");
    for (query, field, code) in [
        ("fail_on=severe", "fail_on", "unknown_value"),
        ("max_high=-1", "max_high", "invalid_value"),
        ("max_high=many", "max_high", "invalid_value"),
        ("only_new=1", "only_new", "invalid_value"),
        ("base=scan_00000000000000000000000001", "base", "not_allowed"),
        ("only_new=true&base=x", "base", "invalid_id"),
        (&itself, "base", "same_scan"),
        ("format=xml", "format", "unknown_value"),
        ("min_confidence=sure", "min_confidence", "unknown_value"),
        ("kev=true", "kev", "unknown_field"),
        ("epss=0.5", "epss", "unknown_field"),
        ("fail_on=high&fail_on=none", "fail_on", "duplicate_field"),
    ] {
        ask(&app, &member, &scan, &format!("?{query}")).await.assert_field(field, code);
    }
    let nobodys = "?only_new=true&base=scan_00000000000000000000000001";
    ask(&app, &member, &scan, nobodys).await.assert_problem(404, "not_found");
    let stranger = app.member("eve@example.com").await;
    let theirs = import(&app, &stranger, "app.example.com", report(THREE)).await;
    ask(&app, &member, &theirs, "").await.assert_problem(404, "not_found");
    ask(&app, &member, &scan, &format!("?only_new=true&base={theirs}")).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_key_of_the_build_that_only_reads_scans_is_enough() {
    let (app, member) = start().await;
    app.verify("ada@example.com").await;
    let token = app.sign_in("ada@example.com").await;
    let scan = import(&app, &member, "app.example.com", report(THREE)).await;
    let path = format!("/api/v1/scan/{scan}/gate");
    let key = app.api_key(&token, &["scans:read"]).await;
    assert_eq!(app.get(&path, Some(&key)).await.json()["verdict"], "fail");
    let other = app.api_key(&token, &["tools:read"]).await;
    app.get(&path, Some(&other)).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn as_sarif_a_scan_has_its_rules_places_and_fingerprints_and_can_be_imported() {
    let (app, member) = start().await;
    let hostile = "[click](javascript:alert(1)) {0} \"</script>\u{1b}[31m\u{202e}";
    let found = [("a", "9.8", hostile), ("b", "5.0", "so so"), ("<script>", "0.0", "info")];
    let scan = import(&app, &member, "app.example.com", report(&found)).await;
    let answer = ask(&app, &member, &scan, "?format=sarif").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/sarif+json")));
    let log = answer.json();
    let run = &log["runs"][0];
    assert_eq!((&log["version"], &run["properties"]["verdict"]), (&json!("2.1.0"), &json!("fail")));
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let (rules, results) = (run["tool"]["driver"]["rules"].as_array().unwrap(), run["results"].as_array().unwrap());
    assert_eq!((rules.len(), results.len()), (3, 3));
    let levels: Vec<&Value> = results.iter().map(|one| &one["level"]).collect();
    assert_eq!(levels, ["error", "warning", "note"]);
    for one in results {
        let rule = &rules[usize::try_from(one["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], one["ruleId"]);
        assert_eq!(one["partialFingerprints"]["picketFingerprint/v1"].as_str().map(str::len), Some(64));
        let place = &one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert!(url::Url::parse(place.as_str().unwrap()).is_ok(), "{place}");
        assert!(one.get("baselineState").is_none(), "{one}");
    }
    let text = results[0]["message"]["text"].as_str().unwrap();
    assert!(text.contains("\\[click\\](javascript:alert(1)) {{0}}") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(
        (&results[0]["properties"]["violatesPolicy"], &results[1]["properties"]["violatesPolicy"]),
        (&json!(true), &json!(false))
    );
    let again = import(&app, &member, "other.example.com", answer.text).await;
    let result = app.get(&format!("/api/v1/scan/{again}/result"), Some(&member.token)).await.json();
    let severities: Vec<&Value> =
        result["vulnerabilities"].as_array().unwrap().iter().map(|one| &one["severity"]).collect();
    assert_eq!(severities, ["critical", "medium", "info"], "{result}");
}
