//! (b) From the client's 201 to the first instruction of the tool, on an idle platform: outbox, relay, broker, claim,
//! sandbox. The tool is a stand-in that calls home as its first deed; all roles are in this process.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use picket_kit::{Health, Shutdown};
use picket_queue::{Broker, BrokerSettings};
use picket_steward::StewardSettings;
use picket_testkit::Namespace;
use picket_worker::{Parts, WorkerSettings};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    Failure,
    figure::{Figure, percentile},
    ground,
    http::Client,
    platform::Platform,
    stand_in,
};

const SCANS: u32 = 100;
const LONG: Duration = Duration::from_secs(60);

/// Milliseconds until the claim, and until the tool.
#[derive(Default)]
struct Times {
    claim: Vec<f64>,
    tool: Vec<f64>,
}

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let tools = stand_in::open_folder()?;
    stand_in::install(tools.path())?;
    let platform = Platform::start().await?;
    let key = platform.organization(0).await?;
    let shutdown = Shutdown::new();
    let worker = start_roles(&platform, tools.path().to_owned(), &shutdown).await?;
    let mut client = Client::connect(platform.address, Some(key)).await?;
    let mut times = Times::default();
    for number in 0..SCANS {
        let (claim, tool) = one(&platform, &mut client).await?;
        times.claim.push(claim);
        times.tool.push(tool);
        // Idle, and not in step with anybody's timer.
        tokio::time::sleep(Duration::from_millis(u64::from(50 + number * 37 % 300))).await;
    }
    shutdown.stop();
    worker.await??;
    let figure = |percent: usize, times: &mut Times| {
        Figure::new(
            format!("(b) 201 to the tool's start, idle, p{percent}"),
            percentile(&mut times.tool, percent),
            "ms",
        )
        .beside("of that, to the worker's claim", percentile(&mut times.claim, percent))
    };
    Ok(vec![figure(50, &mut times), figure(99, &mut times)])
}

/// A steward and a worker; returns when both are at work.
async fn start_roles(
    platform: &Platform,
    tools_root: PathBuf,
    shutdown: &Shutdown,
) -> Result<JoinHandle<Result<(), picket_worker::WorkerError>>, Failure> {
    let Namespace { url, prefix } = Namespace::new();
    let broker =
        |name: &str| Broker::new(BrokerSettings { url: url.clone(), prefix: prefix.clone(), name: name.to_owned() });
    broker("bench").declare().await?;
    let (steward, health) = (broker("steward"), Health::starting());
    let (db, clock, stop) = (platform.db.clone(), platform.clock.clone(), shutdown.clone());
    let (settings, blobs) = (StewardSettings::default(), platform.blobs.clone());
    let (planner, prover) = ground::planning()?;
    let health_of_stewards = Health::starting();
    let stewards =
        picket_steward::Parts { db, broker: steward, blobs, planner, prover, clock, health: health_of_stewards };
    tokio::spawn(picket_steward::run(settings, stewards, stop));
    let parts = Parts {
        db: platform.db.clone(),
        broker: broker("worker"),
        blobs: Some(platform.blobs.clone()),
        live: None,
        planner: ground::planning()?.0,
        clock: platform.clock.clone(),
        health: health.clone(),
    };
    let settings = WorkerSettings {
        bwrap: stand_in::bwrap(),
        tools_root,
        // The stand-in for nmap looks for its port on the worker's own loopback.
        slirp: "/nonexistent".into(),
        sandbox_external_egress: picket_worker::ExternalEgress::Enforced,
        ..WorkerSettings::default()
    };
    let worker = tokio::spawn(picket_worker::run(settings, parts, shutdown.clone()));
    let began = Instant::now();
    while !health.is_ready() {
        if worker.is_finished() || began.elapsed() > LONG {
            return Err("the worker does not start".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(worker)
}

/// One scan from its 201 to its end.
async fn one(platform: &Platform, client: &mut Client) -> Result<(f64, f64), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ports = listener.local_addr()?.port().to_string();
    let request = json!({"target": "127.0.0.1", "tool": "nmap", "parameters": {"ports": ports}});
    let id = client.post_for("/api/v1/scans/create", &request, StatusCode::CREATED, "id").await?;
    let (accepted, accepted_at) = (Instant::now(), platform.clock.now());
    tokio::time::timeout(LONG, listener.accept()).await.map_err(|_| "the tool did not start")??;
    let tool = accepted.elapsed().as_secs_f64() * 1e3;
    let database = platform.database.connect().await;
    let sql = "SELECT s.state = 'completed', extract(epoch FROM t.started_at)::float8 \
               FROM scans AS s JOIN tasks AS t ON t.scan_id = s.id ORDER BY s.created_at DESC LIMIT 1";
    while accepted.elapsed() < LONG {
        let row = database.query_one(sql, &[]).await?;
        if row.try_get(0)? {
            let seconds = row.try_get::<_, f64>(1)? - accepted_at.as_duration().as_secs_f64();
            return Ok((seconds * 1e3, tool));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("the scan {id} did not complete").into())
}
