//! Taking: each message once, one at a time, and nothing is lost when somebody stops waiting.

use std::time::Duration;

use picket_queue::Broker;
use picket_testkit::Namespace;
use tokio::sync::mpsc;

use crate::stage::{LONG, QUEUE, assert_empty, broker, connect, drain, id, ids, publish, take};

async fn send(broker: &Broker, ids: &[String]) {
    for confirmed in publish(&broker.publisher(), ids).await {
        confirmed.unwrap();
    }
}

#[tokio::test]
async fn several_consumers_take_each_message_once_while_a_busy_one_holds_nothing_back() {
    let broker = broker().await;
    let mut sent = ids("one", 60);
    send(&broker, &sent).await;
    // Busy for the whole test with its first message, not acknowledged.
    let mut busy = broker.consumer(QUEUE);
    let held = take(&mut busy).await;
    let (results, mut taken) = mpsc::unbounded_channel();
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let (mut consumer, results) = (broker.consumer(QUEUE), results.clone());
            tokio::spawn(async move {
                loop {
                    let delivery = consumer.take().await;
                    assert!(!delivery.is_redelivered());
                    results.send(id(&delivery)).unwrap();
                    delivery.ack().await.unwrap();
                }
            })
        })
        .collect();
    let mut got = vec![id(&held)];
    for _ in 1..sent.len() {
        got.push(tokio::time::timeout(crate::stage::LONG, taken.recv()).await.expect("a message").unwrap());
    }
    consumers.iter().for_each(tokio::task::JoinHandle::abort);
    held.ack().await.unwrap();
    got.sort();
    sent.sort();
    assert_eq!(got, sent);
    assert_empty(&broker).await;
}

#[tokio::test]
async fn who_stops_waiting_loses_nothing_and_swallows_nothing() {
    let broker = broker().await;
    let mut consumer = broker.consumer(QUEUE);
    // Dropped at every stage of the way: before the subscription, during it, with a message on its way.
    for microseconds in (0..40).map(|step| step * 500) {
        let waited = tokio::time::timeout(Duration::from_micros(microseconds), consumer.take()).await;
        assert!(waited.is_err(), "the queue is empty");
    }
    // A consumer that waits no more has no subscription that could take these.
    let sent = ids("one", 30);
    send(&broker, &sent).await;
    let mut got = drain(&mut broker.consumer(QUEUE), 15).await;
    // Now every dropped wait meets a message.
    for microseconds in (0..15).map(|step| step * 1_000) {
        if let Ok(delivery) = tokio::time::timeout(Duration::from_micros(microseconds), consumer.take()).await {
            got.push(id(&delivery));
            delivery.ack().await.unwrap();
        }
    }
    let left = sent.len() - got.len();
    got.extend(drain(&mut broker.consumer(QUEUE), left).await);
    got.sort();
    let mut expected = sent;
    expected.sort();
    assert_eq!(got, expected);
    assert_empty(&broker).await;
    assert_eq!(broker.connections_made(), 2);
}

#[tokio::test]
async fn a_delivery_that_is_dropped_goes_back() {
    let broker = broker().await;
    send(&broker, &ids("one", 1)).await;
    let mut consumer = broker.consumer(QUEUE);
    drop(take(&mut consumer).await);
    let again = take(&mut consumer).await;
    assert!(again.is_redelivered());
    again.ack().await.unwrap();
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_consumer_that_is_dropped_gives_back_what_it_gave_out() {
    let broker = broker().await;
    send(&broker, &ids("one", 1)).await;
    let mut first = broker.consumer(QUEUE);
    let held = take(&mut first).await;
    drop(first);
    let again = take(&mut broker.consumer(QUEUE)).await;
    assert!(again.is_redelivered());
    assert!(held.ack().await.is_err(), "its channel is gone");
}

#[tokio::test]
async fn channels_do_not_pile_up() {
    let Namespace { url, prefix } = Namespace::new();
    // One that is left open would be missed soon.
    let broker = connect(format!("{url}?channel_max=8"), prefix);
    let publisher = broker.publisher();
    for round in 0..12 {
        broker.declare().await.unwrap();
        assert!(broker.is_up().await);
        let sent = ids(&format!("round-{round}"), 1);
        publish(&publisher, &sent).await.pop().unwrap().unwrap();
        publish(&broker.publisher(), &sent).await.pop().unwrap().unwrap();
        let mut consumer = broker.consumer(QUEUE);
        assert_eq!(drain(&mut consumer, 2).await, [sent[0].as_str(), sent[0].as_str()]);
        let _nothing = tokio::time::timeout(Duration::from_millis(5), consumer.take()).await;
    }
    assert_eq!(broker.connections_made(), 2, "a connection without a free channel is replaced");
}

#[tokio::test]
async fn a_subscription_that_stays_holds_nothing_back_from_who_is_free() {
    let broker = broker().await;
    let sent = ids("one", 5);
    send(&broker, &sent).await;
    let mut staying = broker.consumer(QUEUE);
    let held = tokio::time::timeout(LONG, staying.take_and_stay()).await.expect("a message");
    let mut got = vec![id(&held)];
    // It is subscribed, and its message is not acknowledged.
    got.extend(drain(&mut broker.consumer(QUEUE), 2).await);
    held.ack().await.unwrap();
    let next = tokio::time::timeout(LONG, staying.take_and_stay()).await.expect("the next message");
    got.push(id(&next));
    staying.leave().await;
    next.ack().await.unwrap();
    // Nobody is subscribed any more: the last message goes to who asks.
    got.extend(drain(&mut broker.consumer(QUEUE), 1).await);
    got.sort();
    assert_eq!(got, sent);
    assert_empty(&broker).await;
}

#[tokio::test]
async fn who_stops_waiting_at_a_subscription_that_stays_swallows_nothing() {
    let broker = broker().await;
    let sent = ids("one", 31);
    send(&broker, &sent).await;
    let mut staying = broker.consumer(QUEUE);
    let mut got = Vec::new();
    // Subscribed by now, and every dropped wait meets a message.
    for microseconds in (0..20).map(|step| step * 300) {
        if let Ok(delivery) = tokio::time::timeout(Duration::from_micros(microseconds), staying.take_and_stay()).await {
            got.push(id(&delivery));
            delivery.ack().await.unwrap();
        }
    }
    staying.leave().await;
    let left = sent.len() - got.len();
    got.extend(drain(&mut broker.consumer(QUEUE), left).await);
    got.sort();
    let mut expected = sent;
    expected.sort();
    assert_eq!(got, expected);
    assert_empty(&broker).await;
}
