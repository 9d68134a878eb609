//! TLS 1.3 alone, and the way there from plain HTTP.

use picket_gateway::TlsSettings;
use reqwest::{Certificate, redirect::Policy, tls::Version};

use crate::harness::TestApp;

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
    };
    let first = renew();
    let tls = TlsSettings { certificate: certificate.clone(), key: key.clone(), redirect_listen: None, reload_ms: 50 };
    let app = TestApp::spawn_with(|settings| settings.tls = Some(tls)).await;
    let health = format!("https://localhost:{}/health", app.base.rsplit(':').next().unwrap());
    // A client of its own each time: a kept connection would not see the new certificate.
    let is_served = async |trusted: &Certificate| {
        let client = reqwest::Client::builder().tls_certs_only([trusted.clone()]).build().unwrap();
        client.get(&health).send().await.is_ok()
    };
    assert!(is_served(&first).await);
    std::fs::write(&key, "no key").unwrap();
    let broken = std::time::Instant::now();
    while broken.elapsed() < std::time::Duration::from_millis(300) {
        assert!(is_served(&first).await, "a pair that cannot be used changes nothing");
    }
    let second = renew();
    let begun = std::time::Instant::now();
    while !is_served(&second).await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "the renewed certificate is not served");
    }
    assert!(!is_served(&first).await);
}

#[tokio::test]
async fn only_tls_1_3_is_spoken_and_plain_http_is_sent_there() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let app = TestApp::spawn_with(|settings| {
        settings.tls = Some(TlsSettings { certificate, key, redirect_listen: None, reload_ms: 100 });
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
