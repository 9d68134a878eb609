//! The second step of a login (statement 7).

use super::*;

#[tokio::test]
async fn a_login_with_a_factor_needs_its_code_and_a_code_is_good_once() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenge(&app, ADA).await;
    for wrong in [ADA, &waiting[1..], &waiting.replace("mfa_", "rt_"), &"x".repeat(100_000)] {
        verify(&app, wrong, &code(&app, &ada.secret, 0)).await.assert_problem(401, "wrong_credentials");
    }
    verify(&app, &waiting, &wrong_code(&app, &ada.secret)).await.assert_problem(401, "wrong_credentials");
    verify(&app, &waiting, "12345").await.assert_field("code", "invalid_code");

    let now = code(&app, &ada.secret, 0);
    let signed_in = verify(&app, &waiting, &now).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let tokens = signed_in.json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert!(tokens["refresh_token"].as_str().unwrap().starts_with("rt_"));
    assert_eq!(app.get(ME, tokens["access_token"].as_str()).await.status, 200);
    assert_eq!(count(&app, "SELECT count(*) FROM sessions WHERE mfa AND revoked_at IS NULL").await, 2);

    next_step(&app);
    let spent = verify(&app, &waiting, &code(&app, &ada.secret, 0)).await;
    spent.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn a_step_is_accepted_once_also_by_another_login() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let now = code(&app, &ada.secret, 0);
    let first = challenge(&app, ADA).await;
    let second = challenge(&app, ADA).await;
    assert_eq!(verify(&app, &first, &now).await.status, 200);
    verify(&app, &second, &now).await.assert_problem(401, "wrong_credentials");
    app.clock.advance(jiff::SignedDuration::from_secs(29));
    verify(&app, &second, &now).await.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn the_code_that_put_the_factor_on_does_not_sign_in() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let secret = set_up(&app, &member.token).await;
    let first = code(&app, &secret, 0);
    codes_of(&app.post(VERIFY_SETUP, Some(&member.token), &json!({"code": first})).await);
    let waiting = challenge(&app, ADA).await;
    verify(&app, &waiting, &first).await.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn an_app_may_be_one_step_early_or_late_and_no_more() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    app.clock.advance(jiff::SignedDuration::from_mins(3));
    let waiting = challenge(&app, ADA).await;
    for step in [-2, 2] {
        let far = code(&app, &ada.secret, step);
        verify(&app, &waiting, &far).await.assert_problem(401, "wrong_credentials");
    }
    for step in [-1, 0, 1] {
        let waiting = challenge(&app, ADA).await;
        assert_eq!(verify(&app, &waiting, &code(&app, &ada.secret, step)).await.status, 200, "{step}");
    }
    // The last one was of the next step: what lies behind it is used up.
    for step in [-1, 0, 1] {
        let behind = code(&app, &ada.secret, step);
        verify(&app, &waiting, &behind).await.assert_problem(401, "wrong_credentials");
    }
}

#[tokio::test]
async fn the_token_of_a_waiting_login_opens_nothing_else() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenge(&app, ADA).await;
    for path in [ME, STATUS, "/api/v1/tools", "/api/v2/scans", "/api/v1/api-keys"] {
        app.get(path, Some(&waiting)).await.assert_problem(401, "unauthenticated");
        let answer = app.request("GET", path, None, |request| request.header("x-api-key", &waiting)).await;
        answer.assert_problem(401, "unauthenticated");
    }
    let both = json!({"password": PASSWORD, "code": ada.backup_codes[0]});
    for path in [SETUP, VERIFY_SETUP, REGENERATE] {
        app.post(path, Some(&waiting), &both).await.assert_problem(401, "unauthenticated");
    }
    let answer = app.request("DELETE", DISABLE, Some(&waiting), |request| request.json(&both)).await;
    answer.assert_problem(401, "unauthenticated");
    verify(&app, &ada.member.token, &code(&app, &ada.secret, 0)).await.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn a_waiting_login_ends_after_five_minutes() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let (early, late) = (challenge(&app, ADA).await, challenge(&app, ADA).await);
    app.clock.advance(jiff::SignedDuration::from_secs(299));
    assert_eq!(verify(&app, &early, &code(&app, &ada.secret, 0)).await.status, 200);
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    verify(&app, &late, &ada.backup_codes[0]).await.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn the_code_of_one_person_opens_nothing_of_another() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let bob = enrolled(&app, "bob@example.com").await;
    let waiting = challenge(&app, "bob@example.com").await;
    for foreign in [code(&app, &ada.secret, 0), ada.backup_codes[0].clone()] {
        verify(&app, &waiting, &foreign).await.assert_problem(401, "wrong_credentials");
    }
    assert_eq!(verify(&app, &waiting, &code(&app, &bob.secret, 0)).await.status, 200);
    let waiting = challenge(&app, ADA).await;
    assert_eq!(verify(&app, &waiting, &ada.backup_codes[0]).await.status, 200, "untouched");
}

