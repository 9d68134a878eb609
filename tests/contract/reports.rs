//! Seed 2: reports; and their form in v1 (`docs/contract.md` §19).

use picket_blobs::BlobKey;
use picket_domain::{Document, OrganizationId, ReportId};
use picket_store::reports;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    client::Client,
    printed::{self, json as printed_json},
    stack::Stack,
};

const DOCUMENT: &[u8] = b"%PDF-1.7 a document";

/// A gateway where the host of the printed logo is this machine, on which no https listens.
async fn start() -> Stack {
    Stack::start_with(|settings| {
        settings.pin_hosts.insert("yoursite.com".to_owned(), [127, 0, 0, 1].into());
    })
    .await
}

async fn organization(client: &Client) -> OrganizationId {
    let me = client.get("/api/v1/auth/me").await.expect(200);
    me["organization"]["id"].as_str().expect("an id").parse().expect("an id")
}

/// Scans with the numbers 1 to `count`.
async fn scans(stack: &Stack, organization: OrganizationId, count: usize) {
    let now = stack.clock.now();
    for _ in 0..count {
        let scan = picket_testkit::seed::scan(organization, 1);
        let created =
            stack.db.run("test.fill", organization, async |tx| picket_store::scans::create(tx, &scan, now).await).await;
        created.expect("a scan");
    }
}

/// What the renderer does, without rendering.
async fn render(stack: &Stack, organization: OrganizationId, id: ReportId) {
    let now = stack.clock.now();
    let lease = std::time::Duration::from_secs(30);
    let claimed = stack.db.run("test.claim", organization, async |tx| reports::claim(tx, id, lease).await).await;
    let claimed = claimed.expect("a claim").expect("a report that waits");
    let key = BlobKey::report(organization, id, claimed.fence.attempt, claimed.request.format);
    stack.blobs.put(&key, bytes::Bytes::from_static(DOCUMENT)).await.expect("a document");
    let sha256 = Sha256::digest(DOCUMENT).iter().map(|byte| format!("{byte:02x}")).collect();
    let document = Document { size_bytes: u64::try_from(DOCUMENT.len()).expect("a size"), sha256 };
    stack
        .db
        .run("test.complete", organization, async |tx| {
            reports::complete(tx, claimed.fence, document.clone(), &[], now).await
        })
        .await
        .expect("a completion");
}

/// The only report of an organization, as v1 names it.
async fn only_report(client: &Client) -> ReportId {
    let list = client.get("/api/v1/reports").await.expect(200);
    assert_eq!(list["pagination"]["total"], 1);
    list["data"][0]["id"].as_str().expect("an id").parse().expect("an id")
}

#[tokio::test]
async fn the_printed_request_makes_a_report_that_can_be_downloaded() {
    let stack = start().await;
    let client = Client::register(&stack).await;
    let organization = organization(&client).await;
    scans(&stack, organization, 125).await;

    let accepted = client.post("/api/v2/reports", &printed_json(printed::V2_REPORT)).await.expect(202);
    assert_eq!(accepted, json!({"id": 1, "report_id": 1, "status": "queued", "format": "pdf"}));
    let early = client.get("/api/v2/reports/1/download").await;
    assert!(early.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(early.expect(409)["code"], "not_ready");

    render(&stack, organization, only_report(&client).await).await;
    let report = client.get("/api/v2/reports/1").await.expect(200);
    assert_eq!((&report["status"], &report["scan_ids"]), (&json!("done"), &json!([123, 124, 125])));
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains("logo"), "docs/contract.md §12: {report}");

    let file = client.get("/api/v2/reports/1/download").await;
    assert_eq!((file.status.as_u16(), file.header("content-type")), (200, "application/pdf"));
    assert!(file.header("content-disposition").starts_with("attachment; filename=\""));
    assert!(file.header("content-security-policy").contains("sandbox"));
    assert_eq!(file.bytes, DOCUMENT);
}

