//! (g) Tasks that do nothing, from admission to the commit of their end, with 1, 2, 4 and 8 worker processes, beside
//! Celery on the same broker in the same run; and how long one waits on an idle platform.

use std::time::Duration;

use serde_json::json;

use crate::{
    Failure,
    figure::{Figure, median, percentile},
    ground::Ground,
    peer::{self, Reached},
    role::RoleName,
};

/// Organizations that share the load: the largest plan has 40 tasks in flight.
const ORGANIZATIONS: u32 = 32;
/// Tasks of each.
const TASKS_EACH: u32 = 250;
/// Tasks of Celery.
const PEERS_TASKS: u32 = 10_000;
/// Tasks at once of each worker process.
const SLOTS: u32 = 16;
/// Scans on the idle platform, so many a second.
const IDLE: u32 = 300;
const PER_SECOND: u32 = 30;

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let mut peers = Vec::new();
    peers.extend(celery().await?);
    let mut figures = Vec::new();
    for workers in [1, 2, 4, 8] {
        let rate = no_ops(workers).await?;
        eprintln!("bench:   {workers} workers: {rate:.0}/s, load {}", crate::figure::load());
        figures.push((workers, rate));
    }
    let mut waits = idle().await?;
    // Once more behind ours: a machine that others use changes in the meantime.
    peers.extend(celery().await?);
    let peer = |value: fn(&Reached) -> f64| median(&mut peers.iter().map(value).collect::<Vec<_>>());
    let beside =
        |figure: Figure, value| if peers.is_empty() { figure } else { figure.beside("Celery 5, 2 processes", value) };
    let throughput = |(workers, rate)| {
        let name = format!("(g) no-op tasks done, {workers} worker processes of {SLOTS} slots");
        beside(Figure::new(name, rate, "1/s"), peer(|one| one.per_second))
    };
    let mut all: Vec<Figure> = figures.into_iter().map(throughput).collect();
    let wait = |percent, waits: &mut Vec<f64>| {
        Figure::new(
            format!("(g) from acceptance to the task's start, idle, p{percent}"),
            percentile(waits, percent),
            "ms",
        )
    };
    all.push(beside(wait(50, &mut waits), peer(|one| one.p50_ms)));
    all.push(beside(wait(99, &mut waits), peer(|one| one.p99_ms)));
    Ok(all)
}

async fn celery() -> Result<Option<Reached>, Failure> {
    let reached = tokio::task::spawn_blocking(|| peer::measure(PEERS_TASKS, IDLE)).await??;
    eprintln!("bench:   Celery: {reached:?}, load {}", crate::figure::load());
    Ok(reached)
}

/// All is stored before the steward begins, so that the rate is that of the queue alone.
async fn no_ops(workers: u32) -> Result<f64, Failure> {
    let ground = Ground::new(usize::try_from(ORGANIZATIONS)?).await?;
    ground.scan_each(&json!({"tasks": TASKS_EACH})).await?;
    let workers = ground.workers(workers, SLOTS).await?;
    let steward = ground.start(RoleName::Steward).await?;
    ground.await_done(i64::from(ORGANIZATIONS * TASKS_EACH)).await?;
    let rate = ground.done_per_second().await?;
    for role in workers {
        role.stop().await?;
    }
    steward.stop().await?;
    Ok(rate)
}

/// Scans of one task, one by one.
async fn idle() -> Result<Vec<f64>, Failure> {
    let ground = Ground::new(1).await?;
    let _workers = ground.workers(1, SLOTS).await?;
    let _steward = ground.start(RoleName::Steward).await?;
    let organization = *ground.organizations.first().ok_or("an organization")?;
    for number in 0..IDLE + 50 {
        ground.scan(organization, &json!({})).await?;
        // Not in step with anybody's timer.
        let pause = 1_000 / PER_SECOND + number % 7;
        tokio::time::sleep(Duration::from_millis(u64::from(pause - 3))).await;
    }
    ground.await_done(i64::from(IDLE + 50)).await?;
    ground.waits(i64::from(IDLE)).await
}
