//! Seed 1: scans.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    client::Client,
    life::{Life, observations},
    printed::{self, assert_like, json as printed_json},
    stack::Stack,
};

/// Asks for the printed scan.
async fn create(client: &Client) -> Value {
    client.post_text("/api/v1/scans/create", printed::V1_CREATE).await.expect(201)
}

fn id(created: &Value) -> &str {
    created["id"].as_str().expect("an id")
}

/// The shape that the contract gives to ids.
fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|text| text.strip_prefix('_'));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()))
}

#[tokio::test]
async fn the_printed_request_creates_a_scan_as_printed() {
    let stack = Stack::start().await;
    let created = create(&Client::register(&stack).await).await;
    assert_like(&printed_json(printed::V1_CREATED), &created);
    assert!(is_id(id(&created), "scan"), "{created}");
    assert_eq!(
        (&created["status"], &created["target"], &created["tool"]),
        (&json!("created"), &json!("example.com"), &json!("nmap"))
    );
}

#[tokio::test]
async fn the_result_has_the_printed_fields_and_numbers() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let created = create(&client).await;
    let life = Life::begin(&stack).await;
    life.run(&observations([1, 3, 5, 2, 1]), SignedDuration::from_millis(124_500)).await;

    let result = client.get(&format!("/api/v1/scan/{}/result", id(&created))).await.expect(200);
    let printed = printed_json(printed::V1_RESULT);
    assert_eq!(result["findings"], printed["findings"]);
    assert_eq!((&result["status"], &result["duration_ms"]), (&printed["status"], &printed["duration_ms"]));
    assert_eq!(result["scan_id"], created["id"]);
    let worst = &result["vulnerabilities"][0];
    for field in ["title", "cve", "cvss", "severity", "evidence", "remediation"] {
        assert_eq!(worst[field], printed["vulnerabilities"][0][field], "{field}");
    }
    assert!(is_id(worst["id"].as_str().unwrap(), "vuln"));
    // All others have the fields too; `cve` and `cvss` may be null (docs/contract.md §18).
    let listed = result["vulnerabilities"].as_array().unwrap();
    assert_eq!(listed.len(), 12);
    for one in listed {
        assert!(one.get("cve").is_some() && one.get("cvss").is_some(), "{one}");
        for field in ["id", "title", "severity", "evidence", "remediation"] {
            assert!(one[field].is_string(), "{one}");
        }
    }
}

#[tokio::test]
async fn the_flag_that_needs_raw_sockets_is_a_task_of_its_own_and_a_named_gap() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let created = create(&client).await;
    assert_eq!(created["tasks"], 2);
    Life::begin(&stack).await.run(&[], SignedDuration::from_secs(1)).await;

    let status = client.get(&format!("/api/v1/scan/{}/status", id(&created))).await.expect(200);
    assert_eq!((&status["status"], &status["progress"]), (&json!("completed"), &json!(100)));
    let coverage = status["coverage"].as_array().unwrap();
    let line = |state: &str| coverage.iter().find(|line| line["state"] == state).unwrap_or_else(|| panic!("{status}"));
    assert_eq!(line("done")["reason"], Value::Null);
    assert_eq!(line("skipped")["reason"], "capability_unavailable");
}

#[tokio::test]
async fn the_status_follows_the_scan() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let created = create(&client).await;
    let path = format!("/api/v1/scan/{}/status", id(&created));
    let status = client.get(&path).await.expect(200);
    assert_eq!(
        (&status["status"], &status["progress"], &status["findings"]["total"]),
        (&json!("created"), &json!(0), &json!(0))
    );

    Life::begin(&stack).await.start().await;
    let status = client.get(&path).await.expect(200);
    assert_eq!((&status["status"], &status["progress"]), (&json!("running"), &json!(50)));
    let result = client.get(&format!("/api/v1/scan/{}/result", id(&created))).await.expect(200);
    assert_eq!((&result["status"], &result["duration_ms"]), (&json!("running"), &Value::Null));

    let stopped = client.post(&format!("/api/v1/scan/{}/stop", id(&created)), &json!({})).await.expect(200);
    assert_eq!(stopped["status"], "cancelled");
    let again = client.post(&format!("/api/v1/scan/{}/stop", id(&created)), &json!({})).await.expect(409);
    assert_eq!(again["code"], "invalid_state");
}

#[tokio::test]
async fn the_list_has_the_printed_pagination() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    for _ in 0..3 {
        create(&client).await;
    }
    let list = client.get("/api/v1/scans?page=1&per_page=25&sort=created_at&order=desc").await.expect(200);
    assert_like(&printed_json(printed::V1_PAGINATION), &list["pagination"]);
    assert_eq!(list["pagination"], json!({"page": 1, "per_page": 25, "total": 3, "total_pages": 1}));
    let times: Vec<_> = list["data"].as_array().unwrap().iter().map(|scan| scan["created_at"].to_string()).collect();
    assert!(times.len() == 3 && times.is_sorted_by(|a, b| a >= b), "{times:?}");

    let second = client.get("/api/v1/scans?page=2&per_page=2&sort=target&order=asc").await.expect(200);
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    assert_eq!(second["pagination"], json!({"page": 2, "per_page": 2, "total": 3, "total_pages": 2}));
}

#[tokio::test]
async fn the_printed_page_numbers_come_out_of_the_printed_total() {
    // 142 scans at 25 a page are 6 pages; the database is filled directly, since the page is what is looked at.
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let me = client.get("/api/v1/auth/me").await.expect(200);
    let organization = me["organization"]["id"].as_str().unwrap_or_else(|| panic!("{me}")).parse().unwrap();
    let now = stack.clock.now();
    for _ in 0..142 {
        let scan = picket_testkit::seed::scan(organization, 1);
        let created =
            stack.db.run("test.fill", organization, async |tx| picket_store::scans::create(tx, &scan, now).await);
        created.await.expect("a scan");
    }
    let list = client.get("/api/v1/scans?page=1&per_page=25&sort=created_at&order=desc").await.expect(200);
    assert_eq!(list["pagination"], printed_json(printed::V1_PAGINATION));
    assert_eq!(list["data"].as_array().unwrap().len(), 25);
}
