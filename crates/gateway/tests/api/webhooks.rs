//! `/webhooks`. Deliveries themselves are in `tests/contract/` and in the dispatcher's tests.

use serde_json::{Value, json};

use crate::harness::{Member, TestApp};

/// A public address, so that no name is asked of DNS; nothing is sent there.
const URL: &str = "https://93.184.215.14/hook";

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(|settings| {
        settings.pin_hosts.insert("inside.example.com".to_owned(), [10, 0, 0, 7].into());
        settings.pin_hosts.insert("outside.example.com".to_owned(), [93, 184, 215, 14].into());
    })
    .await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

#[tokio::test]
async fn the_secret_is_shown_once_and_stored_sealed() {
    let (app, member) = start().await;
    let created = app.post("/api/v1/webhooks", Some(&member.token), &json!({"url": URL})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let body = created.json();
    let secret = body["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "{secret}");
    let id = body["id"].as_str().unwrap();
    assert_eq!(created.header("location"), Some(format!("/api/v1/webhooks/{id}").as_str()));
    for path in ["/api/v1/webhooks".to_owned(), format!("/api/v1/webhooks/{id}")] {
        let shown = app.get(&path, Some(&member.token)).await;
        assert!(
            shown.status == 200 && !shown.text.contains("secret") && !shown.text.contains("whsec_"),
            "{}",
            shown.text
        );
    }
    let client = app.database.connect().await;
    let stored: Vec<u8> = client.query_one("SELECT secret FROM webhooks", &[]).await.unwrap().get(0);
    assert_eq!(stored.len(), 1 + 8 + 12 + 32 + 16, "version, key, nonce, secret, tag");
}

#[tokio::test]
async fn the_dialect_is_that_of_the_version_unless_it_is_named() {
    let (app, member) = start().await;
    let create = async |path: &str, body: Value| app.post(path, Some(&member.token), &body).await.json();
    assert_eq!(create("/api/v1/webhooks", json!({"url": URL})).await["dialect"], "v1");
    let v2 = create("/api/v2/webhooks", json!({"url": URL})).await;
    assert_eq!(v2["dialect"], "v2");
    assert_eq!(v2["events"], json!(["scan.started", "scan.completed", "scan.failed", "vulnerability.found"]));
    let other =
        create("/api/v1/webhooks", json!({"url": URL, "dialect": "v2", "events": ["vulnerability.found"]})).await;
    assert_eq!((&other["dialect"], &other["events"]), (&json!("v2"), &json!(["vulnerability.found"])));
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_without_a_word_of_our_network() {
    let (app, member) = start().await;
    let create = async |url: &str| app.post("/api/v1/webhooks", Some(&member.token), &json!({"url": url})).await;
    for url in [
        "",
        "example.com",
        "ftp://example.com/",
        "https://a:b@example.com/",
        "https://example.com/#x",
        "https://exa mple.com/",
    ] {
        create(url).await.assert_field("url", "invalid_url");
    }
    for url in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://0177.0.0.1/",
        "https://2130706433/",
        "https://[::ffff:10.0.0.1]/",
        "https://inside.example.com/",
        "https://93.184.215.14:22/",
    ] {
        create(url).await.assert_field("url", "refused_address");
    }
    create("http://93.184.215.14/").await.assert_field("url", "refused_url");
    assert_eq!(create("https://outside.example.com/hook").await.status, 201);
    assert_eq!(app.get("/api/v1/webhooks", Some(&member.token)).await.json()["pagination"]["total"], 1);
}

#[tokio::test]
async fn events_are_those_of_the_dialect() {
    let (app, member) = start().await;
    let create = async |events: Value| {
        app.post("/api/v1/webhooks", Some(&member.token), &json!({"url": URL, "events": events})).await
    };
    create(json!([])).await.assert_field("events", "empty");
    create(json!(["vulnerability.found"])).await.assert_field("events", "unknown_value");
    create(json!(["task.queued"])).await.assert_field("events", "unknown_value");
    create(json!([1])).await.assert_field("events[0]", "invalid_type");
    let twice = create(json!(["scan.failed", "scan.completed", "scan.failed"])).await.json();
    assert_eq!(twice["events"], json!(["scan.completed", "scan.failed"]));
    let body = json!({"url": URL, "dialect": "v3"});
    app.post("/api/v1/webhooks", Some(&member.token), &body).await.assert_field("dialect", "unknown_value");
}

#[tokio::test]
async fn a_deleted_webhook_is_gone() {
    let (app, member) = start().await;
    let token = Some(member.token.as_str());
    let id = app.post("/api/v1/webhooks", token, &json!({"url": URL})).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v2/webhooks/{id}");
    let none = app.get(&format!("{path}/deliveries"), token).await;
    assert_eq!(
        (none.status, none.json()),
        (200, json!({"data": [], "meta": {"current_page": 1, "total_pages": 0, "total_items": 0}}))
    );
    assert_eq!(app.delete(&path, token).await.status, 204);
    app.delete(&path, token).await.assert_problem(404, "not_found");
    app.get(&path, token).await.assert_problem(404, "not_found");
    app.get(&format!("{path}/deliveries"), token).await.assert_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/webhooks", token).await.json()["pagination"]["total"], 0);
    app.get("/api/v1/webhooks/scan_00000000000000000000000001", token).await.assert_field("id", "invalid_id");
}

#[tokio::test]
async fn nobody_sees_the_webhooks_of_another_organization() {
    let (app, ada) = start().await;
    let bob = app.member("bob@example.com").await;
    let id = app.post("/api/v1/webhooks", Some(&ada.token), &json!({"url": URL})).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/webhooks/{id}");
    app.get(&path, Some(&bob.token)).await.assert_problem(404, "not_found");
    app.delete(&path, Some(&bob.token)).await.assert_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/webhooks", Some(&bob.token)).await.json()["data"], json!([]));
    assert_eq!(app.get(&path, Some(&ada.token)).await.status, 200);
}
