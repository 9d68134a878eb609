//! Scans in both dialects: what is refused, and that nothing of it is stored. What is answered is compared with the
//! published references in `tests/contract/`.

use picket_domain::Subscription;
use picket_gateway::GatewaySettings;
use serde_json::{Value, json};

use crate::harness::{Answer, Member, TestApp};

/// Allows `example.com`, at an address of this machine.
pub(crate) fn allow_example(settings: &mut GatewaySettings) {
    settings.allow_targets = vec!["example.com".to_owned(), "192.0.2.7".to_owned()];
    settings.pin_hosts.insert("example.com".to_owned(), [127, 0, 0, 1].into());
}

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(allow_example).await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

async fn create(app: &TestApp, member: &Member, body: &Value) -> Answer {
    app.post("/api/v1/scans/create", Some(&member.token), body).await
}

/// Nothing was stored for what was refused.
async fn assert_no_rows(app: &TestApp) {
    let client = app.database.connect().await;
    for table in ["scans", "tasks", "events"] {
        let count: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(count, 0, "{table}");
    }
}

#[tokio::test]
async fn a_scan_is_stored_with_its_tasks_and_its_event() {
    let (app, member) = start().await;
    let created = create(&app, &member, &json!({"target": "Example.com", "tool": "nmap", "notify": ["email"]})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(created.header("location"), Some(format!("/api/v1/scan/{id}").as_str()));
    let scan = app.get(&format!("/api/v1/scan/{id}"), Some(&member.token)).await.json();
    assert_eq!((&scan["target"], &scan["notify"]), (&json!("example.com"), &json!(["email"])));
    assert_eq!(scan["tasks"], json!({"total": 1, "ended": 0}));

    let client = app.database.connect().await;
    let row = client.query_one("SELECT requested_by, traceparent FROM scans", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), member.user_id);
    assert!(row.get::<_, Option<String>>(1).is_some_and(|trace| trace.starts_with("00-")));
    let events: i64 =
        client.query_one("SELECT count(*) FROM events WHERE name = 'scan.created'", &[]).await.unwrap().get(0);
    assert_eq!(events, 1);
}

/// Values of a text parameter that must never reach a command line (A1–A10 of `docs/security.md`).
const HOSTILE: &[(&str, &[&str])] = &[
    (
        "scan_type",
        &[
            "-sV --script=/etc/passwd",
            "-sV -script=x",
            "--datad=/tmp",
            "-sV\n-iL/etc/passwd",
            "-sV\t-sC;id",
            "-sV\u{a0}-sC",
            "-oN/scratch/x",
            "--oN=x",
            "-oA%H",
            "-iR 100",
            "-sV -sC -O 10.0.0.1",
            "-sI zombie",
            "-D RND:5",
            "-S 10.0.0.1",
            "-b ftp.example.com",
        ],
    ),
    ("timing", &["-T5", "-T0", "-T4 -oN x"]),
    ("ports", &["1-3 -oN x", "$(id)", "http*", "-", "0", "65536", "9-1", "٤٤٣", "+80", " 80"]),
];

/// Texts that are no targets (A13, T1–T3, T9–T12).
const MALFORMED: &[&str] = &[
    "",
    "-iL/etc/passwd",
    "--",
    "`id`",
    "$(id)",
    "localhost/0",
    "10.0.0-255.1",
    "*.1.1.1",
    "a,b",
    "localhost",
    "[::]",
    "0177.0.0.1",
    "0x7f.1",
    "127.1",
    "2130706433",
    "１２７．０．０．１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "fe80::1%eth0",
    "exаmple.com",
    "exam\u{200b}ple.com",
    "example.com.",
    "a..com",
    "-a.com",
    "a_b.com",
    "*.example.com",
    "user@example.com",
    "example.com:80",
    "example.com/path",
    "example.com?x",
    "example.com\nevil.com",
    "0.0.0.0/0",
    "10.0.0.1/24",
    "10.0.0.0/33",
    "10.0.0.0/0x18",
    "co.uk",
    "metadata.google.internal",
];

/// Addresses that nobody may scan here (T1, T4–T6).
const FORBIDDEN: &[&str] = &[
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "::127.0.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "10.0.0.1",
    "172.16.0.0/16",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "fe80::1",
    "fd00:ec2::254",
];

fn with_parameters(parameters: Value) -> Value {
    json!({"target": "example.com", "tool": "nmap", "parameters": parameters})
}

