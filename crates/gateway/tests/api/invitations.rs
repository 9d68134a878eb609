//! Invitations: who may send one, who may take it up, and that it is good once.

use futures_util::future::join_all;
use jiff::SignedDuration;
use picket_domain::{Letter, MailId};
use picket_kit::Clock;
use picket_store::mails;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, PASSWORD, TestApp},
    team::colleague,
};

async fn app() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

async fn invite(app: &TestApp, token: &str, email: &str, role: &str) -> Answer {
    app.post("/api/v1/settings/team/invite", Some(token), &json!({"email": email, "role": role})).await
}

/// The path in the last letter to this address.
async fn link(app: &TestApp, email: &str) -> String {
    let client = app.database.connect().await;
    let sql = "SELECT id, letter FROM mails WHERE recipient = $1 AND template = 'invitation' ORDER BY id DESC LIMIT 1";
    let row = client.query_one(sql, &[&email]).await.unwrap();
    let id = MailId::from_uuid(row.get(0));
    let letter = app.sealer.open(row.get::<_, &[u8]>(1), &mails::place(id)).unwrap();
    match serde_json::from_slice(&letter).unwrap() {
        Letter::Invitation { link, .. } => link[link.find("/api/v1/").unwrap()..].to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Somebody who may invite.
async fn owner(app: &TestApp) -> Member {
    let owner = app.member("owner@example.com").await;
    app.verify("owner@example.com").await;
    owner
}

async fn members(app: &TestApp, owner: &Member) -> u64 {
    app.get("/api/v1/settings/team", Some(&owner.token)).await.json()["pagination"]["total"].as_u64().unwrap()
}

fn newcomer() -> Value {
    json!({"name": "Grace", "password": PASSWORD, "locale": "id"})
}

#[tokio::test]
async fn somebody_without_an_account_makes_one_and_is_signed_in() {
    let app = app().await;
    let owner = owner(&app).await;
    let made = invite(&app, &owner.token, "grace@example.com", "analyst").await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["expires_at"], "2026-01-22T14:30:00Z");
    let link = link(&app, "grace@example.com").await;
    let token = link.split('/').nth(6).unwrap();
    assert!(token.starts_with("in_") && !made.text.contains(token));
    let listed = app.get("/api/v1/settings/team/invitations", Some(&owner.token)).await;
    assert_eq!(listed.json()["data"][0]["id"], made.json()["id"]);
    assert!(!listed.text.contains(token));

    let offer = app.get(&link, None).await.json();
    assert_eq!((&offer["organization"], &offer["registered"]), (&json!("Ada"), &json!(false)));
    let page = app.request("GET", &link, None, |request| request.header("accept", "text/html,*/*")).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("form-action 'self'"), "{policy}");
    assert_eq!(page.header("vary"), Some("Accept"));
    assert!(page.text.contains("analyst") && !page.text.contains("<script"));

    let joined = app.post(&link, None, &newcomer()).await;
    assert_eq!(joined.status, 201, "{}", joined.text);
    let me = app.get("/api/v1/auth/me", joined.json()["access_token"].as_str()).await.json();
    assert_eq!((&me["email"], &me["role"]), (&json!("grace@example.com"), &json!("analyst")));
    assert_eq!(me["organization"]["id"], owner.organization_id);
    // The link is dead, and shows nothing any more.
    app.get(&link, None).await.assert_problem(404, "not_found");
    app.post(&link, None, &newcomer()).await.assert_problem(404, "not_found");
    let sql = "SELECT email_verified_at IS NOT NULL AND locale = 'id' FROM users WHERE email = 'grace@example.com'";
    assert!(app.database.connect().await.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
    let sql = "SELECT count(*) FROM audit_log WHERE action IN ('invitation.created', 'invitation.accepted')";
    assert_eq!(app.database.connect().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 2);
}

#[tokio::test]
async fn somebody_with_an_account_joins_with_a_proven_address_alone() {
    let app = app().await;
    let owner = owner(&app).await;
    let (grace, eve) = (app.member("grace@example.com").await, app.member("eve@example.com").await);
    invite(&app, &owner.token, "Grace@Example.com", "viewer").await;
    let link = link(&app, "Grace@Example.com").await;
    app.verify("eve@example.com").await;
    app.send("POST", &link, Some(&eve.token)).await.assert_problem(403, "not_your_invitation");
    app.send("POST", &link, Some(&grace.token)).await.assert_problem(403, "not_your_invitation");
    app.send("POST", &link, None).await.assert_problem(401, "unauthenticated");
    app.post(&link, None, &newcomer()).await.assert_problem(401, "unauthenticated");
    app.send("POST", &link, Some("nonsense")).await.assert_problem(401, "unauthenticated");
    let key = app.api_key(&grace.token, &["tools:read"]).await;
    app.send("POST", &link, Some(&key)).await.assert_problem(403, "person_required");
    app.verify("grace@example.com").await;
    app.post(&link, Some(&grace.token), &newcomer()).await.assert_problem(400, "malformed_request");
    assert_eq!(app.get(&link, None).await.json()["registered"], true);
    let joined = app.post(&link, Some(&grace.token), &json!({})).await;
    assert_eq!((joined.status, &joined.json()["role"]), (200, &json!("viewer")), "{}", joined.text);
    assert_eq!(joined.json()["organization_id"], owner.organization_id);
    assert_eq!(members(&app, &owner).await, 2);
    // Whoever is a member already is not invited.
    invite(&app, &owner.token, "grace@example.com", "admin").await.assert_problem(409, "already_exists");
}

#[tokio::test]
async fn somebody_who_is_in_no_organization_any_more_comes_back_by_the_letter() {
    let app = app().await;
    let owner = owner(&app).await;
    let grace = colleague(&app, "grace@example.com", &owner.organization_id, "viewer").await;
    let path = format!("/api/v1/settings/team/{}", grace.user_id);
    assert_eq!(app.delete(&path, Some(&owner.token)).await.status, 204);
    let login = json!({"email": "grace@example.com", "password": PASSWORD});
    app.post("/api/v1/auth/login", None, &login).await.assert_problem(401, "wrong_credentials");
    invite(&app, &owner.token, "grace@example.com", "analyst").await;
    let link = link(&app, "grace@example.com").await;
    app.post(&link, None, &newcomer()).await.assert_problem(400, "malformed_request");
    let answers = join_all((0..10).map(|_| app.send("POST", &link, None))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| !answer.text.contains("access_token")), "no session is opened");
    let token = app.sign_in("grace@example.com").await;
    assert_eq!(app.get("/api/v1/auth/me", Some(&token)).await.json()["role"], "analyst");
}

