//! What happens to every request.

use reqwest::header::HOST;

use crate::harness::TestApp;

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let app = TestApp::spawn().await;
    let answer = app.send("PUT", "/api/v1/targets", None).await;
    answer.assert_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    for method in ["TRACE", "OPTIONS", "PATCH", "BREW"] {
        app.send(method, "/api/v1/health", None).await.assert_problem(405, "method_not_allowed");
    }
    app.get("/api/v1/nothing", None).await.assert_problem(404, "not_found");
    app.get("//nothing", None).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let app = TestApp::spawn().await;
    let (head, get) = (app.send("HEAD", "/health", None).await, app.get("/health", None).await);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("content-type"), get.header("content-type"));
}

#[tokio::test]
async fn a_request_keeps_a_sane_id_and_gets_one_otherwise() {
    let app = TestApp::spawn().await;
    let with = async |id: &'static str| {
        let answer = app.request("GET", "/health", None, |request| request.header("x-request-id", id)).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(with("abc-1.2_3").await, "abc-1.2_3");
    assert_ne!(with("<script>").await, "<script>");
    assert_eq!(app.get("/health", None).await.header("x-request-id").unwrap().len(), 32);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_its_reader() {
    let app = TestApp::spawn().await;
    for path in ["/health", "/api/v1/nothing", "/api/v1/auth/me"] {
        let answer = app.get(path, None).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(answer.header("strict-transport-security"), None);
    }
}

#[tokio::test]
async fn on_a_v2_host_the_published_base_url_speaks_v2() {
    let app = TestApp::spawn_with(|settings| settings.v2_hosts = vec!["vms.example".to_owned()]).await;
    let member = app.member("ada@example.com").await;
    let list = async |host: &'static str, path: &'static str| {
        app.request("GET", path, Some(&member.token), |request| request.header(HOST, host)).await.json()
    };
    assert!(list("vms.example", "/api/v1/targets").await["meta"].is_object());
    assert!(list("VMS.example:443", "/v1/targets").await["meta"].is_object());
    assert!(list("other.example", "/api/v1/targets").await["pagination"].is_object());
    let forged = app
        .request("GET", "/api/v1/targets", Some(&member.token), |request| {
            request.header("x-forwarded-host", "vms.example")
        })
        .await;
    assert!(forged.json()["pagination"].is_object());
}

#[tokio::test]
async fn an_encoded_path_reaches_no_other_route() {
    let app = TestApp::spawn().await;
    for path in ["/api/v1/%74argets", "/api//v1/targets", "/api/v1/../v1/targets", "/api/v1/health/%2e%2e/targets"] {
        let status = app.get(path, None).await.status;
        assert!(status == 401 || status == 404, "{path}: {status}");
    }
}

#[tokio::test]
async fn an_answer_is_compressed_for_those_who_ask() {
    let app = TestApp::spawn().await;
    let client = reqwest::Client::builder().no_gzip().build().unwrap();
    let request = client.get(format!("{}/openapi.json", app.base)).header("accept-encoding", "gzip");
    assert_eq!(request.send().await.unwrap().headers()["content-encoding"], "gzip");
}
