//! Signing in with a provider that is not ours: `oidc-provider`, certified by the OpenID Foundation, with its own pages.

use std::process::Stdio;

use picket_gateway::OAuthSettings;
use picket_kit::Clock;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};
use url::Url;

use super::{Browser, CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, loopback, openid};
use crate::harness::{Answer, TestApp};

/// The provider; it ends with the test.
struct Provider {
    issuer: String,
    _child: Child,
    /// It goes on writing there, and would end if nobody could read it.
    _output: BufReader<ChildStdout>,
}

/// The provider, where the stack has brought it.
async fn provider() -> Option<Provider> {
    let Some(command) = picket_testkit::optional("PICKET_OIDC_PROVIDER") else {
        println!("skipped: PICKET_OIDC_PROVIDER is not set");
        return None;
    };
    let mut child = Command::new(command)
        .args([&format!("{PUBLIC_URL}/api/v1/oauth/google/callback"), CLIENT_ID, CLIENT_SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).await.unwrap();
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    Some(Provider { issuer: told["issuer"].as_str().unwrap().to_owned(), _child: child, _output: output })
}

async fn app(provider: &Provider) -> TestApp {
    TestApp::spawn_calling(Clock::system(), loopback(), |settings| {
        settings.public_url = Some(PUBLIC_URL.to_owned());
        settings.oauth = OAuthSettings { github: None, google: Some(openid(&provider.issuer)) };
    })
    .await
}

/// Signs in on the provider's pages as `name`, agrees, and comes back to the callback, which is not called yet.
async fn consent(browser: &mut Browser, begun: &Url, name: &str) -> Url {
    let mut url = begun.clone();
    // The start, two pages and what is between them.
    for _ in 0..12 {
        if url.as_str().starts_with(PUBLIC_URL) {
            return url;
        }
        let mut answer = browser.get(url.as_str()).await;
        if answer.status == 200 {
            let prompt = if answer.text.contains("name=\"password\"") { "login" } else { "consent" };
            let fields = [("prompt", prompt), ("login", name), ("password", "anything")];
            answer = browser.post(url.as_str(), &fields).await;
        }
        assert!([302, 303].contains(&answer.status), "{}: {}", answer.status, answer.text);
        url = url.join(answer.header("location").unwrap()).unwrap();
    }
    panic!("the provider sends the browser in circles: {url}");
}

async fn sign_in(app: &TestApp, name: &str) -> (Answer, Browser, Url) {
    let mut browser = Browser::new(&app.base);
    let begun = browser.start("google", "").await;
    let callback = consent(&mut browser, &begun, name).await;
    let before = browser.clone();
    (browser.get(callback.as_str()).await, before, callback)
}

#[tokio::test]
async fn somebody_signs_in_with_a_certified_provider() {
    let Some(provider) = provider().await else { return };
    let app = app(&provider).await;
    let (answer, mut before, callback) = sign_in(&app, "ada").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(callback.query_pairs().any(|(name, value)| name == "iss" && value == provider.issuer), "{callback}");
    let me = app.get("/api/v1/auth/me", answer.json()["access_token"].as_str()).await.json();
    assert_eq!((me["email"].as_str(), me["name"].as_str()), (Some("ada@example.com"), Some("ada")));
    // Its answer is good once.
    before.get(callback.as_str()).await.assert_problem(400, "sign_in_refused");
    let (again, ..) = sign_in(&app, "ada").await;
    let same = app.get("/api/v1/auth/me", again.json()["access_token"].as_str()).await.json();
    assert_eq!(same["id"], me["id"]);
}

#[tokio::test]
async fn a_certified_provider_that_does_not_vouch_for_the_address_makes_nobody() {
    let Some(provider) = provider().await else { return };
    let app = app(&provider).await;
    let (answer, ..) = sign_in(&app, "unverified-ada").await;
    answer.assert_problem(403, "email_unverified");
    let client = app.database.connect().await;
    let users: i64 = client.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get(0);
    assert_eq!(users, 0);
}

#[tokio::test]
async fn an_answer_of_a_certified_provider_without_its_name_is_refused() {
    let Some(provider) = provider().await else { return };
    let app = app(&provider).await;
    let mut browser = Browser::new(&app.base);
    let begun = browser.start("google", "").await;
    let mut callback = consent(&mut browser, &begun, "ada").await;
    let kept: Vec<(String, String)> = callback.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    callback.query_pairs_mut().clear().extend_pairs(kept);
    browser.get(callback.as_str()).await.assert_problem(400, "sign_in_refused");
}

#[tokio::test]
async fn a_code_of_a_certified_provider_is_bound_to_its_flow() {
    let Some(provider) = provider().await else { return };
    let app = app(&provider).await;
    let (mut thief, mut ada) = (Browser::new(&app.base), Browser::new(&app.base));
    let of_ada = ada.start("google", "").await;
    let stolen = consent(&mut ada, &of_ada, "ada").await;
    let code = stolen.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let begun = thief.start("google", "").await;
    let mut callback = consent(&mut thief, &begun, "thief").await;
    let changed: Vec<(String, String)> = callback
        .query_pairs()
        .into_owned()
        .map(|(name, value)| if name == "code" { (name, code.clone()) } else { (name, value) })
        .collect();
    callback.query_pairs_mut().clear().extend_pairs(changed);
    thief.get(callback.as_str()).await.assert_problem(400, "sign_in_refused");
}