#[tokio::test]
async fn who_registered_a_foreign_address_gets_in_nowhere_by_its_owners_invitation() {
    let app = app().await;
    let owner = owner(&app).await;
    // The thief is first, proves nothing, and leaves the own organization to another owner.
    let thief = app.member("grace@example.com").await;
    let user: picket_domain::UserId = thief.user_id.parse().unwrap();
    let client = app.database.connect().await;
    client.execute("DELETE FROM memberships WHERE user_id = $1", &[&user.uuid()]).await.unwrap();
    invite(&app, &owner.token, "grace@example.com", "analyst").await;
    let link = link(&app, "grace@example.com").await;
    let refused = app.send("POST", &link, None).await;
    refused.assert_problem(403, "email_unverified");
    assert!(refused.text.contains("/account/forgot-password"), "{}", refused.text);
    let login = json!({"email": "grace@example.com", "password": PASSWORD});
    app.post("/api/v1/auth/login", None, &login).await.assert_problem(401, "wrong_credentials");
    // The owner of the address sets a password, and comes in by the same letter.
    let forgot = json!({"email": "grace@example.com"});
    assert_eq!(app.post("/api/v1/account/forgot-password", None, &forgot).await.status, 202);
    let token = app.mailed_token("grace@example.com", "reset_password").await;
    let body = json!({"token": token, "password": "vT7q-kz4RmeX"});
    assert_eq!(app.post("/api/v1/account/reset-password", None, &body).await.status, 200);
    assert_eq!(app.send("POST", &link, None).await.status, 200);
    app.post("/api/v1/auth/login", None, &login).await.assert_problem(401, "wrong_credentials");
    let login = json!({"email": "grace@example.com", "password": "vT7q-kz4RmeX"});
    assert_eq!(app.post("/api/v1/auth/login", None, &login).await.status, 200);
}

