//! (e) Authenticated reads of a scan per second, with tenancy, rate limits in Redis, logs and metrics, beside a bare
//! actix-web handler that returns a constant, and the same handler with its one bare query on a pool of the same size.

use std::time::Duration;

use hyper::StatusCode;

use crate::{
    Failure,
    bare::Bare,
    figure::{Figure, median, percentile},
    http::Client,
    load::{Worker, turn},
    platform::Platform,
    seeded,
};

/// Connections that work at the same time.
const CLIENTS: usize = 32;
/// Turns of each form.
const ROUNDS: usize = 5;
/// Organizations: the burst of each is 100 requests, and none may be refused.
const ORGANIZATIONS: usize = 1_000;
/// Requests a second of the one client whose waiting is measured.
const PACE: u32 = 1_000;
/// How long it goes on.
const PACED: Duration = Duration::from_secs(10);

/// A client that reads, each time as the next of its organizations.
struct Reader {
    client: Client,
    requests: Vec<(String, Option<String>)>,
    next: usize,
}

impl Worker for Reader {
    async fn once(&mut self) -> Result<(), Failure> {
        let place = self.next.checked_rem(self.requests.len()).unwrap_or_default();
        self.next = self.next.wrapping_add(1);
        let (path, key) = self.requests.get(place).ok_or("no request")?;
        self.client.get(path, key.as_deref(), StatusCode::OK).await.map(drop)
    }
}

/// Measures the three forms in alternation, and then the waiting of one client.
pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let platform = Platform::start_limited().await?;
    let scans = seeded::scans(&platform, ORGANIZATIONS).await?;
    let bare = Bare::start(&platform.database).await?;
    let api: Vec<_> = scans.iter().map(|scan| (format!("/api/v1/scan/{}", scan.id), Some(scan.key.clone()))).collect();
    let mut readers = spread(platform.address, &api).await?;
    let mut constant = spread(bare.address, &[("/constant".to_owned(), None)]).await?;
    let queries: Vec<_> = scans.iter().map(|scan| (format!("/query/{}", scan.id), None)).collect();
    demand_equal((platform.address, &api), (bare.address, &queries)).await?;
    let mut query = spread(bare.address, &queries).await?;
    let (mut ours, mut constants, mut one_query) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let turns = (turn(&mut readers).await?, turn(&mut constant).await?, turn(&mut query).await?);
        eprintln!("bench:   round {round}: {:.0} {:.0} {:.0}", turns.0, turns.1, turns.2);
        // The first warms up.
        if round > 0 {
            ours.push(turns.0);
            constants.push(turns.1);
            one_query.push(turns.2);
        }
    }
    let figure = |rate| Figure::new("(e) GET /scan/{id}, authenticated and limited", rate, "1/s");
    let rate = median(&mut ours);
    let waits = paced(platform.address, &api).await?;
    Ok([
        figure(rate).beside("a handler that returns a constant", median(&mut constants)),
        figure(rate).beside("a handler with one bare query", median(&mut one_query)),
    ]
    .into_iter()
    .chain(waits)
    .collect())
}

/// Demands that both forms give the same answer: a peer that does less is none.
async fn demand_equal(
    ours: (std::net::SocketAddr, &[(String, Option<String>)]),
    bare: (std::net::SocketAddr, &[(String, Option<String>)]),
) -> Result<(), Failure> {
    let mut answers = Vec::new();
    for (address, requests) in [ours, bare] {
        let (path, key) = requests.first().ok_or("no request")?;
        let answer = Client::connect(address, None).await?.get(path, key.as_deref(), StatusCode::OK).await?;
        answers.push(serde_json::from_slice::<serde_json::Value>(&answer)?);
    }
    let are_equal = answers.iter().all(|answer| answers.first() == Some(answer));
    if are_equal { Ok(()) } else { Err(format!("the answers differ: {answers:?}").into()) }
}

/// Clients that share the requests among them.
async fn spread(address: std::net::SocketAddr, requests: &[(String, Option<String>)]) -> Result<Vec<Reader>, Failure> {
    let mut readers = Vec::new();
    for number in 0..CLIENTS {
        let own: Vec<_> = requests.iter().skip(number).step_by(CLIENTS).cloned().collect();
        let requests = if own.is_empty() { requests.to_vec() } else { own };
        readers.push(Reader { client: Client::connect(address, None).await?, requests, next: 0 });
    }
    Ok(readers)
}

/// One client that sends so many requests a second over a few connections, each when it is due; waiting counts from then.
async fn paced(address: std::net::SocketAddr, requests: &[(String, Option<String>)]) -> Result<[Figure; 2], Failure> {
    const CONNECTIONS: u32 = 8;
    let begun = tokio::time::Instant::now();
    let mut lanes = Vec::new();
    for lane in 0..CONNECTIONS {
        let mut client = Client::connect(address, None).await?;
        let requests = requests.to_vec();
        lanes.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            for number in (lane..).step_by(8) {
                let due = Duration::from_secs(1).saturating_mul(number) / PACE;
                if due > PACED {
                    break;
                }
                tokio::time::sleep_until(begun + due).await;
                let place = usize::try_from(number).unwrap_or_default().checked_rem(requests.len()).unwrap_or_default();
                let (path, key) = requests.get(place).ok_or("no request")?;
                client.get(path, key.as_deref(), StatusCode::OK).await?;
                waits.push((begun.elapsed().saturating_sub(due)).as_secs_f64() * 1_000.0);
            }
            Ok::<_, Failure>(waits)
        }));
    }
    let mut waits = Vec::new();
    for lane in lanes {
        waits.extend(lane.await??);
    }
    let figure = |name: &str, percent: usize, waits: &mut [f64]| {
        Figure::new(format!("(e) the same at {PACE}/s from one client, {name}"), percentile(waits, percent), "ms")
    };
    Ok([figure("p50", 50, &mut waits), figure("p99", 99, &mut waits)])
}
