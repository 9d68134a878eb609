//! Giving back: for anybody, but not for ever.

use picket_queue::topology::Queue;

use crate::stage::{QUEUE, assert_empty, broker, drain, ids, publish, take};

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
    assert_eq!(drain(&mut broker.consumer(Queue::Dead), 1).await, sent);
    assert_empty(&broker).await;
}

#[tokio::test]
async fn a_message_that_nobody_can_take_is_put_aside_at_once() {
    let broker = broker().await;
    publish(&broker.publisher(), &ids("garbage", 1)).await.pop().unwrap().unwrap();
    let mut consumer = broker.consumer(QUEUE);
    take(&mut consumer).await.put_aside().await.unwrap();
    assert_eq!(drain(&mut broker.consumer(Queue::Dead), 1).await, ["garbage-0"]);
    assert_empty(&broker).await;
}
