//! (b) From a client's 201 to the start of its task while the platform does half of what it can: scans of one simulated task
//! through the real gateway, from many organizations on the largest plan, counted against its rate limits; one worker
//! process. What the platform can is found out first, in the same run, with scans that are stored already: half of that with
//! the gateway's own work beside it is more than half of the machine.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use picket_domain::ScanId;
use picket_kit::Clock;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Failure,
    figure::{Figure, percentile},
    ground::Ground,
    http::Client,
    platform::Platform,
    role::RoleName,
};

/// Enough that none of them asks for more than its plan lets it, at 700 scans a second.
const ORGANIZATIONS: u32 = 64;
const SLOTS: u32 = 16;
/// Scans whose rate is taken for what the platform can.
const ALL_AT_ONCE: usize = 3_000;
/// How long half of that is kept up.
const HALF: Duration = Duration::from_secs(15);

/// What was accepted, and when the client heard of it.
type Accepted = Vec<(ScanId, Timestamp)>;

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let full = {
        let ground = Ground::new(usize::try_from(ORGANIZATIONS)?).await?;
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
        let name =
            format!("(b) from 201 to the task's start at {reached:.0} scans a second through the API, p{percent}");
        Figure::new(name, percentile(waits, percent), "ms")
    };
    Ok(vec![
        figure(50, &mut waits),
        figure(99, &mut waits),
        Figure::new("(b) scans of one no-op task, 1 worker process of 16 slots", full, "1/s"),
    ])
}

/// Creates scans at that rate; their waits, and the rate that was reached.
async fn paced(per_second: f64) -> Result<(Vec<f64>, f64), Failure> {
    let platform = Platform::start_limited().await?;
    let ground = Ground::on(platform.database.clone()).await?;
    let mut keys = Vec::new();
    for number in 0..ORGANIZATIONS {
        keys.push(platform.organization(usize::try_from(number)?).await?);
    }
    let _workers = ground.workers(1, SLOTS).await?;
    let _steward = ground.start(RoleName::Steward).await?;
    let began = Instant::now();
    let mut lanes = Vec::new();
    for (lane, key) in (0..ORGANIZATIONS).zip(keys) {
        let due = move |turn: u32| {
            Duration::from_secs_f64((f64::from(lane) + f64::from(turn) * f64::from(ORGANIZATIONS)) / per_second)
        };
        lanes.push(tokio::spawn(creates(platform.address, key, began, due)));
    }
    let mut accepted = Accepted::new();
    for lane in lanes {
        accepted.extend(lane.await??);
    }
    let all = u32::try_from(accepted.len())?;
    let reached = f64::from(all) / began.elapsed().as_secs_f64();
    ground.await_done(i64::from(all)).await?;
    accepted.sort_by_key(|(_, at)| *at);
    let first_tenth = accepted.len() / 10;
    let mut waits = Vec::new();
    let (postgres, sql) = (
        platform.database.connect().await,
        "SELECT extract(epoch FROM min(started_at))::float8 FROM tasks WHERE scan_id = $1",
    );
    let started = postgres.prepare(sql).await?;
    for (scan, at) in accepted.into_iter().skip(first_tenth) {
        let row = postgres.query_one(&started, &[&scan.uuid()]).await?;
        waits.push((row.try_get::<_, f64>(0)? - at.as_duration().as_secs_f64()) * 1e3);
    }
    Ok((waits, reached))
}

/// One organization's client: each request when it is due.
async fn creates(
    gateway: SocketAddr,
    key: String,
    began: Instant,
    due: impl Fn(u32) -> Duration,
) -> Result<Accepted, Failure> {
    let (clock, mut client) = (Clock::system(), Client::connect(gateway, Some(key)).await?);
    let body: Bytes = json!({"target": "127.0.0.1", "tool": "simulate", "parameters": {}}).to_string().into();
    let mut accepted = Accepted::new();
    for turn in 0.. {
        let due = due(turn);
        if due > HALF {
            break;
        }
        tokio::time::sleep_until(began + due).await;
        let answer = client.post("/api/v1/scans/create", body.clone(), StatusCode::CREATED).await?;
        let heard = clock.now();
        let answer: Value = serde_json::from_slice(&answer)?;
        let id = answer.get("id").and_then(Value::as_str).ok_or("expected `id`")?;
        accepted.push((id.parse().map_err(|_| "expected the id of a scan")?, heard));
    }
    Ok(accepted)
}
