//! (b) From a scan's acceptance to the start of its task while the platform does half of what it can: scans of one
//! simulated task from many organizations, one worker process. What it can is found out first, in the same run.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    Failure,
    figure::{Figure, percentile},
    ground::Ground,
    role::RoleName,
};

const ORGANIZATIONS: usize = 32;
const SLOTS: u32 = 16;
/// Scans whose rate is taken for what the platform can.
const ALL_AT_ONCE: usize = 3_000;
/// How long half of that is kept up.
const HALF: Duration = Duration::from_secs(15);

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let full = {
        let ground = Ground::new(ORGANIZATIONS).await?;
        for organization in ground.organizations.iter().cycle().take(ALL_AT_ONCE) {
            ground.scan(*organization, &json!({})).await?;
        }
        let _workers = ground.workers(1, SLOTS).await?;
        let _steward = ground.start(RoleName::Steward).await?;
        ground.await_done(i64::try_from(ALL_AT_ONCE)?).await?;
        ground.done_per_second().await?
    };
    let (mut waits, reached) = paced(full / 2.0).await?;
    eprintln!("bench:   {full:.0}/s at most, then {reached:.0}/s, load {}", crate::figure::load());
    let figure = |percent, waits: &mut Vec<f64>| {
        let name = format!("(b) from acceptance to the task's start at {reached:.0} scans a second, p{percent}");
        Figure::new(name, percentile(waits, percent), "ms")
    };
    Ok(vec![
        figure(50, &mut waits),
        figure(99, &mut waits),
        Figure::new("(b) scans of one no-op task, 1 worker process of 16 slots", full, "1/s"),
    ])
}

/// Stores scans at that rate; their waits, and the rate that was reached.
async fn paced(per_second: f64) -> Result<(Vec<f64>, f64), Failure> {
    let ground = Ground::new(ORGANIZATIONS).await?;
    let _workers = ground.workers(1, SLOTS).await?;
    let _steward = ground.start(RoleName::Steward).await?;
    let (began, mut stored) = (Instant::now(), 0_u32);
    for organization in ground.organizations.iter().cycle() {
        let due = Duration::from_secs_f64(f64::from(stored) / per_second);
        if due > HALF {
            break;
        }
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        ground.scan(*organization, &json!({})).await?;
        stored += 1;
    }
    let reached = f64::from(stored) / began.elapsed().as_secs_f64();
    ground.await_done(i64::from(stored)).await?;
    // Without the first tenth.
    Ok((ground.waits(i64::from(stored - stored / 10)).await?, reached))
}