#[tokio::test]
async fn who_may_not_sign_in_any_more_cannot_finish_a_login() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let client = app.database.connect().await;
    for (change, undo) in [
        ("UPDATE users SET disabled_at = now()", "UPDATE users SET disabled_at = NULL"),
        (
            "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'",
            "UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL",
        ),
        ("UPDATE users SET password_changed_at = '2026-01-16'", "UPDATE users SET password_changed_at = '2026-01-01'"),
        ("UPDATE mfa_challenges SET failures = 5", "UPDATE mfa_challenges SET failures = 0"),
    ] {
        let waiting = challenge(&app, ADA).await;
        client.execute(change, &[]).await.unwrap();
        let now = code(&app, &ada.secret, 0);
        verify(&app, &waiting, &now).await.assert_problem(401, "wrong_credentials");
        client.execute(undo, &[]).await.unwrap();
        assert_eq!(verify(&app, &waiting, &now).await.status, 200, "{undo}");
        next_step(&app);
    }
    let waiting = challenge(&app, ADA).await;
    client.execute("DELETE FROM memberships", &[]).await.unwrap();
    verify(&app, &waiting, &code(&app, &ada.secret, 0)).await.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn five_wrong_codes_burn_a_login_and_ten_rest_the_app() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let wrong = wrong_code(&app, &ada.secret);
    for _ in 0..2 {
        let waiting = challenge(&app, ADA).await;
        for _ in 0..5 {
            verify(&app, &waiting, &wrong).await.assert_problem(401, "wrong_credentials");
        }
        verify(&app, &waiting, &code(&app, &ada.secret, 0)).await.assert_problem(401, "wrong_credentials");
    }
    assert_eq!(audited(&app, &ada.member, "mfa.challenge_burnt").await, 2);

    let waiting = challenge(&app, ADA).await;
    let limited = verify(&app, &waiting, &code(&app, &ada.secret, 0)).await;
    limited.assert_problem(429, "rate_limited");
    assert_eq!(limited.header("retry-after"), Some("901"));
    assert_eq!(verify(&app, &waiting, &ada.backup_codes[0]).await.status, 200, "nobody guesses these");

    app.clock.advance(jiff::SignedDuration::from_secs(899));
    let waiting = challenge(&app, ADA).await;
    verify(&app, &waiting, &code(&app, &ada.secret, 0)).await.assert_problem(429, "rate_limited");
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    assert_eq!(verify(&app, &waiting, &code(&app, &ada.secret, 0)).await.status, 200);
}

#[tokio::test]
async fn the_second_step_gives_a_cookie_to_who_asks_there() {
    let app = fixed().await;
    let enrolled = enrolled(&app, "ada@example.com").await;
    next_step(&app);
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "refresh_cookie": true});
    let challenged = app.post("/api/v1/auth/login", None, &body).await;
    assert!(challenged.header("set-cookie").is_none(), "there is no session yet");
    let token = challenged.json()["mfa_token"].as_str().unwrap().to_owned();
    let body = json!({"mfa_token": token, "code": code(&app, &enrolled.secret, 0), "refresh_cookie": true});
    let signed_in = app.post(VERIFY, None, &body).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    assert!(signed_in.json().get("refresh_token").is_none());
    assert!(signed_in.header("set-cookie").unwrap().starts_with("picket_refresh=rt_"));
}
