//! Health, readiness, the OpenAPI document and the reference page.

use std::collections::BTreeSet;

use picket_kit::Clock;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, TestApp, dead_redis};

#[tokio::test]
async fn health_and_readiness_need_no_credentials() {
    let app = TestApp::spawn().await;
    for path in ["/health", "/api/v1/health", "/v2/health/"] {
        let answer = app.get(path, None).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")), "{path}");
    }
    let ready = app.get("/ready", None).await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    let ready = ready.json();
    assert_eq!(ready["status"], "degraded");
    assert_eq!(ready["components"]["database"], "up");
    assert_eq!(ready["components"]["redis"], "up");
    assert_eq!(ready["components"]["workers"], "down");
    assert_eq!(ready["components"]["broker"], "down");
}

#[tokio::test]
async fn without_redis_the_service_is_degraded_and_ready() {
    let app = TestApp::start(Clock::system(), dead_redis(), |_| {}).await;
    let ready = app.get("/ready", None).await;
    assert_eq!((ready.status, &ready.json()["components"]["redis"]), (200, &Value::from("down")));
}

#[tokio::test]
async fn without_the_database_nothing_is_500() {
    let app = TestApp::without_database(dead_redis()).await;
    let unready = app.get("/ready", None).await;
    let problem = unready.assert_problem(503, "unavailable");
    let expected = json!({"database": "down", "broker": "unknown", "redis": "down", "workers": "unknown"});
    assert_eq!(problem["components"], expected);
    assert!(unready.header("retry-after").is_some());
    assert!(!unready.text.contains("postgres") && !unready.text.contains("127.0.0.1"));
    assert_eq!(app.get("/health", None).await.status, 200);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let registered = app.post("/api/v1/auth/register", None, &body).await;
    assert!(registered.assert_problem(503, "unavailable").get("components").is_none());
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_each_operation_is_named_once() {
    let app = TestApp::spawn().await;
    let answer = app.get("/openapi.json", None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["title"], "Picket");
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    assert!(document["info"]["contact"]["name"].is_string());
    assert_eq!(document["servers"][0]["url"], "/");
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{method} {path}: {name} twice");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{method} {path} {status}");
            }
        }
    }
    assert!(names.contains("list_targets") && names.contains("list_targets_v2"));
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(picket_gateway::openapi()).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// utoipa overwrites a schema by another of the same name in silence.
#[test]
fn every_schema_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for item in text.split("ToSchema").skip(1) {
                let Some(name) = schema_name(item) else { continue };
                assert!(names.insert(name.clone()), "{name} twice, in {}", path.display());
            }
        }
    }
    assert!(names.contains("TargetView"));
}

/// The name of the item that follows a derive.
fn schema_name(item: &str) -> Option<String> {
    let head = item.split('{').next()?;
    if let Some(name) = head.split("schema(as = ").nth(1) {
        return Some(name.split([')', ',']).next()?.trim().to_owned());
    }
    let (_, declared) = head.split_once("struct ").or_else(|| head.split_once("enum "))?;
    Some(declared.split(|c: char| !c.is_alphanumeric()).next()?.to_owned())
}

#[tokio::test]
async fn the_root_leads_to_the_reference_page() {
    let app = TestApp::spawn().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.get(format!("{}/", app.base)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (302, "/docs"));
    let followed = app.get("/", None).await;
    assert_eq!(followed.status, 200);
    assert!(followed.header("content-type").unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn the_reference_page_needs_nothing_from_elsewhere() {
    let app = TestApp::spawn().await;
    let page = app.get("/docs", None).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert!(!page.text.contains("<script") && !page.text.contains("src=\"http") && !page.text.contains("href=\"http"));
    for path in ["POST", "/api/v1/targets", "/api/v2/targets"] {
        assert!(page.text.contains(path), "{path}");
    }
    let style = app.get("/docs/style.css", None).await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
}