#[tokio::test]
async fn a_download_is_resumed_and_not_repeated() {
    let stack = start().await;
    let client = Client::register(&stack).await;
    let organization = organization(&client).await;
    scans(&stack, organization, 1).await;
    client.post("/api/v2/reports", &json!({"scan_ids": [1], "format": "json"})).await.expect(202);
    render(&stack, organization, only_report(&client).await).await;

    let path = "/api/v2/reports/1/download";
    let whole = client.get(path).await;
    let etag = whole.header("etag").to_owned();
    let with = async |name: &str, value: &str| client.send(client.request(Method::GET, path).header(name, value)).await;
    let part = with("range", "bytes=5-9").await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &DOCUMENT[5..10]));
    assert_eq!(part.header("content-range"), format!("bytes 5-9/{}", DOCUMENT.len()));
    assert_eq!(with("range", "bytes=-4").await.bytes, DOCUMENT[DOCUMENT.len() - 4..]);
    let behind = with("range", "bytes=1000-").await;
    assert_eq!(behind.header("content-range"), format!("bytes */{}", DOCUMENT.len()));
    assert_eq!(behind.expect(416)["code"], "range_not_satisfiable");
    let known = with("if-none-match", &etag).await;
    assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
    let zipped = with("accept-encoding", "gzip").await;
    assert_eq!(
        (zipped.bytes.as_slice(), zipped.header("content-length")),
        (DOCUMENT, DOCUMENT.len().to_string().as_str())
    );
    let other = client.request(Method::GET, path).header("range", "bytes=0-1").header("if-range", "\"other\"");
    assert_eq!(client.send(other).await.bytes, DOCUMENT, "a part of another version is of no use");
    let head = client.send(client.request(Method::HEAD, path)).await;
    assert_eq!((head.status.as_u16(), head.bytes.len(), head.header("etag")), (200, 0, etag.as_str()));
}

#[tokio::test]
async fn v1_asks_for_a_report_by_ids() {
    let stack = start().await;
    let client = Client::register(&stack).await;
    let organization = organization(&client).await;
    let scan = client.post_text("/api/v1/scans/create", printed::V1_CREATE).await.expect(201);
    let body = json!({"scan_ids": [scan["id"]], "format": "html"});
    let accepted = client.post("/api/v1/reports/generate", &body).await.expect(202);
    assert_eq!((&accepted["status"], &accepted["format"]), (&json!("queued"), &json!("html")));
    assert_eq!(accepted["id"], accepted["report_id"]);
    let id = accepted["id"].as_str().unwrap();
    assert!(id.starts_with("rep_"));

    render(&stack, organization, id.parse().unwrap()).await;
    let report = client.get(&format!("/api/v1/reports/{id}")).await.expect(200);
    assert_eq!((&report["status"], &report["size_bytes"]), (&json!("done"), &json!(DOCUMENT.len())));
    let file = client.get(&format!("/api/v1/reports/{id}/download")).await;
    assert_eq!((file.header("content-type"), file.bytes.as_slice()), ("text/html; charset=utf-8", DOCUMENT));
    assert_eq!(client.get("/api/v2/reports/1").await.expect(200)["status"], "done", "the same report in v2");
}

#[tokio::test]
async fn scans_of_others_make_no_report() {
    let stack = start().await;
    let (owner, stranger) = (Client::register(&stack).await, Client::register(&stack).await);
    let scan = owner.post_text("/api/v1/scans/create", printed::V1_CREATE).await.expect(201);
    let body = json!({"scan_ids": [scan["id"]]});
    assert_eq!(stranger.post("/api/v1/reports/generate", &body).await.expect(404)["code"], "not_found");
    assert_eq!(stranger.post("/api/v2/reports", &json!({"scan_ids": [1]})).await.expect(404)["code"], "not_found");
    assert_eq!(stranger.get("/api/v1/reports").await.expect(200)["pagination"]["total"], 0);
}
