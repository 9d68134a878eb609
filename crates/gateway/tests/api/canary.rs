//! Secrets that are planted through the API are nowhere afterwards: neither in a log line, however much is logged, nor in any
//! column of any table, as they are or in an encoding. The list of tables comes from the catalogue.
//!
//! To plant another secret: its line in `plant`.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::json;

use crate::{harness::TestApp, observability::Log};

const PASSWORD: &str = "canary of a password, unlike any other";
/// A longer text that contains a secret's encoding contains these many characters of it, wherever it begins.
const LEAST: usize = 12;

/// A secret, and what it is called in a failure.
struct Canary {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Canary {
    fn text(name: &'static str, text: &str) -> Self {
        assert!(text.len() >= LEAST, "{name} is there, and long enough to be told from other text");
        Self { name, bytes: text.as_bytes().to_vec() }
    }

    /// How it could be written down: as it is, in hexadecimal digits, in base64 at each of its three offsets.
    fn forms(&self) -> Vec<String> {
        let hex = |byte: &u8| format!("{byte:02x}");
        let mut forms = vec![self.bytes.iter().map(hex).collect::<String>()];
        forms.extend(String::from_utf8(self.bytes.clone()).ok().filter(|text| text.is_ascii()));
        for offset in 0..3 {
            let shifted = [vec![0; offset], self.bytes.clone()].concat();
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                // Without the characters that the neighbours have a share in.
                let text = engine.encode(&shifted);
                forms.push(text[offset + 1..text.len() - 2].to_owned());
            }
        }
        forms
    }

    fn is_in(&self, text: &str) -> bool {
        self.forms().iter().any(|form| text.contains(form.as_str()))
    }
}

/// Goes through the API as a client does; returns every secret that came up.
async fn plant(app: &TestApp) -> Vec<Canary> {
    let email = "canary-of-the-dump@example.com";
    let registration = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    assert_eq!(app.post("/api/v1/auth/register", None, &registration).await.status, 201);
    let login = json!({"email": email, "password": PASSWORD});
    let tokens = app.post("/api/v1/auth/login", None, &login).await.json();
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    let wrong = json!({"email": email, "password": "canary of a wrong guess"});
    assert_eq!(app.post("/api/v1/auth/login", None, &wrong).await.status, 401);
    let key = app.api_key(&access, &["scans:read"]).await;
    assert_eq!(app.get("/api/v1/scans", Some(&key)).await.status, 200);
    let hook = json!({"url": "https://93.184.215.14/hook"});
    let secret = app.post("/api/v1/webhooks", Some(&access), &hook).await.json()["secret"].as_str().unwrap().to_owned();
    let bytes = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    vec![
        Canary::text("the password", PASSWORD),
        Canary::text("a wrong password", "canary of a wrong guess"),
        Canary::text("the access token", &access),
        Canary::text("the refresh token", tokens["refresh_token"].as_str().unwrap()),
        Canary::text("the API key", &key),
        Canary::text("the API key's secret part", &key[key.len() - 24..]),
        Canary::text("the webhook's secret", &secret),
        Canary { name: "the bytes of the webhook's secret", bytes },
    ]
}

/// The same for what is mailed, for the second factor, for a refreshed session and for an answer that is kept to be replayed.
async fn plant_more(app: &TestApp) -> Vec<Canary> {
    let email = "canary-of-the-dump@example.com";
    let login = json!({"email": email, "password": PASSWORD});
    let tokens = app.post("/api/v1/auth/login", None, &login).await.json();
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    assert_eq!(app.post("/api/v1/account/forgot-password", None, &json!({"email": email})).await.status, 202);
    app.verify(email).await;
    let invitation = json!({"email": "canary-guest@example.com", "role": "viewer"});
    assert_eq!(app.post("/api/v1/settings/team/invite", Some(&access), &invitation).await.status, 201);
    let kept = app
        .request("POST", "/api/v1/api-keys", Some(&access), |request| {
            request.header("idempotency-key", "canary-key").json(&json!({"name": "x", "scopes": ["scans:read"]}))
        })
        .await
        .json();
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    let next = app.post("/api/v1/auth/refresh", None, &refresh).await.json();
    let set_up = app.post("/api/v1/auth/mfa/setup", Some(&access), &json!({"password": PASSWORD})).await.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    vec![
        Canary::text("the token that proves an address", &app.mailed_token(email, "verify_address").await),
        Canary::text("the token that resets a password", &app.mailed_token(email, "reset_password").await),
        Canary::text("a key in an answer that is kept", &text(&kept["key"])),
        Canary::text("the next refresh token", &text(&next["refresh_token"])),
        Canary::text("the seed of the second factor", &text(&set_up["secret"])),
    ]
}

/// Every row of every table as text; bytes are in hexadecimal digits.
async fn dump(app: &TestApp) -> Vec<(String, String)> {
    let client = app.database.connect().await;
    let tables = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    let mut rows = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in client.query(&format!("SELECT t::text FROM {table} AS t"), &[]).await.unwrap() {
            rows.push((table.clone(), row.get(0)));
        }
    }
    rows
}

#[tokio::test]
async fn planted_secrets_are_in_no_log_and_in_no_column() {
    let log = Log::get();
    let app = TestApp::spawn().await;
    let mut canaries = plant(&app).await;
    canaries.extend(plant_more(&app).await);
    let (rows, lines) = (dump(&app).await, log.text());
    let tables: std::collections::BTreeSet<_> = rows.iter().map(|(table, _)| table.as_str()).collect();
    for table in [
        "api_keys",
        "audit_log",
        "email_tokens",
        "idempotency_keys",
        "invitations",
        "mails",
        "refresh_tokens",
        "sessions",
        "users",
        "webhooks",
    ] {
        assert!(tables.contains(table), "{table} has rows to look at");
    }
    assert!(lines.contains("db.api_keys.create"), "every span is logged");
    for canary in &canaries {
        assert!(!canary.is_in(&lines), "{} is in the log", canary.name);
        for (table, row) in &rows {
            assert!(!canary.is_in(row), "{} is in {table}", canary.name);
        }
    }
    assert!(!lines.contains("canary-of-the-dump@"), "an address of a person is in the log");
}

#[tokio::test]
async fn a_secret_that_was_stored_as_it_is_would_be_found() {
    let app = TestApp::spawn().await;
    app.member("ada@example.com").await;
    let client = app.database.connect().await;
    let canary = Canary::text("a canary", "a secret that is 32 bytes long!!");
    let places = [
        "UPDATE users SET name = 'x' || $1 || 'y'",
        "UPDATE users SET totp_pending = convert_to('xyz' || $1, 'UTF8')",
        "UPDATE users SET name = encode(convert_to('x' || $1 || 'y', 'UTF8'), 'base64')",
        "UPDATE users SET name = encode(convert_to('xy' || $1 || 'y', 'UTF8'), 'hex')",
        "UPDATE organizations SET branding = jsonb_build_object('a', jsonb_build_array($1::text))",
    ];
    for sql in places {
        client.batch_execute("UPDATE users SET name = 'Ada', totp_pending = NULL").await.unwrap();
        client.batch_execute("UPDATE organizations SET branding = '{}'").await.unwrap();
        assert!(!dump(&app).await.iter().any(|(_, row)| canary.is_in(row)));
        let text = std::str::from_utf8(&canary.bytes).unwrap();
        client.execute(sql, &[&text]).await.unwrap();
        assert!(dump(&app).await.iter().any(|(_, row)| canary.is_in(row)), "{sql}");
    }
}
