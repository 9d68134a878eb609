//! The simulator is offered by the operator's setting alone.

use picket_gateway::GatewaySettings;
use serde_json::json;

use crate::{harness::TestApp, scans::allow_example};

fn simulating(settings: &mut GatewaySettings) {
    allow_example(settings);
    settings.simulator = true;
}

#[tokio::test]
async fn without_the_setting_the_simulator_is_answered_as_any_unknown_tool() {
    let app = TestApp::spawn_with(allow_example).await;
    let member = app.member("ada@example.com").await;
    let answers = ["simulate", "no-such-tool"].map(|tool| json!({"target": "example.com", "tool": tool}));
    let mut texts = Vec::new();
    for body in answers {
        let answer = app.post("/api/v1/scans/create", Some(&member.token), &body).await;
        answer.assert_problem(400, "invalid_request");
        answer.assert_field("tool", "unknown_tool");
        texts.push(answer.json()["errors"].clone());
    }
    assert_eq!(texts[0], texts[1]);
    assert!(!texts[0].to_string().contains("simulate"), "{}", texts[0]);
    assert_eq!(app.get("/api/v1/tools/simulate", Some(&member.token)).await.status, 404);
}

#[tokio::test]
async fn with_the_setting_a_simulated_scan_is_accepted_and_the_catalogue_does_not_show_it() {
    let app = TestApp::spawn_with(simulating).await;
    let member = app.member("ada@example.com").await;
    let create = async |parameters| {
        let body = json!({"target": "example.com", "tool": "simulate", "parameters": parameters});
        app.post("/api/v1/scans/create", Some(&member.token), &body).await
    };
    let created = create(json!({"tasks": 5, "findings": 2})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let row = app.database.connect().await;
    let row = row.query_one("SELECT count(*), min(pool), max(pool) FROM tasks", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (5_i64, "simulate", "simulate"));
    create(json!({"tasks": 10_001})).await.assert_field("parameters.tasks", "invalid");
    assert!(!app.get("/api/v1/tools", Some(&member.token)).await.text.contains("simulate"));
}
