//! A gateway per test, and a client that is short to write with.

mod start;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use picket_domain::{Letter, MailId};
use picket_kit::{Clock, Sealer, Shutdown};
use picket_live::{Live, LiveSettings};
use picket_testkit::Database;
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

pub(crate) use self::start::Keys;
use self::start::Parts;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A running gateway; it stops with the test.
pub(crate) struct TestApp {
    pub(crate) base: String,
    pub(crate) database: Arc<Database>,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) sealer: Sealer,
    pub(crate) client: reqwest::Client,
    pub(crate) redirect_address: Option<std::net::SocketAddr>,
    /// Where the object store is.
    pub(crate) folder: Arc<tempfile::TempDir>,
    shutdown: Shutdown,
    parts: Parts,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// Somebody who has registered and signed in.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    pub(crate) user_id: String,
    pub(crate) organization_id: String,
}

/// An address where nobody listens.
pub(crate) fn nobody() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A Redis that does not answer.
pub(crate) fn dead_redis() -> Live {
    let url = format!("redis://{}", nobody()).into();
    Live::new(&LiveSettings { url, key_prefix: "x".to_owned(), timeout_ms: 500 }).unwrap()
}

/// The metrics of this process, which all tests share.
pub(crate) fn metrics() -> String {
    type Render = Box<dyn Fn() -> String + Send + Sync>;
    static METRICS: OnceLock<Render> = OnceLock::new();
    let install = || -> Render {
        let handle = picket_kit::install_metrics().unwrap();
        Box::new(move || handle.render())
    };
    METRICS.get_or_init(install)()
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

impl TestApp {
    /// Every letter in the outbox that is not sent, the oldest first, with the address that it goes to.
    pub(crate) async fn letters(&self) -> Vec<(String, Letter)> {
        // By place in the table, too: a clock that stands gives all the same time.
        let sql = "SELECT id, recipient, letter FROM mails WHERE letter IS NOT NULL ORDER BY created_at, ctid";
        let rows = self.database.connect().await.query(sql, &[]).await.unwrap();
        let mut letters = Vec::new();
        for row in rows {
            let place = picket_store::mails::place(MailId::from_uuid(row.get(0)));
            let text = self.sealer.open(row.get(2), &place).unwrap();
            letters.push((row.get(1), serde_json::from_slice(&text).unwrap()));
        }
        letters
    }

    /// The token in the link of the last letter of this template to this address.
    pub(crate) async fn mailed_token(&self, email: &str, template: &str) -> String {
        let letters = self.letters().await;
        let fits = |(to, letter): &&(String, Letter)| to == email && letter.template() == template;
        let (_, letter) = letters.iter().rev().find(fits).unwrap_or_else(|| panic!("no {template} to {email}"));
        let letter = serde_json::to_value(letter).unwrap();
        letter["link"].as_str().unwrap().split_once("?token=").expect("a link with a token").1.to_owned()
    }

    /// A request without a body.
    pub(crate) async fn send(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        self.request(method, path, token, |request| request).await
    }

    /// A request that `change` completes.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Answer {
        let method: Method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = change(request).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // A stream of a scan that goes on has no end.
        let is_stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let text = if is_stream { String::new() } else { response.text().await.unwrap() };
        Answer { status, headers, text }
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send("GET", path, token).await
    }

    pub(crate) async fn delete(&self, path: &str, token: Option<&str>) -> Answer {
        self.send("DELETE", path, token).await
    }

    /// A POST of JSON.
    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        self.request("POST", path, token, |request| request.json(body)).await
    }

    /// A PUT of a picture.
    pub(crate) async fn put_picture(&self, token: &str, media_type: &str, file: impl Into<reqwest::Body>) -> Answer {
        let path = "/api/v1/auth/avatar";
        self.request("PUT", path, Some(token), |request| request.header("content-type", media_type).body(file)).await
    }

    /// A POST of bytes that claim to be JSON.
    pub(crate) async fn post_raw(&self, path: &str, token: Option<&str>, body: impl Into<reqwest::Body>) -> Answer {
        self.request("POST", path, token, |request| request.header("content-type", "application/json").body(body)).await
    }

    /// The same under an idempotency key.
    pub(crate) async fn post_raw_keyed(
        &self,
        path: &str,
        token: &str,
        key: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let change = |request: reqwest::RequestBuilder| {
            request.header("content-type", "application/json").header("idempotency-key", key).body(body)
        };
        self.request("POST", path, Some(token), change).await
    }

    /// A form as a browser sends it.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let media_type = "application/x-www-form-urlencoded";
        self.request("POST", path, None, |request| {
            request.header("accept", "text/html,*/*;q=0.8").header("content-type", media_type).body(body)
        })
        .await
    }

    /// Registers somebody and signs in.
    pub(crate) async fn member(&self, email: &str) -> Member {
        let registered = self
            .post("/api/v1/auth/register", None, &json!({"email": email, "password": PASSWORD, "name": "Ada"}))
            .await;
        assert_eq!(registered.status, 201, "{}", registered.text);
        let account = registered.json();
        let signed_in = self.post("/api/v1/auth/login", None, &json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text);
        Member {
            token: signed_in.json()["access_token"].as_str().unwrap().to_owned(),
            refresh_token: signed_in.json()["refresh_token"].as_str().unwrap().to_owned(),
            user_id: account["id"].as_str().unwrap().to_owned(),
            organization_id: account["organization"]["id"].as_str().unwrap().to_owned(),
        }
    }

    /// Makes a key with these scopes.
    pub(crate) async fn api_key(&self, token: &str, scopes: &[&str]) -> String {
        let made = self.post("/api/v1/api-keys", Some(token), &json!({"name": "test", "scopes": scopes})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// Says of somebody that the address is proven.
    pub(crate) async fn verify(&self, email: &str) {
        let client = self.database.connect().await;
        let sql = "UPDATE users SET email_verified_at = now() WHERE email = $1";
        assert_eq!(client.execute(sql, &[&email]).await.unwrap(), 1, "{email}");
    }

    /// A new token of somebody who has registered.
    pub(crate) async fn sign_in(&self, email: &str) -> String {
        let signed_in = self.post("/api/v1/auth/login", None, &json!({"email": email, "password": PASSWORD})).await;
        signed_in.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Repeats a request until its status is `wanted`, for longer than callers are remembered; that this is below a second has
    /// tests of its own.
    pub(crate) async fn eventually(&self, request: impl AsyncFn() -> Answer, wanted: u16) -> Answer {
        let begun = std::time::Instant::now();
        loop {
            let answer = request().await;
            if answer.status == wanted || begun.elapsed() > Duration::from_secs(10) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A person of one organization becomes a member of another, too.
    pub(crate) async fn join(&self, person: &Member, organization: &str, role: &str) {
        let user: picket_domain::UserId = person.user_id.parse().unwrap();
        let organization: picket_domain::OrganizationId = organization.parse().unwrap();
        let sql = "INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES ($1, $2, $3, now())";
        let client = self.database.connect().await;
        client.execute(sql, &[&organization.uuid(), &user.uuid(), &role]).await.unwrap();
    }

    /// Gives a member another role.
    pub(crate) async fn set_role(&self, member: &Member, role: &str) {
        let user: picket_domain::UserId = member.user_id.parse().unwrap();
        let client = self.database.connect().await;
        let changed = client
            .execute("UPDATE memberships SET role = $2 WHERE user_id = $1", &[&user.uuid(), &role])
            .await
            .unwrap();
        assert_eq!(changed, 1);
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Demands a problem in the form of the contract.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:picket:problem:{code}"));
        assert!(body["title"].is_string() && body["detail"].is_string());
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        body
    }

    /// Demands a 400 that names this field.
    #[track_caller]
    pub(crate) fn assert_field(&self, field: &str, code: &str) {
        let body = self.assert_problem(400, "invalid_request");
        let errors = body["errors"].as_array().unwrap();
        let named = errors.iter().any(|error| error["field"] == field && error["code"] == code);
        assert!(named && errors.iter().all(|error| error["message"].is_string()), "{body}");
    }
}
