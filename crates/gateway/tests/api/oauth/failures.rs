//! Providers that do not answer, or not as they should.

use picket_outbound::OutboundSettings;

use super::{Stage, loopback, stand_in::Fault};

#[tokio::test]
async fn a_provider_that_fails_is_503_and_says_nothing_of_the_cause() {
    let stage = Stage::new().await;
    for fault in [Fault::Huge, Fault::Redirects, Fault::Nonsense, Fault::Breaks, Fault::Disowns] {
        for provider in ["github", "google"] {
            stage.provider.state().fault = fault;
            let answer = stage.sign_in(provider).await;
            let problem = answer.assert_problem(503, "unavailable");
            assert_eq!(problem["detail"], "something that we need is down; try again later");
            assert!(answer.header("retry-after").is_some());
        }
    }
    stage.assert_nothing_was_made().await;
    stage.provider.state().fault = Fault::Nothing;
    assert_eq!(stage.sign_in("github").await.status, 200);
}

#[tokio::test]
async fn a_provider_that_never_answers_is_503() {
    let stage = Stage::calling(OutboundSettings { total_timeout_ms: 300, ..loopback() }).await;
    stage.provider.state().fault = Fault::Slow;
    stage.sign_in("github").await.assert_problem(503, "unavailable");
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn a_provider_that_is_down_is_503() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let begun = browser.start("github", "").await;
    let callback = browser.consent(&begun).await;
    stage.provider.stop().await;
    browser.get(callback.as_str()).await.assert_problem(503, "unavailable");
    // Nothing was discovered yet.
    stage.app.get("/api/v1/auth/google", None).await.assert_problem(503, "unavailable");
    stage.assert_nothing_was_made().await;
}
