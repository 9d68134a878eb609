//! What the tests of this binary share: a database with an organization and a live worker.

use std::time::Duration;

use jiff::Timestamp;
use picket_domain::{
    AdmissionLimits, ClaimedTask, EventBody, Location, NewScan, Observation, OrganizationId, Pool, Protocol,
    SandboxLevel, Severity, Subscription, TaskQueued, WorkerId,
};
use picket_store::{
    Db, DbSettings, StoreError, events, scans,
    tasks::{admission, lease},
    workers,
};
use picket_testkit::{Database, seed};

pub(crate) struct Scenario {
    pub(crate) database: Database,
    pub(crate) db: Db,
    pub(crate) organization: OrganizationId,
    pub(crate) worker: WorkerId,
}

pub(crate) fn now() -> Timestamp {
    "2026-01-15T14:30:00Z".parse().unwrap()
}

impl Scenario {
    pub(crate) async fn new() -> Self {
        let database = Database::new().await;
        database.set_now(&now().to_string()).await;
        let settings = DbSettings { url: database.url(), max_connections: 16, wait: Duration::from_secs(30) };
        let db = Db::new(&settings).unwrap();
        let organization = seed::organization(&database, Subscription::Trial).await;
        let scenario = Self { database, db, organization, worker: WorkerId::mint(now()) };
        scenario.beat().await;
        scenario
    }

    /// Gives the organization another plan than the trial.
    pub(crate) async fn set_plan(&self, plan: Subscription) {
        let client = self.database.connect().await;
        client.execute("UPDATE organizations SET plan = $1", &[&plan.name()]).await.unwrap();
    }

    /// The worker tells that it lives, with four slots.
    pub(crate) async fn beat(&self) {
        let beat = workers::WorkerBeat {
            id: self.worker,
            pools: vec![Pool::Net],
            level: SandboxLevel::L2,
            tools: vec!["nmap".to_owned()],
            slots: 4,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: picket_store::workers::WorkerProof::default(),
        };
        self.db.operate("test", async |tx| workers::beat(tx, &beat).await).await.unwrap();
    }

    pub(crate) async fn create(&self, tasks: usize) -> NewScan {
        let scan = seed::scan(self.organization, tasks);
        self.store(&scan).await.unwrap();
        scan
    }

    pub(crate) async fn store(&self, scan: &NewScan) -> Result<scans::Created, StoreError> {
        self.db.run("test", scan.organization_id, async |tx| scans::create(tx, scan, now()).await).await
    }

    pub(crate) async fn admit(&self) -> usize {
        self.admit_under(&AdmissionLimits::none()).await
    }

    pub(crate) async fn admit_under(&self, limits: &AdmissionLimits) -> usize {
        self.admit_then(limits, now()).await
    }

    /// As a round of the steward: what is admitted, and then what may not begin.
    pub(crate) async fn admit_then(&self, limits: &AdmissionLimits, at: Timestamp) -> usize {
        let admit = async |tx: &picket_store::Tx<'_>| {
            admission::admit(tx, Pool::Net, 2, limits, at, admission::Bearer::Relay).await
        };
        let admitted = self.db.operate("test", admit).await.unwrap();
        let turn_away = async |tx: &picket_store::Tx<'_>| admission::turn_away(tx, &admitted.left, at).await;
        self.db.operate("test", turn_away).await.unwrap();
        admitted.tasks
    }

    /// The messages that the relay would publish for admitted tasks.
    pub(crate) async fn messages(&self) -> Vec<TaskQueued> {
        let claimed = self.db.operate("test", async |tx| events::claim(tx, 1_000).await).await.unwrap();
        claimed
            .into_iter()
            .filter_map(
                |outgoing| if let EventBody::TaskQueued(task) = outgoing.event.body { Some(task) } else { None },
            )
            .collect()
    }

    pub(crate) fn claimant(&self) -> lease::Claimant {
        lease::Claimant { worker_id: self.worker, level: SandboxLevel::L2, lease_seconds: lease::LEASE_SECONDS }
    }

    pub(crate) async fn claim(&self, message: &TaskQueued) -> Option<ClaimedTask> {
        let by = self.claimant();
        self.db.run("test", self.organization, async |tx| lease::claim(tx, message, by, now()).await).await.unwrap()
    }

    /// A scan of one task, claimed by the worker.
    pub(crate) async fn running(&self) -> (NewScan, TaskQueued, ClaimedTask) {
        let scan = self.create(1).await;
        assert_eq!(self.admit().await, 1);
        let message = self.messages().await.pop().unwrap();
        let task = self.claim(&message).await.unwrap();
        (scan, message, task)
    }

    pub(crate) async fn state(&self, scan: &NewScan) -> String {
        let row = self.row("SELECT state FROM scans WHERE id = $1", &[&scan.id.uuid()]).await;
        row.get(0)
    }

    pub(crate) async fn row(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> tokio_postgres::Row {
        self.database.connect().await.query_one(sql, params).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        self.database.connect().await.execute(sql, &[]).await.unwrap()
    }

    /// Names of all public events in the order of their numbers.
    pub(crate) async fn public_events(&self) -> Vec<String> {
        self.db.operate("test", async |tx| events::number(tx).await).await.unwrap();
        let sql = "SELECT name, sequence FROM events WHERE public ORDER BY sequence";
        let rows = self.database.connect().await.query(sql, &[]).await.unwrap();
        let numbers: Vec<i64> = rows.iter().map(|row| row.get(1)).collect();
        let expected: Vec<i64> = (1..=i64::try_from(rows.len()).unwrap()).collect();
        assert_eq!(numbers, expected, "numbers are without gaps");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A finding of that severity at that port.
pub(crate) fn observation(port: u16, severity: Severity) -> Observation {
    Observation {
        rule: "test.rule".to_owned(),
        title: "A test\0 finding".to_owned(),
        severity,
        cve: None,
        cvss: Some(5.0),
        location: Location { host: "127.0.0.1".to_owned(), port: Some(port), protocol: Some(Protocol::Tcp), url: None },
        subject: String::new(),
        description: "what".to_owned(),
        evidence: "seen".to_owned(),
        remediation: "do".to_owned(),
        service: None,
        confidence: picket_domain::Confidence::default(),
        cwe: None,
        references: Vec::new(),
    }
}
