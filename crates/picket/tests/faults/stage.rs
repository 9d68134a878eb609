//! What the tests of this binary share: a platform of its own for each, without a gateway.

use std::{path::Path, time::Duration};

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use picket_domain::{
    EventBody, Needs, NewScan, NewTask, OrganizationId, SandboxLevel, Subscription, TaskId, TaskQueued,
};
use picket_kit::Clock;
use picket_queue::{Broker, BrokerSettings, topology::Queue};
use picket_steward::{Admission, Relay, StewardSettings};
use picket_store::{Db, DbSettings, StoreError, events, scans, scans::control};
use picket_testkit::{Database, Namespace, seed};
use serde_json::json;
use tokio_postgres::types::ToSql;

use crate::{process::Role, service::Service};

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A database, a namespace on the broker, an organization.
pub(crate) struct Stage {
    pub(crate) database: Database,
    pub(crate) db: Db,
    pub(crate) broker: Broker,
    pub(crate) organization: OrganizationId,
    pub(crate) namespace: Namespace,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::on(Database::new().await, Namespace::new()).await
    }

    /// The same on a database and a broker of its own.
    pub(crate) async fn on(database: Database, namespace: Namespace) -> Self {
        let stage = Self::undeclared(database, namespace).await;
        stage.broker.declare().await.unwrap();
        stage
    }

    /// The same with nothing declared at the broker yet.
    pub(crate) async fn undeclared(database: Database, namespace: Namespace) -> Self {
        let settings = DbSettings { url: database.url(), max_connections: 4, wait: LONG };
        let db = Db::new(&settings).unwrap();
        let broker = Broker::new(BrokerSettings {
            url: namespace.url.clone(),
            prefix: namespace.prefix.clone(),
            name: "test".to_owned(),
        });
        let organization = seed::organization(&database, Subscription::Enterprise).await;
        Self { database, db, broker, organization, namespace }
    }

    /// Starts a role of this platform.
    pub(crate) fn start(&self, role: &str, settings: &[(&'static str, &str)]) -> Role {
        self.start_with(role, None, settings)
    }

    /// The same with a file of settings.
    pub(crate) fn start_with(&self, role: &str, file: Option<&Path>, settings: &[(&'static str, &str)]) -> Role {
        let mut all = vec![
            ("DATABASE_URL", self.database.url()),
            ("AMQP_URL", self.namespace.url.clone()),
            ("PICKET_BROKER__PREFIX", self.namespace.prefix.clone()),
        ];
        // Sandboxes that wait for tasks of other pools would be taken for what a task left.
        all.push(("PICKET_WORKER__POOLS", "[net]".to_owned()));
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Role::start_with(&[], file, role, &all)
    }

    /// A worker; `slot` keeps the uids of workers of one machine apart.
    pub(crate) fn start_worker(&self, first_uid: u32, settings: &[(&'static str, &str)]) -> Role {
        let first_uid = first_uid.to_string();
        // Where there is no level of its own network, these tests are content without.
        let egress = ("PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS", "enforced");
        let mut all = vec![("PICKET_WORKER__FIRST_SLOT_UID", first_uid.as_str()), egress];
        all.extend(settings);
        self.start("worker", &all)
    }

    /// A stored scan of that service: version detection on its port.
    pub(crate) async fn scan(&self, service: &Service) -> NewScan {
        let scan = self.plan(service);
        self.store(&scan).await;
        scan
    }

    /// The same for a worker of at least that level.
    pub(crate) async fn scan_needing(&self, service: &Service, level: SandboxLevel) -> NewScan {
        let mut scan = self.plan(service);
        for task in &mut scan.tasks {
            task.needs = Needs { level, ..task.needs };
        }
        self.store(&scan).await;
        scan
    }

    /// The same, not stored yet.
    pub(crate) fn plan(&self, service: &Service) -> NewScan {
        let tool = picket_scanners::find("nmap").unwrap();
        let params = json!({"scan_type": "-sT -sV", "ports": service.port.to_string(), "timing": 3});
        let shape = tool.shapes(Some(&params)).unwrap().pop().unwrap();
        let mut scan = seed::scan(self.organization, 1);
        let shard = scan.tasks.remove(0).shard;
        let id = TaskId::mint(Clock::system().now());
        scan.tasks =
            vec![NewTask { id, tool: "nmap", needs: shape.needs, params: shape.params, shard, opens: Vec::new() }];
        scan
    }

    pub(crate) async fn store(&self, scan: &NewScan) {
        let now = Clock::system().now();
        self.db.run("test", scan.organization_id, async |tx| scans::create(tx, scan, now).await).await.unwrap();
    }

    /// Stops a scan, as the gateway does.
    pub(crate) async fn stop(&self, scan: &NewScan) {
        let now = Clock::system().now();
        let stopped = self.db.run("test", self.organization, async |tx| {
            let locked = scans::lock(tx, scan.id).await?.expect("the scan");
            let change = locked.scan.cancel(now).expect("a scan that can be stopped");
            scans::cancel(tx, change, None, now).await
        });
        stopped.await.unwrap();
    }

    /// Pauses a scan, or lets it go on, as the gateway does.
    pub(crate) async fn control(&self, scan: &NewScan, is_pause: bool) {
        let now = Clock::system().now();
        let changed = self.db.run("test", self.organization, async |tx| {
            let scan = scans::lock(tx, scan.id).await?.expect("the scan").scan;
            if is_pause {
                control::pause(tx, scan.pause().expect("a scan that runs"), None, now).await
            } else {
                control::resume(tx, scan.resume().expect("a scan that is paused"), None, now).await
            }
        });
        changed.await.unwrap();
    }

    /// Admits everything there is room for.
    pub(crate) async fn admit(&self) -> usize {
        Admission::new(self.db.clone(), Clock::system(), StewardSettings::default()).admit().await.unwrap()
    }

    /// A relay within the test.
    pub(crate) fn relay(&self) -> Relay {
        Relay::new(self.db.clone(), &self.broker)
    }

    /// Takes the messages of admitted tasks out of the outbox, so that no relay sends them.
    pub(crate) async fn messages(&self) -> Vec<TaskQueued> {
        let claimed = self.db.operate("test", async |tx| {
            let claimed = events::claim(tx, 1_000).await?;
            events::mark_published(tx, &claimed.iter().collect::<Vec<_>>()).await?;
            Ok::<_, StoreError>(claimed)
        });
        let queued = |body| if let EventBody::TaskQueued(task) = body { Some(task) } else { None };
        claimed.await.unwrap().into_iter().filter_map(|outgoing| queued(outgoing.event.body)).collect()
    }

    pub(crate) async fn row(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> tokio_postgres::Row {
        self.database.connect().await.query_one(sql, params).await.unwrap()
    }

    pub(crate) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<tokio_postgres::Row> {
        self.database.connect().await.query(sql, params).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.database.connect().await.batch_execute(sql).await.unwrap();
    }

    pub(crate) async fn state(&self, scan: &NewScan) -> String {
        self.row("SELECT state FROM scans WHERE id = $1", &[&scan.id.uuid()]).await.get(0)
    }

    /// Waits until the scan is in that state.
    pub(crate) async fn await_state(&self, scan: &NewScan, state: &str) {
        let reached = async || (self.state(scan).await == state).then_some(());
        crate::process::eventually(state, LONG, reached).await;
    }

    /// Asserts that the scan completed in that many attempts, with each finding once, and without a gap.
    pub(crate) async fn assert_completed_once(&self, scan: &NewScan, attempts: i32) {
        let sql = "SELECT s.state, t.state, t.attempt, t.gap,
                          (SELECT count(*) FROM sightings WHERE scan_id = s.id),
                          (SELECT count(DISTINCT finding_id) FROM sightings WHERE scan_id = s.id AND attempt = t.attempt),
                          (SELECT count(*) FROM events WHERE scan_id = s.id AND name = 'scan.started'),
                          (SELECT count(*) FROM events WHERE scan_id = s.id AND name = 'scan.completed'), t.tool_hash
                   FROM scans AS s JOIN tasks AS t ON t.scan_id = s.id WHERE s.id = $1";
        let row = self.row(sql, &[&scan.id.uuid()]).await;
        assert_eq!((row.get(0), row.get(1), row.get(2)), ("completed", "done", attempts));
        assert_eq!(row.get::<_, Option<String>>(3), None, "no gap");
        let (sightings, distinct): (i64, i64) = (row.get(4), row.get(5));
        assert!(sightings > 0, "an open port is a finding");
        assert_eq!(sightings, distinct, "each once, of the last attempt");
        assert_eq!((row.get(6), row.get(7)), (1_i64, 1_i64), "started and completed once");
        let root = picket_kit::environment("PICKET_TOOLS_ROOT").expect("the roots of tools");
        let built =
            std::fs::read_to_string(std::path::Path::new(&root).join("nmap.hash")).expect("the hash of nmap's root");
        assert_eq!(row.get::<_, Option<&str>>(8), Some(built.trim()), "with the hash of the root that it ran from");
    }
}

impl Drop for Stage {
    /// Takes the namespace's queues off the broker: hundreds of them are its memory. On another thread, for the test's
    /// runtime may be gone by now.
    fn drop(&mut self) {
        let Namespace { url, prefix } = self.namespace.clone();
        let cleared = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), clear(&url, &prefix)).await })
        });
        // A queue that stays is a nuisance, not a failure of the test.
        let _cleared = cleared.join();
    }
}

async fn clear(url: &str, prefix: &str) -> Result<(), lapin::Error> {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in Queue::all() {
        channel.queue_delete(format!("{prefix}.{}", queue.name()).into(), QueueDeleteOptions::default()).await?;
    }
    for exchange in ["events", "dead"] {
        channel.exchange_delete(format!("{prefix}.{exchange}").into(), ExchangeDeleteOptions::default()).await?;
    }
    Ok(())
}
