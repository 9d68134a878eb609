//! The worker process: proves its sandbox, then beats and works until it is told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use picket_domain::{Pool, SandboxLevel, WorkerId};
use picket_kit::{Clock, Health, Shutdown};
use picket_queue::{Broker, QueueError};
use picket_sandbox::{Sandbox, SandboxError};
use picket_store::{Db, StoreError, tasks::lease::Claimant, workers};

use crate::{
    WorkerSettings,
    execution::Execution,
    heartbeat::Heartbeat,
    leases::{INTERRUPTED, Leases},
    slot,
};

/// What a worker works with.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The broker.
    pub broker: Broker,
    /// The time.
    pub clock: Clock,
    /// What the internal port tells.
    pub health: Health,
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No sandbox could be proven: a worker without one must not run a tool.
    #[error("no sandbox could be proven")]
    Unproven(#[from] SandboxError),
    /// A pool asks for more than the self-test has proven: its tasks would be refused one by one.
    #[error("expected a proven sandbox of level {} for the pool `{}`, found {}", .pool.weakest_level().name(), .pool.name(), .proven.name())]
    Pool {
        /// The pool of the settings.
        pool: Pool,
        /// What was proven.
        proven: SandboxLevel,
    },
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
    let Parts { db, broker, clock, health } = parts;
    let sandbox = Arc::new(Sandbox::new(settings.sandbox())?);
    let proving = sandbox.clone();
    let level = tokio::task::spawn_blocking(move || proving.prove()).await??;
    if let Some(pool) = settings.pools.iter().copied().find(|pool| level > pool.weakest_level()) {
        return Err(WorkerError::Pool { pool, proven: level });
    }
    let id = WorkerId::mint(clock.now());
    let tools: Vec<String> = picket_scanners::ALL
        .iter()
        .map(|tool| tool.slug())
        .filter(|slug| sandbox.has_tool(slug))
        .map(str::to_owned)
        .collect();
    tracing::info!(worker.id = %id, sandbox.level = level.name(), ?tools, "a worker starts");
    let leases = Arc::new(Leases::default());
    let claimant = Claimant { worker_id: id, level, lease_seconds: f64::from(settings.lease_seconds) };
    let heartbeat = Heartbeat {
        db: db.clone(),
        claimant,
        tools,
        settings: settings.clone(),
        leases: leases.clone(),
        health: health.clone(),
        broker_down: AtomicBool::new(false),
    };
    heartbeat.beat(false).await?;
    let execution = Execution { db: db.clone(), clock, sandbox, settings: settings.clone(), leases: leases.clone() };

    let ended = Shutdown::new();
    let work = async {
        work_all(&settings, &execution, claimant, &broker, &shutdown).await;
        ended.stop();
    };
    tokio::join!(
        work,
        heartbeat.beat_until(&ended, &shutdown),
        watch_broker(&broker, &heartbeat.broker_down, &ended),
        drain(&settings, &leases, &shutdown, &ended)
    );
    health.set_ready(false);
    db.operate("worker.leave", async |tx| workers::leave(tx, id).await).await?;
    Ok(())
}

async fn work_all(
    settings: &WorkerSettings,
    execution: &Execution,
    claimant: Claimant,
    broker: &Broker,
    stopping: &Shutdown,
) {
    // A queue that is not there yet would be an error to ask for; whoever comes first declares it.
    while let Some(Err(error)) = stopping.or(broker.declare()).await {
        tracing::warn!(error = picket_domain::cause(&error), "the broker is awaited");
        stopping.or(tokio::time::sleep(Duration::from_secs(1))).await;
    }
    let pools = settings.pools.iter().zip(0_u32..);
    let slots = pools.flat_map(|(pool, index)| {
        let first = index.saturating_mul(settings.slots);
        (first..first.saturating_add(settings.slots)).map(|slot| (*pool, slot))
    });
    futures_util::future::join_all(
        slots.map(|(pool, slot)| slot::work(execution, claimant, broker, pool, slot, stopping)),
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
