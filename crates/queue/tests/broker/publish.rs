//! Publishing: a message counts as sent only when somebody hears it.

use picket_queue::QueueError;

use crate::stage::{KEY, QUEUE, UNHEARD, assert_empty, broker, drain, ids, message, publish, take};

#[tokio::test]
async fn what_is_published_is_taken() {
    let broker = broker().await;
    let sent = ids("one", 64);
    for confirmed in publish(&broker.publisher(), &sent).await {
        confirmed.unwrap();
    }
    let mut expected = sent.clone();
    expected.sort();
    assert_eq!(drain(&mut broker.consumer(QUEUE), 64).await, expected);
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_message_that_nobody_hears_is_said_and_the_others_are_not_blamed() {
    let broker = broker().await;
    let publisher = broker.publisher();
    // Many rounds, since how the broker groups its confirms is a matter of chance.
    for round in 0..30 {
        let ids = ids(&format!("round-{round}"), 64);
        let key = |number: usize| if number % 7 == round % 7 { UNHEARD } else { KEY };
        let messages: Vec<_> = ids.iter().enumerate().map(|(number, id)| message(key(number), id)).collect();
        let results = publisher.publish(&messages).await;
        for (message, result) in messages.iter().zip(results) {
            match message.routing_key {
                UNHEARD => assert!(matches!(result, Err(QueueError::Unroutable(key)) if key == UNHEARD)),
                _ => result.unwrap(),
            }
        }
    }
    assert_eq!(broker.connections_made(), 2);
}

#[tokio::test]
async fn a_publish_that_is_broken_off_spoils_nothing() {
    let broker = broker().await;
    let publisher = broker.publisher();
    for round in 0..10 {
        let (broken, whole) = (ids(&format!("broken-{round}"), 32), ids(&format!("whole-{round}"), 32));
        futures_util::future::select(Box::pin(publish(&publisher, &broken)), Box::pin(tokio::task::yield_now())).await;
        for confirmed in publish(&publisher, &whole).await {
            confirmed.unwrap();
        }
    }
    let mut consumer = broker.consumer(QUEUE);
    let mut whole = 0;
    while whole < 320 {
        let delivery = take(&mut consumer).await;
        whole += usize::from(crate::stage::id(&delivery).starts_with("whole"));
        delivery.ack().await.unwrap();
    }
    assert_eq!(broker.connections_made(), 2);
}
