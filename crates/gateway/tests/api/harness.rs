//! A gateway per test, and a client that is short to write with.

use std::{sync::Arc, time::Duration};

use picket_blobs::{BlobSettings, Blobs};
use picket_gateway::{AppParts, Gateway, GatewaySettings, generate_signing_key};
use picket_kit::{Clock, Sealer, Shutdown};
use picket_live::{Live, LiveSettings};
use picket_outbound::OutboundSettings;
use picket_store::{Db, DbSettings};
use picket_testkit::{Database, Namespace, required};
use reqwest::{Method, header::HeaderMap};
use secrecy::SecretString;
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A running gateway; it stops with the test.
pub(crate) struct TestApp {
    pub(crate) base: String,
    pub(crate) database: Arc<Database>,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) client: reqwest::Client,
    pub(crate) redirect_address: Option<std::net::SocketAddr>,
    shutdown: Shutdown,
    /// Where the object store is.
    pub(crate) folder: Arc<tempfile::TempDir>,
}

/// What gateways of one installation have in common.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) sealing: SecretString,
    pub(crate) signing: SecretString,
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

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

impl TestApp {
    /// A gateway that counts no requests.
    pub(crate) async fn spawn() -> Self {
        Self::spawn_with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn spawn_with(change: impl FnOnce(&mut GatewaySettings)) -> Self {
        Self::spawn_at(Clock::system(), change).await
    }

    /// The same by another clock.
    pub(crate) async fn spawn_at(clock: Clock, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let live =
            LiveSettings { url: required("REDIS_URL").into(), key_prefix: Namespace::new().prefix, timeout_ms: 2_000 };
        Self::start(clock, Live::new(&live).unwrap(), change).await
    }

    /// The same with another Redis.
    pub(crate) async fn start(clock: Clock, live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let database = Database::new().await;
        let url = database.url();
        Self::start_at(database, url, clock, live, change)
    }

    /// Another gateway of the same installation: the same database, keys and clock, and a Redis of its own.
    pub(crate) fn beside(&self, live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let place = (self.database.clone(), self.folder.clone(), self.keys.clone());
        Self::start_in(place, self.database.url(), self.clock.clone(), live, change)
    }

    /// The same with a database that does not answer.
    pub(crate) async fn without_database(live: Live) -> Self {
        Self::without_database_with(live, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn without_database_with(live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let url = format!("postgres://nobody@{}/nothing", nobody());
        Self::start_at(Database::new().await, url, Clock::system(), live, change)
    }

    fn start_at(
        database: Database,
        url: String,
        clock: Clock,
        live: Live,
        change: impl FnOnce(&mut GatewaySettings),
    ) -> Self {
        let keys = Keys { sealing: Sealer::generate_key(), signing: generate_signing_key() };
        let place = (Arc::new(database), Arc::new(tempfile::tempdir().unwrap()), keys);
        Self::start_in(place, url, clock, live, change)
    }

    fn start_in(
        (database, folder, keys): (Arc<Database>, Arc<tempfile::TempDir>, Keys),
        url: String,
        clock: Clock,
        live: Live,
        change: impl FnOnce(&mut GatewaySettings),
    ) -> Self {
        let db = DbSettings { url, max_connections: 8, wait: Duration::from_secs(10) };
        let parts = AppParts {
            db: Db::new(&db).unwrap(),
            clock: clock.clone(),
            sealer: Sealer::new(&keys.sealing).unwrap(),
            blobs: Blobs::open(&BlobSettings::Folder { path: folder.path().to_owned() }).unwrap(),
            outbound: OutboundSettings::default(),
            live: Some(live),
        };
        let mut settings = GatewaySettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            threads: 1,
            rate_limits: false,
            signing_key: Some(keys.signing.clone()),
            ..GatewaySettings::default()
        };
        change(&mut settings);
        let shutdown = Shutdown::new();
        let gateway = Gateway::bind(parts, settings).unwrap();
        let base = format!("http://{}", gateway.address());
        let redirect_address = gateway.redirect_address();
        tokio::spawn(gateway.serve(shutdown.clone()));
        let client = reqwest::Client::new();
        Self { base, database, clock, keys, client, redirect_address, shutdown, folder }
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
        Answer { status, headers, text: response.text().await.unwrap() }
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

    /// A new token of somebody who has registered.
    pub(crate) async fn sign_in(&self, email: &str) -> String {
        let signed_in = self.post("/api/v1/auth/login", None, &json!({"email": email, "password": PASSWORD})).await;
        signed_in.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Repeats a request until its status is `wanted`, for as long as callers are remembered.
    pub(crate) async fn eventually(&self, request: impl AsyncFn() -> Answer, wanted: u16) -> Answer {
        let begun = std::time::Instant::now();
        loop {
            let answer = request().await;
            if answer.status == wanted || begun.elapsed() > Duration::from_secs(1) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
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
