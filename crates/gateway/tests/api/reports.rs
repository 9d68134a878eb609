//! Reports: what is refused. What is answered, and downloads, are in `tests/contract/`.

use serde_json::{Value, json};

use crate::{
    harness::{Member, TestApp},
    scans::allow_example,
};

/// A gateway where the host of a logo is this machine, which no outbound call may reach.
async fn start() -> (TestApp, Member, String) {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.pin_hosts.insert("yoursite.com".to_owned(), [127, 0, 0, 1].into());
    })
    .await;
    let member = app.member("ada@example.com").await;
    let body = json!({"target": "example.com", "tool": "nmap"});
    let scan = app.post("/api/v1/scans/create", Some(&member.token), &body).await.json();
    (app, member, scan["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_report_is_stored_with_the_event_that_wakes_a_renderer() {
    let (app, member, scan) = start().await;
    let body = json!({"scan_ids": [scan], "format": "json", "include_technical_details": false});
    let accepted = app.post("/api/v1/reports/generate", Some(&member.token), &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), Some(format!("/api/v1/reports/{id}").as_str()));
    let report = app.get(&format!("/api/v1/reports/{id}"), Some(&member.token)).await.json();
    assert_eq!((&report["status"], &report["include_technical_details"]), (&json!("queued"), &json!(false)));
    assert_eq!((&report["scan_ids"], &report["warnings"]), (&json!([scan]), &json!([])));
    let client = app.database.connect().await;
    let events: i64 =
        client.query_one("SELECT count(*) FROM events WHERE name = 'report.requested'", &[]).await.unwrap().get(0);
    assert_eq!(events, 1);
}

#[tokio::test]
async fn what_cannot_be_a_report_names_its_field() {
    let (app, member, scan) = start().await;
    let v1 = |field: &str, value: Value| {
        let mut body = json!({"scan_ids": [scan]});
        body[field] = value;
        body
    };
    let many: Vec<i64> = (1..=101).collect();
    for (path, body, field) in [
        ("/api/v1/reports/generate", v1("scan_ids", json!([])), "scan_ids"),
        ("/api/v1/reports/generate", v1("scan_ids", json!([scan, scan])), "scan_ids"),
        ("/api/v1/reports/generate", v1("scan_ids", json!(["scan_1"])), "scan_ids[0]"),
        ("/api/v1/reports/generate", v1("scan_ids", json!([1])), "scan_ids[0]"),
        ("/api/v1/reports/generate", v1("scan_ids", json!("all")), "scan_ids"),
        ("/api/v1/reports/generate", v1("format", json!("exe")), "format"),
        ("/api/v1/reports/generate", v1("template", json!("{{7*7}}")), "template"),
        (
            "/api/v1/reports/generate",
            v1("custom_branding", json!({"company_name": "a\nb"})),
            "custom_branding.company_name",
        ),
        (
            "/api/v1/reports/generate",
            v1("custom_branding", json!({"logo_url": "file:///etc/passwd"})),
            "custom_branding.logo_url",
        ),
        (
            "/api/v1/reports/generate",
            v1("custom_branding", json!({"logo_url": "http://yoursite.com/logo.png"})),
            "custom_branding.logo_url",
        ),
        ("/api/v2/reports", json!({"scan_ids": many}), "scan_ids"),
        ("/api/v2/reports", json!({"scan_ids": [1, 1]}), "scan_ids"),
        ("/api/v2/reports", json!({"scan_ids": ["1"]}), "scan_ids[0]"),
        ("/api/v2/reports", json!({"format": "pdf"}), "scan_ids"),
    ] {
        let refused = app.post(path, Some(&member.token), &body).await.assert_problem(400, "invalid_request");
        assert_eq!(refused["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(app.get("/api/v1/reports", Some(&member.token)).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn mine_and_theirs_together_make_no_report() {
    let (app, ada, scan) = start().await;
    let bob = app.member("bob@example.com").await;
    let body = json!({"target": "example.com", "tool": "nmap"});
    let own = app.post("/api/v1/scans/create", Some(&bob.token), &body).await.json()["id"].clone();
    let both = json!({"scan_ids": [own, scan]});
    let foreign = app.post("/api/v1/reports/generate", Some(&bob.token), &both).await.assert_problem(404, "not_found");
    let unknown = json!({"scan_ids": [own, "scan_00000000000000000000000001"]});
    let unknown =
        app.post("/api/v1/reports/generate", Some(&bob.token), &unknown).await.assert_problem(404, "not_found");
    assert_eq!(foreign["detail"], unknown["detail"], "a foreign scan cannot be told from none");
    assert_eq!(app.get("/api/v1/reports", Some(&bob.token)).await.json()["pagination"]["total"], 0);
    assert_eq!(app.get("/api/v1/reports", Some(&ada.token)).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn a_logo_inside_our_network_is_a_warning_that_says_nothing_of_it() {
    let (app, member, scan) = start().await;
    for url in
        ["https://yoursite.com/logo.png", "https://169.254.169.254/latest/", "https://[::1]/", "https://10.0.0.1/"]
    {
        let body = json!({"scan_ids": [scan], "format": "json", "custom_branding": {"logo_url": url}});
        let accepted = app.post("/api/v1/reports/generate", Some(&member.token), &body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let id = accepted.json()["id"].as_str().unwrap().to_owned();
        let report = app.get(&format!("/api/v1/reports/{id}"), Some(&member.token)).await.json();
        let warning = report["warnings"][0].as_str().unwrap().to_owned();
        assert_eq!(warning, "the logo could not be fetched: the host's address may not be called", "{url}");
    }
}

#[tokio::test]
async fn a_report_of_another_organization_is_not_there() {
    let (app, ada, scan) = start().await;
    let bob = app.member("bob@example.com").await;
    app.post("/api/v1/reports/generate", Some(&ada.token), &json!({"scan_ids": [scan]})).await;
    for path in ["/api/v2/reports/1", "/api/v2/reports/1/download"] {
        app.get(path, Some(&bob.token)).await.assert_problem(404, "not_found");
    }
    let early = app.get("/api/v2/reports/1/download", Some(&ada.token)).await;
    early.assert_problem(409, "not_ready");
    assert!(early.header("retry-after").is_some());
}
