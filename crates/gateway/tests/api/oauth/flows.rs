//! The whole way, and every step of it by somebody who should not take it.

use jiff::SignedDuration;
use serde_json::Value;
use url::Url;

use super::Stage;
use crate::harness::{Answer, TestApp};

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn without(url: &Url, name: &str) -> Url {
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(kept);
    changed
}

fn with(url: &Url, name: &str, value: &str) -> Url {
    let mut changed = without(url, name);
    changed.query_pairs_mut().append_pair(name, value);
    changed
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    answer.assert_problem(400, "sign_in_refused");
}

#[tokio::test]
async fn somebody_signs_in_with_github_and_comes_back_as_the_same_person() {
    let stage = Stage::new().await;
    let first = stage.sign_in("github").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let me =
        async |answer: &Answer| stage.app.get("/api/v1/auth/me", answer.json()["access_token"].as_str()).await.json();
    let ada = me(&first).await;
    assert_eq!((ada["email"].as_str(), ada["name"].as_str()), (Some("ada@example.com"), Some("Ada")));
    assert_eq!((ada["role"].as_str(), ada["organization"]["plan"].as_str()), (Some("owner"), Some("trial")));
    // The address may change at the provider: the subject is who it is.
    stage.provider.state().email = "countess@example.com".to_owned();
    assert_eq!(me(&stage.sign_in("github").await).await, ada);
    assert_eq!(
        stage.count("SELECT count(*) FROM users WHERE email_verified_at IS NOT NULL AND password_hash IS NULL").await,
        1
    );
    assert_eq!(stage.count("SELECT count(*) FROM organizations WHERE trial_ends_at > created_at").await, 1);
    let client = stage.app.database.connect().await;
    let rows = client.query("SELECT action FROM audit_log ORDER BY sequence", &[]).await.unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(actions, ["organization.created", "user.identity_linked", "session.opened", "session.opened"]);
}

#[tokio::test]
async fn somebody_signs_in_with_an_openid_provider_and_comes_back_as_the_same_person() {
    let stage = Stage::new().await;
    let first = stage.sign_in("google").await;
    assert_eq!(first.status, 200, "{}", first.text);
    stage.provider.state().email = "countess@example.com".to_owned();
    stage.provider.state().verified = Value::Bool(false);
    assert_eq!(stage.sign_in("google").await.status, 200);
    assert_eq!(stage.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(
        stage.count("SELECT count(*) FROM identities WHERE provider = 'google' AND subject = '583231'").await,
        1
    );
}

#[tokio::test]
async fn nothing_of_the_provider_is_stored() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let begun = browser.start("google", "").await;
    let callback = browser.consent(&begun).await;
    browser.get(callback.as_str()).await;
    let client = stage.app.database.connect().await;
    let mut stored = String::new();
    for table in ["oauth_states", "identities", "sessions", "audit_log"] {
        let plain = format!("SELECT coalesce(string_agg(t::text, ''), '') FROM {table} AS t");
        stored += &client.query_one(&plain, &[]).await.unwrap().get::<_, String>(0);
    }
    let secrets = [parameter(&begun, "state"), parameter(&begun, "nonce"), parameter(&callback, "code")];
    for secret in secrets.into_iter().map(Option::unwrap).chain(["ya29_canary".to_owned()]) {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!stored.contains(&secret) && !stored.contains(&hex), "{secret}");
    }
}

#[tokio::test]
async fn a_program_is_told_where_to_send_the_browser() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let url = format!("{}/api/v1/auth/github", super::PUBLIC_URL);
    let answer = browser.send(&url, |client, url| client.get(url).header("accept", "application/json")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let begun: Url = answer.json()["authorize_url"].as_str().unwrap().parse().unwrap();
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
        assert!(cookie.split("; ").any(|one| one == part), "{part}: {cookie}");
    }
    assert_eq!(browser.follow(&begun).await.status, 200);
}

