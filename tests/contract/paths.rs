//! Where the two references are found: both prefixes (`docs/contract.md` §1), and the hosts where v1's prefix means
//! v2 (§2).

use serde_json::json;

use crate::{
    client::Client,
    printed::{self, assert_like, json as printed_json},
    stack::Stack,
};

#[tokio::test]
async fn both_prefixes_reach_the_same_routes() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    client.post_text("/v1/scans/create", printed::V1_CREATE).await.expect(201);
    client.post("/v2/scans", &printed_json(printed::V2_CREATE)).await.expect(201);
    for path in ["/v1/scans", "/api/v1/scans"] {
        assert_eq!(client.get(path).await.expect(200)["pagination"]["total"], 2, "{path}");
    }
    for path in ["/v2/scans", "/api/v2/scans"] {
        assert_eq!(client.get(path).await.expect(200)["meta"]["total_items"], 2, "{path}");
    }
}

#[tokio::test]
async fn on_a_v2_host_a_client_of_seed_2_works_with_its_own_paths() {
    let stack = Stack::start_with(|settings| settings.v2_hosts = vec!["vms.example.com".to_owned()]).await;
    let client = Client::register(&stack).await;
    let vms = client.with_host("vms.example.com");
    let created = vms.post("/api/v1/scans", &printed_json(printed::V2_CREATE)).await.expect(201);
    assert_like(&printed_json(printed::V2_CREATED), &created);
    assert_eq!(vms.get("/api/v1/scans").await.expect(200)["meta"]["total_items"], 1);
    assert_eq!(vms.get("/api/v1/scans/1").await.expect(200)["id"], 1);
    let report = json!({"scan_ids": [1], "format": "json"});
    vms.post("/api/v1/reports", &report).await.expect(202);
    // Shared resources come after, and other hosts are as before.
    assert_eq!(vms.get("/api/v1/tools").await.status, 200);
    assert_eq!(vms.get("/api/v1/webhooks").await.expect(200)["meta"]["total_items"], 0);
    assert!(client.get("/api/v1/scans").await.expect(200)["pagination"].is_object());
}