#[tokio::test]
async fn a1_to_a10_hostile_flags_ports_and_timing_are_refused_with_their_field() {
    let (app, member) = start().await;
    let refuse = async |name: &str, value: Value| {
        let refused = create(&app, &member, &with_parameters(json!({name: value}))).await;
        let refused = refused.assert_problem(400, "invalid_request");
        assert_eq!(refused["errors"][0]["field"], format!("parameters.{name}"), "{value}");
    };
    for (name, values) in HOSTILE {
        for value in *values {
            refuse(name, json!(value)).await;
        }
    }
    refuse("ports", json!("1,".repeat(32 * 1024))).await;
    refuse("ports", json!(80)).await;
    assert_no_rows(&app).await;
}

#[tokio::test]
async fn a11_and_a12_hostile_scripts_are_refused_with_their_field() {
    let (app, member) = start().await;
    for script in ["vuln and not safe", "../x", "http-fetch", "all", "+http-*"] {
        let refused = create(&app, &member, &with_parameters(json!({"scripts": [script]}))).await;
        let refused = refused.assert_problem(400, "invalid_request");
        assert!(refused["errors"][0]["field"].as_str().unwrap().starts_with("parameters.scripts"), "{refused}");
    }
    for parameters in [json!({"script-args": "newtargets"}), json!({"script_args": "http.useragent=x\r\ny"})] {
        let refused = create(&app, &member, &with_parameters(parameters)).await;
        assert_eq!(refused.assert_problem(400, "invalid_request")["errors"][0]["code"], "unknown_field");
    }
    assert_no_rows(&app).await;
}

#[tokio::test]
async fn a13_and_t1_to_t12_hostile_targets_are_refused() {
    // The largest plan, so that no network is refused for its size.
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.registration_plan = Subscription::Enterprise;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let long = format!("{}.com", "a".repeat(250));
    for target in MALFORMED.iter().copied().chain([long.as_str()]) {
        for (path, body) in bodies(target) {
            app.post(path, Some(&member.token), &body).await.assert_field("target", "invalid_target");
        }
    }
    for target in FORBIDDEN {
        for (path, body) in bodies(target) {
            let refused = app.post(path, Some(&member.token), &body).await;
            assert_eq!(refused.assert_problem(400, "target_forbidden")["errors"][0]["field"], "target");
        }
    }
    assert_no_rows(&app).await;
}

