//! Putting a factor on, by choice or because the organization demands it.

use jiff::SignedDuration;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_factor_is_on_once_its_first_code_is_shown() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let other = app.sign_in(ADA).await;
    assert_eq!(
        status(&app, &member.token).await,
        json!({"enabled": false, "enabled_at": null, "backup_codes_left": 0, "required_by_organization": false})
    );

    let made = app.post(SETUP, Some(&member.token), &json!({"password": PASSWORD})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    let uri = made["otpauth_uri"].as_str().unwrap();
    assert_eq!(uri, format!("otpauth://totp/Picket:ada%40example.com?secret={secret}&issuer=Picket"));
    assert!(made["qr_svg"].as_str().unwrap().contains("</svg>"));
    assert_eq!(status(&app, &member.token).await["enabled"], false);
    assert!(app.sign_in(ADA).await.starts_with("ey"), "it counts for nothing yet");

    let wrong = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": wrong_code(&app, secret)})).await;
    wrong.assert_problem(401, "wrong_credentials");
    let codes = codes_of(&app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(&app, secret, 0)})).await);
    assert_eq!(codes.len(), 10);
    let is_code = |code: &String| code.len() == 19 && code.split('-').all(|group| group.len() == 4);
    assert!(codes.iter().all(is_code), "{codes:?}");

    let now = status(&app, &member.token).await;
    assert_eq!((now["enabled"].as_bool(), now["backup_codes_left"].as_i64()), (Some(true), Some(10)));
    assert_eq!(now["enabled_at"], "2026-01-15T14:30:00Z");
    assert_eq!(audited(&app, &member, "mfa.enabled").await, 1);
    assert_eq!(
        count(&app, "SELECT count(*) FROM mails WHERE template = 'mfa_changed' AND organization_id IS NULL").await,
        1
    );
    app.eventually(async || app.get(ME, Some(&other)).await, 401).await.assert_problem(401, "unauthenticated");

    let again = app.post(SETUP, Some(&member.token), &json!({"password": PASSWORD})).await;
    again.assert_problem(409, "invalid_state");
    let again = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(&app, secret, 1)})).await;
    again.assert_problem(409, "invalid_state");
}

#[tokio::test]
async fn setting_up_needs_the_password_or_of_who_has_none_a_fresh_login() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    app.post(SETUP, Some(&member.token), &json!({})).await.assert_field("password", "missing_field");
    let wrong = app.post(SETUP, Some(&member.token), &json!({"password": "not the password"})).await;
    wrong.assert_problem(401, "wrong_credentials");
    let more = app.post(SETUP, Some(&member.token), &json!({"password": PASSWORD, "mfa_enabled": true})).await;
    more.assert_field("mfa_enabled", "unknown_field");
    let early = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": "123456"})).await;
    early.assert_problem(409, "invalid_state");
    for text in ["", "12345", "0123-4567-89ab-cdef"] {
        let answer = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": text})).await;
        answer.assert_field("code", "invalid_code");
    }

    forget_password(&app, &member).await;
    app.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(app.post(SETUP, Some(&member.token), &json!({})).await.status, 200);
    app.clock.advance(SignedDuration::from_secs(1));
    app.post(SETUP, Some(&member.token), &json!({})).await.assert_problem(403, "login_required");
}

#[tokio::test]
async fn a_secret_that_was_made_again_replaces_the_one_before() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let first = set_up(&app, &member.token).await;
    let second = set_up(&app, &member.token).await;
    assert_ne!(first, second);
    let old = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(&app, &first, 0)})).await;
    old.assert_problem(401, "wrong_credentials");
    codes_of(&app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(&app, &second, 0)})).await);
}

#[tokio::test]
async fn wrong_first_codes_are_limited() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let secret = set_up(&app, &member.token).await;
    let wrong = json!({"code": wrong_code(&app, &secret)});
    for _ in 0..10 {
        app.post(VERIFY_SETUP, Some(&member.token), &wrong).await.assert_problem(401, "wrong_credentials");
    }
    let right = app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(&app, &secret, 0)})).await;
    right.assert_problem(429, "rate_limited");
}

#[tokio::test]
async fn an_organization_that_demands_a_factor_opens_once_its_member_has_put_one_on() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    demand_factor(&app).await;
    let tools = "/api/v1/tools";
    let shut = app.eventually(async || app.get(tools, Some(&member.token)).await, 403).await;
    shut.assert_problem(403, "mfa_required");
    assert_eq!(app.get(ME, Some(&member.token)).await.status, 200);
    assert_eq!(app.get(tools, Some(&key)).await.status, 200, "a key is no person");
    assert_eq!(status(&app, &member.token).await["required_by_organization"], true);

    let secret = set_up(&app, &member.token).await;
    app.get(tools, Some(&member.token)).await.assert_problem(403, "mfa_required");
    codes_of(&app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": code(&app, &secret, 0)})).await);
    assert_eq!(app.get(tools, Some(&member.token)).await.status, 200, "the same session");

    next_step(&app);
    let both = json!({"password": PASSWORD, "code": code(&app, &secret, 0)});
    let refused = app.request("DELETE", DISABLE, Some(&member.token), |request| request.json(&both)).await;
    refused.assert_problem(409, "invalid_state");
    let waiting = challenge(&app, ADA).await;
    let signed_in = verify(&app, &waiting, &code(&app, &secret, 0)).await;
    let token = signed_in.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(app.get(tools, Some(&token)).await.status, 200);
}
