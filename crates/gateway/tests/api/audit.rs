//! `/audit-logs`. What happens to a log that is tampered with in every way is tested beside the store.

use picket_domain::OrganizationId;
use serde_json::{Value, json};

use crate::harness::{Member, TestApp};

/// A gateway, an owner, and so many more rows than registering and signing in left.
async fn start(more: usize) -> (TestApp, Member) {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let organization: OrganizationId = member.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    for number in 0..more {
        let entry = json!({
            "at": "2026-01-15T14:30:00Z", "actor": "operator", "action": "scan.created",
            "object": format!("scan_{number}"), "after": {"number": number},
        });
        let sql = "SELECT picket_audit($1, '2026-01-15T14:30:00Z', $2)";
        client.query_one(sql, &[&organization.uuid(), &entry.to_string()]).await.unwrap();
    }
    (app, member)
}

fn sequences(page: &Value) -> Vec<i64> {
    page["data"].as_array().unwrap().iter().map(|row| row["sequence"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn what_was_done_is_told_newest_first_and_without_secrets() {
    let (app, ada) = start(0).await;
    let page = app.get("/api/v1/audit-logs", Some(&ada.token)).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let body = page.json();
    assert_eq!(sequences(&body), [2, 1]);
    assert_eq!(body["next_cursor"], Value::Null);
    let (login, registration) = (&body["data"][0], &body["data"][1]);
    assert_eq!((&login["action"], &registration["action"]), (&json!("session.opened"), &json!("organization.created")));
    assert_eq!(registration["actor"], ada.user_id.as_str());
    assert_eq!(registration["object"], ada.organization_id.as_str());
    assert_eq!(registration["address"], "127.0.0.1");
    assert!(registration["request_id"].is_string() && registration["hash"].as_str().unwrap().len() == 64);
    assert!(!page.text.contains(&ada.token) && !page.text.contains("correct horse") && !page.text.contains("argon2"));
    assert_eq!(app.get("/api/v2/audit-logs", Some(&ada.token)).await.json(), body, "both versions say the same");
}

#[tokio::test]
async fn pages_hold_still_while_rows_are_added() {
    let (app, ada) = start(9).await;
    let first = app.get("/api/v1/audit-logs?limit=4", Some(&ada.token)).await.json();
    assert_eq!(sequences(&first), [11, 10, 9, 8]);
    app.sign_in("ada@example.com").await;
    let next = |page: &Value| format!("/api/v1/audit-logs?limit=4&cursor={}", page["next_cursor"].as_str().unwrap());
    let second = app.get(&next(&first), Some(&ada.token)).await.json();
    assert_eq!(sequences(&second), [7, 6, 5, 4]);
    let third = app.get(&next(&second), Some(&ada.token)).await.json();
    assert_eq!((sequences(&third), &third["next_cursor"]), (vec![3, 2, 1], &Value::Null));
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let (app, ada) = start(3).await;
    let list = async |query: &str| {
        let page = app.get(&format!("/api/v1/audit-logs?{query}"), Some(&ada.token)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        sequences(&page.json())
    };
    assert_eq!(list("actor=operator").await, [5, 4, 3]);
    assert_eq!(list(&format!("actor={}", ada.user_id)).await, [2, 1]);
    assert_eq!(list("action=scan.created&object=scan_1").await, [4]);
    assert_eq!(list("address=127.0.0.1&limit=1").await, [2]);
    assert_eq!(list("to=2026-01-15T14:30:01Z").await, [5, 4, 3]);
    assert_eq!(list("from=2026-01-15T14:30:01Z").await, [2, 1]);
    assert_eq!(list("from=2027-01-15T14:30:01%2B01:00&to=2027-02-01T00:00:00Z").await, [0_i64; 0]);
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let (app, ada) = start(0).await;
    for (query, field, code) in [
        ("limit=0", "limit", "out_of_range"),
        ("limit=101", "limit", "out_of_range"),
        ("limit=x", "limit", "invalid_value"),
        ("page=1", "page", "unknown_field"),
        ("cursor=AAAA", "cursor", "invalid_value"),
        ("actor=a%20b", "actor", "invalid_value"),
        ("actor=x&actor=y", "actor", "duplicate_field"),
        ("action=nothing", "action", "invalid_value"),
        ("object=%00", "object", "invalid_value"),
        ("address=localhost", "address", "invalid_value"),
        ("from=yesterday", "from", "invalid_value"),
        ("from=2026-01-16T00:00:00Z&to=2026-01-15T00:00:00Z", "to", "out_of_range"),
    ] {
        let answer = app.get(&format!("/api/v1/audit-logs?{query}"), Some(&ada.token)).await;
        answer.assert_field(field, code);
    }
    for (query, field) in [("from=0", "from"), ("to=0", "to"), ("from=5&to=4", "to"), ("from=-1", "from")] {
        let answer = app.get(&format!("/api/v1/audit-logs/verify?{query}"), Some(&ada.token)).await;
        answer.assert_field(field, "out_of_range");
    }
}

#[tokio::test]
async fn a_log_is_whole_until_somebody_changes_it() {
    let (app, ada) = start(8).await;
    let check = async |query: &str| {
        let answer = app.get(&format!("/api/v1/audit-logs/verify{query}"), Some(&ada.token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let whole = check("").await;
    assert_eq!((&whole["whole"], &whole["checked"], &whole["next"]), (&json!(true), &json!(10), &Value::Null));
    assert_eq!((&whole["head"]["sequence"], &whole["first_broken"]), (&json!(10), &Value::Null));
    let newest = app.get("/api/v1/audit-logs?limit=1", Some(&ada.token)).await.json();
    assert_eq!(whole["head"]["hash"], newest["data"][0]["hash"]);

    let client = app.database.connect().await;
    let sql = "SET session_replication_role = replica; DELETE FROM audit_log WHERE sequence = 6";
    client.batch_execute(sql).await.unwrap();
    let broken = check("").await;
    assert_eq!((&broken["whole"], &broken["checked"]), (&json!(false), &json!(5)));
    assert_eq!(broken["first_broken"], json!({"sequence": 6, "why": "missing"}));
    assert_eq!(check("?to=5").await["whole"], true);
    assert_eq!(check("?from=8").await["whole"], true);
}

#[tokio::test]
async fn nobody_sees_the_log_of_another_organization() {
    let (app, ada) = start(5).await;
    let bob = app.member("bob@example.com").await;
    let rows = app.get("/api/v1/audit-logs", Some(&bob.token)).await.json();
    assert_eq!(sequences(&rows), [2, 1], "Bob's own");
    for theirs in [format!("object={}", ada.organization_id), format!("actor={}", ada.user_id)] {
        let found = app.get(&format!("/api/v1/audit-logs?{theirs}"), Some(&bob.token)).await.json();
        assert_eq!(sequences(&found), [0_i64; 0]);
    }
    assert_eq!(app.get("/api/v1/audit-logs/verify", Some(&bob.token)).await.json()["head"]["sequence"], 2);
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen() {
    let (app, _) = start(0).await;
    let client = app.database.connect().await;
    client.batch_execute("REVOKE INSERT ON audit_log FROM picket_tenant, picket_operator").await.unwrap();
    let body = json!({"email": "bob@example.com", "password": "correct horse battery staple", "name": "Bob"});
    let refused = app.post("/api/v1/auth/register", None, &body).await;
    assert!(refused.status >= 500 && !refused.text.contains("audit"), "{}", refused.text);
    let count = async |table: &str| -> i64 {
        client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
    };
    assert_eq!((count("users").await, count("organizations").await, count("sessions").await), (1, 1, 1));
    let login = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    assert!(app.post("/api/v1/auth/login", None, &login).await.status >= 500);
    assert_eq!((count("sessions").await, count("audit_log").await), (1, 2));
}
