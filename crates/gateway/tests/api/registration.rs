//! Registering tells nobody who has an account; profiles; what nobody assigns to themselves.

use picket_domain::Letter;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, PASSWORD, TestApp};

/// What a client sees of an answer, but for what every request has of its own.
pub(crate) fn visible(answer: &Answer) -> (u16, Vec<(String, String)>, usize) {
    let own = ["x-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort_unstable();
    (answer.status, headers, answer.text.len())
}

async fn frozen() -> TestApp {
    TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), |_| {}).await
}

async fn count(app: &TestApp, table: &str) -> i64 {
    app.database.connect().await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_address_that_is_taken_gets_the_same_answer_and_its_owner_a_letter() {
    let app = frozen().await;
    let register = async |email: &str, password: &str| {
        let body = json!({"email": email, "password": password, "name": "Bob", "organization": "Bobs", "locale": "id"});
        app.post("/api/v1/auth/register", None, &body).await
    };
    let (free, owned) = (register("ada@example.com", PASSWORD).await, register("ADA@example.com", PASSWORD).await);
    assert_eq!(free.status, 201);
    assert_eq!(visible(&free), visible(&owned));
    let fields = |answer: &Answer| answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&free), fields(&owned));
    assert_ne!(free.json()["id"], owned.json()["id"]);
    assert_eq!(owned.json()["email"], "ADA@example.com");
    for (table, rows) in [("users", 1), ("organizations", 1), ("memberships", 1), ("audit_log", 1), ("mails", 2)] {
        assert_eq!(count(&app, table).await, rows, "{table}");
    }
    let letters = app.letters().await;
    let taken = letters.iter().find(|(_, letter)| letter.template() == "address_taken").expect("the owner's letter");
    assert_eq!(taken.0, "ada@example.com");
    let Letter::AddressTaken { name, link } = &taken.1 else { panic!("{:?}", taken.1) };
    assert_eq!(name, "Bob");
    assert!(link.ends_with("/api/v1/account/reset-password"), "{link}");
    assert_eq!(letters.iter().filter(|(_, letter)| letter.template() == "verify_address").count(), 1);
}

#[tokio::test]
async fn of_many_who_register_an_address_at_once_one_does_and_nobody_can_tell() {
    let app = frozen().await;
    let bodies = (0..8).map(|_| async {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        visible(&app.post("/api/v1/auth/register", None, &body).await)
    });
    let answers = futures_util::future::join_all(bodies).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!((answers[0].0, count(&app, "users").await, count(&app, "organizations").await), (201, 1, 1));
}

#[tokio::test]
async fn a_stranger_cannot_flood_an_address_with_letters() {
    let app = frozen().await;
    for _ in 0..8 {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        assert_eq!(app.post("/api/v1/auth/register", None, &body).await.status, 201);
        let address = json!({"email": "ada@example.com"});
        assert_eq!(app.post("/api/v1/account/forgot-password", None, &address).await.status, 202);
        assert_eq!(app.post("/api/v1/auth/resend-verification", None, &address).await.status, 202);
    }
    assert_eq!(count(&app, "mails").await, 15, "five of each kind");
    app.clock.advance(jiff::SignedDuration::from_mins(61));
    let address = json!({"email": "ada@example.com"});
    assert_eq!(app.post("/api/v1/account/forgot-password", None, &address).await.status, 202);
    assert_eq!(count(&app, "mails").await, 16);
}

#[tokio::test]
async fn a_registration_begins_a_trial_of_fourteen_days_and_says_so_in_the_audit_log() {
    let app = frozen().await;
    let member = app.member("ada@example.com").await;
    let client = app.database.connect().await;
    let ends: jiff::Timestamp = client.query_one("SELECT trial_ends_at FROM organizations", &[]).await.unwrap().get(0);
    assert_eq!(ends.to_string(), "2026-01-29T14:30:00Z");
    let sql = "SELECT entry FROM audit_log WHERE action = 'organization.created'";
    let entry: Value = serde_json::from_str(client.query_one(sql, &[]).await.unwrap().get(0)).unwrap();
    assert_eq!((&entry["actor"], &entry["object"]), (&json!(member.user_id), &json!(member.organization_id)));
    assert_eq!(entry["after"]["plan"], "trial");
}

#[tokio::test]
async fn common_passwords_and_those_made_of_ones_name_are_refused() {
    let app = frozen().await;
    for password in ["password1234", "qwertyuiop12", "lovelace1234", "analyticalengines", "aaaaaaaaaaaaaaaa"] {
        let body = json!({"email": "countess@example.com", "password": password, "name": "Ada Lovelace",
                          "organization": "Analytical Engines"});
        app.post("/api/v1/auth/register", None, &body).await.assert_field("password", "weak_password");
    }
    assert_eq!(count(&app, "users").await, 0);
}

