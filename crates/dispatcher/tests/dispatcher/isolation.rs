//! One organization's webhooks, and one webhook's trouble, are nobody else's.

use picket_dispatcher::DispatcherSettings;
use picket_domain::Dialect;

use crate::{
    receiver::Receiver,
    stage::{Stage, eventually, organization, quick},
};

#[tokio::test]
async fn a_hanging_receiver_holds_eight_sends_and_no_neighbor() {
    let stage = Stage::new().await;
    let hanging = Receiver::hanging().await;
    let (stuck, _) = stage.webhook(&hanging.url, Dialect::V2).await;
    for _ in 0..30 {
        stage.scan().await;
    }
    let settings = DispatcherSettings { drain_seconds: 0, ..quick() };
    let dispatchers = [stage.dispatcher(settings.clone()), stage.dispatcher(settings)];
    eventually("eight sends under way", async || {
        let made = stage.deliveries(stuck).await.len() == 30;
        (made && hanging.requests().len() >= 8).then_some(())
    })
    .await;

    let receiver = Receiver::answering("200 OK").await;
    let (neighbor, _) = stage.webhook(&receiver.url, Dialect::V1).await;
    stage.scan().await;
    stage.settled(neighbor, 2, "delivered").await;
    let states: Vec<_> = stage.deliveries(stuck).await.iter().map(|record| record.state.name()).collect();
    assert_eq!(states.iter().filter(|state| **state == "sending").count(), 8);
    assert_eq!(hanging.requests().len(), 8);
    for dispatcher in dispatchers {
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn a_webhook_hears_of_nothing_that_is_older_than_itself() {
    let stage = Stage::new().await;
    stage.scan().await;
    let age = "UPDATE events SET at = at - interval '1 hour'";
    stage.admin.execute(age, &[]).await.unwrap();
    let receiver = Receiver::answering("200 OK").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    let [_, failed] = stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    assert_eq!(stage.settled(webhook, 1, "delivered").await[0].event_id, failed);
    dispatcher.stop().await;
}

#[tokio::test]
async fn an_organization_hears_of_its_own_events_alone() {
    let stage = Stage::new().await;
    let other = organization(&stage.admin).await;
    let receiver = Receiver::answering("200 OK").await;
    let (ours, _) = stage.webhook(&receiver.url, Dialect::V1).await;
    let strange = Receiver::answering("200 OK").await;
    let (theirs, _) = stage.webhook_of(other, &strange.url, Dialect::V1).await;
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.settled(ours, 2, "delivered").await;
    assert!(strange.requests().is_empty());

    stage.scan_of(other).await;
    eventually("their deliveries", async || (strange.requests().len() == 2).then_some(())).await;
    // Row-level security: neither seen nor deleted across the border.
    assert!(stage.deliveries(theirs).await.is_empty());
    assert!(!stage.delete(stage.organization, theirs).await.unwrap());
    assert_eq!(receiver.requests().len(), 2);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_deleted_webhook_hears_nothing_and_leaves_no_secret() {
    let stage = Stage::new().await;
    let receiver = Receiver::answering("500 No").await;
    let (webhook, secret) = stage.webhook(&receiver.url, Dialect::V2).await;
    let sealed = async || {
        let row = stage.admin.query_one("SELECT secret FROM webhooks WHERE id = $1", &[&webhook.uuid()]).await.unwrap();
        row.get::<_, Vec<u8>>(0)
    };
    assert!(!sealed().await.windows(8).any(|window| secret.expose().windows(8).any(|plain| plain == window)));
    stage.scan().await;
    let dispatcher = stage.dispatcher(quick());
    stage.waiting(webhook, 1).await;
    assert!(stage.delete(stage.organization, webhook).await.unwrap());
    assert!(!stage.delete(stage.organization, webhook).await.unwrap());
    stage.settled(webhook, 1, "withdrawn").await;
    assert!(sealed().await.is_empty());
    assert_eq!(receiver.requests().len(), 1);
    dispatcher.stop().await;
}
