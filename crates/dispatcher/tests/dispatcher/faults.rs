//! Lost messages, messages that come twice, dispatchers that die or stop.

use std::time::{Duration, Instant};

use picket_dispatcher::DispatcherSettings;
use picket_domain::{DeliveryAttempt, Dialect, Verdict};
use picket_store::deliveries::lease::{self, Finished};

use crate::{
    receiver::Receiver,
    stage::{Stage, by_message_alone, eventually, now, quick},
};

#[tokio::test]
async fn an_event_whose_message_was_lost_is_found_by_the_sweep() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("200 OK").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V1).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.settled(webhook, 2, "delivered").await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_message_that_comes_often_makes_one_delivery_among_two_dispatchers() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("200 OK").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V1).await;
    for _ in 0..5 {
        stage.scan().await;
    }
    let dispatchers = [stage.dispatcher(quick()), stage.dispatcher(quick())];
    stage.relay(4).await;
    stage.settled(webhook, 10, "delivered").await;
    // A further scan's deliveries come after everything that was published before.
    stage.scan().await;
    stage.relay(1).await;
    stage.settled(webhook, 12, "delivered").await;
    assert_eq!(receiver.requests().len(), 12);
    for dispatcher in dispatchers {
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn what_a_dead_dispatcher_held_is_sent_by_another_and_its_late_word_does_not_count() {
    let stage = Stage::new().await;
    let hanging = Receiver::hanging().await;
    let (webhook, _) = stage.webhook(&hanging.url, Dialect::V2).await;
    stage.scan().await;
    let first = stage.dispatcher(quick());
    eventually("a send under way", async || (hanging.requests().len() == 1).then_some(())).await;
    first.kill().await;
    assert_eq!(stage.deliveries(webhook).await[0].state.name(), "sending");

    // Another one claims, and dies without a word; its lease ends.
    let end = "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE state = 'sending'";
    stage.admin.execute(end, &[]).await.unwrap();
    stage.db.operate("repair", async |tx| lease::repair(tx).await).await.unwrap();
    let claimed = stage.db.operate("claim", async |tx| lease::claim(tx, 10, 8).await).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].fence.attempt, claimed[0].failures), (1, 2, 1));
    stage.admin.execute(end, &[]).await.unwrap();

    hanging.change("200 OK");
    let second = stage.dispatcher(quick());
    let record = stage.settled(webhook, 1, "delivered").await.remove(0);
    let errors: Vec<_> = record.attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
    assert_eq!(errors, [Some("the attempt was interrupted"), Some("the attempt was interrupted"), None]);

    let late = Finished {
        attempt: DeliveryAttempt {
            attempt: 2,
            started_at: now(),
            duration_ms: 1,
            status: Some(500),
            error: None,
            error_class: None,
            response: None,
        },
        verdict: Verdict::Exhausted,
        hold: None,
        peer: None,
    };
    let counted = stage
        .db
        .run("finish", stage.organization, async |tx| lease::finish(tx, &claimed[0], &late, now()).await)
        .await
        .unwrap();
    assert!(!counted);
    assert_eq!(stage.settled(webhook, 1, "delivered").await[0].attempts.len(), 3);
    second.stop().await;
}

#[tokio::test]
async fn an_idle_dispatcher_stops_within_a_second() {
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(DispatcherSettings::default());
    let beaten = "SELECT EXISTS (SELECT FROM role_heartbeats WHERE role = 'dispatcher' AND broker_up)";
    eventually("a heartbeat", async || {
        stage.admin.query_one(beaten, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    let begun = Instant::now();
    dispatcher.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_cannot_end_before_the_stop_is_given_back_and_costs_no_attempt() {
    let stage = Stage::new().await;
    let hanging = Receiver::hanging().await;
    let (webhook, _) = stage.webhook(&hanging.url, Dialect::V2).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(DispatcherSettings { drain_seconds: 0, ..quick() });
    eventually("a send under way", async || (hanging.requests().len() == 1).then_some(())).await;
    dispatcher.stop().await;
    let record = stage.deliveries(webhook).await.remove(0);
    assert_eq!((record.state.name(), record.attempts.len()), ("pending", 0));

    hanging.change("200 OK");
    let dispatcher = stage.dispatcher(quick());
    assert_eq!(stage.settled(webhook, 1, "delivered").await[0].attempts.len(), 1);
    dispatcher.stop().await;
}

#[tokio::test]
async fn without_a_broker_events_are_late_and_not_lost() {
    let mut stage = Stage::new().await;
    // Nobody listens at the discard port.
    stage.broker = picket_queue::Broker::new(picket_queue::BrokerSettings {
        url: "amqp://127.0.0.1:9/%2f".to_owned(),
        prefix: "none".to_owned(),
        name: "dispatcher".to_owned(),
    });
    let receiver = Receiver::answering("204 No Content").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V1).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.settled(webhook, 2, "delivered").await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_put_aside() {
    let stage = Stage::new().await;
    stage.broker.declare().await.unwrap();
    let receiver = Receiver::answering("200 OK").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    let publisher = stage.broker.publisher();
    let nonsense = picket_queue::Message { routing_key: "scan.failed", id: "x", body: b"{\"version\":9}" };
    publisher.publish(&[nonsense]).await.remove(0).unwrap();
    let dispatcher = stage.dispatcher(by_message_alone());
    let mut dead = stage.broker.consumer(picket_queue::topology::Queue::Dead);
    assert_eq!(dead.take().await.body(), b"{\"version\":9}");
    stage.scan().await;
    stage.relay(1).await;
    stage.settled(webhook, 1, "delivered").await;
    dispatcher.stop().await;
}
