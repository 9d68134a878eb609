//! `POST /scans/import`: a report becomes a scan that has ended, or nothing at all.

use serde_json::{Value, json};

use crate::harness::{Answer, Member, TestApp};

const SERVICES: &str = include_str!("../../../scanners/testdata/nmap/services.xml");

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

async fn import(app: &TestApp, member: &Member, query: &str, body: impl Into<reqwest::Body>) -> Answer {
    let path = format!("/api/v1/scans/import{query}");
    app.request("POST", &path, Some(&member.token), |request| request.body(body)).await
}

async fn count(app: &TestApp, table: &str) -> i64 {
    app.database.connect().await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

async fn assert_nothing(app: &TestApp) {
    for table in ["scans", "tasks", "events", "findings", "sightings"] {
        assert_eq!(count(app, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_report_becomes_a_scan_with_what_it_says() {
    let (app, member) = start().await;
    let imported = import(&app, &member, "", SERVICES).await;
    assert_eq!(imported.status, 201, "{}", imported.text);
    let scan = imported.json();
    assert_eq!((&scan["status"], &scan["tool"], &scan["progress"]), (&json!("completed"), &json!("nmap"), &json!(100)));
    assert_eq!((&scan["coverage"][0]["state"], &scan["scan_type"]), (&json!("done"), &json!("custom")));
    let id = scan["id"].as_str().unwrap();
    assert_eq!(imported.header("location"), Some(format!("/api/v1/scan/{id}").as_str()));
    let result = app.get(&format!("/api/v1/scan/{id}/result"), Some(&member.token)).await.json();
    assert_eq!(result["coverage"], scan["coverage"], "{result}");
    assert!(result["findings"]["total"].as_u64().unwrap() > 0, "{result}");
    assert_eq!(result["vulnerabilities"][0]["sources"], json!(["nmap"]));
    assert!(result["vulnerabilities"][0]["confidence"].is_string());

    let rows = app.database.connect().await;
    let events = rows.query("SELECT name FROM events WHERE public ORDER BY position", &[]).await.unwrap();
    let names: Vec<String> = events.iter().map(|row| row.get(0)).collect();
    assert_eq!((names[0].as_str(), names[1].as_str()), ("scan.created", "scan.started"));
    assert_eq!(names.last().map(String::as_str), Some("scan.completed"));
    let audited = app.get("/api/v1/audit-logs", Some(&member.token)).await.text;
    assert!(audited.contains("scan.imported"), "{audited}");
}

#[tokio::test]
async fn an_imported_report_is_kept_as_it_came() {
    let (app, member) = start().await;
    // One that fits into memory, and one that does not.
    let large = format!("{SERVICES}<!-- {} -->", "x".repeat(600_000));
    for report in [SERVICES.to_owned(), large] {
        let scan = import(&app, &member, "", report.clone()).await.json();
        let path = format!("/api/v1/scan/{}/artifacts", scan["id"].as_str().unwrap());
        let listed = app.get(&path, Some(&member.token)).await.json();
        let document = &listed["data"][0];
        assert_eq!((&document["kind"], &document["tool"]), (&json!("import"), &json!("nmap")), "{listed}");
        assert_eq!(document["size_bytes"], report.len());
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
        let id: picket_domain::ArtifactId = document["id"].as_str().unwrap().parse().unwrap();
        let organization = member.organization_id.parse().unwrap();
        let folder = picket_blobs::BlobSettings::Folder { path: app.folder.path().to_owned() };
        let blobs = picket_blobs::Blobs::open(&folder).unwrap();
        let stored = blobs.get(&picket_blobs::BlobKey::artifact(organization, id), 1 << 20).await.unwrap();
        let mut kept = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(stored.as_ref()), &mut kept).unwrap();
        assert_eq!(kept.len(), report.len());
        assert!(kept == report, "byte by byte");
    }
    let refused = import(&app, &member, "", "no report").await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert_eq!(count(&app, "artifacts").await, 2, "of what is refused nothing is kept");
}

#[tokio::test]
async fn an_import_is_compared_with_its_findings_and_never_repeated() {
    let (app, member) = start().await;
    let scan = import(&app, &member, "", SERVICES).await.json();
    let id = scan["id"].as_str().unwrap();
    let compared = app.get(&format!("/api/v1/scan/{id}/compare?limit=2"), Some(&member.token)).await;
    assert_eq!(compared.status, 200, "{}", compared.text);
    let compared = compared.json();
    assert_eq!(compared["data"].as_array().map(Vec::len), Some(2), "{compared}");
    assert_eq!(compared["data"][0]["outcome"], "new");
    for only in ["all", "failed"] {
        let path = format!("/api/v1/scan/{id}/rerun");
        let refused = app.post(&path, Some(&member.token), &json!({ "only": only })).await;
        refused.assert_problem(409, "invalid_state");
    }
}

#[tokio::test]
async fn under_v2_a_report_is_a_scan_of_that_dialect_and_has_the_target_that_is_named() {
    let (app, member) = start().await;
    let path = "/api/v2/scans/import?tool=nmap&format=xml&target=App.Example.COM";
    let imported = app.request("POST", path, Some(&member.token), |request| request.body(SERVICES)).await;
    assert_eq!(imported.status, 201, "{}", imported.text);
    let scan = imported.json();
    assert_eq!(
        (&scan["id"], &scan["status"], &scan["target"]),
        (&json!(1), &json!("completed"), &json!("app.example.com"))
    );
    assert_eq!(imported.header("location"), Some("/api/v2/scans/1"));
    let shown = app.get("/api/v2/scans/1", Some(&member.token)).await.json();
    assert!(shown["informational"].as_array().is_some_and(|found| !found.is_empty()), "{shown}");
}

#[tokio::test]
async fn o6_a_report_that_breaks_off_is_partial_and_says_so() {
    let (app, member) = start().await;
    let cut = SERVICES.rfind("<runstats").unwrap();
    let scan = import(&app, &member, "", SERVICES[..cut].to_owned()).await.json();
    assert_eq!((&scan["status"], &scan["coverage"][0]["state"]), (&json!("completed"), &json!("partial")));
    assert_eq!(scan["coverage"][0]["reason"], "output_incomplete", "{scan}");
}

#[tokio::test]
async fn what_is_no_report_is_400_and_leaves_nothing() {
    let (app, member) = start().await;
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE nmaprun [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\
                <nmaprun scanner=\"nmap\"><host>&b;</host></nmaprun>";
    let xxe = "<?xml version=\"1.0\"?><!DOCTYPE nmaprun [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
               <nmaprun scanner=\"nmap\"><host>&x;</host></nmaprun>";
    let head = &SERVICES[..SERVICES.find("<host").unwrap()];
    let deep = "[".repeat(100_000);
    for body in ["", " ", "hello", "{}", "[]", "<html></html>", "\u{0}\u{1}", "%PDF-1.7", &deep, bomb, xxe, head] {
        let refused = import(&app, &member, "", body.to_owned()).await;
        let refused = refused.assert_problem(400, "unreadable_report");
        assert_eq!(refused["errors"][0]["field"], "body");
        assert!(!refused.to_string().contains("root:"), "{refused}");
    }
    assert_nothing(&app).await;
}

#[tokio::test]
async fn what_the_client_says_of_a_report_is_checked() {
    let (app, member) = start().await;
    for (query, field, code) in [
        ("?tool=nmap;id", "tool", "unknown_tool"),
        ("?tool=", "tool", "unknown_tool"),
        ("?tool=nmap&format=..%2fx", "format", "unknown_format"),
        ("?target=-iL%2fetc%2fpasswd", "target", "invalid_target"),
        ("?target=%24(id)", "target", "invalid_target"),
        ("?parameters=x", "parameters", "unknown_field"),
        ("?tool=nmap&tool=nmap", "tool", "duplicate_field"),
    ] {
        import(&app, &member, query, SERVICES).await.assert_field(field, code);
    }
    let packed = app
        .request("POST", "/api/v1/scans/import", Some(&member.token), |request| {
            request.header("content-encoding", "gzip").body(SERVICES)
        })
        .await;
    packed.assert_problem(415, "unsupported_media_type");
    assert_nothing(&app).await;
}

#[tokio::test]
async fn a_report_is_as_large_as_the_operator_and_the_plan_allow() {
    let app = TestApp::spawn_with(|settings| settings.import_bytes = 3_000_000).await;
    let member = app.member("ada@example.com").await;
    let (head, tail) = SERVICES.split_at(SERVICES.find("<host").unwrap());
    let padded = |bytes: usize| format!("{head}<!-- {} -->{tail}", "x".repeat(bytes));
    let large = import(&app, &member, "", padded(2_000_000)).await;
    assert_eq!(large.status, 201, "{}", large.text);
    import(&app, &member, "", padded(3_000_000)).await.assert_problem(413, "too_large");
    let body = padded(3_000_000);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body)]));
    import(&app, &member, "", stream).await.assert_problem(413, "too_large");
    assert_eq!(count(&app, "scans").await, 1);
}

#[tokio::test]
async fn an_import_that_is_repeated_under_its_key_is_one_scan() {
    let (app, member) = start().await;
    let (head, tail) = SERVICES.split_at(SERVICES.find("<host").unwrap());
    let body = format!("{head}<!-- {} -->{tail}", "x".repeat(2_000_000));
    let send = async |body: String| {
        let change = |request: reqwest::RequestBuilder| request.header("idempotency-key", "import-1").body(body);
        app.request("POST", "/api/v1/scans/import", Some(&member.token), change).await
    };
    let (first, again) = (send(body.clone()).await, send(body.clone()).await);
    assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
    assert_eq!((first.json(), again.header("idempotent-replayed")), (again.json(), Some("true")));
    send(format!("{body} ")).await.assert_problem(409, "idempotency_mismatch");
    assert_eq!(count(&app, "scans").await, 1);
}

#[tokio::test]
async fn a_trial_that_is_over_imports_nothing() {
    let (app, member) = start().await;
    app.database.connect().await.execute("UPDATE organizations SET trial_ends_at = '2020-01-01'", &[]).await.unwrap();
    import(&app, &member, "", SERVICES).await.assert_problem(403, "trial_ended");
    assert_nothing(&app).await;
}

#[tokio::test]
async fn the_same_report_twice_is_two_scans_and_each_finding_once() {
    let (app, member) = start().await;
    let first: Value = import(&app, &member, "", SERVICES).await.json();
    let findings = count(&app, "findings").await;
    let second: Value = import(&app, &member, "", SERVICES).await.json();
    assert_ne!(first["id"], second["id"]);
    assert_eq!((count(&app, "findings").await, count(&app, "sightings").await), (findings, 2 * findings));
}

#[tokio::test]
async fn a_report_that_names_no_host_needs_one_and_its_findings_are_there() {
    let (app, member) = start().await;
    let sarif = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": [{"ruleId": "a",
        "message": {"text": "bad"}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "src/a.c"}}}]}]}]}"#;
    let gobuster = "/admin               (Status: 200) [Size: 1]\n";
    for report in [sarif, gobuster] {
        import(&app, &member, "", report).await.assert_field("target", "required");
        import(&app, &member, "?target=192.0.2.0/24", report).await.assert_field("target", "required");
    }
    assert_nothing(&app).await;
    for (report, state) in [(sarif, "done"), (gobuster, "partial")] {
        let imported = import(&app, &member, "?target=App.Example.com", report).await;
        assert_eq!(imported.status, 201, "{}", imported.text);
        assert_eq!(imported.json()["coverage"][0]["state"], state, "{}", imported.text);
    }
    let rows = app.database.connect().await.query("SELECT DISTINCT host FROM findings", &[]).await.unwrap();
    assert_eq!((rows.len(), rows[0].get::<_, &str>(0)), (1, "app.example.com"));
}
