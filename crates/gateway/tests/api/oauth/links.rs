//! Linking a provider's account to one's own.

use jiff::SignedDuration;
use serde_json::json;
use url::Url;

use super::{Browser, PUBLIC_URL, Stage};
use crate::{
    harness::{Answer, Member},
    overtaken::until_somebody_waits,
};

/// The answer to a program that wants to link, for the browser whose cookie it gets.
async fn ask(browser: &mut Browser, token: &str, provider: &str) -> Answer {
    let url = format!("{PUBLIC_URL}/api/v1/auth/{provider}?link=true");
    browser.send(&url, |client, url| client.get(url).header("accept", "application/json").bearer_auth(token)).await
}

/// Where the browser goes.
async fn begin(browser: &mut Browser, member: &Member, provider: &str) -> Url {
    let answer = ask(browser, &member.token, provider).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["authorize_url"].as_str().unwrap().parse().unwrap()
}

/// The whole way.
pub(super) async fn link(stage: &Stage, member: &Member, provider: &str) -> Answer {
    let mut browser = stage.browser();
    let begun = begin(&mut browser, member, provider).await;
    browser.follow(&begun).await
}

#[tokio::test]
async fn who_is_signed_in_links_an_account_and_signs_in_with_it() {
    let stage = Stage::new().await;
    let member = stage.app.member("grace@example.com").await;
    for provider in ["github", "google"] {
        let linked = link(&stage, &member, provider).await;
        assert_eq!((linked.status, linked.json()), (200, json!({"linked": true, "provider": provider})));
        // Again changes nothing.
        assert_eq!(link(&stage, &member, provider).await.status, 200);
        let signed_in = stage.sign_in(provider).await;
        let me = stage.app.get("/api/v1/auth/me", signed_in.json()["access_token"].as_str()).await;
        assert_eq!(me.json()["id"], member.user_id.as_str(), "{}", me.text);
    }
    assert_eq!(stage.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM audit_log WHERE action = 'user.identity_linked'").await, 2);
}

#[tokio::test]
async fn linking_needs_a_person_who_signed_in_a_moment_ago() {
    let stage = Stage::new().await;
    let member = stage.app.member("grace@example.com").await;
    let mut browser = stage.browser();
    ask(&mut browser, "x", "github").await.assert_problem(401, "unauthenticated");
    stage.app.get("/api/v1/auth/github?link=true", None).await.assert_problem(401, "unauthenticated");
    let key = stage.app.api_key(&member.token, &["tools:read"]).await;
    ask(&mut browser, &key, "github").await.assert_problem(403, "person_required");
    stage.app.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(ask(&mut browser, &member.token, "github").await.status, 200);
    stage.app.clock.advance(SignedDuration::from_secs(1));
    ask(&mut browser, &member.token, "github").await.assert_problem(403, "login_required");
    assert_eq!(stage.count("SELECT count(*) FROM oauth_states WHERE user_id IS NOT NULL").await, 1);
}

#[tokio::test]
async fn an_account_is_linked_to_one_person_and_a_person_to_one_account() {
    let stage = Stage::new().await;
    let (grace, eve) = (stage.app.member("grace@example.com").await, stage.app.member("eve@example.com").await);
    assert_eq!(link(&stage, &grace, "github").await.status, 200);
    link(&stage, &eve, "github").await.assert_problem(409, "already_exists");
    stage.provider.state().subject = 7;
    link(&stage, &grace, "github").await.assert_problem(409, "already_exists");
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 1);
}

#[tokio::test]
async fn one_of_many_who_link_an_account_at_once_has_it() {
    let stage = Stage::new().await;
    let mut callbacks = Vec::new();
    for number in 0..6 {
        let member = stage.app.member(&format!("p{number}@example.com")).await;
        let mut browser = stage.browser();
        let begun = begin(&mut browser, &member, "github").await;
        let callback = browser.consent(&begun).await;
        callbacks.push((browser, callback));
    }
    let tries =
        callbacks.into_iter().map(|(mut browser, callback)| async move { browser.get(callback.as_str()).await.status });
    let mut statuses = futures_util::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn an_address_that_the_provider_does_not_vouch_for_links_nothing() {
    let stage = Stage::new().await;
    let member = stage.app.member("grace@example.com").await;
    stage.provider.state().verified = json!(false);
    for provider in ["github", "google"] {
        link(&stage, &member, provider).await.assert_problem(403, "email_unverified");
    }
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 0);
}

#[tokio::test]
async fn a_link_that_somebody_else_began_is_not_finished_by_the_victim() {
    let stage = Stage::new().await;
    let attacker = stage.app.member("eve@example.com").await;
    let mut browser = stage.browser();
    let begun = begin(&mut browser, &attacker, "github").await;
    // The victim follows the attacker's link to the provider, signs in there, and comes back.
    let mut victim = stage.browser();
    victim.follow(&begun).await.assert_problem(400, "sign_in_refused");
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 0);
}

#[tokio::test]
async fn a_session_that_has_ended_links_nothing() {
    let stage = Stage::new().await;
    let member = stage.app.member("grace@example.com").await;
    let mut browser = stage.browser();
    let begun = begin(&mut browser, &member, "github").await;
    let client = stage.app.database.connect().await;
    client.execute("UPDATE sessions SET revoked_at = now(), revoked_reason = 'x'", &[]).await.unwrap();
    browser.follow(&begun).await.assert_problem(401, "unauthenticated");
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 0);
}

#[tokio::test]
async fn an_account_that_is_unlinked_while_it_signs_in_opens_nothing() {
    let stage = Stage::new().await;
    let member = stage.app.member("grace@example.com").await;
    assert_eq!(link(&stage, &member, "github").await.status, 200);
    let mut client = stage.app.database.connect().await;
    let reset = client.transaction().await.unwrap();
    reset.execute("SELECT FROM organization_counters FOR UPDATE", &[]).await.unwrap();
    let overtake = async {
        until_somebody_waits(&stage.app).await;
        // Who waits for the organization has locked nothing else: no deadlock with a reset.
        reset.execute("SELECT FROM identities FOR UPDATE NOWAIT", &[]).await.unwrap();
        reset.execute("DELETE FROM identities", &[]).await.unwrap();
        reset.commit().await.unwrap();
    };
    let (signed_in, ()) = tokio::join!(stage.sign_in("github"), overtake);
    signed_in.assert_problem(400, "sign_in_refused");
    assert_eq!(stage.count("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn a_link_that_a_reset_overtakes_links_nothing() {
    let stage = Stage::new().await;
    let member = stage.app.member("grace@example.com").await;
    let mut browser = stage.browser();
    let begun = begin(&mut browser, &member, "github").await;
    let mut client = stage.app.database.connect().await;
    let reset = client.transaction().await.unwrap();
    reset.execute("SELECT FROM organization_counters FOR UPDATE", &[]).await.unwrap();
    let overtake = async {
        until_somebody_waits(&stage.app).await;
        let revoke = "UPDATE sessions SET revoked_at = now(), revoked_reason = 'x'";
        reset.execute(revoke, &[]).await.unwrap();
        reset.commit().await.unwrap();
    };
    let (linked, ()) = tokio::join!(browser.follow(&begun), overtake);
    linked.assert_problem(401, "unauthenticated");
    assert_eq!(stage.count("SELECT count(*) FROM identities").await, 0);
}
