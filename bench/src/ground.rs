//! A platform without its API for measurements of the queue: a database, a namespace on the broker, organizations, and
//! simulated scans that are stored as the gateway stores them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use picket_domain::{AllowList, NewScan, NewTask, OrganizationId, ScanId, Subscription, TaskId};
use picket_kit::Clock;
use picket_outbound::{OutboundSettings, Resolver};
use picket_planner::{Planner, Prover};
use picket_queue::{Broker, BrokerSettings};
use picket_scanners::{Asked, ScanSpec, TaskShape};
use picket_store::{Db, DbSettings, StoreError, scans};
use picket_testkit::{Database, Namespace, seed};
use serde_json::Value;

use crate::{
    Failure,
    role::{Order, Role, RoleName},
    stand_in,
};

/// Longer than any measurement takes on a machine that is not stuck.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Where to measure.
pub(crate) struct Ground {
    pub(crate) database: Arc<Database>,
    pub(crate) organizations: Vec<OrganizationId>,
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) namespace: Namespace,
    folder: tempfile::TempDir,
}

impl Ground {
    /// With so many organizations on the largest plan.
    pub(crate) async fn new(organizations: usize) -> Result<Self, Failure> {
        let mut ground = Self::on(Arc::new(Database::new().await)).await?;
        for _ in 0..organizations {
            ground.organizations.push(seed::organization(&ground.database, Subscription::Enterprise).await);
        }
        Ok(ground)
    }

    /// On the database of a gateway, whose clients bring their organizations.
    pub(crate) async fn on(database: Arc<Database>) -> Result<Self, Failure> {
        let namespace = Namespace::new();
        let settings = DbSettings { url: database.url(), max_connections: 8, wait: LONG };
        let (url, prefix) = (namespace.url.clone(), namespace.prefix.clone());
        Broker::new(BrokerSettings { url, prefix, name: "bench".to_owned() }).declare().await?;
        let (db, clock, folder) = (Db::new(&settings)?, Clock::system(), stand_in::open_folder()?);
        Ok(Self { database, organizations: Vec::new(), db, clock, namespace, folder })
    }

    /// An empty folder that every uid can reach.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a role, and returns when it is ready.
    pub(crate) async fn start(&self, role: RoleName) -> Result<Role, Failure> {
        Role::start(&self.order(role)).await
    }

    /// Starts so many workers with so many slots each.
    pub(crate) async fn workers(&self, workers: u32, slots: u32) -> Result<Vec<Role>, Failure> {
        let mut all = Vec::new();
        for number in 0..workers {
            all.push(self.worker(number, slots).await?);
        }
        Ok(all)
    }

    /// Starts a worker; no two that live have one number.
    pub(crate) async fn worker(&self, number: u32, slots: u32) -> Result<Role, Failure> {
        Role::start(&Order { slots, number, ..self.order(RoleName::Worker) }).await
    }

    fn order(&self, role: RoleName) -> Order {
        Order {
            role,
            database: self.database.url(),
            broker: self.namespace.url.clone(),
            prefix: self.namespace.prefix.clone(),
            folder: self.folder.path().to_owned(),
            slots: 1,
            number: 0,
        }
    }

    /// Stores a simulated scan.
    pub(crate) async fn scan(&self, organization: OrganizationId, params: &Value) -> Result<ScanId, Failure> {
        let spec = ScanSpec::offered(Asked { tool: "simulate", parameters: Some(params) }, true)?;
        let mut scan = seed::scan(organization, 1);
        let shard = scan.tasks.pop().ok_or("a task")?.shard;
        let now = self.clock.now();
        let task = |shape: &TaskShape| NewTask {
            id: TaskId::mint(now),
            tool: spec.tool().slug(),
            needs: shape.needs,
            params: shape.params.clone(),
            shard: shard.clone(),
            opens: Vec::new(),
        };
        let tasks = spec.shapes().iter().map(task).collect();
        let scan = NewScan { tool: Some(spec.tool().slug()), tasks, ..scan };
        let created = self.db.run("bench.create", organization, async |tx| scans::create(tx, &scan, now).await);
        created.await.map_err(|error: StoreError| Failure::from(error))?;
        Ok(scan.id)
    }

    /// The same for every organization.
    pub(crate) async fn scan_each(&self, params: &Value) -> Result<(), Failure> {
        for organization in &self.organizations {
            self.scan(*organization, params).await?;
        }
        Ok(())
    }

    /// Waits until so many tasks are done.
    pub(crate) async fn await_done(&self, tasks: i64) -> Result<(), Failure> {
        self.await_count("SELECT count(*) FROM tasks WHERE state = 'done'", tasks, Duration::from_millis(250)).await
    }

    /// Waits until a question is answered with that number or a larger one.
    pub(crate) async fn await_count(&self, sql: &str, least: i64, pause: Duration) -> Result<(), Failure> {
        let (postgres, began) = (self.database.connect().await, Instant::now());
        let look = postgres.prepare(sql).await?;
        while began.elapsed() < LONG {
            if postgres.query_one(&look, &[]).await?.try_get::<_, i64>(0)? >= least {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        Err(format!("expected {least} within {LONG:?} from: {sql}").into())
    }

    /// Tasks that were done a second, from the first start to the last end; demands that each was done once.
    pub(crate) async fn done_per_second(&self) -> Result<f64, Failure> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'done' AND attempt = 1 AND gap IS NULL)::float8,
                          count(*)::float8, extract(epoch FROM max(ended_at) - min(started_at))::float8
                   FROM tasks";
        let row = self.database.connect().await.query_one(sql, &[]).await?;
        let (done, all, seconds): (f64, f64, f64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if done < all {
            return Err(format!("expected {all} tasks that were done at the first try, got {done}").into());
        }
        Ok(done / seconds)
    }

    /// Milliseconds from the acceptance of each of the newest scans to the claim of its first task.
    pub(crate) async fn waits(&self, newest: i64) -> Result<Vec<f64>, Failure> {
        let sql = "SELECT (extract(epoch FROM (SELECT min(started_at) FROM tasks WHERE scan_id = s.id) - s.created_at)
                           * 1000)::float8
                   FROM (SELECT id, created_at FROM scans ORDER BY created_at DESC LIMIT $1) AS s";
        let rows = self.database.connect().await.query(sql, &[&newest]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// What a steward plans and proves with. Nothing is scheduled and nothing is proven here.
pub(crate) fn planning() -> Result<(Planner, Prover), Failure> {
    let outbound = OutboundSettings::default();
    let resolver = Resolver::new(&outbound)?;
    let planner = Planner::new(&BTreeMap::new(), resolver, AllowList::default());
    Ok((planner, Prover::open(outbound)?))
}
