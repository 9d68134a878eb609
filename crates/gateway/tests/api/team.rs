//! `/settings/team`: members, their roles, and that one owner stays.

use futures_util::future::join_all;
use jiff::SignedDuration;
use picket_domain::{Permission, Role};
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, Member, PASSWORD, TestApp};

/// A member of this organization, signed in there; the address is proven, as of everybody who joined.
pub(crate) async fn colleague(app: &TestApp, email: &str, organization: &str, role: &str) -> Member {
    let person = app.member(email).await;
    app.verify(email).await;
    app.join(&person, organization, role).await;
    // The oldest membership is the one that is signed in to.
    let user: picket_domain::UserId = person.user_id.parse().unwrap();
    let own: picket_domain::OrganizationId = person.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    let sql = "DELETE FROM memberships WHERE user_id = $1 AND organization_id = $2";
    client.execute(sql, &[&user.uuid(), &own.uuid()]).await.unwrap();
    Member { token: app.sign_in(email).await, organization_id: organization.to_owned(), ..person }
}

async fn set_role(app: &TestApp, token: &str, member: &Member, role: &str) -> Answer {
    let path = format!("/api/v1/settings/team/{}/role", member.user_id);
    app.request("PUT", &path, Some(token), |request| request.json(&json!({"role": role}))).await
}

async fn remove(app: &TestApp, token: &str, member: &Member) -> Answer {
    app.delete(&format!("/api/v1/settings/team/{}", member.user_id), Some(token)).await
}

async fn team(app: &TestApp, token: &str) -> Vec<Value> {
    app.get("/api/v1/settings/team", Some(token)).await.json()["data"].as_array().unwrap().clone()
}

async fn count(app: &TestApp, sql: &str) -> i64 {
    app.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn members_see_who_is_there() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    let viewer = colleague(&app, "viewer@example.com", &owner.organization_id, "viewer").await;
    let listed = team(&app, &viewer.token).await;
    assert_eq!(listed.len(), 2);
    let seen = &listed[1];
    assert_eq!((&seen["id"], &seen["role"]), (&json!(viewer.user_id), &json!("viewer")));
    assert_eq!((&seen["email"], &seen["mfa_enabled"]), (&json!("viewer@example.com"), &json!(false)));
    assert!(seen["joined_at"].is_string() && seen.get("password_hash").is_none());
    let other = app.member("other@example.com").await;
    assert_eq!(team(&app, &other.token).await.len(), 1);
}

#[tokio::test]
async fn a_role_changes_at_the_next_request_and_is_audited() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    let admin = colleague(&app, "admin@example.com", &owner.organization_id, "admin").await;
    assert_eq!(app.get("/api/v1/api-keys", Some(&admin.token)).await.status, 200);
    let changed = set_role(&app, &owner.token, &admin, "viewer").await;
    assert_eq!((changed.status, &changed.json()["role"]), (200, &json!("viewer")), "{}", changed.text);
    app.get("/api/v1/api-keys", Some(&admin.token)).await.assert_problem(403, "forbidden");
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'member.role_changed'";
    assert_eq!(count(&app, audited).await, 1);
    assert_eq!(set_role(&app, &owner.token, &admin, "viewer").await.status, 200);
    assert_eq!(count(&app, audited).await, 1, "what changes nothing is not in the log");
}

#[tokio::test]
async fn nobody_gives_or_touches_a_role_above_their_own() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    let of = async |email: &str, role: &str| colleague(&app, email, &owner.organization_id, role).await;
    let (admin, analyst) = (of("admin@example.com", "admin").await, of("analyst@example.com", "analyst").await);
    set_role(&app, &admin.token, &analyst, "owner").await.assert_problem(403, "forbidden");
    set_role(&app, &admin.token, &admin, "owner").await.assert_problem(403, "forbidden");
    set_role(&app, &admin.token, &owner, "viewer").await.assert_problem(403, "forbidden");
    remove(&app, &admin.token, &owner).await.assert_problem(403, "forbidden");
    set_role(&app, &analyst.token, &analyst, "viewer").await.assert_problem(403, "forbidden");
    remove(&app, &analyst.token, &admin).await.assert_problem(403, "forbidden");
    // A key with all that its maker may do has its maker's rank.
    let key = app.api_key(&admin.token, &every_permission()).await;
    set_role(&app, &key, &analyst, "owner").await.assert_problem(403, "forbidden");
    assert_eq!(set_role(&app, &key, &analyst, "admin").await.status, 200);
    assert_eq!(set_role(&app, &owner.token, &analyst, "owner").await.status, 200);
    let wrong = set_role(&app, &owner.token, &analyst, "root").await;
    wrong.assert_field("role", "unknown_value");
}