#[tokio::test]
async fn nobody_invites_before_the_own_address_is_proven() {
    let app = app().await;
    let member = app.member("owner@example.com").await;
    invite(&app, &member.token, "grace@example.com", "viewer").await.assert_problem(403, "email_unverified");
    // A key ranks no higher than its scopes, so it has all of them.
    let scopes: Vec<&str> = picket_domain::Permission::ALL.iter().map(|one| one.name()).collect();
    let key = app.api_key(&member.token, &scopes).await;
    invite(&app, &key, "grace@example.com", "viewer").await.assert_problem(403, "email_unverified");
    let sql = "SELECT (SELECT count(*) FROM invitations) + (SELECT count(*) FROM mails WHERE template = 'invitation')";
    assert_eq!(app.database.connect().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    app.verify("owner@example.com").await;
    assert_eq!(invite(&app, &key, "grace@example.com", "viewer").await.status, 201);
}

#[tokio::test]
async fn nobody_floods_an_address_with_invitations_however_it_is_spelled() {
    let app = app().await;
    let owner = owner(&app).await;
    for spelled in ["grace@example.com", "Grace@example.com", "gRACE@example.com", "GRACE@example.com"] {
        assert_eq!(invite(&app, &owner.token, spelled, "viewer").await.status, 201);
    }
    // From all organizations together.
    let other = app.member("other@example.com").await;
    app.verify("other@example.com").await;
    assert_eq!(invite(&app, &other.token, "grace@EXAMPLE.com", "viewer").await.status, 201);
    let refused = invite(&app, &other.token, "grace@example.com", "viewer").await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("3600"));
    let sql = "SELECT count(*) FROM mails WHERE template = 'invitation'";
    assert_eq!(app.database.connect().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 5);
    assert_eq!(invite(&app, &other.token, "eve@example.com", "viewer").await.status, 201);
    app.clock.advance(SignedDuration::from_mins(61));
    let token = app.sign_in("other@example.com").await;
    assert_eq!(invite(&app, &token, "grace@example.com", "viewer").await.status, 201);
}

#[tokio::test]
async fn a_browser_accepts_by_the_form_alone() {
    let app = app().await;
    let owner = owner(&app).await;
    invite(&app, &owner.token, "zyxomma.quibble@example.com", "analyst").await;
    let link = link(&app, "zyxomma.quibble@example.com").await;
    let open = async || app.request("GET", &link, None, |request| request.header("accept", "text/html,*/*")).await;
    let page = open().await;
    assert!(page.text.contains(&format!("<form method=\"post\" action=\"{link}\">")), "{}", page.text);
    for weak in ["short", "password1234", "zyxomma12345"] {
        let again = app.submit(&link, &[("name", "G \"<b>\""), ("password", weak)]).await;
        assert!(again.status == 400 && again.text.contains("role=\"alert\""), "{weak}: {}", again.text);
        assert!(
            again.text.contains("value=\"G &quot;&lt;b&gt;&quot;\"") && !again.text.contains(weak),
            "{}",
            again.text
        );
    }
    assert_eq!(app.submit(&link, &[("name", "Grace"), ("role", "owner")]).await.status, 400);
    let done = app.submit(&link, &[("name", "Grace"), ("password", "vT7q-kz4RmeX")]).await;
    assert!(done.status == 201 && done.text.contains("You have joined Ada"), "{}", done.text);
    assert_eq!(done.header("content-type"), Some("text/html; charset=utf-8"));
    app.submit(&link, &[("name", "Grace"), ("password", "vT7q-kz4RmeX")]).await.assert_problem(404, "not_found");
    let login = json!({"email": "zyxomma.quibble@example.com", "password": "vT7q-kz4RmeX"});
    assert_eq!(app.post("/api/v1/auth/login", None, &login).await.status, 200);
    assert_eq!(members(&app, &owner).await, 2);
}

