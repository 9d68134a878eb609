//! Workers and what they have proven; and what each role last knew of the broker. Heartbeats run by the database's clock.

use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, Needs, OrganizationId, Pool, SandboxLevel, WorkerId};
use serde_json::{Value, json};
use tokio_postgres::{Row, types::Json};

use crate::{Inconsistent, StoreError, Tx, administration, audit, row::Columns, statements::statements};

statements! {
    BEAT = "-- workers.beat
INSERT INTO workers (id, started_at, heartbeat_at, pools, level, tools, slots, busy, draining, raw, proven_at,
                     dropped_packets, proofs, tool_versions, counts_as, tasks_per_second, version)
VALUES ($1, now(), now(), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (id) DO UPDATE
SET heartbeat_at = now(), pools = excluded.pools, level = excluded.level, tools = excluded.tools,
    slots = excluded.slots, busy = excluded.busy,
    draining = excluded.draining OR workers.drain_requested_at IS NOT NULL, raw = excluded.raw,
    proven_at = excluded.proven_at, dropped_packets = excluded.dropped_packets, proofs = excluded.proofs,
    tool_versions = excluded.tool_versions, counts_as = excluded.counts_as, tasks_per_second = excluded.tasks_per_second
RETURNING drain_requested_at IS NOT NULL AS is_drained";

    OPERATORS = "-- workers.operators
SELECT DISTINCT m.organization_id
FROM memberships AS m
JOIN users AS u ON u.id = m.user_id
WHERE u.platform_role = 'operator' AND u.disabled_at IS NULL
ORDER BY m.organization_id";

    // The row stays: that the pool was served a moment ago keeps its tasks waiting for the next worker.
    LEAVE = "-- workers.leave
UPDATE workers
SET heartbeat_at = now(), draining = true, slots = 0, busy = 0
WHERE id = $1";

    FORGET = "-- workers.forget
DELETE FROM workers
WHERE heartbeat_at < now() - interval '1 day'";

    REPORT_BROKER = "-- workers.report_broker
INSERT INTO role_heartbeats (role, heartbeat_at, broker_up)
VALUES ($1, now(), $2)
ON CONFLICT (role) DO UPDATE
SET heartbeat_at = now(), broker_up = excluded.broker_up";

    HEALTH = "-- workers.health
SELECT (SELECT count(*) FROM workers
        WHERE heartbeat_at > now() - interval '10 seconds' AND NOT draining) AS live_workers,
       coalesce((SELECT bool_and(broker_up) FROM role_heartbeats
                 WHERE heartbeat_at > now() - interval '15 seconds'), false) AS broker_up";

    LIVE = "-- workers.live
SELECT pools, level, counts_as, tools, raw, proven_at, proofs, tool_versions
FROM workers
WHERE heartbeat_at > now() - interval '10 seconds' AND NOT draining
ORDER BY id";
}

/// What a live worker can do, for the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveWorker {
    /// The pools that it serves.
    pub pools: Vec<Pool>,
    /// The level that its self-test has proven.
    pub level: SandboxLevel,
    /// As which level it counts for tasks; `None` for none.
    pub counts_as: Option<SandboxLevel>,
    /// The tools that are installed.
    pub tools: Vec<String>,
    /// Whether raw sockets are confined as well.
    pub raw: bool,
    /// When the self-test ended.
    pub proven_at: Option<Timestamp>,
    /// What the self-test said of each level: `[{level, proven, reason}]`.
    pub proofs: Value,
    /// What is known of each tool: `{slug: {version, hash}}`.
    pub tool_versions: Value,
}

impl LiveWorker {
    /// Whether it may be given a task of this tool and these needs.
    #[must_use]
    pub fn can(&self, tool: &str, needs: Needs) -> bool {
        self.pools.contains(&needs.pool)
            && self.counts_as.is_some_and(|level| level <= needs.level)
            && self.tools.iter().any(|one| one == tool)
    }
}

/// The workers that live and take tasks.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn live(tx: &Tx<'_>) -> Result<Vec<LiveWorker>, StoreError> {
    let worker = |row: &Row| -> Result<LiveWorker, Inconsistent> {
        let columns = Columns::new("workers", row);
        let pools: Vec<&str> = columns.get("pools")?;
        Ok(LiveWorker {
            pools: pools.into_iter().filter_map(Pool::find).collect(),
            level: columns.named("level", SandboxLevel::find)?,
            counts_as: columns.named_or_null("counts_as", SandboxLevel::find)?,
            tools: columns.get("tools")?,
            raw: columns.get("raw")?,
            proven_at: columns.get("proven_at")?,
            proofs: columns.json("proofs")?,
            tool_versions: columns.json("tool_versions")?,
        })
    };
    Ok(tx.query(LIVE, &[]).await?.iter().map(worker).collect::<Result<_, _>>()?)
}

/// A worker as it tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerBeat {
    /// Identity; new with every start.
    pub id: WorkerId,
    /// The pools that it serves.
    pub pools: Vec<Pool>,
    /// The level that its self-test has proven.
    pub level: SandboxLevel,
    /// The tools that are installed.
    pub tools: Vec<String>,
    /// Tasks that it can run at once.
    pub slots: i32,
    /// Tasks that it runs.
    pub busy: i32,
    /// Runs that ended in a second, lately.
    pub tasks_per_second: f64,
    /// Whether it takes no more.
    pub draining: bool,
    /// What its self-test said.
    pub proof: WorkerProof,
}

