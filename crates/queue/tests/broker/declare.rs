//! Declaring: by every process, as often as it likes.

use picket_queue::{QueueError, topology::Queue};
use picket_testkit::Namespace;

use crate::stage::{KEY, broker, connect, drain, ids, message, publish};

#[tokio::test]
async fn declaring_again_changes_nothing() {
    let broker = broker().await;
    let sent = ids("kept", 1);
    publish(&broker.publisher(), &sent).await.pop().unwrap().unwrap();
    let rounds = (0..4).map(|_| broker.declare());
    for declared in futures_util::future::join_all(rounds).await {
        declared.unwrap();
    }
    assert_eq!(drain(&mut broker.consumer(crate::stage::QUEUE), 1).await, sent);
    assert_eq!(broker.connections_made(), 2);
}

#[tokio::test]
async fn every_key_of_the_table_reaches_its_queue() {
    let broker = broker().await;
    let publisher = broker.publisher();
    for queue in Queue::all().into_iter().filter(|queue| *queue != Queue::Dead) {
        for key in queue.keys() {
            let key = key.replace('*', "created");
            publisher.publish(&[message(&key, &key)]).await.pop().unwrap().unwrap();
            assert_eq!(drain(&mut broker.consumer(queue), 1).await, [key]);
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_an_error_and_not_a_wait() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let broker = connect(format!("amqp://picket:secret@{address}/%2f"), Namespace::new().prefix);
    assert!(matches!(broker.declare().await, Err(QueueError::Unreachable | QueueError::Driver(_))));
    let refused = broker.publisher().publish(&[message(KEY, "x")]).await.pop().unwrap();
    assert!(matches!(refused, Err(QueueError::Unreachable)));
    assert!(!broker.is_up().await);
}

#[tokio::test]
async fn of_several_addresses_the_next_one_is_tried_until_one_answers() {
    // One refuses, one accepts and never says a word.
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (refused, silent) = (refusing.local_addr().unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    drop(refusing);
    let Namespace { url, prefix } = Namespace::new();
    let dead = |address| format!("amqp://picket:secret@{address}/%2f");
    let several = [dead(refused), dead(silent.local_addr().unwrap()), url].join(", ");
    let broker = connect(several, prefix);
    broker.declare().await.unwrap();
    let sent = ids("sent", 1);
    publish(&broker.publisher(), &sent).await.pop().unwrap().unwrap();
    assert_eq!(drain(&mut broker.consumer(crate::stage::QUEUE), 1).await, sent);
}

#[tokio::test]
async fn who_looks_for_queues_finds_those_that_are_declared_and_makes_none() {
    let Namespace { url, prefix } = Namespace::new();
    let broker = connect(url, prefix);
    assert!(broker.find(&[Queue::Reports]).await.is_err());
    assert!(broker.find(&[Queue::Reports]).await.is_err(), "looking has not made it");
    broker.declare().await.unwrap();
    broker.find(&Queue::all()).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_repeating_it() {
    for url in ["amqp://picket:secret@:::", "amqp://picket:secret@127.0.0.1:1/%2f,secret", "", ","] {
        let error = connect(url.to_owned(), "p".to_owned()).declare().await.unwrap_err();
        assert!(matches!(error, QueueError::Url), "{url}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
