//! F9, F12, F17, F19, F25: services and helpers that are killed and come back.

use std::{
    io::{BufRead, BufReader, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use picket_domain::ScanId;
use picket_testkit::{Database, Namespace, optional, required};
use serde_json::json;

use crate::{
    checker::{self, Owed},
    platform::Platform,
    private::Private,
    process::eventually,
    proxy::Way,
    service::Service,
    stage::{LONG, Stage},
};

/// Scans that are accepted between two kills of the database.
const AT_LEAST: usize = 10;

/// How long it is away each time in the long form.
const AWAY: Duration = Duration::from_secs(60);

/// Somebody who creates scans through the API, one after the other, whatever it answers.
struct Client<'a> {
    platform: &'a Platform,
    base: String,
    accepted: Vec<ScanId>,
    refused: usize,
}

impl Client<'_> {
    async fn create_until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let body =
                json!({"target": "127.0.0.1", "tool": "simulate", "parameters": {"findings": 1, "sleep_ms": 300}});
            match self.platform.post(&self.base, "/api/v1/scans/create", None, &body).await {
                Some((201, answer)) => self.accepted.push(answer["id"].as_str().unwrap().parse().unwrap()),
                Some((503, _)) => self.refused += 1,
                other => panic!("expected 201 or 503, not {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_a_database_that_is_killed_again_and_again_costs_answers_and_no_scan_that_was_accepted() {
    let private = Arc::new(Private::new("postgres", &[]));
    let url = private.start();
    let stage = Stage::on(Database::at(url).await, Namespace::new()).await;
    let platform = Platform::on("F9", stage, required("REDIS_URL")).await;
    let mut sound = platform.sound();
    let (_gateway, base) = platform.gateway("").await;
    let mut client = Client { platform: &platform, base, accepted: Vec::new(), refused: 0 };
    for _ in 0..3 {
        let (accepted, refused) = (client.accepted.len(), client.refused);
        client.create_until(|client| client.accepted.len() >= accepted + AT_LEAST).await;
        let killing = private.clone();
        let killed = tokio::task::spawn_blocking(move || killing.kill());
        client.create_until(|_| killed.is_finished()).await;
        // It stays away until somebody has noticed, and in the long form for a minute: every answer says when to come again.
        let away = Instant::now() + if optional("FAULTS_SECONDS").is_some() { AWAY } else { Duration::ZERO };
        client.create_until(|client| client.refused > refused && Instant::now() > away).await;
        let starting = private.clone();
        let started = tokio::task::spawn_blocking(move || starting.start());
        client.create_until(|_| started.is_finished()).await;
        killed.await.unwrap();
        started.await.unwrap();
    }
    let Client { accepted, refused, .. } = client;
    println!("F9: {} accepted, {refused} refused", accepted.len());
    assert!(refused > 0, "the restarts were noticed");
    for scan in accepted {
        let owed = Owed { findings: Some(1), gap: false, by_api: true };
        checker::accept(&platform.stage.database, scan, owed).await;
    }
    for role in &mut sound {
        assert_eq!(role.exit_code(), None, "nobody gave up: {}", role.log());
    }
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_and_f17_a_broker_that_is_killed_and_impatient_loses_nothing_and_a_long_scan_keeps_its_worker() {
    let private = Arc::new(Private::new("broker", &[("PICKET_BROKER_CONSUMER_TIMEOUT_MS", "10000")]));
    let url = private.start();
    let namespace = Namespace { url, ..Namespace::new() };
    let platform =
        Platform::on("F12, F17", Stage::on(Database::new().await, namespace).await, required("REDIS_URL")).await;
    let _sound = platform.sound();
    platform.scan(&json!({"findings": 1})).await;
    platform.drain(LONG).await;
    for _ in 0..2 {
        for _ in 0..5 {
            platform.scan(&json!({"findings": 2, "sleep_ms": 400})).await;
        }
        let killing = private.clone();
        tokio::task::spawn_blocking(move || killing.kill()).await.unwrap();
        for _ in 0..10 {
            platform.scan(&json!({"findings": 2})).await;
        }
        let starting = private.clone();
        tokio::task::spawn_blocking(move || starting.start()).await.unwrap();
    }
    platform.drain(LONG).await;
    // The broker looks once a minute whether somebody took longer than its ten seconds.
    let long = platform.scan(&json!({"findings": 1, "sleep_ms": 75_000})).await;
    platform.verdict().await;
    let row = platform.stage.row("SELECT attempt FROM tasks WHERE scan_id = $1", &[&long.id.uuid()]).await;
    assert_eq!(row.get::<_, i32>(0), 1, "acknowledged long before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_run_whose_network_is_killed_says_so_and_is_tried_again() {
    if picket_testkit::optional("PICKET_TEST_LEVELS").is_none_or(|levels| !levels.contains("L1")) {
        println!("skipped: no network of its own for a run on this machine");
        return;
    }
    let platform = Platform::new("F25").await;
    let service = Service::silent();
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let slirp = required("PICKET_SLIRP");
    let real = [
        ("PICKET_WORKER__POOLS", "[net]"),
        ("PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS", "unknown"),
        ("PICKET_SLIRP", slirp.as_str()),
        ("PICKET_WORKER__SLOTS", "1"),
    ];
    let worker = platform.start_with("worker", "", &real);
    let scan = platform.stage.scan(&service).await;
    checker::accept(&platform.stage.database, scan.id, Owed::default()).await;
    eventually("the tool runs", LONG, async || (!worker.tools().is_empty()).then_some(())).await;
    let network: Vec<_> = worker.descendants().into_iter().filter(|one| one.command.contains("slirp4netns")).collect();
    assert!(!network.is_empty(), "{:?}", worker.descendants());
    network.iter().for_each(|one| one.kill());
    service.speak();
    platform.stage.await_state(&scan, "completed").await;
    platform.stage.assert_completed_once(&scan, 2).await;
    platform.verdict().await;
}

/// Says commands to a Redis, as a person would with a terminal.
fn redis(url: &str, commands: &[&str]) {
    let (password, address) = url.strip_prefix("redis://:").unwrap().split_once('@').unwrap();
    let mut stream = std::net::TcpStream::connect(address.trim_end_matches("/0")).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for command in [format!("AUTH {password}").as_str()].iter().chain(commands) {
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let said = lines.next().unwrap().unwrap();
        assert_eq!(said, "+OK", "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_without_redis_nobody_signs_in_and_everything_else_goes_on() {
    let private = Arc::new(Private::new("redis", &[]));
    let url = private.start();
    let platform = Platform::on("F19", Stage::new().await, url.clone()).await;
    let _sound = platform.sound();
    let (_gateway, base) = platform.gateway("").await;
    let login = json!({"email": "ada@example.com", "password": "not the right one"});
    let sign_in = async || platform.post(&base, "/api/v1/auth/login", None, &login).await.unwrap().0;
    let refused = async |why: &str| {
        assert_eq!(sign_in().await, 503, "{why}: it fails closed");
        assert_eq!(platform.create(&base, None, &json!({"findings": 1})).await, Some(201), "{why}");
    };
    let counts = async || {
        redis(&url, &["FLUSHALL"]);
        (sign_in().await == 401).then_some(())
    };
    eventually("signing in", LONG, counts).await;
    redis(&url, &["CONFIG SET maxmemory 1"]);
    // What a full Redis lets the script write it counts all the same: too many tries are too many.
    let mut said = Vec::new();
    for _ in 0..7 {
        said.push(sign_in().await);
    }
    assert!(matches!(said.last(), Some(429 | 503)), "out of memory: {said:?}");
    redis(&url, &["CONFIG SET maxmemory 0", "CLIENT PAUSE 6000"]);
    refused("paused").await;
    for way in [Way::Cut, Way::Silent] {
        platform.redis.set(way);
        refused("no way").await;
    }
    platform.redis.set(Way::Open);
    eventually("signing in", LONG, counts).await;
    private.kill();
    refused("killed").await;
    private.start();
    eventually("signing in", LONG, counts).await;
    platform.verdict().await;
}
