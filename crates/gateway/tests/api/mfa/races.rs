//! Many at the same time (statements 7 and 8).

use futures_util::future::join_all;

use super::*;

const MANY: usize = 50;

/// Lets the gateway open all its connections, so that what comes next does not wait in line for the first.
async fn warm(app: &TestApp) {
    let nobodys = format!("mfa_{}", "A".repeat(43));
    join_all((0..MANY).map(|_| verify(app, &nobodys, "123456"))).await;
}

/// So many logins of Ada that wait; stored as a login stores them, without the time that so many passwords take.
async fn challenges(app: &TestApp, ada: &Enrolled) -> Vec<String> {
    let user: UserId = ada.member.user_id.parse().unwrap();
    let organization: OrganizationId = ada.member.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    let sql = "INSERT INTO mfa_challenges (digest, user_id, organization_id, created_at, expires_at)
               SELECT sha256(convert_to(token, 'UTF8')), $2, $3, $4, $4::timestamptz + interval '5 minutes' FROM unnest($1::text[]) AS token";
    let tokens: Vec<String> = (0..MANY).map(|place| format!("mfa_{place:043}")).collect();
    client.execute(sql, &[&tokens, &user.uuid(), &organization.uuid(), &app.clock.now()]).await.unwrap();
    tokens
}

fn statuses(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn one_of_fifty_logins_with_the_same_code_gets_in() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let now = code(&app, &ada.secret, 0);
    let waiting = challenges(&app, &ada).await;
    warm(&app).await;
    let answers = join_all(waiting.iter().map(|token| verify(&app, token, &now))).await;
    assert_eq!(statuses(&answers, 200), 1);
    assert_eq!(statuses(&answers, 401), 10, "what the person's limit lets through");
    assert_eq!(statuses(&answers, 429), MANY - 11);
    assert_eq!(count(&app, "SELECT count(*) FROM sessions").await, 2);
}

#[tokio::test]
async fn one_of_fifty_logins_with_the_same_backup_code_gets_in() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenges(&app, &ada).await;
    warm(&app).await;
    let answers = join_all(waiting.iter().map(|token| verify(&app, token, &ada.backup_codes[0]))).await;
    assert_eq!((statuses(&answers, 200), statuses(&answers, 401)), (1, MANY - 1));
    assert_eq!(count(&app, "SELECT count(*) FROM mfa_backup_codes WHERE used_at IS NOT NULL").await, 1);
    assert_eq!(count(&app, "SELECT count(*) FROM sessions").await, 2);
}

#[tokio::test]
async fn a_waiting_login_becomes_one_session() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenge(&app, ADA).await;
    warm(&app).await;
    let shown = (0..MANY).map(|place| verify(&app, &waiting, &ada.backup_codes[place % 10]));
    let answers = join_all(shown).await;
    assert_eq!((statuses(&answers, 200), statuses(&answers, 401)), (1, MANY - 1));
    assert_eq!(status(&app, &ada.member.token).await["backup_codes_left"], 9, "the others were not looked at");
}

#[tokio::test]
async fn of_fifty_wrong_codes_at_once_five_are_looked_at() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenge(&app, ADA).await;
    let wrong = wrong_code(&app, &ada.secret);
    warm(&app).await;
    let answers = join_all((0..MANY).map(|_| verify(&app, &waiting, &wrong))).await;
    assert_eq!(statuses(&answers, 401), MANY);
    assert_eq!(count(&app, "SELECT failures::bigint FROM mfa_challenges").await, 5);
    assert_eq!(count(&app, "SELECT cardinality(totp_failures)::bigint FROM users").await, 5);
    assert_eq!(audited(&app, &ada.member, "mfa.challenge_burnt").await, 1);
    verify(&app, &waiting, &code(&app, &ada.secret, 0)).await.assert_problem(401, "wrong_credentials");
}

#[tokio::test]
async fn a_factor_is_put_on_once() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let secret = set_up(&app, &member.token).await;
    let first = json!({"code": code(&app, &secret, 0)});
    warm(&app).await;
    let answers = join_all((0..10).map(|_| app.post(VERIFY_SETUP, Some(&member.token), &first))).await;
    assert_eq!((statuses(&answers, 200), statuses(&answers, 409)), (1, 9));
    assert_eq!(count(&app, "SELECT count(*) FROM mfa_backup_codes").await, 10);
}

#[tokio::test]
async fn no_session_slips_past_a_factor_that_is_being_put_on() {
    let app = fixed().await;
    let member = app.member(ADA).await;
    let secret = set_up(&app, &member.token).await;
    let login = json!({"email": ADA, "password": PASSWORD});
    let first = json!({"code": code(&app, &secret, 0)});
    let logins = join_all((0..10).map(|_| app.post("/api/v1/auth/login", None, &login)));
    let (logins, on) = tokio::join!(logins, async {
        tokio::task::yield_now().await;
        app.post(VERIFY_SETUP, Some(&member.token), &first).await
    });
    assert_eq!((statuses(&logins, 200), on.status), (10, 200), "{}", on.text);
    assert_eq!(count(&app, "SELECT count(*) FROM sessions WHERE NOT mfa AND revoked_at IS NULL").await, 0);
}

#[tokio::test]
async fn passwords_at_a_session_are_counted_as_those_of_a_login() {
    let app = TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await;
    let member = app.member(ADA).await;
    let wrong = json!({"password": "not the right one"});
    for _ in 0..5 {
        let answer = app.post("/api/v1/auth/mfa/setup", Some(&member.token), &wrong).await;
        answer.assert_problem(401, "wrong_credentials");
    }
    let right = json!({"password": PASSWORD});
    let throttled = app.post("/api/v1/auth/mfa/setup", Some(&member.token), &right).await;
    throttled.assert_problem(429, "rate_limited");
    app.post("/api/v1/auth/login", None, &json!({"email": ADA, "password": PASSWORD}))
        .await
        .assert_problem(429, "rate_limited");
}
