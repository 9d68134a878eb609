//! Accounts of providers: seen, taken away, and what their person hears of it.

use jiff::SignedDuration;
use picket_domain::Letter;
use serde_json::{Value, json};

use super::{Stage, links::link};
use crate::harness::{Answer, Member, PASSWORD};

const PATH: &str = "/api/v1/account/identities";
const GRACE: &str = "grace@example.com";

async fn unlink(stage: &Stage, token: &str, provider: &str, body: &Value) -> Answer {
    let path = format!("{PATH}/{provider}");
    stage.app.request("DELETE", &path, Some(token), |request| request.json(body)).await
}

async fn providers(stage: &Stage, token: &str) -> Vec<String> {
    let listed = stage.app.get(PATH, Some(token)).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let name = |one: &Value| one["provider"].as_str().unwrap().to_owned();
    listed.json()["data"].as_array().unwrap().iter().map(name).collect()
}

/// Somebody with both providers, and without a password.
async fn without_password(stage: &Stage) -> Member {
    let member = stage.app.member(GRACE).await;
    for provider in ["github", "google"] {
        assert_eq!(link(stage, &member, provider).await.status, 200);
    }
    let client = stage.app.database.connect().await;
    client.execute("UPDATE users SET password_hash = NULL", &[]).await.unwrap();
    member
}

#[tokio::test]
async fn a_person_sees_what_is_linked_and_hears_of_each_link() {
    let stage = Stage::new().await;
    let member = stage.app.member(GRACE).await;
    let other = stage.app.member("eve@example.com").await;
    assert_eq!(providers(&stage, &member.token).await, Vec::<String>::new());
    for provider in ["google", "github"] {
        assert_eq!(link(&stage, &member, provider).await.status, 200);
        // Again is no news.
        assert_eq!(link(&stage, &member, provider).await.status, 200);
    }
    assert_eq!(providers(&stage, &member.token).await, ["github", "google"]);
    assert_eq!(providers(&stage, &other.token).await, Vec::<String>::new());
    let page = stage.app.get(&format!("{PATH}?page=2&per_page=1"), Some(&member.token)).await.json();
    assert_eq!((&page["data"][0]["provider"], &page["pagination"]["total"]), (&json!("google"), &json!(2)));
    assert!(page["data"][0].get("subject").is_none(), "{page}");
    let told: Vec<_> =
        stage.app.letters().await.into_iter().filter(|(_, one)| one.template() == "identity_changed").collect();
    assert_eq!(told.len(), 2);
    for (to, letter) in told {
        let Letter::IdentityChanged { linked, .. } = letter else { panic!("{letter:?}") };
        assert!(linked && to == GRACE);
    }
}

#[tokio::test]
async fn who_knows_the_password_unlinks_and_other_sessions_end() {
    let stage = Stage::new().await;
    let member = stage.app.member(GRACE).await;
    let elsewhere = stage.app.sign_in(GRACE).await;
    assert_eq!(link(&stage, &member, "github").await.status, 200);
    unlink(&stage, &member.token, "github", &json!({})).await.assert_field("password", "missing_field");
    let wrong = unlink(&stage, &member.token, "github", &json!({"password": "x"})).await;
    wrong.assert_problem(401, "wrong_credentials");
    unlink(&stage, &member.token, "google", &json!({"password": PASSWORD})).await.assert_problem(404, "not_found");
    let strange = unlink(&stage, &member.token, "%00", &json!({"password": PASSWORD})).await;
    assert!([400, 404].contains(&strange.status), "{}", strange.text);
    assert_eq!(providers(&stage, &member.token).await, ["github"]);

    assert_eq!(unlink(&stage, &member.token, "github", &json!({"password": PASSWORD})).await.status, 204);
    assert_eq!(providers(&stage, &member.token).await, Vec::<String>::new());
    assert_eq!(stage.app.get("/api/v1/auth/me", Some(&elsewhere)).await.status, 401);
    unlink(&stage, &member.token, "github", &json!({"password": PASSWORD})).await.assert_problem(404, "not_found");
    assert_eq!(stage.count("SELECT count(*) FROM audit_log WHERE action = 'user.identity_unlinked'").await, 1);
    let letters = stage.app.letters().await;
    let (to, Letter::IdentityChanged { linked, provider, .. }) = letters.last().unwrap() else { panic!("no letter") };
    assert_eq!((to.as_str(), *linked, provider.as_str()), (GRACE, false, "github"));
    // It signs nobody in: the address is somebody's, and nothing is merged.
    stage.provider.state().email = GRACE.to_owned();
    assert!(stage.sign_in("github").await.json().get("access_token").is_none());
}

#[tokio::test]
async fn the_last_way_to_sign_in_stays_also_when_two_go_at_once() {
    let stage = Stage::new().await;
    let member = without_password(&stage).await;
    let nothing = json!({});
    let (first, second) = tokio::join!(
        unlink(&stage, &member.token, "github", &nothing),
        unlink(&stage, &member.token, "google", &nothing)
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409], "{} {}", first.text, second.text);
    assert_eq!(providers(&stage, &member.token).await.len(), 1);
    let last = providers(&stage, &member.token).await.remove(0);
    unlink(&stage, &member.token, &last, &nothing).await.assert_problem(409, "invalid_state");
}

#[tokio::test]
async fn who_has_no_password_must_have_signed_in_a_moment_ago() {
    let stage = Stage::new().await;
    let member = without_password(&stage).await;
    stage.app.clock.advance(SignedDuration::from_mins(10) + SignedDuration::from_secs(1));
    unlink(&stage, &member.token, "github", &json!({})).await.assert_problem(403, "login_required");
    assert_eq!(providers(&stage, &member.token).await.len(), 2);
}
