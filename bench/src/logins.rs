//! (f) Logins per second and core, which the password hash bounds, and what a storm of them does to everybody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::StatusCode;
use serde_json::json;

use crate::{
    Failure,
    figure::{Figure, percentile},
    http::Client,
    platform::Platform,
    seeded::{self, Seeded},
};

/// Clients of the storm.
const STORM: usize = 64;
/// How long each spell is measured.
const SPELL: Duration = Duration::from_secs(10);
/// Between two reads of the one who only wants to read.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the times of known and unknown people are compared.
const PAIRS: usize = 40;

/// Measures the quiet, then the storm, then whether time tells who is known.
pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let platform = Platform::start_limited().await?;
    let scans = seeded::scans(&platform, 100).await?;
    let people = seeded::people(&platform, STORM + PAIRS).await?;
    let mut quiet = reads(&platform, &scans).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let storm: Vec<_> = people
        .iter()
        .take(STORM)
        .enumerate()
        .map(|(number, email)| tokio::spawn(storm(platform.address, number, email.clone(), stop.clone())))
        .collect();
    let begun = Instant::now();
    let mut stormy = reads(&platform, &scans).await?;
    stop.store(true, Ordering::Relaxed);
    let mut logins = 0.0;
    for client in storm {
        logins += f64::from(client.await??);
    }
    let rate = logins / begun.elapsed().as_secs_f64();
    let (before, during) = (percentile(&mut quiet, 99), percentile(&mut stormy, 99));
    let mut figures = vec![
        Figure::new("(f) logins in a storm of 64 clients, argon2id 19 MiB", rate, "1/s"),
        Figure::new("(f) p99 of a read during the storm", during, "ms").beside("its quiet p99", before),
    ];
    figures.extend(enumeration(&platform, people.get(STORM..).unwrap_or_default()).await?);
    Ok(figures)
}

/// Waiting times of one who reads now and then, in milliseconds.
async fn reads(platform: &Platform, scans: &[Seeded]) -> Result<Vec<f64>, Failure> {
    let mut client = Client::connect(platform.address, None).await?;
    let (begun, mut waits) = (Instant::now(), Vec::new());
    for scan in scans.iter().cycle() {
        if begun.elapsed() > SPELL {
            break;
        }
        let sent = Instant::now();
        client.get(&format!("/api/v1/scan/{}", scan.id), Some(&scan.key), StatusCode::OK).await?;
        waits.push(sent.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(waits)
}

/// One client that signs in again and again; how often it was let in. Whoever waits too long for a free thread is told so.
async fn storm(
    address: std::net::SocketAddr,
    number: usize,
    email: String,
    stop: Arc<AtomicBool>,
) -> Result<u32, Failure> {
    let mut client = Client::connect(address, None).await?;
    let from = format!("192.0.2.{number}");
    let body = json!({"email": email, "password": seeded::PASSWORD}).to_string();
    let mut done = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        if client.post_from("/api/v1/auth/login", body.clone().into(), &from).await? == StatusCode::OK {
            done = done.saturating_add(1);
        }
    }
    Ok(done)
}

/// Medians of the time that a wrong password takes for somebody and for nobody; each pair from an address of its own.
async fn enumeration(platform: &Platform, people: &[String]) -> Result<Option<Figure>, Failure> {
    let mut client = Client::connect(platform.address, None).await?;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (number, email) in people.iter().enumerate() {
        let from = format!("198.51.100.{number}");
        for (times, email) in [(&mut known, email.clone()), (&mut unknown, format!("nobody-{number}@example.com"))] {
            let body = json!({"email": email, "password": "not the right one"}).to_string();
            let sent = Instant::now();
            let status = client.post_from("/api/v1/auth/login", body.into(), &from).await?;
            if status == StatusCode::UNAUTHORIZED {
                times.push(sent.elapsed().as_secs_f64() * 1_000.0);
            }
        }
    }
    if known.is_empty() {
        return Ok(None);
    }
    let figure = Figure::new("(f) a wrong password of somebody, median", percentile(&mut known, 50), "ms");
    Ok(Some(figure.beside("of nobody", percentile(&mut unknown, 50))))
}
