//! The worker process: proves its sandbox, then beats and works until it is told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use picket_blobs::Blobs;
use picket_domain::{Pool, SandboxLevel, WorkerId};
use picket_kit::{Clock, Health, Shutdown};
use picket_live::Live;
use picket_planner::Planner;
use picket_queue::{Broker, QueueError, topology::Queue};
use picket_sandbox::{Proof, Sandbox, SandboxError};
use picket_store::{Db, StoreError, workers};

use crate::{
    WorkerSettings,
    artifact::Keeper,
    claims::Claims,
    ends::Ends,
    execution::Execution,
    heartbeat::{Heartbeat, Pace},
    leases::{INTERRUPTED, Leases},
    node, slot,
    standing::Standing,
    story::Teller,
    unsandboxed::Unsandboxed,
};

/// What a worker works with.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The broker.
    pub broker: Broker,
    /// Asks the name servers and judges what they say, by the settings of whoever makes scans.
    pub planner: Planner,
    /// Where raw outputs are kept; without one none is.
    pub blobs: Option<Blobs>,
    /// Where the gateways hear that there is something new; without one they look by their timers.
    pub live: Option<Live>,
    /// The time.
    pub clock: Clock,
    /// What the internal port tells.
    pub health: Health,
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A part of the sandbox is missing.
    #[error("no sandbox could be proven")]
    Unproven(#[from] SandboxError),
    /// No level could be proven: a worker without one must not run a tool.
    #[error("expected a proven sandbox, found none ({reasons})")]
    NotProven {
        /// What each level failed at.
        reasons: String,
    },
    /// The operator wants more than the self-test has proven.
    #[error("expected a proven sandbox of level {} or better, found {} ({reasons})", .least.name(), .proven.name())]
    BelowMinimum {
        /// The setting.
        least: SandboxLevel,
        /// What was proven.
        proven: SandboxLevel,
        /// What each stronger level failed at.
        reasons: String,
    },
    /// A pool asks for more than the self-test has proven: its tasks would be refused one by one.
    #[error("expected a proven sandbox of level {} for the pool `{}`, found {}", .pool.weakest_level().name(), .pool.name(), .proven.name())]
    Pool {
        /// The pool of the settings.
        pool: Pool,
        /// What was proven.
        proven: SandboxLevel,
    },
    /// A pool that is there for tests alone, without the operator's word.
    #[error("expected the setting worker.simulator with the pool `simulate`")]
    Simulator,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A thread of the self-test broke.
    #[error("the self-test did not come back")]
    Thread(#[from] tokio::task::JoinError),
}

/// Works until shutdown, then lets running tools end within the drain time and gives the rest back.
///
/// # Errors
/// When no sandbox can be proven, or the database is away at the start.
pub async fn run(settings: WorkerSettings, parts: Parts, shutdown: Shutdown) -> Result<(), WorkerError> {
    let Parts { db, broker, planner, blobs, live, clock, health } = parts;
    if settings.pools.contains(&Pool::Simulate) && !settings.simulator {
        return Err(WorkerError::Simulator);
    }
    let sandbox = Arc::new(Sandbox::new(settings.sandbox())?);
    let id = WorkerId::mint(clock.now());
    let standing = Arc::new(Standing::establish(id, &settings, &sandbox, &clock).await?);
    let tools = installed(&sandbox, settings.simulator);
    announce(id, &standing, &tools);
    let leases = Arc::new(Leases::default());
    // The worker may have to stop by itself as well: when its sandbox holds no longer.
    let (ended, stopping) = (Shutdown::new(), shutdown.child());
    let ended_runs = Arc::new(AtomicU64::new(0));
    let heartbeat = Heartbeat {
        db: db.clone(),
        worker_id: id,
        standing: standing.clone(),
        versions: versions(&sandbox, &tools),
        tools,
        settings: settings.clone(),
        leases: leases.clone(),
        health: health.clone(),
        resting: stopping.child(),
        broker_down: AtomicBool::new(false),
        dropped_packets: Arc::new(AtomicU64::new(0)),
        pace: Pace::of(ended_runs.clone()),
        unsandboxed: Unsandboxed::by(clock.clone()),
    };
    heartbeat.beat(false).await?;
    let execution = Execution {
        db: db.clone(),
        clock: clock.clone(),
        sandbox: sandbox.clone(),
        settings: settings.clone(),
        leases: leases.clone(),
        dropped_packets: heartbeat.dropped_packets.clone(),
        ended_runs,
        teller: Teller { db: db.clone(), clock: clock.clone(), live },
        keeper: Keeper::new(db.clone(), clock.clone(), blobs, &settings, &stopping),
        ends: Ends::new(db.clone(), clock.clone()),
        claims: Claims::new(db.clone(), clock.clone()),
        planner: Arc::new(planner),
    };

    go_on(&execution, &heartbeat, &standing, &broker, (&ended, &stopping)).await;
    health.set_ready(false);
    db.operate("worker.leave", async |tx| workers::leave(tx, id).await).await?;
    standing.verdict()
}

/// Works until the end, with everything that goes on beside the tasks.
async fn go_on(
    execution: &Execution,
    heartbeat: &Heartbeat,
    standing: &Standing,
    broker: &Broker,
    (ended, stopping): (&Shutdown, &Shutdown),
) {
    let settings = &execution.settings;
    let work = async {
        work_all(settings, execution, standing, broker, &heartbeat.resting).await;
        stopping.wait().await;
        ended.stop();
    };
    tokio::join!(
        work,
        heartbeat.beat_until(ended, stopping),
        watch_broker(broker, &heartbeat.broker_down, ended),
        drain(settings, &execution.leases, stopping, ended),
        standing.keep(&execution.sandbox, &execution.clock, stopping),
        node::watch(&execution.sandbox, ended)
    );
}

/// What `picket worker` would prove with these settings, for an operator. Works beside a running worker.
///
/// # Errors
/// As [`run`] when the worker would not start.
pub async fn prove(settings: &WorkerSettings) -> Result<Proof, WorkerError> {
    let sandbox = Arc::new(Sandbox::new(settings.sandbox())?);
    Standing::look(settings, &sandbox).await
}

/// The tools of the catalogue that have a root here; and what needs none.
fn installed(sandbox: &Sandbox, is_simulating: bool) -> Vec<String> {
    let slugs = picket_scanners::ALL.iter().map(|tool| tool.slug()).filter(|slug| sandbox.has_tool(slug));
    let slugs = slugs.chain([picket_scanners::DISCOVERY.slug()]);
    slugs.chain(is_simulating.then(|| picket_scanners::SIMULATOR.slug())).map(str::to_owned).collect()
}

fn announce(id: WorkerId, standing: &Standing, tools: &[String]) {
    let (proof, _) = standing.last();
    let (level, reasons) = (proof.level.name(), proof.reasons());
    tracing::info!(worker.id = %id, sandbox.level = level, sandbox.raw = proof.raw, reasons, ?tools, "a worker starts");
    if proof.level == SandboxLevel::None {
        tracing::warn!(reasons, "TOOLS RUN WITHOUT A PROVEN SANDBOX, as the operator has asked for");
    }
}

/// Version and content of each tool's root, for the catalogue.
fn versions(sandbox: &Sandbox, tools: &[String]) -> serde_json::Value {
    let of = |tool: &String| {
        let facts = serde_json::json!({ "version": sandbox.tool_version(tool), "hash": sandbox.tool_hash(tool) });
        (tool.clone(), facts)
    };
    serde_json::Value::Object(tools.iter().map(of).collect())
}

async fn work_all(
    settings: &WorkerSettings,
    execution: &Execution,
    standing: &Standing,
    broker: &Broker,
    stopping: &Shutdown,
) {
    // A queue that is not there yet would be an error to ask for; the steward declares it.
    let queues: Vec<_> = settings.pools.iter().map(|pool| Queue::Tasks(*pool)).collect();
    while let Some(Err(error)) = stopping.or(broker.find(&queues)).await {
        tracing::warn!(error = picket_domain::cause(&error), "the broker and its queues are awaited");
        stopping.or(tokio::time::sleep(Duration::from_secs(1))).await;
    }
    let pools = settings.pools.iter().zip(0_u32..);
    let slots = pools.flat_map(|(pool, index)| {
        let first = index.saturating_mul(settings.slots);
        (first..first.saturating_add(settings.slots)).map(|slot| (*pool, slot))
    });
    futures_util::future::join_all(
        slots.map(|(pool, slot)| slot::work(execution, standing, broker, pool, slot, stopping)),
    )
    .await;
}

/// Interrupts what still runs when the drain time is over.
async fn drain(settings: &WorkerSettings, leases: &Leases, stopping: &Shutdown, ended: &Shutdown) {
    stopping.wait().await;
    if ended.or(tokio::time::sleep(Duration::from_secs(settings.drain_seconds))).await.is_some() {
        leases.kill_all(INTERRUPTED);
    }
}

/// Looks now and then whether the broker answers, for `ready` alone.
async fn watch_broker(broker: &Broker, down: &AtomicBool, ended: &Shutdown) {
    while let Some(up) = ended.or(broker.is_up()).await {
        down.store(!up, Ordering::Release);
        ended.or(tokio::time::sleep(Duration::from_secs(5))).await;
    }
}