fn every_permission() -> Vec<&'static str> {
    Permission::ALL.iter().map(|permission| permission.name()).collect()
}

#[tokio::test]
async fn a_key_has_no_higher_rank_than_the_role_whose_permissions_it_has() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    app.verify("owner@example.com").await;
    let viewer = colleague(&app, "viewer@example.com", &owner.organization_id, "viewer").await;
    let analyst = colleague(&app, "analyst@example.com", &owner.organization_id, "analyst").await;
    let invite = async |key: &str, role: &str| {
        let body = json!({"email": "new@example.com", "role": role});
        app.post("/api/v1/settings/team/invite", Some(key), &body).await.status
    };
    let bare = app.api_key(&owner.token, &["team:write"]).await;
    for role in ["viewer", "analyst", "admin", "owner"] {
        set_role(&app, &bare, &viewer, role).await.assert_problem(403, "forbidden");
        assert_eq!(invite(&bare, role).await, 403, "{role}");
    }
    remove(&app, &bare, &viewer).await.assert_problem(403, "forbidden");
    // All that a viewer has, and the right to change the team: no more than a viewer's rank.
    let fits = |one: &&Permission| Role::Viewer.allows(**one) || **one == Permission::TeamWrite;
    let scopes: Vec<&str> = Permission::ALL.iter().filter(fits).map(|one| one.name()).collect();
    let small = app.api_key(&owner.token, &scopes).await;
    set_role(&app, &small, &viewer, "analyst").await.assert_problem(403, "forbidden");
    set_role(&app, &small, &analyst, "viewer").await.assert_problem(403, "forbidden");
    assert_eq!((invite(&small, "analyst").await, invite(&small, "viewer").await), (403, 201));
    assert_eq!(remove(&app, &small, &viewer).await.status, 204);
    let whole = app.api_key(&owner.token, &every_permission()).await;
    assert_eq!(set_role(&app, &whole, &analyst, "owner").await.status, 200);
}

#[tokio::test]
async fn members_who_are_removed_while_they_use_their_sessions_wait_for_nobody_in_a_circle() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |settings| {
        settings.access_token_minutes = 120;
        settings.rate_limits = false;
    })
    .await;
    let owner = app.member("owner@example.com").await;
    let member = colleague(&app, "viewer@example.com", &owner.organization_id, "viewer").await;
    let credentials = json!({"email": "viewer@example.com", "password": PASSWORD});
    for _ in 0..4 {
        let mut sessions = Vec::new();
        for _ in 0..8 {
            sessions.push(app.post("/api/v1/auth/login", None, &credentials).await.json());
        }
        // Long enough ago for their use to be noted.
        app.clock.advance(SignedDuration::from_mins(2));
        let refresh = async |session: &Value| {
            let body = json!({"refresh_token": session["refresh_token"]});
            app.post("/api/v1/auth/refresh", None, &body).await.status
        };
        let refreshed = join_all(sessions.iter().map(refresh));
        let (removed, refreshed) = tokio::join!(remove(&app, &owner.token, &member), refreshed);
        assert_eq!(removed.status, 204, "{}", removed.text);
        assert!(refreshed.iter().all(|status| [200, 401].contains(status)), "{refreshed:?}");
        app.join(&member, &owner.organization_id, "viewer").await;
    }
}

#[tokio::test]
async fn somebody_who_is_removed_loses_sessions_and_keys_at_once() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    let admin = colleague(&app, "admin@example.com", &owner.organization_id, "admin").await;
    let key = app.api_key(&admin.token, &["tools:read"]).await;
    let owners = app.api_key(&owner.token, &["tools:read"]).await;
    for credential in [&admin.token, &key] {
        assert_eq!(app.get("/api/v1/tools", Some(credential)).await.status, 200);
    }
    assert_eq!(remove(&app, &owner.token, &admin).await.status, 204);
    for credential in [&admin.token, &key] {
        app.get("/api/v1/tools", Some(credential)).await.assert_problem(401, "unauthenticated");
    }
    assert_eq!(app.get("/api/v1/tools", Some(&owners)).await.status, 200);
    remove(&app, &owner.token, &admin).await.assert_problem(404, "not_found");
    // Back again: what was revoked stays so.
    app.join(&admin, &owner.organization_id, "admin").await;
    app.get("/api/v1/tools", Some(&key)).await.assert_problem(401, "unauthenticated");
    app.get("/api/v1/tools", Some(&admin.token)).await.assert_problem(401, "unauthenticated");
    let revoked = "SELECT count(*) FROM sessions WHERE revoked_reason = 'member_removed'";
    assert!(count(&app, revoked).await >= 1);
    assert_eq!(count(&app, "SELECT count(*) FROM audit_log WHERE action = 'member.removed'").await, 1);
}