#[tokio::test]
async fn the_page_of_somebody_with_an_account_has_no_form_and_says_what_to_do() {
    let app = app().await;
    let owner = owner(&app).await;
    let grace = app.member("grace@example.com").await;
    app.verify("grace@example.com").await;
    invite(&app, &owner.token, "grace@example.com", "viewer").await;
    let path = link(&app, "grace@example.com").await;
    let page = app.request("GET", &path, None, |request| request.header("accept", "text/html")).await;
    assert!(page.status == 200 && !page.text.contains("<form") && page.text.contains("Sign in"), "{}", page.text);
    assert!(page.text.contains("/account/reset-password"));
    app.submit(&path, &[("name", "Grace"), ("password", PASSWORD)]).await.assert_problem(401, "unauthenticated");
    let joined = app.request("POST", &path, Some(&grace.token), |request| request.header("accept", "text/html")).await;
    assert!(joined.status == 200 && joined.text.contains("You have joined"), "{}", joined.text);
}

#[tokio::test]
async fn fifty_acceptances_at_once_make_one_member() {
    let app = app().await;
    let owner = owner(&app).await;
    let grace = app.member("grace@example.com").await;
    app.verify("grace@example.com").await;
    invite(&app, &owner.token, "grace@example.com", "viewer").await;
    let path = link(&app, "grace@example.com").await;
    let answers = join_all((0..50).map(|_| app.send("POST", &path, Some(&grace.token)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| [200, 404].contains(&answer.status)));
    assert_eq!(members(&app, &owner).await, 2);

    invite(&app, &owner.token, "new@example.com", "viewer").await;
    let path = link(&app, "new@example.com").await;
    let answers = join_all((0..10).map(async |_| app.post(&path, None, &newcomer()).await)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| [201, 401, 404].contains(&answer.status)));
    assert_eq!(members(&app, &owner).await, 3);
}

