//! `/scan-profiles`, scans that are made with one, and the estimate of a scan.

use picket_domain::Subscription;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(allow_example).await;
    let member = app.member("ada@example.com").await;
    app.verify("ada@example.com").await;
    (app, member)
}

async fn post(app: &TestApp, member: &Member, path: &str, body: Value) -> Answer {
    app.post(path, Some(&member.token), &body).await
}

async fn save(app: &TestApp, member: &Member, body: Value) -> String {
    let saved = post(app, member, "/api/v1/scan-profiles", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_scan_keeps_the_version_of_the_profile_that_it_was_made_with() {
    let (app, member) = start().await;
    let first = json!({"name": "Ports", "tool": "nmap", "parameters": {"ports": "80"}});
    let id = save(&app, &member, first).await;
    let path = format!("/api/v1/scan-profiles/{id}");
    let scan = json!({"target": "example.com", "profile": id, "notify": ["email"]});
    let scan = post(&app, &member, "/api/v1/scans/create", scan).await;
    assert_eq!(scan.status, 201, "{}", scan.text);
    let scan = scan.json()["id"].as_str().unwrap().to_owned();

    let second = json!({"name": "All ports", "tool": "nmap", "parameters": {"ports": "1-65535"}});
    let changed = app.request("PUT", &path, Some(&member.token), |request| request.json(&second)).await;
    assert_eq!((changed.status, &changed.json()["version"]), (200, &json!(2)), "{}", changed.text);
    let shown = app.get(&path, Some(&member.token)).await.json();
    let ports: Vec<_> = shown["versions"].as_array().unwrap().iter().map(|one| &one["parameters"]["ports"]).collect();
    assert_eq!(ports, ["1-65535", "80"]);
    assert_eq!(shown["name"], json!("All ports"));

    let made = app.get(&format!("/api/v1/scan/{scan}"), Some(&member.token)).await.json();
    assert_eq!((&made["profile"], &made["profile_version"]), (&json!(id), &json!(1)));
    assert_eq!((&made["parameters"]["ports"], &made["notify"]), (&json!("80"), &json!(["email"])));
    assert_eq!(app.delete(&path, Some(&member.token)).await.status, 204);
    app.get(&path, Some(&member.token)).await.assert_problem(404, "not_found");
    let made = app.get(&format!("/api/v1/scan/{scan}"), Some(&member.token)).await.json();
    assert_eq!((&made["profile"], &made["profile_version"]), (&json!(id), &json!(1)));
    let again = json!({"target": "example.com", "profile": id});
    post(&app, &member, "/api/v1/scans/create", again).await.assert_field("profile", "unknown_profile");

    let log = app.get("/api/v1/audit-logs?limit=4", Some(&member.token)).await.json();
    let actions: Vec<_> = log["data"].as_array().unwrap().iter().map(|one| &one["action"]).collect();
    assert_eq!(actions, ["scan_profile.deleted", "scan_profile.changed", "scan.created", "scan_profile.created"]);
}

#[tokio::test]
async fn everybody_has_the_built_in_profiles_in_both_versions() {
    let (app, member) = start().await;
    save(&app, &member, json!({"name": "Mine", "scan_type": "custom", "options": {"ssl_scan": true}})).await;
    let names = async |path: &str| {
        let list = app.get(path, Some(&member.token)).await.json();
        let names = list["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("/api/v1/scan-profiles").await, ["quick", "full", "web", "ssl", "Mine"]);
    assert_eq!(names("/api/v1/scan-profiles?page=2&per_page=3").await, ["ssl", "Mine"]);
    assert_eq!(names("/api/v2/scan-profiles?page=3&limit=2").await, ["Mine"]);
    let web = app.get("/api/v1/scan-profiles/web", Some(&member.token)).await.json();
    assert_eq!((&web["built_in"], &web["options"]["web_scan"]), (&json!(true), &json!(true)));

    let v1 = post(&app, &member, "/api/v1/scans/create", json!({"target": "example.com", "profile": "web"})).await;
    assert_eq!((v1.status, &v1.json()["tool"], &v1.json()["tasks"]), (201, &json!(null), &json!(1)), "{}", v1.text);
    let v2 = post(&app, &member, "/api/v2/scans", json!({"target": "example.com", "profile": "quick"})).await;
    assert_eq!(v2.status, 201, "{}", v2.text);
    let listed = app.get("/api/v2/scans", Some(&member.token)).await.json();
    assert_eq!(listed["data"][0]["scan_type"], json!("quick"));
    let client = app.database.connect().await;
    let rows = client.query("SELECT s.profile, s.dialect, t.opens FROM scans AS s JOIN tasks AS t ON t.scan_id = s.id ORDER BY s.number", &[]).await.unwrap();
    let rows: Vec<(String, String, Vec<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let row = |profile: &str, dialect: &str, opens: &[&str]| {
        (profile.to_owned(), dialect.to_owned(), opens.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(rows, [row("web", "v1", &["web_scan"]), row("quick", "v2", &[])]);
}

#[tokio::test]
async fn what_no_scan_could_be_made_of_is_not_saved() {
    let (app, member) = start().await;
    for (body, field, code) in [
        (json!({"name": "x"}), "tool", "missing_field"),
        (json!({"name": "", "scan_type": "full"}), "name", "invalid_value"),
        (json!({"name": "a\nb", "scan_type": "full"}), "name", "invalid_value"),
        (json!({"name": "x".repeat(101), "scan_type": "full"}), "name", "invalid_value"),
        (json!({"name": "x", "tool": "sh"}), "tool", "unknown_tool"),
        (json!({"name": "x", "tool": "nmap", "scan_type": "full"}), "scan_type", "conflict"),
        (json!({"name": "x", "tool": "nmap", "options": {}}), "options", "conflict"),
        (json!({"name": "x", "scan_type": "full", "parameters": {}}), "parameters", "conflict"),
        (json!({"name": "x", "scan_type": "custom"}), "options", "nothing_to_do"),
        (json!({"name": "x", "scan_type": "full", "rate": 1}), "rate", "unknown_field"),
    ] {
        post(&app, &member, "/api/v1/scan-profiles", body).await.assert_field(field, code);
    }
    let hostile = json!({"name": "x", "tool": "nmap", "parameters": {"ports": "80; id"}});
    assert_eq!(post(&app, &member, "/api/v1/scan-profiles", hostile).await.status, 400);
    let beside = |field: &str, value: Value| json!({"target": "example.com", "profile": "web", field: value});
    for (path, field, value) in [
        ("/api/v1/scans/create", "tool", json!("nmap")),
        ("/api/v1/scans/create", "parameters", json!({})),
        ("/api/v1/scans/create", "scan_type", json!("custom")),
        ("/api/v2/scans", "scan_type", json!("full")),
        ("/api/v2/scans", "options", json!({})),
    ] {
        post(&app, &member, path, beside(field, value)).await.assert_field(field, "conflict");
    }
    for profile in ["", "WEB", "prof_00000000000000000000000001", "scan_00000000000000000000000001"] {
        let body = json!({"target": "example.com", "profile": profile});
        post(&app, &member, "/api/v1/scans/create", body).await.assert_field("profile", "unknown_profile");
    }
}

#[tokio::test]
async fn profiles_at_once_never_exceed_the_plan_and_have_a_name_each() {
    let (app, member) = start().await;
    let most = usize::try_from(Subscription::Trial.limits().profiles).unwrap();
    let save = |name: String| post(&app, &member, "/api/v1/scan-profiles", json!({"name": name, "scan_type": "full"}));
    let same = futures_util::future::join_all((0..4).map(|_| save("same".to_owned()))).await;
    assert_eq!(same.iter().filter(|one| one.status == 201).count(), 1);
    let all = futures_util::future::join_all((0..most + 4).map(|place| save(format!("p{place}")))).await;
    assert_eq!(all.iter().filter(|one| one.status == 201).count(), most - 1);
    assert!(all.iter().filter(|one| one.status != 201).all(|one| one.json()["code"] == "limit_reached"));
}

#[tokio::test]
async fn an_estimate_says_what_a_scan_would_come_to_and_makes_nothing() {
    let (app, member) = start().await;
    let v2 = async |body: Value| post(&app, &member, "/api/v2/scans/estimate", body).await.json();
    let full = v2(json!({"target": "Example.com"})).await;
    assert_eq!(
        (&full["target"], &full["tasks"], &full["expected_tasks"]),
        (&json!("example.com"), &json!(1), &json!(7))
    );
    assert_eq!(full["hosts_times_ports"], json!(1_000));
    assert_eq!(full["verdict"]["allowed"], json!(true));
    assert_eq!(full["verdict"]["reasons"][0]["code"], json!("capability_unavailable"));
    let before = full["cost"]["task_seconds"].as_u64().unwrap();

    let measured =
        "INSERT INTO tool_durations (tool, runs, median_ms, measured_at) VALUES ('nmap', 20, 1000150000, now())";
    app.database.connect().await.batch_execute(measured).await.unwrap();
    let after = v2(json!({"target": "example.com"})).await;
    assert_eq!(after["cost"]["task_seconds"].as_u64().unwrap(), before + 1_000_000);
    let made = post(&app, &member, "/api/v2/scans", json!({"target": "example.com"})).await.json();
    assert_eq!(made["estimated_duration"], after["estimated_duration"]);

    let v1 = async |body: Value| post(&app, &member, "/api/v1/scans/estimate", body).await;
    let one = v1(json!({"target": "example.com", "tool": "nmap", "parameters": {"ports": "1-10"}})).await.json();
    assert_eq!((&one["tasks"], &one["hosts_times_ports"]), (&json!(1), &json!(10)));
    let refused = v1(json!({"target": "93.184.215.14", "tool": "nmap"})).await.json();
    assert_eq!((&refused["verdict"]["allowed"], &refused["tasks"]), (&json!(false), &json!(0)));
    assert_eq!(refused["verdict"]["reasons"][0]["code"], json!("target_not_authorized"));
    v1(json!({"target": "example.com", "tool": "nmap", "parameters": {"ports": "x"}}))
        .await
        .assert_problem(400, "invalid_request");
    v1(json!({"target": "example.com"})).await.assert_field("tool", "missing_field");
    let scans: i64 = app.database.connect().await.query_one("SELECT count(*) FROM scans", &[]).await.unwrap().get(0);
    assert_eq!(scans, 1, "the one that was made");
}

#[tokio::test]
async fn what_failed_of_a_later_stage_is_repeated_alone() {
    let (app, member) = start().await;
    let made = post(&app, &member, "/api/v1/scans/create", json!({"target": "example.com", "profile": "full"})).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let uuid = id.parse::<picket_domain::ScanId>().unwrap().uuid();
    let client = app.database.connect().await;
    // As if workers had looked at everything, and sslscan had failed at the port that was found.
    client
        .batch_execute(&format!(
            "UPDATE scans SET state = 'running', started_at = now();
             UPDATE tasks SET state = 'queued', queued_at = now();
             UPDATE tasks SET state = 'running', attempt = 1, lease_until = now(), worker_id = gen_random_uuid();
             UPDATE tasks SET state = 'done', lease_until = NULL, ended_at = now();
             INSERT INTO tasks (id, organization_id, scan_id, grown_from, tool, pool, level, params, shard, created_at, ready_at,
                                state, ended_at, gap)
             SELECT gen_random_uuid(), organization_id, scan_id, id, n.tool, 'tls', 'L2', '{{\"port\": 8443}}', shard, now(), now(),
                    n.state, now(), n.gap
             FROM tasks, (VALUES ('sslscan', 'failed', 'timed_out'), ('testssl', 'done', NULL)) AS n (tool, state, gap)
             WHERE scan_id = '{uuid}';
             UPDATE scans SET state = 'completed', ended_at = now();"
        ))
        .await
        .unwrap();
    let again = post(&app, &member, &format!("/api/v1/scan/{id}/rerun"), json!({"only": "failed"})).await;
    assert_eq!((again.status, &again.json()["tasks"]), (201, &json!(1)), "{}", again.text);
    let row = client
        .query_one(
            "SELECT t.tool, s.profile FROM scans AS s JOIN tasks AS t ON t.scan_id = s.id WHERE s.rerun_of IS NOT NULL",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, String>(1)), ("sslscan".to_owned(), "full".to_owned()));
}

#[tokio::test]
async fn a_found_name_that_was_not_looked_at_in_full_is_searched_for_again() {
    let (app, member) = start().await;
    let body = json!({"target": "example.com", "scan_type": "full", "options": {"include_subdomain": true, "port_scan": true}});
    let made = post(&app, &member, "/api/v2/scans", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let client = app.database.connect().await;
    // As if the target was looked at in full, and a name at its address was not.
    client
        .batch_execute(
            "UPDATE scans SET state = 'running', started_at = now();
             UPDATE tasks SET state = 'queued', queued_at = now();
             UPDATE tasks SET state = 'running', attempt = 1, lease_until = now(), worker_id = gen_random_uuid();
             UPDATE tasks SET state = 'done', lease_until = NULL, ended_at = now();
             INSERT INTO tasks (id, organization_id, scan_id, grown_from, tool, pool, level, params, shard, created_at, ready_at,
                                state, ended_at, gap)
             SELECT gen_random_uuid(), organization_id, scan_id, id, 'sslscan', 'tls', 'L2', '{\"port\": 443}',
                    shard || jsonb_build_object('target', n.target), now(), now(), n.state, now(), n.gap
             FROM tasks, (VALUES ('example.com', 'done', NULL), ('www.example.com', 'failed', 'timed_out')) AS n (target, state, gap)
             WHERE tool = 'subdomains';
             UPDATE scans SET state = 'completed', ended_at = now();",
        )
        .await
        .unwrap();
    let id = client.query_one("SELECT id FROM scans", &[]).await.unwrap().get(0);
    let id = picket_domain::ScanId::from_uuid(id);
    let again = post(&app, &member, &format!("/api/v1/scan/{id}/rerun"), json!({"only": "failed"})).await;
    assert_eq!(again.status, 201, "{}", again.text);
    let sql = "SELECT t.tool, t.shard ->> 'target' FROM tasks AS t JOIN scans AS s ON s.id = t.scan_id WHERE s.rerun_of IS NOT NULL";
    let rows = client.query(sql, &[]).await.unwrap();
    let tasks: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(tasks, [("subdomains".to_owned(), "example.com".to_owned())]);
}

#[tokio::test]
async fn limits_of_runs_are_refused_with_their_field() {
    let (app, member) = start().await;
    let profile = |limits: Value| json!({"name": "Gentle", "scan_type": "full", "limits": limits});
    let refused = async |limits: Value, field: &str, code: &str| {
        post(&app, &member, "/api/v1/scan-profiles", profile(limits)).await.assert_field(field, code);
    };
    refused(json!({"sh": {"seconds": 60}}), "limits", "unknown_tool").await;
    refused(json!({"nmap": {}}), "limits.nmap", "missing_field").await;
    refused(json!({"nmap": {"seconds": 9}}), "limits.nmap.seconds", "out_of_range").await;
    refused(json!({"nmap": {"seconds": 100_000}}), "limits.nmap.seconds", "out_of_range").await;
    refused(json!({"nmap": {"rate": 0}}), "limits.nmap.rate", "out_of_range").await;
    refused(json!({"nmap": {"rate": 1_001}}), "limits.nmap.rate", "out_of_range").await;
    refused(json!({"testssl": {"rate": 5}}), "limits.testssl.rate", "not_supported").await;
    refused(json!({"nmap": {"hours": 1}}), "limits.nmap.hours", "unknown_field").await;
    let tool = json!({"name": "One", "tool": "nmap", "limits": {"ffuf": {"seconds": 60}}});
    post(&app, &member, "/api/v1/scan-profiles", tool).await.assert_field("limits.ffuf", "conflict");
}

#[tokio::test]
async fn a_profile_limits_the_runs_of_its_tools_and_each_scan_keeps_its_own() {
    let (app, member) = start().await;
    let profile = |limits: Value| json!({"name": "Gentle", "scan_type": "full", "limits": limits});
    let first = json!({"nmap": {"seconds": 600, "rate": 100}, "testssl": {"seconds": 90, "rate": null}});
    let id = save(&app, &member, profile(first.clone())).await;
    let path = format!("/api/v1/scan-profiles/{id}");
    assert_eq!(app.get(&path, Some(&member.token)).await.json()["limits"], first);
    let scan = json!({"target": "example.com", "profile": id});
    let made = post(&app, &member, "/api/v1/scans/create", scan.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json()["id"].as_str().unwrap().to_owned();
    let limits = async |id: &str| {
        let id: picket_domain::ScanId = id.parse().unwrap();
        let client = app.database.connect().await;
        let row = client.query_one("SELECT limits FROM scans WHERE id = $1", &[&id.uuid()]).await.unwrap();
        row.get::<_, Option<Value>>(0)
    };
    assert_eq!(limits(&made).await, Some(first.clone()));

    // A ten times slower port scan, cut off at ten minutes, and half of testssl's usual three minutes.
    let usual =
        post(&app, &member, "/api/v1/scans/estimate", json!({"target": "example.com", "profile": "full"})).await;
    let slower = post(&app, &member, "/api/v1/scans/estimate", scan.clone()).await.json();
    let seconds = |view: &Value| view["cost"]["task_seconds"].as_u64().unwrap();
    assert_eq!(seconds(&slower), seconds(&usual.json()) + 450 - 90, "{slower}");

    let second = json!({"nmap": {"seconds": 60, "rate": null}});
    let changed =
        app.request("PUT", &path, Some(&member.token), |request| request.json(&profile(second.clone()))).await;
    assert_eq!((changed.status, &changed.json()["limits"]), (200, &second), "{}", changed.text);
    let versions = app.get(&path, Some(&member.token)).await.json()["versions"].clone();
    assert_eq!([&versions[0]["limits"], &versions[1]["limits"]], [&second, &first]);
    let stop = app.send("POST", &format!("/api/v1/scan/{made}/stop"), Some(&member.token)).await;
    assert_eq!(stop.status, 200, "{}", stop.text);
    let again = post(&app, &member, &format!("/api/v1/scan/{made}/rerun"), json!({})).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert_eq!(limits(again.json()["id"].as_str().unwrap()).await, Some(first), "as the scan that it repeats");
    let newest = post(&app, &member, "/api/v1/scans/create", scan).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(limits(&newest).await, Some(second));
    // Without limits there are none.
    let plain = json!({"name": "Gentle", "scan_type": "full"});
    let changed = app.request("PUT", &path, Some(&member.token), |request| request.json(&plain)).await;
    assert_eq!(changed.json()["limits"], json!(null));
}
