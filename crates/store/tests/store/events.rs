//! The outbox: numbered without gaps, published at least once.

use picket_domain::{Event, EventId};
use picket_store::events::{self, Outgoing};

use crate::scenario::{Scenario, now};

#[tokio::test]
async fn relays_that_number_at_once_leave_no_gap() {
    let scenario = Scenario::new().await;
    scenario.set_plan(picket_domain::Subscription::Enterprise).await;
    for _ in 0..20 {
        scenario.create(1).await;
    }
    let number = || scenario.db.operate("test", async |tx| events::number(tx).await);
    futures_util::future::join_all((0..6).map(|_| number())).await;
    assert_eq!(scenario.public_events().await.len(), 20);
}

#[tokio::test]
async fn an_event_is_claimed_by_one_relay_and_comes_back_when_it_was_not_confirmed() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    scenario.public_events().await;
    let claim = async || scenario.db.operate("test", async |tx| events::claim(tx, 10).await).await.unwrap();
    let first = claim().await;
    assert_eq!(first.len(), 1);
    assert_eq!(claim().await, []);

    let taken: Vec<_> = first.iter().collect();
    // A place that was given out again, to another event.
    let another = Outgoing { event: Event { id: EventId::mint(now()), ..first[0].event.clone() }, ..first[0].clone() };
    scenario.db.operate("test", async |tx| events::release(tx, &[&another]).await).await.unwrap();
    assert_eq!(claim().await, [], "by its place alone nothing is known");
    scenario.db.operate("test", async |tx| events::release(tx, &taken).await).await.unwrap();
    assert_eq!(claim().await, first);

    scenario.execute("UPDATE events SET claimed_until = now() - interval '1 second'").await;
    assert_eq!(claim().await, first, "a relay that died gives its events back");

    scenario.db.operate("test", async |tx| events::mark_published(tx, &taken).await).await.unwrap();
    assert_eq!(claim().await, []);
}

#[tokio::test]
async fn an_event_without_a_number_is_not_published() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    let claimed = scenario.db.operate("test", async |tx| events::claim(tx, 10).await).await.unwrap();
    assert_eq!(claimed, []);
}