/// A target asked for in each dialect.
fn bodies(target: &str) -> [(&'static str, Value); 2] {
    [
        ("/api/v1/scans/create", json!({"target": target, "tool": "nmap"})),
        ("/api/v2/scans", json!({"target": target, "scan_type": "quick"})),
    ]
}

#[tokio::test]
async fn t12_more_addresses_than_the_plan_has_are_refused() {
    let (app, member) = start().await;
    for (path, body) in bodies("8.8.8.0/24") {
        app.post(path, Some(&member.token), &body).await.assert_field("target", "too_many_addresses");
    }
    for (path, body) in bodies("8.8.8.0/28") {
        app.post(path, Some(&member.token), &body).await.assert_problem(403, "target_not_authorized");
    }
    assert_no_rows(&app).await;
}

#[tokio::test]
async fn a20_to_a22_hostile_bodies_are_refused() {
    let (app, member) = start().await;
    for tool in ["nmap;id", "../../bin/sh", "NMAP", "no-such-tool", ""] {
        create(&app, &member, &json!({"target": "example.com", "tool": tool}))
            .await
            .assert_field("tool", "unknown_tool");
    }
    let with = |field: &str, value: Value| {
        let mut body = json!({"target": "example.com", "tool": "nmap"});
        body[field] = value;
        body
    };
    for (field, value, code) in [
        ("env", json!({"NMAPDIR": "/tmp"}), "unknown_field"),
        ("organization_id", json!("org_x"), "unknown_field"),
        ("status", json!("completed"), "unknown_field"),
        ("parameters", json!("-sV"), "invalid_value"),
        ("parameters", json!([]), "invalid_value"),
        ("parameters", json!(null), "invalid_value"),
        ("scan_type", json!("full"), "unknown_value"),
        ("target", json!(1), "invalid_type"),
        ("target", json!(["example.com"]), "invalid_type"),
    ] {
        create(&app, &member, &with(field, value)).await.assert_field(field, code);
    }
    create(&app, &member, &with("notify", json!(["sms"]))).await.assert_field("notify[0]", "unknown_value");
    let twice = r#"{"target": "example.com", "tool": "nmap", "parameters": {"ports": "1", "ports": "2"}}"#;
    app.post_raw("/api/v1/scans/create", Some(&member.token), twice)
        .await
        .assert_field("parameters.ports", "duplicate_field");
    let list = r#"["example.com", "nmap"]"#;
    assert_eq!(app.post_raw("/api/v1/scans/create", Some(&member.token), list).await.status, 400);
    assert_no_rows(&app).await;
}

#[tokio::test]
async fn v2_options_are_booleans_and_at_least_one() {
    let (app, member) = start().await;
    let post = async |body: Value| app.post("/api/v2/scans", Some(&member.token), &body).await;
    post(json!({"target": "example.com", "scan_type": "thorough"})).await.assert_field("scan_type", "unknown_value");
    post(json!({"target": "example.com", "options": {"port_scan": "true"}}))
        .await
        .assert_field("options.port_scan", "invalid_type");
    post(json!({"target": "example.com", "options": {"udp_scan": true}}))
        .await
        .assert_field("options.udp_scan", "unknown_field");
    post(json!({"target": "example.com", "scan_type": "custom"})).await.assert_field("options", "nothing_to_do");
    assert_no_rows(&app).await;
}

#[tokio::test]
async fn a_plan_that_no_tool_can_follow_fails_and_says_so() {
    let (app, member) = start().await;
    // An address has no names below it.
    let body = json!({"target": "192.0.2.7", "scan_type": "custom", "options": {"include_subdomain": true}});
    let created = app.post("/api/v2/scans", Some(&member.token), &body).await;
    assert_eq!((created.status, &created.json()["status"]), (201, &json!("pending")));
    let scan = app.get("/api/v2/scans/1", Some(&member.token)).await.json();
    assert_eq!((&scan["status"], &scan["coverage"][0]["reason"]), (&json!("failed"), &json!("tool_unavailable")));
    assert!(scan["message"].as_str().unwrap().contains("tool_unavailable"), "{scan}");
}

#[tokio::test]
async fn what_is_no_id_is_400_and_what_nobody_has_is_404() {
    let (app, member) = start().await;
    let token = Some(member.token.as_str());
    for path in
        ["/api/v1/scan/1", "/api/v1/scan/rep_00000000000000000000000001/status", "/api/v2/scans/x", "/api/v2/scans/1.5"]
    {
        app.get(path, token).await.assert_field("id", "invalid_id");
    }
    for path in ["/api/v1/scan/scan_00000000000000000000000001/result", "/api/v2/scans/1", "/api/v2/scans/-1"] {
        app.get(path, token).await.assert_problem(404, "not_found");
    }
}

#[tokio::test]
async fn nobody_sees_or_stops_the_scans_of_another_organization() {
    let (app, ada) = start().await;
    let bob = app.member("bob@example.com").await;
    let id = create(&app, &ada, &json!({"target": "example.com", "tool": "nmap"})).await.json()["id"].clone();
    let path = format!("/api/v1/scan/{}", id.as_str().unwrap());
    app.post(&format!("{path}/stop"), Some(&bob.token), &json!({})).await.assert_problem(404, "not_found");
    app.delete("/api/v2/scans/1", Some(&bob.token)).await.assert_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/scans", Some(&bob.token)).await.json()["pagination"]["total"], 0);
    assert_eq!(app.get(&path, Some(&ada.token)).await.json()["status"], "created");
}

#[tokio::test]
async fn a_stopped_scan_stays_stopped() {
    let (app, member) = start().await;
    create(&app, &member, &json!({"target": "example.com", "tool": "nmap"})).await;
    let stopped = app.delete("/api/v2/scans/1", Some(&member.token)).await;
    assert_eq!((stopped.status, &stopped.json()["status"]), (200, &json!("failed")));
    app.delete("/api/v2/scans/1", Some(&member.token)).await.assert_problem(409, "invalid_state");
    let list = app.get("/api/v1/scans", Some(&member.token)).await.json();
    assert_eq!((&list["data"][0]["status"], &list["data"][0]["duration_ms"]), (&json!("cancelled"), &Value::Null));
    let client = app.database.connect().await;
    let open: i64 =
        client.query_one("SELECT count(*) FROM tasks WHERE state <> 'cancelled'", &[]).await.unwrap().get(0);
    assert_eq!(open, 0);
}

#[tokio::test]
async fn lists_take_the_published_parameters_and_no_others() {
    let (app, member) = start().await;
    let token = Some(member.token.as_str());
    for (path, field, code) in [
        ("/api/v1/scans?sort=severity", "sort", "unknown_value"),
        ("/api/v1/scans?order=up", "order", "unknown_value"),
        ("/api/v1/scans?limit=5", "limit", "unknown_field"),
        ("/api/v1/scans?per_page=101", "per_page", "out_of_range"),
        ("/api/v2/scans?limit=101", "limit", "out_of_range"),
        ("/api/v2/scans?limit=0", "limit", "out_of_range"),
        ("/api/v2/scans?status=cancelled", "status", "unknown_value"),
        ("/api/v2/scans?sort=target", "sort", "unknown_field"),
    ] {
        app.get(path, token).await.assert_field(field, code);
    }
}
