//! TLS 1.3 alone, and the way there from plain HTTP.

use picket_gateway::TlsSettings;
use reqwest::{Certificate, redirect::Policy, tls::Version};

use crate::harness::TestApp;

#[tokio::test]
async fn only_tls_1_3_is_spoken_and_plain_http_is_sent_there() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let app = TestApp::spawn_with(|settings| {
        settings.tls = Some(TlsSettings { certificate, key, redirect_listen: None });
    })
    .await;
    let port = app.base.rsplit(':').next().unwrap();
    let client = |newest| {
        reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()])
            .tls_version_max(newest)
            .redirect(Policy::none())
            .build()
            .unwrap()
    };
    let health = format!("https://localhost:{port}/health");
    let answer = client(Version::TLS_1_3).get(&health).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
    assert!(client(Version::TLS_1_2).get(&health).send().await.is_err());

    let plain = format!("http://{}/api/v1/scans?page=2", app.redirect_address.unwrap());
    let redirected = client(Version::TLS_1_3).post(&plain).send().await.unwrap();
    assert_eq!(redirected.status(), 308);
    assert_eq!(redirected.headers()["location"], format!("https://127.0.0.1:{port}/api/v1/scans?page=2"));
}
