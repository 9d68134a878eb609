//! F18, F20, F30, F33: messages that lie, clocks that are wrong, a queue that is long, and people who change their minds.

use picket_domain::{EventBody, EventId, NewScan, OrganizationId, Pool, ScanId, Subscription, TaskId, TaskQueued};
use picket_faults::PLACES;
use picket_kit::Clock;
use picket_queue::{Envelope, Message};
use picket_store::{StoreError, scans};
use picket_testkit::seed;
use rand::seq::SliceRandom;
use serde_json::json;

use crate::{
    checker,
    platform::{HEALED, Platform},
    process::{Role, eventually},
    stage::LONG,
};

impl Platform {
    /// Stops a scan as the gateway does, unless it has ended.
    pub(crate) async fn cancel(&self, scan: &NewScan) -> bool {
        self.try_cancel(scan).await.unwrap()
    }

    /// Stops a scan whose worker stands still, and lets that go on. Where another thread of it was caught in a transaction
    /// on the scan, the stop fails in time, as it does for a client, and is asked for again.
    pub(crate) async fn cancel_under(&self, worker: &Role, scan: &NewScan) -> bool {
        let stopped = self.try_cancel(scan).await;
        worker.signal("CONT");
        match stopped {
            Ok(stopped) => stopped,
            Err(error) => {
                println!("{}: stopped again after {error:?}", scan.id);
                self.cancel(scan).await
            }
        }
    }

    async fn try_cancel(&self, scan: &NewScan) -> Result<bool, StoreError> {
        let now = Clock::system().now();
        let stopped = self.stage.db.run("test", scan.organization_id, async |tx| {
            let locked = scans::lock(tx, scan.id).await?.expect("the scan");
            let Ok(change) = locked.scan.cancel(now) else { return Ok::<_, StoreError>(false) };
            scans::cancel(tx, change, None, now).await?;
            Ok(true)
        });
        stopped.await
    }

