//! What the tests of this binary share.

use std::time::Duration;

use picket_queue::{Broker, BrokerSettings, Consumer, Delivery, Message, Publisher, QueueError, topology::Queue};
use picket_testkit::Namespace;

/// The queue that these tests use, and a key that it hears.
pub(crate) const QUEUE: Queue = Queue::Reports;
pub(crate) const KEY: &str = "report.requested";
/// A key that no queue hears.
pub(crate) const UNHEARD: &str = "nobody.hears.this";

/// Longer than anything here takes; reaching it is a failure.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A broker in a namespace of its own, with everything declared.
pub(crate) async fn broker() -> Broker {
    let Namespace { url, prefix } = Namespace::new();
    let broker = connect(url, prefix);
    broker.declare().await.unwrap();
    broker
}

pub(crate) fn connect(url: String, prefix: String) -> Broker {
    Broker::new(BrokerSettings { url, prefix, name: "test".to_owned() })
}

/// Publishes messages whose bodies are their ids.
pub(crate) async fn publish(publisher: &Publisher, ids: &[String]) -> Vec<Result<(), QueueError>> {
    let messages: Vec<_> = ids.iter().map(|id| message(KEY, id)).collect();
    publisher.publish(&messages).await
}

pub(crate) fn message<'a>(routing_key: &'a str, id: &'a str) -> Message<'a> {
    Message { routing_key, id, body: id.as_bytes() }
}

/// `count` ids that begin with `name`.
pub(crate) fn ids(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}-{number}")).collect()
}

pub(crate) fn id(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body().to_vec()).unwrap()
}

/// The next message, which must come.
pub(crate) async fn take(consumer: &mut Consumer) -> Delivery {
    tokio::time::timeout(LONG, consumer.take()).await.expect("a message")
}

/// Takes and acknowledges `count` messages; their ids, sorted.
pub(crate) async fn drain(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..count {
        let delivery = take(consumer).await;
        taken.push(id(&delivery));
        delivery.ack().await.unwrap();
    }
    taken.sort();
    taken
}

/// Whether the queue is empty: what is published now is the next that comes.
pub(crate) async fn assert_empty(broker: &Broker) {
    let last = ids("last", 1);
    publish(&broker.publisher(), &last).await.into_iter().collect::<Result<Vec<()>, _>>().unwrap();
    assert_eq!(drain(&mut broker.consumer(QUEUE), 1).await, last);
}
