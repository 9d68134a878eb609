//! Taking a factor off and renewing its backup codes: with both factors alone (statement 7).

use super::*;

async fn disable(app: &TestApp, token: &str, body: &Value) -> Answer {
    app.request("DELETE", DISABLE, Some(token), |request| request.json(body)).await
}

#[tokio::test]
async fn taking_a_factor_off_needs_both_and_ends_other_sessions() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let token = &ada.member.token;
    let other = session(&app, &ada).await;
    assert_eq!(app.get(ME, Some(&other)).await.status, 200);
    let now = code(&app, &ada.secret, 0);
    disable(&app, token, &json!({"code": now})).await.assert_field("password", "missing_field");
    disable(&app, token, &json!({"password": PASSWORD})).await.assert_field("code", "missing_field");
    let wrong = disable(&app, token, &json!({"password": "not the password", "code": now})).await;
    wrong.assert_problem(401, "wrong_credentials");
    let wrong = disable(&app, token, &json!({"password": PASSWORD, "code": wrong_code(&app, &ada.secret)})).await;
    wrong.assert_problem(401, "wrong_credentials");
    assert_eq!(status(&app, token).await["enabled"], true);

    let waiting = challenge(&app, ADA).await;
    let off = disable(&app, token, &json!({"password": PASSWORD, "code": now})).await;
    assert_eq!((off.status, off.text.as_str()), (204, ""));
    let ended = app.eventually(async || app.get(ME, Some(&other)).await, 401).await;
    ended.assert_problem(401, "unauthenticated");
    let view = status(&app, token).await;
    assert_eq!((view["enabled"].as_bool(), view["backup_codes_left"].as_i64()), (Some(false), Some(0)));
    assert_eq!(audited(&app, &ada.member, "mfa.disabled").await, 1);
    assert_eq!(count(&app, "SELECT count(*) FROM mails WHERE template = 'mfa_changed'").await, 2);
    assert_eq!(count(&app, "SELECT count(*) FROM sessions WHERE mfa AND revoked_at IS NULL").await, 0);
    verify(&app, &waiting, &ada.backup_codes[0]).await.assert_problem(401, "wrong_credentials");
    assert!(app.sign_in(ADA).await.starts_with("ey"), "the password is enough again");
    disable(&app, token, &json!({"password": PASSWORD, "code": now})).await.assert_problem(409, "invalid_state");
    let renewed = app.post(REGENERATE, Some(token), &json!({"password": PASSWORD, "code": now})).await;
    renewed.assert_problem(409, "invalid_state");
    // Another secret has steps of its own.
    let secret = set_up(&app, token).await;
    codes_of(&app.post(VERIFY_SETUP, Some(token), &json!({"code": code(&app, &secret, 0)})).await);
}

#[tokio::test]
async fn a_backup_code_is_a_factor_too() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let body = json!({"password": PASSWORD, "code": ada.backup_codes[3].to_uppercase().replace('-', " ")});
    assert_eq!(disable(&app, &ada.member.token, &body).await.status, 204);
}

#[tokio::test]
async fn who_has_no_password_takes_the_factor_off_after_a_fresh_login() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    forget_password(&app, &ada.member).await;
    app.clock.advance(jiff::SignedDuration::from_mins(10));
    let stale = disable(&app, &ada.member.token, &json!({"code": ada.backup_codes[0]})).await;
    stale.assert_problem(403, "login_required");
    let client = app.database.connect().await;
    client.execute("UPDATE sessions SET authenticated_at = '2026-01-15T14:35:00Z'", &[]).await.unwrap();
    let body = json!({"code": ada.backup_codes[0]});
    let fresh = app.eventually(async || disable(&app, &ada.member.token, &body).await, 204).await;
    assert_eq!(fresh.status, 204, "{}", fresh.text);
}

#[tokio::test]
async fn renewed_backup_codes_void_the_ones_before() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenge(&app, ADA).await;
    assert_eq!(verify(&app, &waiting, &ada.backup_codes[0]).await.status, 200);
    assert_eq!(status(&app, &ada.member.token).await["backup_codes_left"], 9);
    let now = code(&app, &ada.secret, 0);
    let wrong = app.post(REGENERATE, Some(&ada.member.token), &json!({"password": "not it", "code": now})).await;
    wrong.assert_problem(401, "wrong_credentials");
    let used = json!({"password": PASSWORD, "code": ada.backup_codes[0]});
    app.post(REGENERATE, Some(&ada.member.token), &used).await.assert_problem(401, "wrong_credentials");

    let body = json!({"password": PASSWORD, "code": now});
    let codes = codes_of(&app.post(REGENERATE, Some(&ada.member.token), &body).await);
    assert_eq!(codes.len(), 10);
    assert_eq!(status(&app, &ada.member.token).await["backup_codes_left"], 10);
    assert_eq!(audited(&app, &ada.member, "mfa.backup_codes_regenerated").await, 1);
    let waiting = challenge(&app, ADA).await;
    for old in &ada.backup_codes[..3] {
        verify(&app, &waiting, old).await.assert_problem(401, "wrong_credentials");
    }
    assert_eq!(verify(&app, &waiting, &codes[9]).await.status, 200);
    let replayed = app.post(REGENERATE, Some(&ada.member.token), &body).await;
    replayed.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn who_knows_the_password_cannot_guess_codes_at_a_session() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let wrong = json!({"password": PASSWORD, "code": wrong_code(&app, &ada.secret)});
    for place in 0..10 {
        let answer = if place % 2 == 0 {
            disable(&app, &ada.member.token, &wrong).await
        } else {
            app.post(REGENERATE, Some(&ada.member.token), &wrong).await
        };
        answer.assert_problem(401, "wrong_credentials");
    }
    let right = json!({"password": PASSWORD, "code": code(&app, &ada.secret, 0)});
    disable(&app, &ada.member.token, &right).await.assert_problem(429, "rate_limited");
}

#[tokio::test]
async fn every_organization_of_the_person_hears_of_the_factor() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let other = app.member("bob@example.com").await;
    app.join(&member, &other.organization_id, "viewer").await;
    let secret = set_up(&app, &member.token).await;
    let proof = json!({"code": code(&app, &secret, 0)});
    let codes = codes_of(&app.post(VERIFY_SETUP, Some(&member.token), &proof).await);
    let renew = json!({"password": PASSWORD, "code": codes[0]});
    let codes = codes_of(&app.post(REGENERATE, Some(&member.token), &renew).await);
    let off = json!({"password": PASSWORD, "code": codes[0]});
    assert_eq!(disable(&app, &member.token, &off).await.status, 204);
    let elsewhere = Member { organization_id: other.organization_id, ..member.clone() };
    for action in ["mfa.enabled", "mfa.backup_codes_regenerated", "mfa.disabled"] {
        let rows = (audited(&app, &member, action).await, audited(&app, &elsewhere, action).await);
        assert_eq!(rows, (1, 1), "{action}");
    }
}
