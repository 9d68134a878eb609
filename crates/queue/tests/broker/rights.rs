//! Each role's user of the broker may do what that role does, and nothing else (statement 34 of `docs/security.md`). Real
//! users of a real broker, with the rights that `docs/operations.md` lists.

use std::collections::BTreeMap;

use lapin::{
    Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
};
use picket_domain::Pool;
use picket_queue::topology::Queue;

use crate::{
    private::Private,
    stage::{KEY, connect, drain, message},
};

const PREFIX: &str = "rights";

/// What each role but the steward takes.
fn own(role: &str) -> Vec<Queue> {
    match role {
        "worker" => Pool::ALL.into_iter().map(Queue::Tasks).collect(),
        "dispatcher" => vec![Queue::Deliveries],
        "renderer" => vec![Queue::Reports],
        other => panic!("{other} takes nothing"),
    }
}

/// Every try on a channel of its own: a refusal closes it.
async fn channel(connection: &Connection) -> Channel {
    connection.create_channel().await.unwrap()
}

fn name(queue: Queue) -> String {
    format!("{PREFIX}.{}", queue.name())
}

/// AMQP's 403.
fn refused<T>(result: Result<T, lapin::Error>) -> bool {
    result.is_err_and(|error| error.to_string().contains("ACCESS_REFUSED"))
}

async fn takes_its_own_alone(role: &str, connection: &Connection) {
    for queue in Queue::all() {
        let (name, is_own) = (name(queue), own(role).contains(&queue));
        let options = BasicConsumeOptions::default();
        let consumed = channel(connection).await;
        let consumed =
            consumed.basic_consume(name.clone().into(), "".into(), options, FieldTable::default()).await.map(|_| ());
        assert_eq!(refused(consumed), !is_own, "{role} consumes {name}");
        let got = channel(connection).await.basic_get(name.clone().into(), BasicGetOptions::default()).await;
        assert_eq!(refused(got), !is_own, "{role} gets from {name}");
    }
}

async fn changes_nothing(role: &str, connection: &Connection) {
    let (none, events) = (FieldTable::default, format!("{PREFIX}.events"));
    for queue in own(role).into_iter().chain([Queue::Dead]) {
        let name = name(queue);
        let deleted = channel(connection).await.queue_delete(name.clone().into(), QueueDeleteOptions::default()).await;
        assert!(refused(deleted), "{role} deletes {name}");
        let bound = channel(connection).await;
        let bound = bound.queue_bind(
            name.clone().into(),
            events.clone().into(),
            "#".into(),
            QueueBindOptions::default(),
            none(),
        );
        assert!(refused(bound.await), "{role} binds {name} to everything");
    }
    for declared in ["rights.own", "own", ""] {
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel(connection).await.queue_declare(declared.into(), options, none()).await;
        assert!(refused(queue), "{role} declares a queue `{declared}`");
    }
    let options = ExchangeDeclareOptions::default();
    let exchange =
        channel(connection).await.exchange_declare("own".into(), ExchangeKind::Fanout, options, none()).await;
    assert!(refused(exchange), "{role} declares an exchange");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_a_role_declares_publishes_and_reads_nothing_but_what_that_role_does() {
    let private = Private::new();
    let administrator = private.tell("start");
    let lines = private.tell("users");
    let urls: BTreeMap<&str, &str> = lines.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(urls.len(), 4, "{:?}", urls.keys());

    // The steward alone declares, and publishes what the others take.
    let steward = connect(urls["steward"].to_owned(), PREFIX.to_owned());
    for role in ["worker", "dispatcher", "renderer"] {
        let broker = connect(urls[role].to_owned(), PREFIX.to_owned());
        assert!(broker.find(&own(role)).await.is_err(), "{role} finds nothing yet");
        assert!(broker.declare().await.is_err(), "{role} declares everything");
    }
    steward.declare().await.unwrap();
    for role in ["worker", "dispatcher", "renderer"] {
        let broker = connect(urls[role].to_owned(), PREFIX.to_owned());
        broker.find(&own(role)).await.unwrap();
        let keys = own(role).into_iter().flat_map(Queue::keys).chain(["task.queued.net".to_owned(), KEY.to_owned()]);
        for key in keys {
            let published = broker.publisher().publish(&[message(&key, "forged")]).await.pop().unwrap();
            assert!(published.is_err(), "{role} publishes {key}");
        }
        let connection = Connection::connect(urls[role], ConnectionProperties::default()).await.unwrap();
        changes_nothing(role, &connection).await;
        takes_its_own_alone(role, &connection).await;
        connection.close(200, "bye".into()).await.unwrap();
        // What is sent to it arrives, and nothing that was forged.
        let key = own(role).pop().unwrap().keys().remove(0).replace('*', "created");
        steward.publisher().publish(&[message(&key, "real")]).await.pop().unwrap().unwrap();
        assert_eq!(drain(&mut broker.consumer(own(role).pop().unwrap()), 1).await, ["real"]);
    }
    let connection = Connection::connect(urls["steward"], ConnectionProperties::default()).await.unwrap();
    let options = QueueDeclareOptions::default();
    let strange = channel(&connection).await.queue_declare("own".into(), options, FieldTable::default()).await;
    assert!(refused(strange), "the steward declares what is not ours");
    assert!(connect(administrator, PREFIX.to_owned()).is_up().await);
}
