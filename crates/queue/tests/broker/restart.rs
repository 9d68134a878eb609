//! A broker of our own, killed in the middle of publishing and consuming: whatever it confirmed is taken.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use picket_queue::Broker;
use tokio::sync::watch;

use crate::{
    private::Private,
    stage::{LONG, QUEUE, connect, id, ids, publish},
};

/// Confirmed messages before the kill, between the restart and the next kill, and so on.
const PORTION: usize = 300;
/// Messages that wait in the queue, so that the kill meets publishers and consumers at work.
const BACKLOG: usize = 64;
/// How long the whole may take, two restarts of a broker included.
const BOUND: Duration = Duration::from_secs(180);

/// What is known from outside.
#[derive(Default)]
struct Ledger {
    confirmed: watch::Sender<BTreeSet<String>>,
    taken: watch::Sender<BTreeSet<String>>,
    errors: Mutex<usize>,
}

impl Ledger {
    /// Publishes window after window, each message until it is confirmed, as the relay does.
    async fn publish_until(&self, broker: &Broker, stopped: &watch::Receiver<bool>) {
        let publisher = broker.publisher();
        for window in 0.. {
            let mut open = ids(&format!("window-{window}"), 16);
            while !open.is_empty() {
                let results = publish(&publisher, &open).await;
                let (mut kept, mut confirmed) = (Vec::new(), Vec::new());
                for (id, result) in open.drain(..).zip(results) {
                    if result.is_ok() { confirmed.push(id) } else { kept.push(id) }
                }
                *self.errors.lock().unwrap() += kept.len();
                self.confirmed.send_modify(|all| all.extend(confirmed));
                if !kept.is_empty() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                open = kept;
            }
            if *stopped.borrow() {
                return;
            }
            self.catch_up().await;
        }
    }

    /// Waits until what is confirmed is taken, but for a few.
    async fn catch_up(&self) {
        let mut taken = self.taken.subscribe();
        let goal = self.confirmed.borrow().len().saturating_sub(BACKLOG);
        tokio::time::timeout(LONG, taken.wait_for(|all| all.len() >= goal)).await.expect("consumers").unwrap();
    }

    async fn take_all(&self, broker: &Broker) {
        let mut consumer = broker.consumer(QUEUE);
        loop {
            let delivery = consumer.take().await;
            // Before the acknowledgement, as a worker claims: one that fails may have been heard all the same.
            self.taken.send_modify(|all| all.extend([id(&delivery)]));
            if delivery.ack().await.is_err() {
                *self.errors.lock().unwrap() += 1;
            }
        }
    }

    /// Waits until `count` more messages are confirmed than are now.
    async fn grow(&self, count: usize) {
        let mut confirmed = self.confirmed.subscribe();
        let goal = confirmed.borrow().len() + count;
        tokio::time::timeout(LONG, confirmed.wait_for(|all| all.len() >= goal)).await.expect("confirms").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_confirmed_is_lost_when_the_broker_is_killed_and_restarted() {
    let began = Instant::now();
    let private = Arc::new(Private::new());
    let url = private.tell("start");
    let broker = connect(url.clone(), "restart".to_owned());
    broker.declare().await.unwrap();
    let ledger = Arc::new(Ledger::default());
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn({
        let (ledger, broker) = (ledger.clone(), broker.clone());
        async move { ledger.publish_until(&broker, &stopped).await }
    });
    for _ in 0..4 {
        let (ledger, broker) = (ledger.clone(), broker.clone());
        tokio::spawn(async move { ledger.take_all(&broker).await });
    }
    for _ in 0..2 {
        ledger.grow(PORTION).await;
        let private = private.clone();
        let again = tokio::task::spawn_blocking(move || {
            private.tell("kill");
            private.tell("start")
        });
        assert_eq!(again.await.unwrap(), url);
    }
    ledger.grow(PORTION).await;
    stop.send(true).unwrap();
    publisher.await.unwrap();

    assert!(broker.connections_made() > 2, "the kills were noticed");
    let confirmed = ledger.confirmed.borrow().clone();
    let mut taken = ledger.taken.subscribe();
    let all = tokio::time::timeout(LONG, taken.wait_for(|taken| taken.is_superset(&confirmed))).await;
    drop(all);
    let lost: Vec<_> = confirmed.difference(&ledger.taken.borrow()).cloned().collect();
    let some = lost.iter().take(5).collect::<Vec<_>>();
    assert!(lost.is_empty(), "{} of {} are lost: {some:?}", lost.len(), confirmed.len());
    assert!(began.elapsed() < BOUND);
    println!(
        "{} confirmed, {} errors, {} connections, {:?}",
        confirmed.len(),
        ledger.errors.lock().unwrap(),
        broker.connections_made(),
        began.elapsed()
    );
}