#[tokio::test]
async fn a_password_is_verified_exactly_as_it_was_received() {
    let app = frozen().await;
    let password = "  Ünïcode 密码 with spaces  ";
    let body = json!({"email": "ada@example.com", "password": password});
    assert_eq!(app.post("/api/v1/auth/register", None, &body).await.status, 201);
    assert_eq!(app.post("/api/v1/auth/login", None, &body).await.status, 200);
    let decomposed = "  U\u{308}nïcode 密码 with spaces  ";
    for other in [password.trim(), &password.to_lowercase(), decomposed] {
        let body = json!({"email": "ada@example.com", "password": other});
        app.post("/api/v1/auth/login", None, &body).await.assert_problem(401, "wrong_credentials");
    }
}

#[tokio::test]
async fn nobody_assigns_to_themselves_what_only_others_may() {
    let app = frozen().await;
    let member = app.member("ada@example.com").await;
    let address = || json!({"email": "ada@example.com"});
    let bodies: [(&str, &str, Value); 8] = [
        ("POST", "/api/v1/auth/register", json!({"email": "bob@example.com", "password": PASSWORD})),
        ("POST", "/api/v1/auth/login", json!({"email": "ada@example.com", "password": PASSWORD})),
        ("POST", "/api/v1/auth/resend-verification", address()),
        ("POST", "/api/v1/auth/verify-email", json!({"token": "x"})),
        ("PUT", "/api/v1/auth/profile", json!({"name": "Ada"})),
        ("PUT", "/api/v1/auth/change-password", json!({"current_password": PASSWORD, "new_password": "vT7q-kz4RmeX"})),
        ("POST", "/api/v1/account/forgot-password", address()),
        ("POST", "/api/v1/account/reset-password", json!({"token": "x", "password": "vT7q-kz4RmeX"})),
    ];
    for (method, path, body) in &bodies {
        for field in
            ["role", "tenant_id", "is_admin", "email_verified", "plan", "created_at", "status", "mfa_enabled", "id"]
        {
            let mut body = body.clone();
            body[field] = json!("owner");
            let answer = app.request(method, path, Some(&member.token), |request| request.json(&body)).await;
            answer.assert_field(field, "unknown_field");
        }
        let twice = body.to_string().replacen('{', "{\"email\":\"a@b.cd\",\"email\":\"a@b.cd\",", 1);
        let json = ("content-type", "application/json");
        let answer =
            app.request(method, path, Some(&member.token), |request| request.header(json.0, json.1).body(twice)).await;
        answer.assert_field("email", "duplicate_field");
        let query = format!("{path}?token=x&email=a@b.cd");
        let answer = app.request(method, &query, Some(&member.token), |request| request.json(body)).await;
        answer.assert_field("token", "unknown_field");
    }
    let me = app.get("/api/v1/auth/me", Some(&member.token)).await.json();
    assert_eq!((&me["name"], &me["email_verified"]), (&json!("Ada"), &json!(false)));
}

#[tokio::test]
async fn a_profile_is_changed_by_its_person_and_the_audit_log_knows_both_versions() {
    let app = frozen().await;
    let member = app.member("ada@example.com").await;
    let put = async |body: Value| {
        app.request("PUT", "/api/v1/auth/profile", Some(&member.token), |request| request.json(&body)).await
    };
    let changed = put(json!({"name": " Ada L. ", "locale": "zh", "time_zone": "asia/jakarta"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let me = app.get("/api/v1/auth/me", Some(&member.token)).await.json();
    assert_eq!(changed.json(), me);
    assert_eq!(
        (&me["name"], &me["locale"], &me["time_zone"]),
        (&json!("Ada L."), &json!("zh"), &json!("Asia/Jakarta"))
    );
    assert_eq!(put(json!({"locale": "id"})).await.json()["name"], "Ada L.", "what is left out stays");
    assert_eq!(put(json!({})).await.status, 200);
    put(json!({"name": "", "time_zone": "Mars/Olympus"})).await.assert_field("time_zone", "invalid_time_zone");
    put(json!({"time_zone": "../../etc/passwd"})).await.assert_field("time_zone", "invalid_time_zone");
    put(json!({"name": "a\nb"})).await.assert_field("name", "invalid_name");
    put(json!({"locale": "fr"})).await.assert_field("locale", "unknown_value");
    let client = app.database.connect().await;
    let sql = "SELECT entry FROM audit_log WHERE action = 'user.profile_updated' ORDER BY sequence";
    let rows = client.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 2, "nothing changed, nothing written");
    let entry: Value = serde_json::from_str(rows[0].get(0)).unwrap();
    assert_eq!(entry["before"], json!({"name": "Ada", "locale": "en", "time_zone": "UTC"}));
    assert_eq!(entry["after"], json!({"name": "Ada L.", "locale": "zh", "time_zone": "Asia/Jakarta"}));
}
