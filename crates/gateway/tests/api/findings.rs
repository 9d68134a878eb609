//! `GET /findings`: the findings of an organization over all its scans.

use serde_json::{Value, json};

use crate::{
    gate::{import, report},
    harness::{Member, TestApp},
};

const ALL: &[(&str, &str, &str)] =
    &[("a", "9.8", "a"), ("b", "9.0", "b"), ("c", "7.5", "c"), ("d", "5.0", "d"), ("e", "2.0", "e")];

async fn see(app: &TestApp, member: &Member, query: &str) -> Value {
    let answer = app.get(&format!("/api/v1/findings{query}"), Some(&member.token)).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer.json()
}

fn column<'a>(page: &'a Value, name: &str) -> Vec<&'a Value> {
    page["data"].as_array().unwrap().iter().map(|one| &one[name]).collect()
}

#[tokio::test]
async fn a_weakness_is_listed_once_over_all_scans_and_the_worst_comes_first() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let first = import(&app, &member, "app.example.com", report(ALL)).await;
    let second = import(&app, &member, "app.example.com", report(&ALL[..1])).await;
    let page = see(&app, &member, "").await;
    assert_eq!(column(&page, "severity"), ["critical", "critical", "high", "medium", "low"]);
    assert_eq!(page["next_cursor"], Value::Null);
    let worst = &page["data"][0];
    assert_eq!((&worst["first_scan_id"], &worst["last_scan_id"]), (&json!(first), &json!(second)), "{worst}");
    assert_eq!((&worst["target"], &worst["sources"]), (&json!("app.example.com"), &json!(["sarif"])));
    assert_eq!(worst["fingerprint"].as_str().map(str::len), Some(64));
    // The same words as in the scan's own result.
    let result = app.get(&format!("/api/v1/scan/{second}/result"), Some(&member.token)).await.json();
    for (name, value) in result["vulnerabilities"][0].as_object().unwrap() {
        assert_eq!(&worst[name], value, "{name}");
    }
    let v2 = app.get("/api/v2/findings", Some(&member.token)).await;
    assert_eq!((v2.status, v2.json()), (200, page));
}

#[tokio::test]
async fn a_target_shows_what_the_last_whole_scan_of_it_saw() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let token = Some(member.token.as_str());
    let body = json!({"target": "app.example.com"});
    let kept = app.request("POST", "/api/v1/targets", token, |request| request.json(&body)).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    let path = format!("/api/v1/targets/{}", kept.json()["id"].as_str().unwrap());
    let open = async || app.get(&path, token).await.json()["open_findings"].clone();
    assert_eq!(open().await, Value::Null);
    import(&app, &member, "app.example.com", report(ALL)).await;
    import(&app, &member, "other.example.com", report(&ALL[1..])).await;
    let last = import(&app, &member, "app.example.com", report(&ALL[..3])).await;
    let three = json!({"scan_id": last, "total": 3, "critical": 2, "high": 1, "medium": 0, "low": 0, "info": 0});
    assert_eq!(open().await, three);
    let none = import(&app, &member, "app.example.com", report(&ALL[..0])).await;
    assert_eq!((&open().await["scan_id"], &open().await["total"]), (&json!(none), &json!(0)));
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    import(&app, &member, "app.example.com", report(ALL)).await;
    let whole = see(&app, &member, "").await;
    for size in [1, 2, 4, 5] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = see(&app, &member, &format!("?limit={size}{cursor}")).await;
            seen.extend(page["data"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(Value::Array(seen), whole["data"], "{size}");
    }
}

#[tokio::test]
async fn filters_narrow_the_list_and_all_must_hold() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let first = import(&app, &member, "app.example.com", report(ALL)).await;
    let second = import(&app, &member, "192.0.2.10", report(&ALL[..2])).await;
    let rule = see(&app, &member, "?severity=high").await["data"][0]["rule"].as_str().unwrap().to_owned();
    let in_first = format!("?scan={first}");
    let in_second = format!("?scan={second}&min_severity=low");
    for (query, expected) in [
        ("", 7),
        ("?severity=critical", 4),
        ("?severity=unknown", 0),
        ("?min_severity=high", 5),
        ("?host=192.0.2.10", 2),
        ("?host=APP.example.com", 5),
        ("?target=App.Example.com", 5),
        ("?target=app.example.com&severity=low", 1),
        ("?target=nowhere.example.com", 0),
        ("?tool=sarif", 7),
        ("?tool=nmap", 0),
        ("?cve=CVE-2021-41773", 0),
        (&format!("?rule={rule}"), 1),
        (&in_first, 5),
        (&in_second, 2),
    ] {
        assert_eq!(column(&see(&app, &member, query).await, "id").len(), expected, "{query}");
    }
}

#[tokio::test]
async fn of_others_nothing_is_listed_and_what_is_no_filter_is_refused() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let theirs = app.member("eve@example.com").await;
    let foreign = import(&app, &theirs, "app.example.com", report(ALL)).await;
    assert_eq!(see(&app, &member, "").await["data"], json!([]));
    let place = see(&app, &theirs, "?limit=1").await["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(see(&app, &member, &format!("?cursor={place}")).await["data"], json!([]));
    let ask = async |query: &str| app.get(&format!("/api/v1/findings?{query}"), Some(&member.token)).await;
    ask(&format!("scan={foreign}")).await.assert_problem(404, "not_found");
    for (query, field, code) in [
        ("limit=101", "limit", "out_of_range"),
        ("severity=grave", "severity", "unknown_value"),
        ("severity=low&min_severity=low", "min_severity", "not_allowed"),
        ("cve=41773", "cve", "invalid_value"),
        ("scan=7", "scan", "invalid_id"),
        ("cursor=x", "cursor", "invalid_cursor"),
        ("state=open", "state", "unknown_field"),
        ("kev=true", "kev", "unknown_field"),
        ("assignee=ada", "assignee", "unknown_field"),
        ("page=2", "page", "unknown_field"),
    ] {
        ask(query).await.assert_field(field, code);
    }
}
