//! What follows from answers, and from silence.

use std::time::Duration;

use jiff::SignedDuration;
use picket_domain::{Dialect, Jitter, RetrySchedule};

use crate::{
    receiver::Receiver,
    stage::{Stage, eventually, quick},
};

#[tokio::test]
async fn a_receiver_that_fails_is_tried_ten_times_on_schedule_and_then_no_more() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("500 Internal Server Error").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    for failures in 1..=9_u32 {
        let record = stage.waiting(webhook, usize::try_from(failures).unwrap()).await;
        let attempt = record.attempts.last().unwrap();
        assert_eq!((attempt.attempt, attempt.status), (i32::try_from(failures).unwrap(), Some(500)));
        let planned = RetrySchedule::DELIVERIES.delay(failures, Jitter(0), None).unwrap();
        let wait = record.next_attempt_at.unwrap().duration_since(attempt.started_at);
        // The answer and the commit take their time, too.
        let latest = planned.mul_f64(1.2) + Duration::from_secs(10);
        assert!(wait >= SignedDuration::try_from(planned).unwrap(), "{failures}: {wait}");
        assert!(wait <= SignedDuration::try_from(latest).unwrap(), "{failures}: {wait}");
        stage.hurry().await;
    }
    let record = stage.settled(webhook, 1, "exhausted").await.remove(0);
    assert_eq!(record.attempts.len(), 10);
    assert_eq!(receiver.requests().len(), 10);
    let numbers = receiver.requests().iter().map(|request| request.contains("webhook-attempt: 10")).collect::<Vec<_>>();
    assert_eq!(numbers.iter().filter(|last| **last).count(), 1);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_retry_sends_the_same_bytes_and_the_same_id() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("503 Service Unavailable").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.waiting(webhook, 1).await;
    receiver.change("200 OK");
    stage.hurry().await;
    stage.settled(webhook, 1, "delivered").await;
    let requests = receiver.requests();
    let body = |request: &String| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    let id = |request: &String| request.lines().find(|line| line.starts_with("webhook-id: ")).unwrap().to_owned();
    assert_eq!((body(&requests[0]), id(&requests[0])), (body(&requests[1]), id(&requests[1])));
    dispatcher.stop().await;
}

#[tokio::test]
async fn retry_after_is_obeyed_up_to_six_hours() {
    let stage = Stage::new().await;
    for (answer, least_s, most_s) in [("429 Too Many Requests", 600, 700), ("503 Wait", 600, 700), ("502 No", 5, 60)] {
        let receiver = Receiver::answering(&format!("{answer}\r\nretry-after: 600")).await;
        let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
        stage.scan().await;
        let dispatcher = stage.dispatcher(quick());
        let record = stage.waiting(webhook, 1).await;
        let wait = record.next_attempt_at.unwrap().duration_since(record.attempts[0].started_at).as_secs();
        assert!((least_s..=most_s).contains(&wait), "{answer}: {wait} s");
        dispatcher.stop().await;
        stage.delete(stage.organization, webhook).await.unwrap();
    }
}

#[tokio::test]
async fn retry_after_holds_the_whole_endpoint_and_the_others_cost_no_attempt() {
    let stage = Stage::new().await;
    let pausing = Receiver::answering("429 Too Many Requests\r\nretry-after: 600").await;
    let (held, _) = stage.webhook(&pausing.url, Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.waiting(held, 1).await;
    let receiver = Receiver::answering("200 OK").await;
    let (neighbor, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    stage.scan().await;
    stage.scan().await;
    stage.settled(neighbor, 2, "delivered").await;
    stage.hurry().await;
    stage.scan().await;
    stage.settled(neighbor, 3, "delivered").await;
    let waiting = stage.settled(held, 4, "pending").await;
    let attempts: usize = waiting.iter().map(|record| record.attempts.len()).sum();
    assert_eq!((attempts, pausing.requests().len()), (1, 1));

    pausing.change("200 OK");
    stage.admin.execute("UPDATE webhooks SET held_until = now()", &[]).await.unwrap();
    let delivered = stage.settled(held, 4, "delivered").await;
    assert_eq!(delivered.iter().map(|record| record.attempts.len()).sum::<usize>(), 5);
    dispatcher.stop().await;
}

#[tokio::test]
async fn an_attempt_is_logged_with_whom_it_called_for_operators_alone() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("500 No").await;
    let (answered, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    let (refused, _) = stage.webhook("https://10.11.12.13/", Dialect::V2).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (silent, _) = stage.webhook(&format!("http://{closed}/"), Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    for (webhook, class, peer) in [
        (answered, None, Some("127.0.0.1")),
        (refused, Some("refused_address"), None),
        (silent, Some("connect"), Some("127.0.0.1")),
    ] {
        let record = stage.waiting(webhook, 1).await;
        assert_eq!(record.attempts[0].error_class.as_deref(), class);
        let sql = "SELECT peer FROM delivery_attempts WHERE delivery_id = $1";
        let row = stage.admin.query_one(sql, &[&record.id.uuid()]).await.unwrap();
        assert_eq!(row.get::<_, Option<&str>>(0), peer, "{class:?}");
    }
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_hears_nothing_more() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("410 Gone").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.settled(webhook, 1, "exhausted").await;
    let found = stage
        .db
        .run("find", stage.organization, async |tx| picket_store::webhooks::find(tx, webhook).await)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.disabled.unwrap().reason, "the receiver answered 410 Gone");
    let [_, failed] = stage.scan().await;
    eventually("the next event's fan-out", async || {
        let done = "SELECT fanned_out_at IS NOT NULL FROM events WHERE id = $1";
        stage.admin.query_one(done, &[&failed.uuid()]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    assert_eq!((stage.deliveries(webhook).await.len(), receiver.requests().len()), (1, 1));
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_an_inner_address_is_never_told() {
    let stage = Stage::new().await;
    let trap = Receiver::answering("200 OK").await;
    let redirecting = Receiver::answering(&format!("307 Temporary Redirect\r\nlocation: {}", trap.url)).await;
    let (redirected, _) = stage.webhook(&redirecting.url, Dialect::V2).await;
    let (inner, _) = stage.webhook("https://10.11.12.13/", Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    assert_eq!(stage.waiting(redirected, 1).await.attempts[0].status, Some(307));
    let refused = stage.waiting(inner, 1).await.attempts.remove(0);
    assert_eq!((refused.status, refused.error.as_deref()), (None, Some("the host's address may not be called")));
    assert!(trap.requests().is_empty());
    dispatcher.stop().await;
}