#[tokio::test]
async fn a_later_invitation_replaces_the_earlier_one_and_a_withdrawn_one_is_dead() {
    let app = app().await;
    let owner = owner(&app).await;
    invite(&app, &owner.token, "grace@example.com", "viewer").await;
    let first = link(&app, "grace@example.com").await;
    app.clock.advance(SignedDuration::from_secs(1));
    invite(&app, &owner.token, "GRACE@example.com", "analyst").await;
    let second = link(&app, "GRACE@example.com").await;
    app.get(&first, None).await.assert_problem(404, "not_found");
    assert_eq!(app.get(&second, None).await.json()["role"], "analyst");
    let listed = app.get("/api/v1/settings/team/invitations", Some(&owner.token)).await.json();
    assert_eq!(listed["pagination"]["total"], 1);
    let path = format!("/api/v1/settings/team/invitations/{}", listed["data"][0]["id"].as_str().unwrap());
    assert_eq!(app.delete(&path, Some(&owner.token)).await.status, 204);
    app.delete(&path, Some(&owner.token)).await.assert_problem(404, "not_found");
    app.post(&second, None, &newcomer()).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn an_invitation_ends_when_it_was_told_to_and_with_the_rank_of_its_inviter() {
    let app = app().await;
    let owner = owner(&app).await;
    let body = json!({"email": "a@example.com", "role": "viewer", "expires_at": "2026-01-15T14:31:00Z"});
    assert_eq!(app.post("/api/v1/settings/team/invite", Some(&owner.token), &body).await.status, 201);
    let short = link(&app, "a@example.com").await;
    assert_eq!(app.get(&short, None).await.status, 200);
    app.clock.advance(SignedDuration::from_secs(60));
    app.post(&short, None, &newcomer()).await.assert_problem(404, "not_found");

    let admin = colleague(&app, "admin@example.com", &owner.organization_id, "admin").await;
    invite(&app, &admin.token, "b@example.com", "admin").await;
    invite(&app, &admin.token, "c@example.com", "viewer").await;
    let (high, low) = (link(&app, "b@example.com").await, link(&app, "c@example.com").await);
    let path = format!("/api/v1/settings/team/{}/role", admin.user_id);
    app.request("PUT", &path, Some(&owner.token), |request| request.json(&json!({"role": "analyst"}))).await;
    app.get(&high, None).await.assert_problem(404, "not_found");
    assert_eq!(app.get(&low, None).await.status, 200);
    app.delete(&format!("/api/v1/settings/team/{}", admin.user_id), Some(&owner.token)).await;
    app.post(&low, None, &newcomer()).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn nobody_invites_above_their_rank_and_wrong_fields_are_named() {
    let app = app().await;
    let owner = owner(&app).await;
    let admin = colleague(&app, "admin@example.com", &owner.organization_id, "admin").await;
    invite(&app, &admin.token, "x@example.com", "owner").await.assert_problem(403, "forbidden");
    assert_eq!(invite(&app, &admin.token, "x@example.com", "admin").await.status, 201);
    invite(&app, &owner.token, "no address", "viewer").await.assert_field("email", "invalid_email");
    invite(&app, &owner.token, "x@example.com", "root").await.assert_field("role", "unknown_value");
    let late = json!({"email": "y@example.com", "role": "viewer", "expires_at": "2026-02-15T14:30:00Z"});
    let late = app.post("/api/v1/settings/team/invite", Some(&owner.token), &late).await;
    late.assert_field("expires_at", "out_of_range");
    for field in ["token", "organization_id", "accepted_at", "invited_by", "email_verified"] {
        let body = json!({"email": "y@example.com", "role": "viewer", field: "x"});
        let answer = app.post("/api/v1/settings/team/invite", Some(&owner.token), &body).await;
        answer.assert_field(field, "unknown_field");
    }
    let link = link(&app, "x@example.com").await;
    app.post(&link, None, &json!({"role": "owner"})).await.assert_field("role", "unknown_field");
    app.post(&link, None, &json!({})).await.assert_field("password", "missing_field");
    app.post(&link, None, &json!({"name": "", "password": "short"})).await.assert_field("name", "invalid_name");
    for token in ["in_", "x", "in_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%00", "rt_x"] {
        let path = format!("/api/v1/settings/team/invitations/{token}/accept");
        app.get(&path, None).await.assert_problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_organization_has_a_hundred_pending_invitations_at_most() {
    let app = app().await;
    let owner = owner(&app).await;
    let organization: picket_domain::OrganizationId = owner.organization_id.parse().unwrap();
    let user: picket_domain::UserId = owner.user_id.parse().unwrap();
    let fill = "INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at)
                SELECT gen_random_uuid(), $1, 'x' || n || '@example.com', 'viewer', sha256(n::text::bytea), $2,
                       '2026-01-15T14:00:00Z', '2026-01-20T14:30:00Z'
                FROM generate_series(1, $3) AS n";
    let client = app.database.connect().await;
    client.execute(fill, &[&organization.uuid(), &user.uuid(), &99_i32]).await.unwrap();
    let answers = join_all(
        (0..10).map(async |number| invite(&app, &owner.token, &format!("new{number}@example.com"), "viewer").await),
    )
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    refused.iter().for_each(|answer| drop(answer.assert_problem(409, "limit_reached")));
}
