//! `/tools`: the catalogue, how its tools are, and the dry run.

use serde_json::{Value, json};

use crate::{
    harness::{Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(allow_example).await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

/// A live worker with nmap that has proven level L2 for plain connections.
async fn worker(app: &TestApp) {
    let sql = r#"INSERT INTO workers (id, started_at, heartbeat_at, pools, level, counts_as, tools, slots, tool_versions)
                 VALUES (gen_random_uuid(), now(), now() + interval '1 hour', '{net}', 'L2', 'L2', '{nmap}', 1,
                         '{"nmap": {"version": "7.93"}}')"#;
    app.database.connect().await.execute(sql, &[]).await.unwrap();
}

async fn rehearse(app: &TestApp, member: &Member, body: Value) -> Value {
    let answer = app.post("/api/v1/tools/nmap/build-command", Some(&member.token), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Rows that a dry run must not make.
async fn rows(app: &TestApp) -> i64 {
    let sql = "SELECT (SELECT count(*) FROM scans) + (SELECT count(*) FROM tasks) + (SELECT count(*) FROM events)
                      + (SELECT count(*) FROM audit_log WHERE entry LIKE '%\"scan.%')";
    app.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_catalogue_names_each_tool_with_its_parameters() {
    let (app, member) = start().await;
    for version in ["v1", "v2"] {
        let tools = app.get(&format!("/api/{version}/tools"), Some(&member.token)).await;
        assert_eq!(tools.status, 200);
        let tools = tools.json();
        let nmap = tools["data"].as_array().unwrap().iter().find(|tool| tool["id"] == "nmap").unwrap();
        assert!(nmap["name"].is_string() && nmap["description"].is_string() && nmap["parameters"].is_object());
        assert_eq!((&nmap["passive"], &nmap["intrusiveness"]), (&json!(false), &json!("active")));
        assert_eq!(nmap["plan"]["addresses_per_scan"], 16, "of the trial");
        let imports = tools["imports"].as_array().unwrap();
        assert!(
            imports.iter().any(|one| one["tool"] == "nmap" && one["formats"] == json!(["grepable", "xml"])),
            "{tools}"
        );
        // Whatever can be imported is in the list of tools too, each once.
        let data = tools["data"].as_array().unwrap();
        assert!(data.is_sorted_by(|a, b| a["id"].as_str() < b["id"].as_str()), "{tools}");
        for import in imports {
            let tool = data.iter().find(|tool| tool["id"] == import["tool"]).unwrap();
            assert_eq!(tool["formats"], import["formats"], "{tool}");
        }
    }
}

#[tokio::test]
async fn every_tool_has_its_page_its_schema_and_its_limits() {
    let (app, member) = start().await;
    for tool in picket_scanners::ALL {
        let path = format!("/api/v1/tools/{}", tool.slug());
        let shown = app.get(&path, Some(&member.token)).await.json();
        assert!(shown["page"].as_str().unwrap().len() > 40, "{shown}");
        assert_eq!(shown["parameters"]["type"], "object", "{path}");
        assert!(shown["limits"]["wall_seconds"].as_u64().unwrap() > 0, "{path}");
        assert!(!shown["needs"].as_array().unwrap().is_empty() && !shown["formats"].as_array().unwrap().is_empty());
    }
    for import in picket_scanners::IMPORTS {
        let path = format!("/api/v2/tools/{}", import.slug());
        let shown = app.get(&path, Some(&member.token)).await.json();
        assert_eq!(
            (&shown["kind"], &shown["parameters"], &shown["limits"]),
            (&json!("import"), &Value::Null, &Value::Null)
        );
        assert!(
            shown["page"].as_str().unwrap().len() > 40 && !shown["formats"].as_array().unwrap().is_empty(),
            "{shown}"
        );
        let command = format!("{path}/build-command");
        let refused = app.post(&command, Some(&member.token), &json!({"target": "example.com"})).await;
        refused.assert_problem(404, "not_found");
    }
    for slug in ["nmap%3Bid", "NMAP", "..%2f..%2fbin%2fsh", "%00", "no-such-tool"] {
        let answer = app.get(&format!("/api/v1/tools/{slug}"), Some(&member.token)).await;
        assert!([400, 404].contains(&answer.status), "{slug}: {}", answer.text);
    }
}

#[tokio::test]
async fn health_tells_what_live_workers_have() {
    let (app, member) = start().await;
    let of_nmap = async || {
        let health = app.get("/api/v1/tools/all-health", Some(&member.token)).await.json();
        health["data"].as_array().unwrap().iter().find(|tool| tool["id"] == "nmap").unwrap().clone()
    };
    let before = of_nmap().await;
    assert_eq!((&before["status"], &before["installed"]), (&json!("no_worker"), &json!(false)));
    worker(&app).await;
    let after = of_nmap().await;
    assert_eq!((&after["status"], &after["workers"], &after["raw"]), (&json!("available"), &json!(1), &json!(false)));
    assert_eq!((&after["levels"], &after["version"]), (&json!(["L2"]), &json!("7.93")));
}

#[tokio::test]
async fn a_dry_run_shows_the_command_lines_of_the_worker_and_makes_nothing() {
    let (app, member) = start().await;
    worker(&app).await;
    let body = json!({"target": "Example.com", "parameters": {"scan_type": "-sV -O", "ports": "443,80"}});
    let shown = rehearse(&app, &member, body).await;
    assert_eq!((&shown["target"], &shown["tasks"]), (&json!("example.com"), &json!(2)));
    assert_eq!(shown["verdict"]["allowed"], true, "{shown}");
    assert_eq!(shown["verdict"]["reasons"][0]["code"], "capability_unavailable", "nobody has raw sockets");
    let [connect, raw] = shown["commands"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!((&connect["runnable_now"], &raw["runnable_now"]), (&json!(true), &json!(false)));
    assert_eq!((&connect["network"], &raw["needs"]["pool"]), (&json!("connect"), &json!("net.raw")));

    // A worker that is given the stored task writes the same.
    let created =
        json!({"target": "example.com", "tool": "nmap", "parameters": {"scan_type": "-sV -O", "ports": "443,80"}});
    assert_eq!(rows(&app).await, 0);
    assert_eq!(app.post("/api/v1/scans/create", Some(&member.token), &created).await.status, 201);
    let client = app.database.connect().await;
    let row = client.query_one("SELECT params, shard FROM tasks WHERE pool = 'net'", &[]).await.unwrap();
    let tokio_postgres_json = |column| row.get::<_, Value>(column);
    let params = tokio_postgres_json(0);
    let shard: picket_domain::Shard = serde_json::from_value(tokio_postgres_json(1)).unwrap();
    let asked = picket_scanners::Asked { tool: "nmap", parameters: Some(&params) };
    let command = picket_scanners::ScanSpec::try_from(asked).unwrap().command(&shard).unwrap();
    let argv: Vec<_> = std::iter::once(command.program.to_owned()).chain(command.args).collect();
    assert_eq!(connect["argv"], json!(argv));
}

#[tokio::test]
async fn a_dry_run_says_why_a_scan_would_be_refused() {
    let (app, member) = start().await;
    let refused = rehearse(&app, &member, json!({"target": "8.8.8.8"})).await;
    assert_eq!(refused["verdict"]["allowed"], false);
    assert_eq!(refused["verdict"]["reasons"][0]["code"], "target_not_authorized");
    assert_eq!(refused["commands"], json!([]));
    let refused = rehearse(&app, &member, json!({"target": "169.254.169.254"})).await;
    assert_eq!(refused["verdict"]["reasons"][0]["code"], "target_forbidden");
    app.database.connect().await.execute("UPDATE organizations SET trial_ends_at = '2020-01-01'", &[]).await.unwrap();
    let ended = rehearse(&app, &member, json!({"target": "example.com"})).await;
    assert_eq!(
        (&ended["verdict"]["allowed"], &ended["verdict"]["reasons"][0]["code"]),
        (&json!(false), &json!("trial_ended"))
    );
    let malformed = json!({"target": "-iL/etc/passwd"});
    app.post("/api/v1/tools/nmap/build-command", Some(&member.token), &malformed)
        .await
        .assert_field("target", "invalid_target");
    app.post("/api/v1/tools/no-such-tool/build-command", Some(&member.token), &json!({"target": "example.com"}))
        .await
        .assert_problem(404, "not_found");
    assert_eq!(rows(&app).await, 0);
}
