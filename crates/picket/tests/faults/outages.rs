//! F7, F8, F16, F19, F22: roles that are stopped, and services that are away, silent or incomplete for a while.

use std::time::{Duration, SystemTime};

use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use picket_queue::topology::Queue;
use serde_json::json;

use crate::{
    cable::Cable,
    platform::Platform,
    process::eventually,
    proxy::{Proxy, Way},
    stage::LONG,
};

/// One task at a time.
const ONE: (&str, &str) = ("PICKET_WORKER__SLOTS", "1");
/// How long the cable is out. The time itself is the fault: longer than heartbeats to the broker, leases, and what a kernel
/// waits before it sends again.
const PULLED: Duration = Duration::from_secs(30);
/// From a connection that says nothing any more to the end of what waited for it, at most.
const NOTICED: Duration = Duration::from_secs(60);

impl Platform {
    /// Waits until the only task runs in that attempt.
    pub(crate) async fn runs(&self, attempt: i32) {
        let sql = "SELECT count(*) FROM tasks WHERE state = 'running' AND attempt = $1";
        let look = async || (self.stage.row(sql, &[&attempt]).await.get::<_, i64>(0) == 1).then_some(());
        eventually("the attempt", LONG, look).await;
    }

    /// Waits until the only task is done; in which attempt.
    pub(crate) async fn done(&self) -> i32 {
        let sql = "SELECT attempt FROM tasks WHERE state = 'done'";
        eventually("the end", LONG, async || self.stage.rows(sql, &[]).await.pop()).await.0.get(0)
    }

    /// Now, by the clock of the database, which tells when tasks ended too.
    async fn now(&self) -> SystemTime {
        self.stage.row("SELECT clock_timestamp()", &[]).await.get(0)
    }

    /// Demands that a dead connection was noticed: it is within two heartbeats to the broker, of 10 s each, and the bound
    /// here is three times as long, so that a busy machine breaks nothing.
    async fn tell_end(&self, what: &str, since: SystemTime) {
        let last: SystemTime = self.stage.row("SELECT max(ended_at) FROM tasks", &[]).await.get(0);
        let later = last.duration_since(since).unwrap_or_default();
        println!("{what}: the last task ended {later:?} later");
        assert!(later < NOTICED, "{what}: {later:?}");
    }

    /// A worker that stops itself with its result in hand, and the next one that takes the task up: the first one goes on
    /// while the second one works. `faults` are more failpoints of the first.
    pub(crate) async fn late_result(&self, faults: &str) -> String {
        let stops = format!("worker::before_commit=1*return(stop){faults}");
        let first = self.start_with("worker", &stops, &[ONE]);
        self.scan(&json!({"findings": 3, "sleep_ms": 2_500})).await;
        eventually("the first worker stops", LONG, async || first.is_stopped().then_some(())).await;
        let _second = self.start_with("worker", "", &[ONE]);
        self.runs(2).await;
        first.signal("CONT");
        let ended = async || {
            let log = first.log();
            (log.contains("thrown away") || log.contains("not stored")).then_some(log)
        };
        let told = tokio::time::timeout(Duration::from_secs(2), eventually("its late word", LONG, ended)).await;
        self.done().await;
        told.map(|(log, _)| log).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_a_worker_that_is_stopped_past_its_lease_comes_back_and_changes_nothing() {
    let platform = Platform::new("F7").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let log = platform.late_result("").await;
    assert!(log.contains("thrown away"), "{log}");
    assert_eq!(platform.done().await, 2);
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f8_a_worker_that_loses_the_database_while_its_tool_runs_loses_its_task_and_no_more() {
    let platform = Platform::new("F8").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let url = platform.stage.database.url();
    let way = Proxy::before(&url).await;
    let _first = platform.start_with("worker", "", &[ONE, ("DATABASE_URL", &way.url(&url))]);
    platform.scan(&json!({"findings": 3, "sleep_ms": 2_000})).await;
    platform.runs(1).await;
    way.set(Way::Silent);
    let _second = platform.start_with("worker", "", &[ONE]);
    platform.runs(2).await;
    way.set(Way::Open);
    assert_eq!(platform.done().await, 2);
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_queues_and_exchanges_that_somebody_deletes_come_back_and_nothing_counts_as_sent() {
    let platform = Platform::new("F16").await;
    let _sound = platform.sound();
    platform.scan(&json!({"findings": 1})).await;
    platform.drain(LONG).await;
    let connection = Connection::connect(&platform.stage.namespace.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let prefix = &platform.stage.namespace.prefix;
    for round in 0..3 {
        for queue in ["tasks.simulate", "deliveries"] {
            let options = QueueDeleteOptions::default();
            channel.queue_delete(format!("{prefix}.{queue}").into(), options).await.unwrap();
        }
        if round > 0 {
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(format!("{prefix}.events").into(), options).await.unwrap();
        }
        for _ in 0..5 {
            platform.scan(&json!({"findings": 2, "tasks": 2})).await;
        }
        // The next round deletes what has messages in it again.
        let sql = "SELECT count(*) FROM tasks WHERE queued_at IS NOT NULL";
        let goes_on = async || {
            let queued: i64 = platform.stage.row(sql, &[]).await.get(0);
            (queued > 1 + 10 * round && platform.stage.broker.find(&Queue::all()).await.is_ok()).then_some(())
        };
        eventually("the queues are back and used", LONG, goes_on).await;
    }
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_roles_whose_cable_is_pulled_for_half_a_minute_go_on_as_soon_as_it_is_back() {
    let Some(cable) = Cable::new().await else { return };
    let platform = Platform::new("F22, the cable").await;
    let (database, broker) = (platform.stage.database.url(), platform.stage.namespace.url.clone());
    let (postgres, amqp) = (Proxy::at(&cable.address, &database).await, Proxy::at(&cable.address, &broker).await);
    let (database, broker) = (postgres.url(&database), amqp.url(&broker));
    let urls = [("DATABASE_URL", database.as_str()), ("AMQP_URL", broker.as_str())];
    let _far = ["steward", "worker"].map(|role| platform.start_by(&cable.far(), role, "", &urls));
    let _near = platform.start("dispatcher", "");
    platform.scan(&json!({"findings": 1})).await;
    platform.drain(LONG).await;

    // In the middle of a task, too.
    platform.scan(&json!({"findings": 1, "sleep_ms": 3_000})).await;
    platform.runs(1).await;
    cable.pull();
    for _ in 0..10 {
        platform.scan(&json!({"findings": 2})).await;
    }
    tokio::time::sleep(PULLED).await;
    cable.plug();
    let back = platform.now().await;
    platform.verdict().await;
    platform.tell_end("F22: the cable was back", back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_half_open_connections_to_the_broker_are_noticed_and_work_goes_on() {
    let platform = Platform::new("F22").await;
    let _sound = platform.sound();
    platform.scan(&json!({"findings": 1})).await;
    platform.drain(LONG).await;
    let forgotten = platform.now().await;
    platform.broker.forget();
    for _ in 0..10 {
        platform.scan(&json!({"findings": 2})).await;
    }
    platform.verdict().await;
    platform.tell_end("F22: connections were half-open", forgotten).await;
}
