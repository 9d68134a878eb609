//! A database and a namespace on the broker, with an organization that has scans.

use std::time::Duration;

use jiff::Timestamp;
use picket_blobs::{BlobSettings, Blobs};
use picket_domain::{OrganizationId, Pool, SandboxLevel, Subscription, WorkerId};
use picket_kit::Clock;
use picket_queue::{Broker, BrokerSettings, Envelope, topology::Queue};
use picket_store::{Db, DbSettings, scans, workers};
use picket_testkit::{Database, Namespace, seed};

/// An object store in a folder that ends with the test.
pub(crate) fn store() -> (tempfile::TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&BlobSettings::Folder { path: folder.path().to_owned() }).unwrap();
    (folder, blobs)
}

pub(crate) struct Stage {
    pub(crate) database: Database,
    pub(crate) db: Db,
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) organization: OrganizationId,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = Database::new().await;
        let settings = DbSettings { url: database.url(), max_connections: 8, wait: Duration::from_secs(30) };
        let db = Db::new(&settings).unwrap();
        let Namespace { url, prefix } = Namespace::new();
        let broker = Broker::new(BrokerSettings { url, prefix, name: "test".to_owned() });
        broker.declare().await.unwrap();
        let organization = seed::organization(&database, Subscription::Enterprise).await;
        let clock = Clock::fixed("2026-01-15T14:30:00Z".parse::<Timestamp>().unwrap());
        database.set_now(&clock.now().to_string()).await;
        Self { database, db, broker, clock, organization }
    }

    pub(crate) async fn create(&self, tasks: usize) {
        let scan = seed::scan(self.organization, tasks);
        let now = self.clock.now();
        self.db.run("test", self.organization, async |tx| scans::create(tx, &scan, now).await).await.unwrap();
    }

    /// A worker with that many slots tells that it lives.
    pub(crate) async fn beat(&self, slots: i32) {
        let beat = workers::WorkerBeat {
            id: WorkerId::mint(self.clock.now()),
            pools: vec![Pool::Net],
            level: SandboxLevel::L2,
            tools: vec!["nmap".to_owned()],
            slots,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: picket_store::workers::WorkerProof::default(),
        };
        self.db.operate("test", async |tx| workers::beat(tx, &beat).await).await.unwrap();
    }

    /// Takes that many messages of a queue.
    pub(crate) async fn take(&self, queue: Queue, count: usize) -> Vec<Envelope> {
        let mut consumer = self.broker.consumer(queue);
        let mut taken = Vec::new();
        while taken.len() < count {
            let delivery = tokio::time::timeout(Duration::from_secs(20), consumer.take()).await.expect("a message");
            taken.push(Envelope::decode(delivery.body()).unwrap());
            delivery.ack().await.unwrap();
        }
        taken
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}
