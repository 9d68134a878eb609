//! `picket admin rotate-key`: every sealed column, with the contexts under which the platform seals.

use picket_domain::{WebhookId, WebhookSecret};
use picket_kit::Sealer;
use picket_store::sealed::SealedColumn;
use secrecy::SecretString;

use crate::program::{Program, now};

/// One sealed value of each column, as the platform seals it; the place that each is sealed for.
async fn plant(program: &Program, sealer: &Sealer) -> Vec<(SealedColumn, String)> {
    let (organization, user) = (program.organization, program.user.uuid());
    let webhook = WebhookId::mint(now());
    let mail = webhook.uuid();
    let (digest, hex) = ([7_u8; 32], "07".repeat(32));
    let answer = format!("idempotency_keys/{}/usr_1/POST /api/v1/webhooks/a \"key\" / é/answer", organization.uuid());
    let places = vec![
        (SealedColumn::WebhookSecret, WebhookSecret::context(organization, webhook)),
        (SealedColumn::TotpSecret, format!("users/{user}/totp_secret")),
        (SealedColumn::TotpPending, format!("users/{user}/totp_pending")),
        (SealedColumn::Letter, format!("mails/{mail}/letter")),
        (SealedColumn::OauthSecrets, format!("oauth_states/{hex}/secrets")),
        (SealedColumn::Answer, answer),
    ];
    let sealed: Vec<Vec<u8>> =
        places.iter().map(|(column, place)| sealer.seal(column.column().as_bytes(), place).unwrap()).collect();
    let run = async |sql: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]| {
        program.admin.execute(sql, params).await.unwrap();
    };
    let tenant = organization.uuid();
    run(
        "INSERT INTO webhooks (id, organization_id, dialect, created_at, url, events, secret)
         VALUES ($1, $2, 'v1', now(), 'https://example.com/', '{scan.completed}', $3)",
        &[&webhook.uuid(), &tenant, &sealed[0]],
    )
    .await;
    run("UPDATE users SET totp_secret = $1, totp_enabled_at = now(), totp_pending = $2", &[&sealed[1], &sealed[2]])
        .await;
    run(
        "INSERT INTO mails (id, recipient, locale, template, created_at, expires_at, letter, next_attempt_at)
         VALUES ($1, 'x', 'en', 'x', now(), now(), $2, now())",
        &[&mail, &sealed[3]],
    )
    .await;
    run(
        "INSERT INTO oauth_states (digest, browser_digest, provider, secrets, created_at, expires_at)
         VALUES ($1, $1, 'github', $2, now(), now())",
        &[&digest.as_slice(), &sealed[4]],
    )
    .await;
    run(
        "INSERT INTO idempotency_keys (organization_id, subject, route, key, request_digest, created_at, expires_at, status, answer)
         VALUES ($1, 'usr_1', 'POST /api/v1/webhooks', 'a \"key\" / é', 'x', now(), now(), 201, $2)",
        &[&tenant, &sealed[5]],
    )
    .await;
    places
}

/// The stored bytes of a column.
async fn stored(program: &Program, column: SealedColumn) -> Vec<u8> {
    let (table, column) = (column.table(), column.column());
    program.value(&format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL")).await
}

fn keys() -> (SecretString, SecretString) {
    (Sealer::generate_key(), Sealer::generate_key())
}

#[tokio::test]
async fn after_a_rotation_the_previous_key_is_needed_for_nothing() {
    let program = Program::new().await;
    let (first, second) = keys();
    let places = plant(&program, &Sealer::new(&first).unwrap()).await;
    assert_eq!(places.len(), SealedColumn::ALL.len(), "a column that nobody tests");
    program.use_keys(&second, &[&first]);
    let said = program.run(&["admin", "rotate-key"]).good();
    assert!(said.contains("idempotency_keys.answer: 1 rewrapped, 0 unreadable"), "{said}");
    assert!(said.ends_with("6 secrets rewrapped; nothing is sealed with a previous key any more\n"), "{said}");
    let new = Sealer::new(&second).unwrap();
    for (column, place) in &places {
        let opened = new.open(&stored(&program, *column).await, place).unwrap();
        assert_eq!(opened.as_slice(), column.column().as_bytes());
    }
    // The first key is dropped, and there is nothing left to do.
    program.use_keys(&second, &[]);
    assert!(
        program
            .run(&["admin", "rotate-key"])
            .good()
            .ends_with("0 secrets rewrapped; nothing is sealed with a previous key any more\n")
    );
    let log = program.log().await;
    assert_eq!(log.len(), 4, "a row for each column that belongs to the organization: {log:?}");
    assert!(log.iter().all(|entry| entry["action"] == "secrets.rewrapped" && entry["after"]["rows"] == 1));
}

#[tokio::test]
async fn more_rows_than_a_batch_are_all_sealed_anew() {
    let program = Program::new().await;
    let (first, second) = keys();
    let sealer = Sealer::new(&first).unwrap();
    for _ in 0..450 {
        let id = WebhookId::mint(now());
        let sealed = sealer.seal(b"x", &format!("mails/{}/letter", id.uuid())).unwrap();
        let sql = "INSERT INTO mails (id, recipient, locale, template, created_at, expires_at, letter, next_attempt_at)
                   VALUES ($1, 'x', 'en', 'x', now(), now(), $2, now())";
        program.admin.execute(sql, &[&id.uuid(), &sealed]).await.unwrap();
    }
    program.use_keys(&second, &[&first]);
    assert!(program.run(&["admin", "rotate-key"]).good().contains("mails.letter: 450 rewrapped, 0 unreadable"));
}

#[tokio::test]
async fn what_no_key_opens_is_counted_and_left_as_it_is() {
    let program = Program::new().await;
    let (first, second) = keys();
    plant(&program, &Sealer::new(&first).unwrap()).await;
    let before = stored(&program, SealedColumn::Letter).await;
    // Moved from another row: it was not sealed for this place.
    program.admin.batch_execute("UPDATE webhooks SET secret = (SELECT totp_secret FROM users)").await.unwrap();
    program.use_keys(&second, &[&first]);
    let ended = program.run(&["admin", "rotate-key"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("webhooks.secret: 0 rewrapped, 1 unreadable"), "{ended:?}");
    assert!(ended.out.contains("mails.letter: 1 rewrapped, 0 unreadable"), "{ended:?}");
    assert!(ended.err.contains("1 secrets cannot be opened"), "{ended:?}");
    assert_ne!(stored(&program, SealedColumn::Letter).await, before);

    program.use_keys(&Sealer::generate_key(), &[]);
    let lost = program.run(&["admin", "rotate-key"]);
    assert_eq!(lost.code, Some(1), "without the key: {lost:?}");
    assert!(lost.err.contains("6 secrets cannot be opened"), "{lost:?}");
}
