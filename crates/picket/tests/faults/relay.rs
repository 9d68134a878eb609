//! Invariant 3: every event reaches the broker, however often the relay dies, and its receivers bear the same one twice.

use picket_kit::Clock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use picket_domain::{EventBody, Pool, SandboxLevel, TaskId, WorkerId};
use picket_queue::{Envelope, topology::Queue};
use picket_store::{
    tasks::lease::{self, Claimant, LEASE_SECONDS},
    workers::{self, WorkerBeat},
};
use picket_testkit::seed;

use crate::{
    process::eventually,
    stage::{LONG, Stage},
};

/// All scans here are of one host.
const MANY: [(&str, &str); 1] = [("PICKET_STEWARD__TASKS_PER_HOST", "1000")];
/// Between two scans: a load that lasts as long as the kills, and not a flood.
const PACE: Duration = Duration::from_millis(4);
/// By so much later than the one before each kill comes after the steward's first sign of life: another moment of its rounds.
const STEP: Duration = Duration::from_millis(23);
/// Kills of the steward while scans are being created.
const KILLS: u32 = 12;
/// Scans for each of them: all together fewer than may be unfinished at one time.
const EACH: usize = 75;

impl Stage {
    /// A worker that lives and has room for everything, but is none.
    async fn pretend_worker(&self) -> Claimant {
        let worker_id = WorkerId::mint(Clock::system().now());
        let (pools, level) = (vec![Pool::Net], SandboxLevel::L2);
        let beat = WorkerBeat {
            id: worker_id,
            pools,
            level,
            tools: Vec::new(),
            slots: 1_000,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: picket_store::workers::WorkerProof::default(),
        };
        self.db.operate("test", async |tx| workers::beat(tx, &beat).await).await.unwrap();
        Claimant { worker_id, level, lease_seconds: LEASE_SECONDS }
    }

    /// Takes messages of a queue until `enough`; how often each event came.
    async fn receive(
        &self,
        queue: Queue,
        enough: impl Fn(&BTreeMap<String, Vec<Envelope>>) -> bool,
    ) -> BTreeMap<String, Vec<Envelope>> {
        let (mut consumer, mut received) = (self.broker.consumer(queue), BTreeMap::<_, Vec<_>>::new());
        while !enough(&received) {
            let delivery = tokio::time::timeout(LONG, consumer.take()).await.expect("a message");
            let envelope = Envelope::decode(delivery.body()).unwrap();
            received.entry(envelope.id.to_string()).or_default().push(envelope);
            delivery.ack().await.unwrap();
        }
        received
    }

