//! Rate limits as both references print them (`docs/contract.md` §8).

use picket_domain::Subscription;

use crate::{client::Client, stack::Stack};

/// A caller of an organization with that plan.
async fn caller(subscription: Subscription) -> (Stack, Client) {
    let stack = Stack::start_with(|settings| settings.registration_plan = subscription).await;
    let client = Client::register(&stack).await;
    (stack, client)
}

#[tokio::test]
async fn every_plan_has_the_printed_rates() {
    let printed = [
        (Subscription::Trial, 10, 5, 20),
        (Subscription::Starter, 30, 15, 100),
        (Subscription::Professional, 60, 30, 1_000),
        (Subscription::Enterprise, 300, 100, 10_000),
    ];
    for (subscription, per_minute, burst, per_hour) in printed {
        let (stack, client) = caller(subscription).await;
        for (path, limit, remaining) in
            [("/api/v1/scans", per_minute, burst - 1), ("/api/v2/scans", per_hour, per_hour - 1)]
        {
            let before = stack.clock.now().as_second();
            let answer = client.get(path).await;
            assert_eq!(answer.status, 200);
            let number = |name| answer.header(name).parse::<i64>().unwrap();
            assert_eq!(number("x-ratelimit-limit"), limit, "{subscription:?} {path}");
            assert_eq!(number("x-ratelimit-remaining"), remaining, "{subscription:?} {path}");
            let reset = number("x-ratelimit-reset");
            assert!((before..=before + 3_600).contains(&reset), "{reset} is not soon after {before}");
        }
    }
}

#[tokio::test]
async fn one_request_more_than_the_burst_is_429() {
    let (_stack, client) = caller(Subscription::Trial).await;
    for _ in 0..5 {
        assert_eq!(client.get("/api/v1/scans").await.status, 200);
    }
    let refused = client.get("/api/v1/scans").await;
    assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 6, "one token in 6 seconds");
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    let body = refused.expect(429);
    assert_eq!((&body["code"], &body["status"]), (&"rate_limited".into(), &429.into()));
    assert_eq!(client.get("/api/v2/scans").await.status, 200, "each version counts for itself");
}

#[tokio::test]
async fn health_is_not_counted() {
    let (_stack, client) = caller(Subscription::Trial).await;
    for _ in 0..10 {
        let answer = client.get("/api/v1/health").await;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("x-ratelimit-limit"));
    }
}
