//! One line and two metrics per request; no secret in either.

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::{Value, json};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::harness::{PASSWORD, TestApp, metrics};

/// As much as there is of ours; `tokio_postgres` prints parameters when it is told to debug, and nobody may tell it so.
const OURS: &str = "debug,tokio_postgres=info,picket_domain=trace,picket_gateway=trace,picket_kit=trace,picket_live=trace,\
                    picket_outbound=trace,picket_store=trace";

/// Everything that was logged in this process.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Collects from now on; all tests of the process share it.
    pub(crate) fn get() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let filter = tracing_subscriber::EnvFilter::new(OURS);
            tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_env_filter(filter)
                .with_span_events(FmtSpan::CLOSE)
                .with_writer(log.clone())
                .init();
            log
        })
        .clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn line(&self, message: &str, request_id: &str) -> Value {
        let lines = self.text();
        lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == message && line["request.id"] == request_id)
            .unwrap_or_else(|| panic!("no line `{message}` of {request_id}"))
    }
}

#[tokio::test]
async fn a_request_leaves_one_line_that_names_route_and_tenant_and_no_secret() {
    let log = Log::get();
    let app = TestApp::spawn().await;
    let member = app.member("canary-address@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = app
        .request("DELETE", "/v1/api-keys/key_00000000000000000000000001?canary=query", Some(&member.token), |request| {
            request
                .header("x-request-id", "line-of-this-test")
                .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        })
        .await;
    answer.assert_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/tools", Some(&key)).await.status, 200);

    let line = log.line("request", "line-of-this-test");
    assert_eq!(line["http.method"], "DELETE");
    assert_eq!(line["http.route"], "/api/v1/api-keys/{id}");
    assert_eq!(line["http.status"], 404);
    assert_eq!(line["tenant.id"], member.organization_id.as_str());
    assert_eq!(line["span"]["trace.id"], trace);
    assert!(line["duration_ms"].is_u64());

    let text = log.text();
    for secret in [member.token.as_str(), key.as_str(), PASSWORD, "canary-address", "canary=query", "$argon2id"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn the_line_of_an_accepted_scan_names_it() {
    let log = Log::get();
    let app = TestApp::spawn_with(|settings| settings.allow_targets = vec!["127.0.0.0/8".to_owned()]).await;
    let member = app.member("scan-line@example.com").await;
    let create = async |path: &str, request_id: &'static str, body: Value| {
        let answer = app
            .request("POST", path, Some(&member.token), |request| {
                request.header("x-request-id", request_id).json(&body)
            })
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    };
    let body = json!({"target": "127.0.0.1", "tool": "nmap", "parameters": {"ports": "80"}});
    let v1 = create("/api/v1/scans/create", "scan-line-of-v1", body).await;
    assert_eq!(log.line("request", "scan-line-of-v1")["span"]["scan.id"], v1["id"]);
    create("/api/v2/scans", "scan-line-of-v2", json!({"target": "127.0.0.1", "scan_type": "quick"})).await;
    let line = log.line("request", "scan-line-of-v2");
    assert!(line["span"]["scan.id"].as_str().unwrap().starts_with("scan_"), "{line}");
}

#[tokio::test]
async fn a_failure_of_ours_is_logged_once_with_its_cause() {
    let log = Log::get();
    let app = TestApp::without_database(crate::harness::dead_redis()).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let answer = app
        .request("POST", "/api/v1/auth/register", None, |request| {
            request.header("x-request-id", "failure-of-ours").json(&body)
        })
        .await;
    answer.assert_problem(503, "unavailable");
    let line = log.line("a request failed", "failure-of-ours");
    assert!(line["error"].as_str().unwrap().contains("database"), "{line}");
    let errors = log.text().lines().filter(|line| line.contains("ERROR") && line.contains("failure-of-ours")).count();
    assert_eq!(errors, 1);
}

#[tokio::test]
async fn metrics_name_the_route_and_never_the_path() {
    // The recorder must be there before the first request.
    metrics();
    let app = TestApp::spawn().await;
    app.get("/api/v1/canary-path", None).await.assert_problem(404, "not_found");
    app.delete("/api/v1/api-keys/canary-id", None).await.assert_problem(401, "unauthenticated");
    app.send("CANARY", "/api/v1/health", None).await.assert_problem(405, "method_not_allowed");
    let text = metrics();
    assert!(
        text.contains("picket_http_requests_total{method=\"DELETE\",route=\"/api/v1/api-keys/{id}\",status=\"401\"}"),
        "{text}"
    );
    assert!(text.contains("picket_http_request_duration_seconds_bucket{method=\"GET\",route=\"(none)\""), "{text}");
    assert!(!text.to_lowercase().contains("canary"), "{text}");
}