#[tokio::test]
async fn anybody_may_leave_but_the_last_owner() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    let viewer = colleague(&app, "viewer@example.com", &owner.organization_id, "viewer").await;
    assert_eq!(remove(&app, &viewer.token, &viewer).await.status, 204);
    app.get("/api/v1/tools", Some(&viewer.token)).await.assert_problem(401, "unauthenticated");
    remove(&app, &owner.token, &owner).await.assert_problem(409, "last_owner");
    set_role(&app, &owner.token, &owner, "admin").await.assert_problem(409, "last_owner");
    // An owner who is disabled is none that could stay.
    let second = colleague(&app, "second@example.com", &owner.organization_id, "owner").await;
    let client = app.database.connect().await;
    client.execute("UPDATE users SET disabled_at = now() WHERE email = 'second@example.com'", &[]).await.unwrap();
    remove(&app, &owner.token, &owner).await.assert_problem(409, "last_owner");
    client.execute("UPDATE users SET disabled_at = NULL WHERE email = 'second@example.com'", &[]).await.unwrap();
    assert_eq!(set_role(&app, &owner.token, &owner, "admin").await.status, 200);
    remove(&app, &owner.token, &second).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn twenty_removals_and_demotions_at_once_leave_one_owner() {
    let app = TestApp::spawn().await;
    let first = app.member("owner0@example.com").await;
    let mut owners = vec![first.clone()];
    for number in 1..10 {
        let email = format!("owner{number}@example.com");
        owners.push(colleague(&app, &email, &first.organization_id, "owner").await);
    }
    let owners_left = "SELECT count(*) FROM memberships WHERE role = 'owner'";
    // All of them give their role up, twice each; all but one can.
    let twice = || owners.iter().chain(&owners);
    let answers = join_all(twice().map(async |owner| set_role(&app, &owner.token, owner, "viewer").await)).await;
    assert!(answers.iter().all(|answer| [200, 403, 409].contains(&answer.status)));
    assert!(answers.iter().any(|answer| answer.status == 409));
    assert_eq!(count(&app, owners_left).await, 1);

    // Owners again, all of them leave.
    app.database.connect().await.execute("UPDATE memberships SET role = 'owner'", &[]).await.unwrap();
    let answers = join_all(twice().map(async |owner| remove(&app, &owner.token, owner).await)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 204).count(), 9);
    assert!(answers.iter().all(|answer| [204, 401, 403, 404, 409].contains(&answer.status)));
    assert_eq!(count(&app, owners_left).await, 1);

    // And each of two removes the other.
    let last = owners.iter().find(|owner| answers_of(&owners, &answers, owner).all(|status| status == 409)).unwrap();
    let other = colleague(&app, "other@example.com", &first.organization_id, "owner").await;
    let pairs = [(last, &other), (&other, last)];
    let answers = join_all(pairs.map(async |(by, whom)| remove(&app, &by.token, whom).await)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 204).count(), 1);
    assert_eq!(count(&app, owners_left).await, 1);
}

/// What this owner was answered, of answers in the order of all owners.
fn answers_of<'a>(owners: &'a [Member], answers: &'a [Answer], owner: &'a Member) -> impl Iterator<Item = u16> {
    let all = owners.iter().cycle().zip(answers);
    all.filter(|(one, _)| one.user_id == owner.user_id).map(|(_, answer)| answer.status)
}

#[tokio::test]
async fn a_body_says_nothing_but_the_role() {
    let app = TestApp::spawn().await;
    let owner = app.member("owner@example.com").await;
    let path = format!("/api/v1/settings/team/{}/role", owner.user_id);
    for field in ["organization_id", "is_admin", "email_verified", "mfa_enabled", "created_at"] {
        let body = json!({"role": "owner", field: true});
        let answer = app.request("PUT", &path, Some(&owner.token), |request| request.json(&body)).await;
        answer.assert_field(field, "unknown_field");
    }
    app.delete("/api/v1/settings/team/scan_1", Some(&owner.token)).await.assert_field("member_id", "invalid_id");
}