/// What a worker's self-test said last, and what it has to work with.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerProof {
    /// Whether raw sockets are confined as well.
    pub raw: bool,
    /// Whether its operator has agreed to runs without a sandbox.
    pub is_agreed: bool,
    /// When the self-test ended.
    pub proven_at: Option<Timestamp>,
    /// Packets of its runs to whom they may not speak to, dropped since it started.
    pub dropped_packets: i64,
    /// The levels that were tried, strongest first: `[{"level", "proven", "reason"}]`.
    pub proofs: Value,
    /// The tools that are installed: `{slug: {"version", "hash"}}`.
    pub tool_versions: Value,
}

impl Default for WorkerProof {
    /// Nothing was tried, and nothing is installed.
    fn default() -> Self {
        Self {
            raw: false,
            is_agreed: false,
            proven_at: None,
            dropped_packets: 0,
            proofs: json!([]),
            tool_versions: json!({}),
        }
    }
}

/// What processes other than the gateway know of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformHealth {
    /// Workers with a fresh heartbeat.
    pub live_workers: u64,
    /// Whether every role that told of it lately reaches the broker; false when none told.
    pub broker_up: bool,
}

/// Stores a worker's heartbeat; returns whether an operator wants it to take no more.
///
/// # Errors
/// When the database refuses.
pub async fn beat(tx: &Tx<'_>, worker: &WorkerBeat) -> Result<bool, StoreError> {
    let pools: Vec<&str> = worker.pools.iter().map(|pool| pool.name()).collect();
    let counts_as = worker.level.counted(worker.proof.raw, worker.proof.is_agreed).map(SandboxLevel::name);
    let row = tx
        .query_one(
            BEAT,
            &[
                &worker.id.uuid(),
                &pools,
                &worker.level.name(),
                &worker.tools,
                &worker.slots,
                &worker.busy,
                &worker.draining,
                &worker.proof.raw,
                &worker.proof.proven_at,
                &worker.proof.dropped_packets,
                &Json(&worker.proof.proofs),
                &Json(&worker.proof.tool_versions),
                &counts_as,
                &worker.tasks_per_second,
                // One for the whole workspace.
                &env!("CARGO_PKG_VERSION"),
            ],
        )
        .await?;
    Ok(Columns::new("workers", &row).get("is_drained")?)
}

/// Tells the audit log of every organization of an operator that this worker runs tools of which nothing is proven; how many
/// were told. To be done in the transaction of the heartbeat that says so, before it: counters are locked first.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.workers.tell_unsandboxed", skip_all, fields(worker.id = %worker.id), err(level = "debug"))]
pub async fn tell_unsandboxed(tx: &Tx<'_>, worker: &WorkerBeat, now: Timestamp) -> Result<usize, StoreError> {
    let rows = tx.query(OPERATORS, &[]).await?;
    let id = |row: &Row| Columns::new("memberships", row).get("organization_id").map(OrganizationId::from_uuid);
    let operators = rows.iter().map(id).collect::<Result<Vec<_>, _>>()?;
    administration::lock(tx, &operators).await?;
    let pools: Vec<&str> = worker.pools.iter().map(|pool| pool.name()).collect();
    let entry = AuditEntry {
        at: now,
        actor: "worker".to_owned(),
        action: AuditAction::WorkerUnsandboxed,
        object: Some(worker.id.to_string()),
        address: None,
        request_id: None,
        before: None,
        after: Some(json!({ "level": worker.level.name(), "pools": pools, "proofs": worker.proof.proofs })),
    };
    for organization in &operators {
        audit::record(tx, *organization, &entry).await?;
    }
    Ok(operators.len())
}

/// A worker stops: it counts as seen until now, and no longer as live.
///
/// # Errors
/// When the database refuses.
pub async fn leave(tx: &Tx<'_>, id: WorkerId) -> Result<(), StoreError> {
    tx.execute(LEAVE, &[&id.uuid()]).await?;
    Ok(())
}

/// Forgets workers that were not seen for a day.
///
/// # Errors
/// When the database refuses.
pub async fn forget_old(tx: &Tx<'_>) -> Result<u64, StoreError> {
    tx.execute(FORGET, &[]).await
}

/// Stores whether a role reaches the broker.
///
/// # Errors
/// When the database refuses.
pub async fn report_broker(tx: &Tx<'_>, role: &'static str, up: bool) -> Result<(), StoreError> {
    tx.execute_one(REPORT_BROKER, &[&role, &up]).await
}

/// What is known of workers and broker.
///
/// # Errors
/// When the database refuses.
pub async fn health(tx: &Tx<'_>) -> Result<PlatformHealth, StoreError> {
    let row = tx.query_one(HEALTH, &[]).await?;
    let columns = Columns::new("workers", &row);
    let live: i64 = columns.get("live_workers")?;
    Ok(PlatformHealth { live_workers: u64::try_from(live).unwrap_or_default(), broker_up: columns.get("broker_up")? })
}
