//! Seed 2: scans.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    client::Client,
    life::{Life, observations},
    printed::{self, assert_like, json as printed_json},
    stack::Stack,
};

async fn create(client: &Client) -> Value {
    client.post("/api/v2/scans", &printed_json(printed::V2_CREATE)).await.expect(201)
}

#[tokio::test]
async fn the_printed_request_creates_a_scan_as_printed() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let created = create(&client).await;
    let printed = printed_json(printed::V2_CREATED);
    assert_like(&printed, &created);
    for field in ["status", "target", "estimated_duration", "message"] {
        assert_eq!(created[field], printed[field], "{field}");
    }
    assert_eq!((created["scan_id"].as_i64(), create(&client).await["scan_id"].as_i64()), (Some(1), Some(2)));
}

#[tokio::test]
async fn numbers_are_counted_per_organization() {
    let stack = Stack::start().await;
    let (one, other) = (Client::register(&stack).await, Client::register(&stack).await);
    create(&one).await;
    assert_eq!(create(&other).await["scan_id"], 1);
    create(&one).await;
    assert_eq!(one.get("/api/v2/scans/2").await.expect(200)["id"], 2);
    assert_eq!(other.get("/api/v2/scans/2").await.expect(404)["code"], "not_found");
}

#[tokio::test]
async fn the_list_has_the_printed_fields_and_numbers() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    create(&client).await;
    Life::begin(&stack).await.run(&observations([1, 2, 2, 0, 3]), SignedDuration::from_mins(15)).await;

    let list = client.get("/api/v2/scans?page=1&limit=10&status=completed").await.expect(200);
    let printed = printed_json(printed::V2_LIST);
    assert_like(&printed, &list);
    for field in ["id", "target", "status", "vulnerabilities_found", "severity_counts"] {
        assert_eq!(list["data"][0][field], printed["data"][0][field], "{field}");
    }
    assert_eq!(list["meta"], json!({"current_page": 1, "total_pages": 1, "total_items": 1}));
}

#[tokio::test]
async fn the_detail_has_the_printed_fields() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    create(&client).await;
    Life::begin(&stack).await.run(&observations([1, 1, 0, 0, 2]), SignedDuration::from_mins(15)).await;

    let detail = client.get("/api/v2/scans/1").await.expect(200);
    let mut printed = printed_json(printed::V2_DETAIL);
    let vulnerabilities = detail["vulnerabilities"].as_array().unwrap();
    assert_eq!(vulnerabilities.len(), 2, "info is no vulnerability in this dialect: {detail}");
    assert_like(&printed["vulnerabilities"][0], &vulnerabilities[0]);
    assert_eq!(vulnerabilities[0]["id"], "CVE-2023-25690", "the CVE id where there is one");
    assert!(vulnerabilities[1]["id"].as_str().unwrap().starts_with("vuln_"));
    assert_eq!((&vulnerabilities[1]["cvss_score"], &vulnerabilities[1]["affected_url"]), (&Value::Null, &Value::Null));
    printed.as_object_mut().unwrap().remove("vulnerabilities");
    assert_like(&printed, &detail);
    assert_eq!((&detail["status"], &detail["scan_type"]), (&json!("completed"), &json!("full")));
    assert_eq!(detail["vulnerabilities_found"], 2);
}

#[tokio::test]
async fn the_printed_request_asks_for_nothing_that_has_no_tool() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    create(&client).await;
    let detail = client.get("/api/v2/scans/1").await.expect(200);
    let coverage = detail["coverage"].as_array().unwrap();
    assert!(coverage.iter().all(|line| line["reason"] != "tool_unavailable"), "{coverage:?}");
    assert!(coverage.iter().any(|line| line["tool"] == "subdomains"), "{coverage:?}");
}

#[tokio::test]
async fn states_are_shown_in_four_words() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let life = Life::begin(&stack).await;
    create(&client).await;
    assert_eq!(client.get("/api/v2/scans/1").await.expect(200)["status"], "pending");
    life.start().await;
    assert_eq!(client.get("/api/v2/scans/1").await.expect(200)["status"], "running");
    let cancelled = client.delete("/api/v2/scans/1").await.expect(200);
    assert_eq!((&cancelled["status"], &cancelled["message"]), (&json!("failed"), &json!("the scan was cancelled")));
    assert_eq!(client.delete("/api/v2/scans/1").await.expect(409)["code"], "invalid_state");

    for (status, total) in [("pending", 0), ("running", 0), ("completed", 0), ("failed", 1)] {
        let list = client.get(&format!("/api/v2/scans?status={status}")).await.expect(200);
        assert_eq!(list["meta"]["total_items"], total, "{status}");
    }
    let refused = client.get("/api/v2/scans?status=cancelled").await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "status");
}

#[tokio::test]
async fn a_scan_of_either_dialect_is_shown_in_both() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    create(&client).await;
    client.post_text("/api/v1/scans/create", printed::V1_CREATE).await.expect(201);
    let first = client.get("/api/v1/scans?order=asc").await.expect(200)["data"][0].clone();
    assert_eq!(
        (&first["tool"], &first["scan_type"]),
        (&Value::Null, &json!("full")),
        "several tools (docs/contract.md §18)"
    );
    assert_eq!(client.get("/api/v2/scans/2").await.expect(200)["scan_type"], "custom");
}
