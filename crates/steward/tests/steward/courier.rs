//! What admission lets go reaches the workers by the courier of its process, and without it by a relay.

use picket_domain::{EventBody, Pool};
use picket_kit::Shutdown;
use picket_queue::topology::Queue;
use picket_steward::{Admission, Courier, Hand, Relay, StewardSettings};

use crate::stage::Stage;

const TASKS_IN_OUTBOX: &str = "SELECT count(*) FROM events WHERE NOT public";

async fn stage() -> (Stage, Admission, Courier) {
    let stage = Stage::new().await;
    stage.beat(3).await;
    stage.create(2).await;
    let (hand, courier): (Hand, Courier) = Courier::new(stage.db.clone(), &stage.broker);
    let admission = Admission::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    (stage, admission.leaving_to(hand), courier)
}

async fn relay_all(stage: &Stage) {
    let relay = Relay::new(stage.db.clone(), &stage.broker);
    while relay.relay().await.unwrap() > 0 {}
}

#[tokio::test]
async fn what_is_let_go_is_brought_without_a_relay() {
    let (stage, admission, courier) = stage().await;
    assert_eq!(admission.admit().await.unwrap(), 2);
    let shutdown = Shutdown::new();
    let bring = async {
        let taken = stage.take(Queue::Tasks(Pool::Net), 2).await;
        assert!(taken.iter().all(|envelope| matches!(envelope.body, EventBody::TaskQueued(_))));
        while stage.count(TASKS_IN_OUTBOX).await > 0 {
            tokio::task::yield_now().await;
        }
        shutdown.stop();
    };
    tokio::join!(courier.run(&shutdown), bring);
}

#[tokio::test]
async fn no_relay_takes_what_is_in_hand_until_it_was_there_too_long() {
    let (stage, admission, _courier) = stage().await;
    assert_eq!(admission.admit().await.unwrap(), 2);
    relay_all(&stage).await;
    assert_eq!(stage.count(TASKS_IN_OUTBOX).await, 2, "they are the courier's");
    let later = "UPDATE events SET claimed_until = claimed_until - interval '3 seconds' WHERE NOT public";
    stage.database.connect().await.batch_execute(later).await.unwrap();
    relay_all(&stage).await;
    assert_eq!(stage.take(Queue::Tasks(Pool::Net), 2).await.len(), 2);
    assert_eq!(stage.count(TASKS_IN_OUTBOX).await, 0);
}

#[tokio::test]
async fn a_courier_that_ends_leaves_the_rest_to_the_relays_at_once() {
    let (stage, admission, courier) = stage().await;
    assert_eq!(admission.admit().await.unwrap(), 2);
    let shutdown = Shutdown::new();
    shutdown.stop();
    courier.run(&shutdown).await;
    relay_all(&stage).await;
    assert_eq!(stage.take(Queue::Tasks(Pool::Net), 2).await.len(), 2);
}
