//! The error codes that both references print, and those that `docs/contract.md` §7 adds.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{client::Client, printed, stack::Stack};

/// Demands the body of RFC 9457 and returns the names of the wrong fields.
fn problem(body: &Value, status: u16) -> Vec<String> {
    for field in ["type", "title", "detail", "code", "request_id"] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    assert_eq!(body["status"], status);
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    for error in &errors {
        assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
    }
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn wrong_parameters_and_malformed_json_are_400() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    for (path, body, field) in [
        ("/api/v1/scans/create", json!({"tool": "nmap"}), "target"),
        ("/api/v1/scans/create", json!({"target": "example.com", "tool": "nmap;id"}), "tool"),
        ("/api/v1/scans/create", json!({"target": "-oN", "tool": "nmap"}), "target"),
        ("/api/v1/scans/create", json!({"target": "example.com", "tool": "nmap", "env": {"NMAPDIR": "/tmp"}}), "env"),
        (
            "/api/v1/scans/create",
            json!({"target": "example.com", "tool": "nmap", "parameters": {"scan_type": "-sV --script=/etc/passwd"}}),
            "parameters.scan_type",
        ),
        ("/api/v2/scans", json!({"target": "example.com", "scan_type": "thorough"}), "scan_type"),
        ("/api/v2/scans", json!({"target": "example.com", "options": {"port_scan": "yes"}}), "options.port_scan"),
        ("/api/v2/reports", json!({"scan_ids": [1], "format": "docx"}), "format"),
    ] {
        let refused = client.post(path, &body).await;
        assert_eq!(refused.header("content-type"), "application/problem+json");
        assert_eq!(problem(&refused.expect(400), 400), [field], "{body}");
    }
    let malformed = client.post_text("/api/v2/scans", "{\"target\": ").await.expect(400);
    assert_eq!((problem(&malformed, 400).len(), &malformed["code"]), (0, &json!("malformed_request")));
    let none = client.get("/api/v1/scans").await.expect(200);
    assert_eq!(none["pagination"]["total"], 0, "no row is written for a request that was refused");
}

#[tokio::test]
async fn the_printed_v2_request_with_its_comments_is_no_json() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let refused = client.post_text("/api/v2/scans", printed::V2_CREATE).await.expect(400);
    problem(&refused, 400);
}

#[tokio::test]
async fn targets_of_others_are_403_and_forbidden_ones_400() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    for (path, body) in [
        ("/api/v1/scans/create", json!({"target": "93.184.215.14", "tool": "nmap"})),
        ("/api/v2/scans", json!({"target": "93.184.215.14"})),
    ] {
        let refused = client.post(path, &body).await.expect(403);
        problem(&refused, 403);
        assert_eq!(refused["code"], "target_not_authorized");
    }
    for target in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1"] {
        let refused = client.post("/api/v2/scans", &json!({"target": target})).await.expect(400);
        assert_eq!(problem(&refused, 400), ["target"]);
        assert_eq!(refused["code"], "target_forbidden");
    }
}

#[tokio::test]
async fn missing_and_invalid_credentials_are_401() {
    let stack = Stack::start().await;
    let client = Client::anonymous(&stack);
    for client in [client.clone(), client.with_token("eyJ.x.y"), client.with_token("pk_nothing")] {
        for path in ["/api/v1/scans", "/api/v2/scans", "/api/v2/reports/1"] {
            let refused = client.get(path).await;
            assert_eq!(refused.header("www-authenticate"), "Bearer");
            problem(&refused.expect(401), 401);
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_and_what_is_foreign_is_404() {
    let stack = Stack::start().await;
    let (owner, stranger) = (Client::register(&stack).await, Client::register(&stack).await);
    let created = owner.post_text("/api/v1/scans/create", printed::V1_CREATE).await.expect(201);
    let id = created["id"].as_str().unwrap();
    let unknown = format!("scan_{}", "0".repeat(26));
    for path in
        [format!("/api/v1/scan/{id}/result"), format!("/api/v1/scan/{unknown}/result"), "/api/v2/scans/1".to_owned()]
    {
        let refused = stranger.get(&path).await.expect(404);
        assert_eq!((problem(&refused, 404).len(), &refused["code"]), (0, &json!("not_found")), "{path}");
    }
    problem(&owner.get("/api/v1/nothing").await.expect(404), 404);
}

#[tokio::test]
async fn another_method_is_405_and_another_media_type_415_and_a_large_body_413() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let refused = client.delete("/api/v2/scans").await;
    assert!(refused.header("allow").contains("POST"));
    problem(&refused.expect(405), 405);

    let text = client.request(Method::POST, "/api/v2/scans").header("content-type", "text/plain").body("{}");
    problem(&client.send(text).await.expect(415), 415);

    let large = json!({"target": "x".repeat(1024 * 1024)}).to_string();
    problem(&client.post_text("/api/v2/scans", &large).await.expect(413), 413);
}
