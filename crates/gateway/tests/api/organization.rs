//! `/org`, and what an organization demands of requests: from where they come, and for which organization they run.

use jiff::SignedDuration;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, Member, TestApp};

async fn patch(app: &TestApp, token: &str, body: &Value) -> Answer {
    app.request("PATCH", "/api/v1/org", Some(token), |request| request.json(body)).await
}

/// A GET for another organization than the credentials'.
async fn get_as(app: &TestApp, token: &str, path: &str, organization: &str) -> Answer {
    app.request("GET", path, Some(token), |request| request.header("x-organization", organization)).await
}

/// A gateway that believes this machine's `X-Forwarded-For`.
async fn behind_a_proxy() -> TestApp {
    TestApp::spawn_with(|settings| settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await
}

async fn get_from(app: &TestApp, token: &str, address: &str) -> Answer {
    app.request("GET", "/api/v1/tools", Some(token), |request| request.header("x-forwarded-for", address)).await
}

#[tokio::test]
async fn a_member_sees_plan_limits_policy_and_days() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let organization = app.get("/api/v1/org", Some(&member.token)).await.json();
    assert_eq!(organization["id"], member.organization_id);
    assert_eq!((&organization["name"], &organization["plan"]), (&json!("Ada"), &json!("trial")));
    assert_eq!(organization["limits"]["rate_limits"]["v1"]["requests_per_minute"], 10);
    assert!(organization["trial_ends_at"].is_string());
    assert_eq!(organization["policy"], json!({"require_mfa": false, "allowed_ranges": [], "retention_days": null}));
    assert_eq!(organization["sla_days"], json!({"critical": 7, "high": 30, "medium": 90, "low": 180, "info": 365}));
    assert_eq!(organization["branding"], json!({"company_name": null, "logo_url": null}));
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_is_audited() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let body = json!({
        "name": " Engines ",
        "policy": {"retention_days": 30, "allowed_ranges": ["127.0.0.1", "10.1.2.3/8"]},
        "sla_days": {"critical": 1, "low": 60},
        "branding": {"company_name": "Engines Ltd", "logo_url": "https://example.com/logo.png"}
    });
    let changed = patch(&app, &member.token, &body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let back = json!({"policy": {"retention_days": null}, "sla_days": {"low": null}, "branding": {"logo_url": null}});
    let organization = patch(&app, &member.token, &back).await.json();
    assert_eq!(organization["name"], "Engines");
    assert_eq!(
        organization["policy"],
        json!({"require_mfa": false, "allowed_ranges": ["10.0.0.0/8", "127.0.0.1/32"], "retention_days": null})
    );
    assert_eq!(organization["sla_days"]["critical"], 1);
    assert_eq!(organization["sla_days"]["low"], 180);
    assert_eq!(organization["branding"], json!({"company_name": "Engines Ltd", "logo_url": null}));
    // What changes nothing is not in the log.
    assert_eq!(patch(&app, &member.token, &json!({})).await.status, 200);
    let client = app.database.connect().await;
    let sql = "SELECT entry::jsonb -> 'before' ->> 'name', entry::jsonb -> 'after' ->> 'name', actor FROM audit_log
               WHERE action = 'organization.updated' ORDER BY sequence";
    let rows = client.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    let first: (String, String, String) = (rows[0].get(0), rows[0].get(1), rows[0].get(2));
    assert_eq!(first, ("Ada".to_owned(), "Engines".to_owned(), member.user_id));
}

#[tokio::test]
async fn a_wrong_change_names_each_field_and_changes_nothing() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let before = app.get("/api/v1/org", Some(&member.token)).await.json();
    let body = json!({
        "name": " ",
        "policy": {"retention_days": 0, "allowed_ranges": ["nowhere"]},
        "sla_days": {"high": 0},
        "branding": {"company_name": "", "logo_url": "http://example.com/"}
    });
    let refused = patch(&app, &member.token, &body).await;
    for (field, code) in [
        ("name", "invalid_name"),
        ("policy.allowed_ranges[0]", "invalid_range"),
        ("policy.retention_days", "out_of_range"),
        ("sla_days.high", "out_of_range"),
        ("branding.company_name", "invalid_value"),
        ("branding.logo_url", "invalid_value"),
    ] {
        refused.assert_field(field, code);
    }
    let wrong = async |body: Value| patch(&app, &member.token, &body).await;
    wrong(json!({"policy": {"allowed_ranges": ["192.0.2.0/24"]}}))
        .await
        .assert_field("policy.allowed_ranges", "would_lock_you_out");
    for field in ["plan", "role", "trial_ends_at", "suspended_at", "id", "limits", "created_at"] {
        wrong(json!({field: "enterprise"})).await.assert_field(field, "unknown_field");
    }
    wrong(json!({"policy": {"retention_days": 100_000}})).await.assert_field("policy.retention_days", "out_of_range");
    wrong(json!({"policy": {"plan": 1}})).await.assert_field("policy.plan", "unknown_field");
    assert_eq!(app.get("/api/v1/org", Some(&member.token)).await.json(), before);
}

