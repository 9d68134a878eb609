//! Giving back: for anybody, but not for ever.

use picket_queue::{Broker, topology::Queue};

use crate::stage::{KEY, QUEUE, assert_empty, broker, id, ids, publish, take};

#[tokio::test]
async fn a_message_that_is_given_back_comes_again_until_its_limit_and_is_then_put_aside() {
    let broker = broker().await;
    let sent = ids("poison", 1);
    publish(&broker.publisher(), &sent).await.pop().unwrap().unwrap();
    let mut consumer = broker.consumer(QUEUE);
    // Delivered once, and 20 times more (`x-delivery-limit`).
    for delivery in 0..=20 {
        let taken = take(&mut consumer).await;
        assert_eq!(taken.is_redelivered(), delivery > 0);
        taken.give_back().await.unwrap();
    }
    assert_eq!(dead_letter(&broker).await, (sent[0].clone(), "delivery_limit".to_owned()));
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_message_that_nobody_can_take_is_put_aside_at_once() {
    let broker = broker().await;
    publish(&broker.publisher(), &ids("garbage", 1)).await.pop().unwrap().unwrap();
    let mut consumer = broker.consumer(QUEUE);
    take(&mut consumer).await.put_aside().await.unwrap();
    assert_eq!(dead_letter(&broker).await, ("garbage-0".to_owned(), "rejected".to_owned()));
    assert_empty(&broker).await;
}

/// Takes what was put aside; its id, and why it was, by the queue of these tests.
async fn dead_letter(broker: &Broker) -> (String, String) {
    let mut consumer = broker.consumer(Queue::Dead);
    let letter = take(&mut consumer).await;
    let (queue, reason) = letter.death().unwrap();
    assert_eq!((broker.names().find(queue), letter.routing_key()), (Some(QUEUE), KEY));
    let found = (id(&letter), reason.to_owned());
    letter.ack().await.unwrap();
    found
}