    /// How many tasks of the organization were admitted or ran at once, as the ledger has it.
    pub(crate) async fn most_in_flight(&self) -> i64 {
        let sql = "SELECT max(n)::bigint FROM (
                       SELECT sum(CASE WHEN becomes = 'queued' AND was = 'ready' THEN 1
                                       WHEN was IN ('queued', 'running') AND becomes NOT IN ('queued', 'running') THEN -1
                                       ELSE 0 END) OVER (ORDER BY place) AS n
                       FROM faults.history WHERE kind = 'tasks' AND organization_id = $1) AS summed";
        self.stage.row(sql, &[&self.stage.organization.uuid()]).await.get(0)
    }

    /// Every message that a worker could ever have been sent for the tasks that there are, and such that never were.
    pub(crate) async fn messages(&self, stranger: OrganizationId) -> Vec<Vec<u8>> {
        let now = Clock::system().now();
        let rows = self.stage.rows("SELECT id, scan_id, attempt FROM tasks", &[]).await;
        let mut messages = Vec::new();
        for row in rows {
            let (task_id, scan_id) = (TaskId::from_uuid(row.get(0)), ScanId::from_uuid(row.get(1)));
            for attempt in 0..=row.get::<_, i32>(2) + 1 {
                let body = EventBody::TaskQueued(TaskQueued { task_id, scan_id, pool: Pool::Simulate, attempt });
                for organization_id in [self.stage.organization, stranger] {
                    let id = EventId::mint(now);
                    let envelope = Envelope { version: 1, id, organization_id, body: body.clone(), traceparent: None };
                    messages.push(envelope.encode().unwrap());
                }
            }
        }
        messages.extend([&b""[..], b"\xff\x00", b"{}", b"{\"version\":99}", b"[[[[[["].map(<[u8]>::to_vec));
        messages
    }

    pub(crate) async fn publish(&self, bodies: &[Vec<u8>]) {
        let publisher = self.stage.broker.publisher();
        for (number, window) in bodies.chunks(32).enumerate() {
            let ids: Vec<String> = (0..window.len()).map(|one| format!("forged-{number}-{one}")).collect();
            let message = |(body, id): (&'_ Vec<u8>, &'_ String)| (body.clone(), id.clone());
            let owned: Vec<_> = window.iter().zip(&ids).map(message).collect();
            let messages: Vec<_> =
                owned.iter().map(|(body, id)| Message { routing_key: "task.queued.simulate", id, body }).collect();
            publisher.publish(&messages).await.into_iter().for_each(|sent| sent.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_messages_that_come_three_times_shuffled_late_forged_or_broken_change_nothing() {
    let platform = Platform::new("F18").await;
    let other = seed::organization(&platform.stage.database, Subscription::Trial).await;
    checker::mark(&platform.stage.database, other, &checker::word_of(other)).await;
    let _sound = platform.sound();
    for round in 0..3 {
        for _ in 0..6 {
            platform.scan(&json!({"findings": 3, "tasks": 2, "sleep_ms": 30 * round})).await;
        }
        platform.stage.simulate_for(other, &json!({"findings": 3})).await;
        let messages = platform.messages(other).await;
        let mut thrice = [messages.clone(), messages.clone(), messages].concat();
        thrice.shuffle(&mut rand::rng());
        platform.publish(&thrice).await;
    }
    platform.drain(LONG).await;
    // Yesterday's, after the end.
    let yesterday = platform.messages(other).await;
    platform.publish(&yesterday).await;
    platform.scan(&json!({"findings": 3})).await;
    let words = "SELECT count(DISTINCT c.organization_id)
                 FROM faults.canaries AS c
                 JOIN tasks AS t ON t.organization_id = c.organization_id AND position(c.word IN t.shard::text) > 0";
    assert_eq!(platform.stage.row(words, &[]).await.get::<_, i64>(0), 2, "each organization has its word to lose");
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_roles_whose_clocks_are_wrong_by_hours_and_days_lose_and_repeat_nothing() {
    let platform = Platform::new("F20").await;
    let skewed = |role: &str, seconds: i64| platform.start(role, &format!("kit::clock=return({seconds})"));
    let _roles = [
        skewed("steward", 3_600),
        skewed("steward", -3_600),
        skewed("worker", 86_400),
        skewed("worker", -86_400),
        skewed("dispatcher", -30),
        skewed("dispatcher", 86_400),
    ];
    // Of a gateway whose clock is right: the tick is due, whoever of the stewards looks, and whenever that thinks it is.
    let (_gateway, base) = platform.gateway("").await;
    for _ in 0..3 {
        platform.each_minute(&base).await;
    }
    for _ in 0..10 {
        platform.scan(&json!({"findings": 2, "tasks": 2, "sleep_ms": 100})).await;
    }
    platform.ticked().await;
    platform.verdict().await;
    let early = "SELECT count(*) FROM schedule_runs WHERE tick_at > clock_timestamp()";
    assert_eq!(platform.stage.row(early, &[]).await.get::<_, i64>(0), 0, "no tick came before its time");
    let row = platform.stage.row("SELECT max(attempt) FROM tasks", &[]).await;
    assert_eq!(row.get::<_, i32>(0), 1, "no lease ended early or late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f30_one_worker_and_a_thousand_tasks_do_not_keep_another_organization_waiting() {
    let platform = Platform::new("F30").await;
    // Less in flight than there are slots: the plan is the limit, and is used up.
    platform.subscribe(Subscription::Professional).await;
    let other = seed::organization(&platform.stage.database, Subscription::Trial).await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let _worker = platform.start_with("worker", "", &[("PICKET_WORKER__SLOTS", "12")]);
    platform.scan(&json!({"tasks": 1_000, "sleep_ms": 5})).await;
    let started = "SELECT count(*) FROM tasks WHERE organization_id = $1 AND started_at IS NOT NULL";
    let many = platform.stage.organization.uuid();
    eventually("the long scan is under way", LONG, async || {
        (platform.stage.row(started, &[&many]).await.get::<_, i64>(0) > 20).then_some(())
    })
    .await;
    let before: i64 = platform.stage.row(started, &[&many]).await.get(0);
    let small = platform.stage.simulate_for(other, &json!({"findings": 1})).await;
    let start = "SELECT started_at FROM tasks WHERE scan_id = $1 AND started_at IS NOT NULL";
    eventually("the small scan starts", LONG, async || platform.stage.rows(start, &[&small.id.uuid()]).await.pop())
        .await;
    let sql = "SELECT count(*) FROM tasks WHERE organization_id = $1
               AND started_at < (SELECT started_at FROM tasks WHERE scan_id = $2)";
    let passed = platform.stage.row(sql, &[&many, &small.id.uuid()]).await.get::<_, i64>(0) - before;
    println!("F30: {passed} tasks of the long scan began before the small one");
    // What was queued for four slots when it came, and one round of admission that had begun.
    assert!(passed <= 40, "{passed}");
    // A thousand tasks take longer than what a platform needs to heal.
    platform.drain(HEALED).await;
    platform.verdict().await;
    assert_eq!(platform.most_in_flight().await, i64::from(Subscription::Professional.limits().tasks_in_flight));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_scans_that_are_stopped_at_every_step_of_a_task_end_once() {
    let platform = Platform::new("F33").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    for place in PLACES.iter().filter(|place| place.starts_with("worker::")) {
        let one = [("PICKET_WORKER__SLOTS", "1")];
        let worker = platform.start_with("worker", &format!("{place}=1*return(stop)"), &one);
        let scan = platform.scan(&json!({"findings": 3})).await;
        eventually(place, LONG, async || worker.is_stopped().then_some(())).await;
        platform.cancel_under(&worker, &scan).await;
        let next = platform.scan(&json!({"findings": 1})).await;
        platform.stage.await_state(&next, "completed").await;
    }
    // Against the end itself: forty at once, stopped when their tools are just about to end.
    let _worker = platform.start("worker", "");
    let mut scans = Vec::new();
    for _ in 0..40 {
        scans.push(platform.scan(&json!({"findings": 2, "sleep_ms": 40})).await);
    }
    let stops = scans.iter().map(|scan| async {
        let look = async || (platform.stage.state(scan).await != "created").then_some(());
        eventually("it moves", LONG, look).await;
        platform.cancel(scan).await
    });
    let stopped = futures_util::future::join_all(stops).await.into_iter().filter(|stopped| *stopped).count();
    // And once more by redelivery, when everything has ended.
    let messages = platform.messages(platform.stage.organization).await;
    platform.publish(&messages).await;
    println!("F33: {stopped} of {} were stopped before their end", scans.len());
    assert!(stopped > 0, "no stop came before an end");
    platform.verdict().await;
}
