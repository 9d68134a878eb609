//! What is at rest and what is in the log (statements 23 and 32).

use super::*;
use crate::observability::Log;

#[tokio::test]
async fn neither_database_nor_log_has_a_secret_of_a_factor() {
    let log = Log::get();
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let waiting = challenge(&app, ADA).await;
    let wrong = "0123-4567-89ab-cdef";
    verify(&app, &waiting, wrong).await.assert_problem(401, "wrong_credentials");
    assert_eq!(verify(&app, &waiting, &ada.backup_codes[0]).await.status, 200);
    let pending = app.member("bob@example.com").await;
    let proposed = set_up(&app, &pending.token).await;

    let client = app.database.connect().await;
    let sql = "SELECT concat_ws(' ', (SELECT string_agg(t::text, ' ') FROM users AS t),
                     (SELECT string_agg(t::text, ' ') FROM mfa_backup_codes AS t),
                     (SELECT string_agg(t::text, ' ') FROM mfa_challenges AS t),
                     (SELECT string_agg(t::text, ' ') FROM audit_log AS t),
                     (SELECT string_agg(t::text, ' ') FROM mails AS t))";
    let rows: String = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(rows.contains(ADA) && rows.contains("mfa.enabled"), "the dump sees the rows");
    let logged = log.text();
    assert!(logged.contains("/api/v1/auth/mfa/verify-setup"), "the log sees the requests");
    let hex = |text: &[u8]| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let raw = |secret: &str| hex(Secret::try_from_base32(secret).unwrap().as_bytes());
    let mut secrets = vec![
        ada.secret.clone(),
        raw(&ada.secret),
        hex(ada.secret.as_bytes()),
        proposed.clone(),
        raw(&proposed),
        waiting,
        wrong.to_owned(),
        "otpauth://".to_owned(),
    ];
    for code in &ada.backup_codes {
        secrets.extend([code.clone(), code.replace('-', ""), hex(code.replace('-', "").as_bytes())]);
    }
    for secret in secrets {
        assert!(!rows.contains(&secret), "{secret} is in the database");
        assert!(!logged.contains(&secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn a_sealed_secret_in_the_row_of_another_person_opens_nothing() {
    let app = fixed().await;
    let ada = enrolled(&app, ADA).await;
    let bob = enrolled(&app, "bob@example.com").await;
    let client = app.database.connect().await;
    let sql = "UPDATE users SET totp_secret = (SELECT totp_secret FROM users WHERE email = 'ada@example.com')
               WHERE email = 'bob@example.com'";
    assert_eq!(client.execute(sql, &[]).await.unwrap(), 1);
    let waiting = challenge(&app, "bob@example.com").await;
    for moved in [&ada.secret, &bob.secret] {
        verify(&app, &waiting, &code(&app, moved, 0)).await.assert_problem(500, "internal");
    }
    assert_eq!(count(&app, "SELECT count(*) FROM sessions").await, 2, "those of the enrolments");
    let waiting = challenge(&app, ADA).await;
    assert_eq!(verify(&app, &waiting, &code(&app, &ada.secret, 0)).await.status, 200);
}
