//! (h) Tasks that only sleep: eight times the slots over eight processes do eight times as much, when nothing but the
//! slots is the limit.

use serde_json::json;

use crate::{Failure, figure::Figure, ground::Ground, role::RoleName};

const ORGANIZATIONS: usize = 16;
const SLOTS: u32 = 8;
/// Long beside what the platform adds to a task.
const SLEEP_MS: u32 = 1_000;
/// Tasks for each slot.
const TURNS: u32 = 12;

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let (one, eight) = (sleepers(1).await?, sleepers(8).await?);
    let name = format!("(h) tasks of {SLEEP_MS} ms, 64 slots over 8 workers");
    Ok(vec![
        Figure::new(name.clone(), eight, "1/s").beside("8 slots over 1 worker", one),
        Figure::new(name, eight, "1/s").beside("the limit of 64 slots", 64.0 * 1_000.0 / f64::from(SLEEP_MS)),
    ])
}

async fn sleepers(workers: u32) -> Result<f64, Failure> {
    let ground = Ground::new(ORGANIZATIONS).await?;
    let each = workers * SLOTS * TURNS / u32::try_from(ORGANIZATIONS)?;
    ground.scan_each(&json!({"tasks": each, "sleep_ms": SLEEP_MS})).await?;
    let _workers = ground.workers(workers, SLOTS).await?;
    let _steward = ground.start(RoleName::Steward).await?;
    ground.await_done(i64::from(each) * i64::try_from(ORGANIZATIONS)?).await?;
    let rate = ground.done_per_second().await?;
    eprintln!("bench:   {workers} workers: {rate:.1}/s, load {}", crate::figure::load());
    Ok(rate)
}
