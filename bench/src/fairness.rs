//! (i) How long a scan of one task waits behind ten thousand tasks of another organization, in times of a task.

use std::time::Duration;

use serde_json::json;

use crate::{
    Failure,
    figure::{Figure, percentile},
    ground::Ground,
    role::RoleName,
};

const MANY: u32 = 10_000;
const SLOTS: u32 = 8;
const TASK_MS: u32 = 200;
/// Scans of one task, one after the other.
const SMALL: u32 = 30;

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::new(2).await?;
    let [large, small] = ground.organizations.as_slice() else { return Err("two organizations".into()) };
    ground.scan(*large, &json!({"tasks": MANY, "sleep_ms": TASK_MS})).await?;
    let _workers = ground.workers(1, SLOTS).await?;
    let _steward = ground.start(RoleName::Steward).await?;
    // All slots are taken, and the queue is full.
    ground.await_done(i64::from(SLOTS * 3)).await?;
    for number in 0..SMALL {
        ground.scan(*small, &json!({"sleep_ms": TASK_MS})).await?;
        tokio::time::sleep(Duration::from_millis(u64::from(TASK_MS * 5 + number * 37 % TASK_MS))).await;
    }
    let mut waits = ground.waits(i64::from(SMALL)).await?;
    waits.iter_mut().for_each(|wait| *wait /= f64::from(TASK_MS));
    let figure = |percent, waits: &mut Vec<f64>| {
        let name = format!("(i) a scan of one task behind {MANY} of another organization, {SLOTS} slots, p{percent}");
        Figure::new(name, percentile(waits, percent), "task times")
    };
    Ok(vec![figure(50, &mut waits), figure(99, &mut waits)])
}
