//! Nothing of one organization is seen by another: not in a list, not by an id inside a body, not by one below another.

use serde_json::json;

use crate::{
    authorization::{Fixture, lists},
    harness::Answer,
};

fn blind(answer: &Answer) -> serde_json::Value {
    let mut body = answer.assert_problem(404, "not_found");
    body["request_id"].take();
    body
}

#[tokio::test]
async fn no_list_shows_a_row_of_another_organization() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    let stranger = app.member("stranger@example.com").await;
    let mut seen = 0;
    for path in lists() {
        let own = app.get(&path, Some(&fixture.owner.token)).await;
        let foreign = app.get(&path, Some(&stranger.token)).await;
        assert_eq!((own.status, foreign.status), (200, 200), "{path}: {}", foreign.text);
        for id in fixture.ids() {
            seen += usize::from(own.text.contains(id));
            assert!(!foreign.text.contains(id), "{path} shows {id}");
        }
    }
    assert!(seen >= 10, "the lists show the fixture's ids to its owner");
}

#[tokio::test]
async fn a_foreign_id_in_a_body_is_as_unknown_as_a_random_one() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    let stranger = app.member("stranger@example.com").await;
    let token = Some(stranger.token.as_str());
    let mine = app.post("/api/v1/scans/create", token, &json!({"target": "example.com", "tool": "nmap"})).await.json();
    let theirs = fixture.ids().into_iter().find(|id| id.starts_with("scan_")).unwrap();
    let order = async |ids: [&str; 2]| app.post("/api/v1/reports/generate", token, &json!({"scan_ids": ids})).await;
    let foreign = order([mine["id"].as_str().unwrap(), theirs]).await;
    let random = order([mine["id"].as_str().unwrap(), "scan_00000000000000000000000001"]).await;
    assert_eq!(blind(&foreign), blind(&random));
    // Numbers are each organization's own: the stranger's first scan is 1, and there is no second one.
    let foreign = app.post("/api/v2/reports", token, &json!({"scan_ids": [1, 2]})).await;
    blind(&foreign);
    let sql = "SELECT count(*) FROM reports WHERE requested_by = $1";
    let kept: i64 = app.database.connect().await.query_one(sql, &[&stranger.user_id]).await.unwrap().get(0);
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn what_is_done_to_an_organization_is_in_its_own_log_alone() {
    let app = Fixture::app().await;
    let fixture = Fixture::new(&app).await;
    app.member("stranger@example.com").await;
    let organization: picket_domain::OrganizationId = fixture.owner.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    let sql = "SELECT DISTINCT action FROM audit_log WHERE organization_id = $1 ORDER BY 1";
    let actions: Vec<String> =
        client.query(sql, &[&organization.uuid()]).await.unwrap().iter().map(|row| row.get(0)).collect();
    for action in ["api_key.created", "invitation.created", "report.requested", "scan.created", "webhook.created"] {
        assert!(actions.iter().any(|known| known == action), "{action} is missing in {actions:?}");
    }
    let sql = "SELECT count(*) FROM audit_log WHERE organization_id <> $1 AND action = 'scan.created'";
    assert_eq!(client.query_one(sql, &[&organization.uuid()]).await.unwrap().get::<_, i64>(0), 0);
    // A change whose log row cannot be written does not happen.
    let targets = async || -> i64 { client.query_one("SELECT count(*) FROM targets", &[]).await.unwrap().get(0) };
    let before = targets().await;
    client.batch_execute("ALTER TABLE audit_log ADD CONSTRAINT nothing_fits CHECK (false) NOT VALID").await.unwrap();
    let refused = app.post("/api/v1/targets", Some(&fixture.owner.token), &json!({"target": "example.com"})).await;
    refused.assert_problem(500, "internal");
    assert_eq!(targets().await, before);
}
