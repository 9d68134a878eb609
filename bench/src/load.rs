//! The same load in three forms: through the API, as the transaction alone, and as a bare commit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, NewScan, OrganizationId};
use picket_kit::Clock;
use picket_store::{Db, StoreError, Tx, scans};
use serde_json::json;
use tokio_postgres::{Client as Postgres, Statement};

use crate::{Failure, http::Client, template};

/// How long a form runs in one round.
const TURN: Duration = Duration::from_secs(3);

/// One of the clients that work at the same time.
pub(crate) trait Worker: Send + 'static {
    /// One unit of work.
    fn once(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A client of the API.
pub(crate) struct ThroughApi {
    pub(crate) client: Client,
    pub(crate) body: Bytes,
}

/// The transaction behind an accepted scan, and nothing of the gateway.
pub(crate) struct Straight {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) template: Arc<NewScan>,
    pub(crate) organization: OrganizationId,
}

/// A commit of one row.
pub(crate) struct Bare {
    pub(crate) postgres: Postgres,
    pub(crate) insert: Statement,
}

impl Straight {
    /// What the gateway writes into the audit log, in the same transaction.
    fn entry(&self, scan: &NewScan, at: Timestamp) -> AuditEntry {
        AuditEntry {
            at,
            actor: scan.requested_by.clone(),
            action: AuditAction::ScanCreated,
            object: Some(scan.id.to_string()),
            address: Some("127.0.0.1".to_owned()),
            request_id: Some(scan.id.uuid().to_string()),
            before: None,
            after: Some(json!({"target": scan.target, "tool": scan.tool})),
        }
    }
}

impl Worker for ThroughApi {
    async fn once(&mut self) -> Result<(), Failure> {
        self.client.post("/api/v1/scans/create", self.body.clone(), StatusCode::CREATED).await?;
        Ok(())
    }
}

impl Worker for Straight {
    async fn once(&mut self) -> Result<(), Failure> {
        let scan = template::again(&self.template, self.organization, &self.clock);
        let now = self.clock.now();
        let entry = self.entry(&scan, now);
        let create = async |tx: &Tx<'_>| scans::create_recorded(tx, &scan, &entry, now).await;
        let created = self.db.run("bench.create", self.organization, create);
        created.await.map_err(|error: StoreError| error.into()).map(drop)
    }
}

impl Worker for Bare {
    async fn once(&mut self) -> Result<(), Failure> {
        self.postgres.execute(&self.insert, &[&"a row"]).await?;
        Ok(())
    }
}

/// Lets all of them work at once for a turn; units a second. They come back for the next turn.
pub(crate) async fn turn<W: Worker>(workers: &mut Vec<W>) -> Result<f64, Failure> {
    let began = Instant::now();
    let tasks: Vec<_> = workers
        .drain(..)
        .map(|mut worker| {
            tokio::spawn(async move {
                let mut units = 0_u32;
                while began.elapsed() < TURN {
                    worker.once().await?;
                    units = units.saturating_add(1);
                }
                Ok::<_, Failure>((units, worker))
            })
        })
        .collect();
    let mut all = 0.0;
    for task in tasks {
        let (units, worker) = task.await??;
        all += f64::from(units);
        workers.push(worker);
    }
    Ok(all / began.elapsed().as_secs_f64())
}