    /// One scan after the other, so many at most, until it is enough; their tasks.
    async fn create_until(&self, enough: &AtomicBool, most: &AtomicUsize) -> BTreeSet<TaskId> {
        let mut tasks = BTreeSet::new();
        while !enough.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
            if tasks.len() >= most.load(Ordering::Relaxed) {
                continue;
            }
            let scan = seed::scan(self.organization, 1);
            tasks.insert(scan.tasks[0].id);
            self.store(&scan).await;
        }
        tasks
    }

    async fn public_events(&self) -> BTreeSet<String> {
        let rows = self.database.connect().await.query("SELECT id FROM events WHERE public", &[]).await.unwrap();
        rows.iter().map(|row| picket_domain::EventId::from_uuid(row.get(0)).to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_between_confirm_and_mark_publishes_twice_and_harms_nobody() {
    let stage = Stage::new().await;
    let claimant = stage.pretend_worker().await;
    stage.store(&seed::scan(stage.organization, 1)).await;
    assert_eq!(stage.admit().await, 1);
    // The mark fails: for the broker that is the same as a relay that died after the confirm.
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'died'; END $$;
                  CREATE TRIGGER refuse BEFORE DELETE OR UPDATE OF published_at ON events
                  FOR EACH STATEMENT EXECUTE FUNCTION refuse()";
    stage.execute(refuse).await;
    let relay = stage.relay();
    assert!(relay.relay().await.is_err());
    stage.execute("DROP TRIGGER refuse ON events").await;
    assert_eq!(relay.relay().await.unwrap(), 0, "claimed by one that may still live");
    stage.execute("UPDATE events SET claimed_until = now() - interval '1 second'").await;
    assert!(relay.relay().await.unwrap() >= 2, "the scan and the task");
    assert_eq!(relay.relay().await.unwrap(), 0);

    let tasks = stage.receive(Queue::Tasks(Pool::Net), |all| all.values().any(|copies| copies.len() == 2)).await;
    let copies = tasks.into_values().next().unwrap();
    let mut claims = Vec::new();
    for copy in copies {
        let EventBody::TaskQueued(message) = copy.body else { panic!("a task") };
        let (now, by) = (Clock::system().now(), claimant);
        let claim = stage.db.run("test", copy.organization_id, async |tx| lease::claim(tx, &message, by, now).await);
        claims.push(claim.await.unwrap().is_some());
    }
    assert_eq!(claims, [true, false], "the second one is stale");
    let published = stage.public_events().await.len();
    let heard = stage.receive(Queue::Deliveries, |all| all.values().map(Vec::len).sum::<usize>() >= 2).await;
    assert!(heard.len() <= published && heard.values().all(|copies| copies.len() == 2), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_published_however_often_the_steward_is_killed() {
    let stage = Arc::new(Stage::new().await);
    stage.pretend_worker().await;
    let (enough, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let creating = tokio::spawn({
        let (stage, enough, most) = (stage.clone(), enough.clone(), most.clone());
        async move { stage.create_until(&enough, &most).await }
    });
    let sent = async || stage.row("SELECT count(*) FROM events WHERE published_at IS NOT NULL", &[]).await;
    for kill in 0..KILLS {
        let before: i64 = sent().await.get(0);
        // New ones for each, and on a slow machine not more than the plan has room for.
        most.fetch_add(EACH, Ordering::Relaxed);
        let mut steward = stage.start("steward", &MANY);
        let relays = async || (sent().await.get::<_, i64>(0) > before).then_some(());
        eventually("the steward relays", LONG, relays).await;
        tokio::time::sleep(STEP * kill).await;
        steward.kill();
        // What a dead relay had claimed comes back after 30 s; nobody waits for that here.
        stage.execute("UPDATE events SET claimed_until = now() WHERE claimed_until IS NOT NULL").await;
    }
    enough.store(true, Ordering::Relaxed);
    let tasks = creating.await.unwrap();
    stage.pretend_worker().await;
    let _steward = stage.start("steward", &MANY);
    let limit = usize::try_from(picket_domain::Subscription::Enterprise.limits().tasks_in_flight).unwrap();
    let admitted = limit.min(tasks.len());
    let task_of = |copies: &Vec<Envelope>| {
        let EventBody::TaskQueued(task) = &copies[0].body else { panic!("a task") };
        task.task_id
    };
    let heard = stage.receive(Queue::Tasks(Pool::Net), |all| all.len() >= admitted).await;
    let heard: BTreeSet<_> = heard.values().map(task_of).collect();
    assert_eq!(heard.len(), admitted);
    assert!(heard.is_subset(&tasks));

    let published = async || {
        let row = stage.row("SELECT count(*) FILTER (WHERE published_at IS NULL), count(*) FROM events", &[]).await;
        (row.get::<_, i64>(0) == 0 && row.get::<_, i64>(1) >= i64::try_from(tasks.len()).unwrap()).then_some(())
    };
    eventually("everything is published", LONG, published).await;
    let expected = stage.public_events().await;
    let heard = stage.receive(Queue::Deliveries, |all| expected.iter().all(|id| all.contains_key(id))).await;
    let twice = heard.values().filter(|copies| copies.len() > 1).count();
    println!("{} public events and {KILLS} kills, {twice} events came more than once", expected.len());
    assert!(heard.keys().all(|id| expected.contains(id)), "nothing was made up");
    let row = stage.row("SELECT count(*), count(DISTINCT sequence), max(sequence) FROM events WHERE public", &[]).await;
    let (all, distinct, last): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(all == distinct && distinct == last, "numbers are without gaps: {all} {distinct} {last}");
}