#[tokio::test]
async fn a_browser_goes_on_with_a_cookie_that_no_script_reads() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let begun = browser.start("github", "?redirect_after=/scans%3Fpage%3D2").await;
    let answer = browser.follow(&begun).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/scans?page=2")), "{}", answer.text);
    assert_eq!(answer.text, "");
    assert!(browser.cookie("picket_refresh").unwrap().starts_with("rt_"));
    assert_eq!(browser.cookie("picket_oauth"), None);
    let lines: Vec<&str> = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    let refresh = lines.iter().find(|line| line.starts_with("picket_refresh=")).unwrap();
    assert!(refresh.contains("HttpOnly") && refresh.contains("SameSite=Strict") && refresh.contains("Path=/api"));
}

#[tokio::test]
async fn a_browser_goes_on_to_its_page_when_nobody_was_signed_in_too() {
    let stage = Stage::new().await;
    stage.provider.state().verified = Value::Bool(false);
    let mut browser = stage.browser();
    let begun = browser.start("github", "?redirect_after=/login").await;
    let answer = browser.follow(&begun).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login#error=email_unverified")));
    assert_eq!((browser.cookie("picket_refresh"), browser.cookie("picket_oauth")), (None, None));
    // Not for a flow that is not this browser's, whose page it did not choose.
    let mut attacker = stage.browser();
    let begun = attacker.start("github", "?redirect_after=/login").await;
    let callback = attacker.consent(&begun).await;
    assert_refused(&stage.browser().get(callback.as_str()).await);
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn the_second_factor_is_asked_for_after_a_provider_too() {
    let stage = Stage::new().await;
    stage.sign_in("github").await;
    let client = stage.app.database.connect().await;
    client.execute("UPDATE users SET totp_secret = 'x', totp_enabled_at = now()", &[]).await.unwrap();
    let answer = stage.sign_in("github").await;
    assert_eq!((answer.status, answer.json()["mfa_required"].as_bool()), (200, Some(true)));
    assert!(answer.json().get("access_token").is_none());
    let mut browser = stage.browser();
    let begun = browser.start("github", "?redirect_after=/").await;
    let answer = browser.follow(&begun).await;
    assert!(answer.header("location").unwrap().starts_with("/#mfa_token=mfa_"), "{answer:?}");
    assert_eq!(browser.cookie("picket_refresh"), None);
    assert_eq!(stage.count("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn a_provider_that_is_not_set_up_is_404() {
    let app = TestApp::spawn().await;
    for path in ["auth/github", "auth/google", "oauth/github/callback", "oauth/gitlab/callback", "oauth/x%2Fy/callback"]
    {
        app.get(&format!("/api/v1/{path}"), None).await.assert_problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_state_that_is_missing_foreign_or_used_is_refused() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let begun = browser.start("github", "").await;
    let callback = browser.consent(&begun).await;
    assert_refused(&browser.clone().get(without(&callback, "state").as_str()).await);
    for state in ["", "x", "os_0000000000000000000000000000000000000000000", "rt_x", &"x".repeat(3_000)] {
        assert_refused(&browser.clone().get(with(&callback, "state", state).as_str()).await);
    }
    let mut twice = callback.clone();
    twice.query_pairs_mut().append_pair("state", "x");
    browser.clone().get(twice.as_str()).await.assert_field("state", "duplicate_field");
    stage.assert_nothing_was_made().await;
    stage.provider.state().takes_codes_again = true;
    let replay = browser.clone();
    assert_eq!(browser.get(callback.as_str()).await.status, 200);
    assert_refused(&replay.clone().get(callback.as_str()).await);
    assert_eq!(stage.count("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn one_callback_of_many_at_once_signs_in() {
    let stage = Stage::new().await;
    stage.provider.state().takes_codes_again = true;
    let mut browser = stage.browser();
    let begun = browser.start("github", "").await;
    let callback = browser.consent(&begun).await;
    let tries = (0..20).map(|_| {
        let (mut browser, callback) = (browser.clone(), callback.clone());
        async move { browser.get(callback.as_str()).await.status }
    });
    let mut statuses = futures_util::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 400), "{statuses:?}");
}

#[tokio::test]
async fn a_flow_ends_after_ten_minutes() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let begun = browser.start("github", "").await;
    let callback = browser.consent(&begun).await;
    stage.app.clock.advance(SignedDuration::from_mins(10));
    assert_refused(&browser.get(callback.as_str()).await);
    stage.assert_nothing_was_made().await;
    stage.app.clock.advance(SignedDuration::from_secs(1));
    browser.start("github", "").await;
    assert_eq!(stage.count("SELECT count(*) FROM oauth_states").await, 1, "what has expired goes with the next one");
}

#[tokio::test]
async fn the_answer_to_one_browsers_flow_is_worth_nothing_in_another() {
    let stage = Stage::new().await;
    for with_cookie in [false, true] {
        stage.provider.state().takes_codes_again = true;
        let mut attacker = stage.browser();
        let begun = attacker.start("github", "").await;
        let callback = attacker.consent(&begun).await;
        let mut victim = stage.browser();
        if with_cookie {
            victim.start("github", "").await;
        }
        assert_refused(&victim.get(callback.as_str()).await);
        // It is used up, also for who began it.
        assert_refused(&attacker.get(callback.as_str()).await);
    }
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn the_answer_of_one_provider_is_not_taken_for_anothers() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let begun = browser.start("github", "").await;
    let callback = browser.consent(&begun).await;
    let mixed = callback.as_str().replace("/oauth/github/", "/oauth/google/");
    let answer = browser.get(&mixed).await;
    assert_refused(&answer);
    assert!(answer.text.contains("the answer is of another provider"), "{}", answer.text);
    for provider in ["github", "google"] {
        stage.provider.state().answer_issuer = Some("https://evil.example".to_owned());
        assert_refused(&stage.sign_in(provider).await);
        stage.assert_nothing_was_made().await;
    }
    stage.provider.state().answer_issuer = Some(stage.provider.base.clone());
    for provider in ["github", "google"] {
        let answer = stage.sign_in(provider).await;
        // The second has the first one's address.
        assert!([200, 409].contains(&answer.status), "{provider}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_code_of_another_flow_is_refused() {
    let stage = Stage::new().await;
    for provider in ["github", "google"] {
        let (mut attacker, mut victim) = (stage.browser(), stage.browser());
        let of_attacker = attacker.start(provider, "").await;
        let stolen = attacker.consent(&of_attacker).await;
        let begun = victim.start(provider, "").await;
        let callback = victim.consent(&begun).await;
        // The provider checks the verifier that we send: without PKCE it would take the code.
        let injected = with(&callback, "code", &parameter(&stolen, "code").unwrap());
        assert_refused(&victim.get(injected.as_str()).await);
    }
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn every_flow_has_a_challenge_and_a_nonce_of_its_own() {
    let stage = Stage::new().await;
    let first = stage.browser().start("google", "").await;
    let second = stage.browser().start("google", "").await;
    for name in ["code_challenge", "nonce", "state"] {
        let (first, second) = (parameter(&first, name).unwrap(), parameter(&second, name).unwrap());
        assert!(first != second && first.len() >= 43, "{name}");
    }
}

#[tokio::test]
async fn who_says_no_at_the_provider_is_not_signed_in() {
    let stage = Stage::new().await;
    for (error, said) in [("access_denied", true), ("<script>", false)] {
        let mut browser = stage.browser();
        let begun = browser.start("github", "").await;
        let callback = browser.consent(&begun).await;
        let denied = with(&without(&callback, "code"), "error", error);
        let answer = browser.get(denied.as_str()).await;
        assert_refused(&answer);
        assert_eq!(answer.text.contains(error), said, "{}", answer.text);
    }
    for code in ["", &"x".repeat(2_100)] {
        let mut browser = stage.browser();
        let begun = browser.start("github", "").await;
        let callback = browser.consent(&begun).await;
        assert_refused(&browser.get(with(&callback, "code", code).as_str()).await);
    }
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn nobody_is_sent_away_from_here_afterwards() {
    let stage = Stage::new().await;
    for path in [
        "https://evil.example",
        "//evil.example",
        "/%5Cevil.example",
        "%5C/evil.example",
        "/%0D%0Aset-cookie:%20a=b",
        "/%09/evil.example",
        "scans",
        "",
        "javascript:alert(1)",
        "/a%23b",
    ] {
        let answer = stage.app.get(&format!("/api/v1/auth/github?redirect_after={path}"), None).await;
        answer.assert_field("redirect_after", "invalid_path");
    }
    stage.app.get("/api/v1/auth/github?redirect=/", None).await.assert_field("redirect", "unknown_field");
    assert_eq!(stage.count("SELECT count(*) FROM oauth_states").await, 0);
}