#[tokio::test]
async fn members_and_keys_call_from_allowed_addresses_alone_and_nobody_forges_one() {
    let app = behind_a_proxy().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let policy = json!({"policy": {"allowed_ranges": ["192.0.2.0/24", "127.0.0.1"]}});
    assert_eq!(patch(&app, &member.token, &policy).await.status, 200);
    for credential in [&member.token, &key] {
        assert_eq!(get_from(&app, credential, "192.0.2.9").await.status, 200);
        // The caller is remembered by now, and refused all the same.
        get_from(&app, credential, "198.51.100.1").await.assert_problem(403, "address_not_allowed");
        get_from(&app, credential, "192.0.2.9, 198.51.100.1").await.assert_problem(403, "address_not_allowed");
        assert_eq!(get_from(&app, credential, "198.51.100.1, 192.0.2.9").await.status, 200);
    }
    // Without a trusted proxy the header is the client's word.
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let body = json!({"name": "far", "scopes": ["tools:read"], "allowed_ranges": ["192.0.2.0/24"]});
    let far = app.post("/api/v1/api-keys", Some(&member.token), &body).await.json();
    let far = far["key"].as_str().unwrap();
    get_from(&app, far, "192.0.2.9").await.assert_problem(403, "address_not_allowed");
}

#[tokio::test]
async fn a_demand_for_a_second_factor_holds_at_the_next_request() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    assert_eq!(patch(&app, &member.token, &json!({"policy": {"require_mfa": true}})).await.status, 200);
    app.get("/api/v1/tools", Some(&member.token)).await.assert_problem(403, "mfa_required");
}

#[tokio::test]
async fn only_a_person_who_signed_in_lately_changes_the_policy() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |settings| {
        settings.access_token_minutes = 120;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["organization:read", "organization:write"]).await;
    let policies = [json!({"require_mfa": false}), json!({"allowed_ranges": []}), json!({})];
    for policy in &policies {
        patch(&app, &key, &json!({"policy": policy})).await.assert_problem(403, "person_required");
        assert_eq!(patch(&app, &member.token, &json!({"policy": policy})).await.status, 200);
    }
    assert_eq!(patch(&app, &key, &json!({"name": "Engines"})).await.status, 200);
    app.clock.advance(SignedDuration::from_mins(61));
    for policy in &policies {
        patch(&app, &member.token, &json!({"policy": policy})).await.assert_problem(403, "login_required");
    }
    assert_eq!(patch(&app, &member.token, &json!({"name": "Engines Ltd"})).await.status, 200);
    let fresh = app.sign_in("ada@example.com").await;
    assert_eq!(patch(&app, &fresh, &json!({"policy": {"require_mfa": false}})).await.status, 200);
}

/// Ada has an organization of her own and is a viewer of Bob's.
async fn two_organizations(app: &TestApp) -> (Member, Member) {
    let (ada, bob) = (app.member("ada@example.com").await, app.member("bob@example.com").await);
    app.join(&ada, &bob.organization_id, "viewer").await;
    (ada, bob)
}

#[tokio::test]
async fn another_organization_is_reached_by_its_members_with_the_role_that_they_have_there() {
    let app = TestApp::spawn().await;
    let (ada, bob) = two_organizations(&app).await;
    app.post("/api/v1/targets", Some(&bob.token), &json!({"target": "example.com"})).await;
    let there = get_as(&app, &ada.token, "/api/v1/targets", &bob.organization_id).await;
    assert_eq!(there.json()["pagination"]["total"], 1, "{}", there.text);
    let here = get_as(&app, &ada.token, "/api/v1/targets", &ada.organization_id).await;
    assert_eq!(here.json()["pagination"]["total"], 0);
    assert_eq!(app.get("/api/v1/targets", Some(&ada.token)).await.json()["pagination"]["total"], 0);
    // An owner at home is a viewer there.
    get_as(&app, &ada.token, "/api/v1/api-keys", &bob.organization_id).await.assert_problem(403, "forbidden");
    let me = get_as(&app, &ada.token, "/api/v1/auth/me", &bob.organization_id).await.json();
    assert_eq!((&me["role"], &me["organization"]["id"]), (&json!("viewer"), &json!(bob.organization_id)));
}

#[tokio::test]
async fn an_organization_that_one_is_no_member_of_cannot_be_told_from_one_that_is_not() {
    let app = TestApp::spawn().await;
    let (ada, bob) = two_organizations(&app).await;
    let blind = |answer: Answer| {
        let mut body = answer.assert_problem(403, "not_a_member");
        body["request_id"].take();
        body
    };
    let foreign = blind(get_as(&app, &bob.token, "/api/v1/targets", &ada.organization_id).await);
    for unknown in ["org_00000000000000000000000001", "org_x", "", "scan_00000000000000000000000001"] {
        assert_eq!(blind(get_as(&app, &bob.token, "/api/v1/targets", unknown).await), foreign, "{unknown}");
    }
    let twice = app
        .request("GET", "/api/v1/targets", Some(&ada.token), |request| {
            request.header("x-organization", &ada.organization_id).header("x-organization", &bob.organization_id)
        })
        .await;
    assert_eq!(blind(twice), foreign);
    // A key is of one organization, whoever made it.
    let key = app.api_key(&ada.token, &["targets:read"]).await;
    assert_eq!(get_as(&app, &key, "/api/v1/targets", &ada.organization_id).await.status, 200);
    assert_eq!(blind(get_as(&app, &key, "/api/v1/targets", &bob.organization_id).await), foreign);
    // Without credentials the header says nothing.
    let answer = app
        .request("GET", "/api/v1/targets", None, |request| request.header("x-organization", &ada.organization_id))
        .await;
    answer.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_membership_that_ended_opens_nothing_within_a_second() {
    let app = TestApp::spawn().await;
    let (ada, bob) = two_organizations(&app).await;
    let there = async || get_as(&app, &ada.token, "/api/v1/targets", &bob.organization_id).await;
    assert_eq!(there().await.status, 200);
    let path = format!("/api/v1/settings/team/{}", ada.user_id);
    assert_eq!(app.delete(&path, Some(&bob.token)).await.status, 204);
    there().await.assert_problem(403, "not_a_member");
    // At home nothing changed.
    assert_eq!(app.get("/api/v1/targets", Some(&ada.token)).await.status, 200);
}

#[tokio::test]
async fn the_demands_of_an_organization_hold_for_whoever_comes_from_another() {
    let app = behind_a_proxy().await;
    let (ada, bob) = two_organizations(&app).await;
    let policy = json!({"policy": {"allowed_ranges": ["127.0.0.1", "192.0.2.0/24"]}});
    assert_eq!(patch(&app, &bob.token, &policy).await.status, 200);
    let from = async |address: &str| {
        app.request("GET", "/api/v1/tools", Some(&ada.token), |request| {
            request.header("x-organization", &bob.organization_id).header("x-forwarded-for", address)
        })
        .await
    };
    assert_eq!(from("192.0.2.1").await.status, 200);
    from("198.51.100.1").await.assert_problem(403, "address_not_allowed");
    assert_eq!(get_from(&app, &ada.token, "198.51.100.1").await.status, 200, "her own organization demands nothing");
    assert_eq!(patch(&app, &bob.token, &json!({"policy": {"require_mfa": true}})).await.status, 200);
    from("192.0.2.1").await.assert_problem(403, "mfa_required");
    assert_eq!(app.get("/api/v1/tools", Some(&ada.token)).await.status, 200);
}
