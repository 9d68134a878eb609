//! Clients that are slow, silent or ambiguous, and pages of other origins: on raw sockets, since no well-kept client sends
//! what these send.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::harness::TestApp;

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap()
}

/// Sends these bytes and reads until the server closes, or says nothing for a while.
async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let mut socket = connect(app).await;
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0_u8; 4096];
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(500), socket.read(&mut chunk)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect()
}

#[tokio::test]
async fn a_request_whose_end_is_ambiguous_is_refused_and_never_taken_for_two() {
    let app = TestApp::spawn().await;
    let hidden = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd{hidden}"
        ),
        format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd{hidden}"),
        format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd{hidden}"),
        format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("GET /api/v1/nothing HTTP/1.1\r\nHost: a\r\nX: 1\r\n Content-Length: 40\r\n\r\n{hidden}"),
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".to_owned(),
        "GET /health HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(),
    ];
    for request in cases {
        let answer = raw(&app, request.as_bytes()).await;
        let all = statuses(&answer);
        assert!(all.len() <= 1, "{request:?}: {answer}");
        assert!(all.iter().all(|status| status.starts_with('4')), "{request:?}: {answer}");
    }
    // Without an end of the headers there is no request at all.
    assert_eq!(statuses(&raw(&app, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await), ["200"]);
}

#[tokio::test]
async fn headers_are_bounded() {
    let app = TestApp::spawn().await;
    let with = async |bytes: usize| {
        app.request("GET", "/health", None, |request| request.header("x-filler", "x".repeat(bytes))).await
    };
    assert_eq!(with(30 * 1024).await.status, 200);
    with(33 * 1024).await.assert_problem(400, "malformed_request");
    let endless = format!("GET /health HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(200 * 1024));
    assert!(statuses(&raw(&app, endless.as_bytes()).await).iter().all(|status| status.starts_with('4')));
    let many: String = (0..500).map(|number| format!("X-{number}: 1\r\n")).collect();
    let answer = raw(&app, format!("GET /health HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()).await;
    assert!(statuses(&answer).iter().all(|status| status.starts_with('4')), "{answer}");
}

#[tokio::test]
async fn no_answer_says_what_serves_it() {
    let app = TestApp::spawn().await;
    for path in ["/health", "/nothing", "/api/v1/auth/me"] {
        let answer = app.get(path, None).await;
        for name in ["server", "x-powered-by", "via"] {
            assert_eq!(answer.header(name), None, "{path}");
        }
        assert!(!answer.text.to_lowercase().contains("actix"), "{}", answer.text);
    }
}

/// As many descriptors as this process may have: both ends of each connection are in it.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    assert!(limit.maximum.is_none_or(|most| most >= 5_000), "expected to be allowed 5,000 descriptors: {limit:?}");
}

/// Whether this process still has the server's end of a connection that begins here. The kernel's table says it: a client
/// that reads nothing does not hear of the end.
fn is_held(client: SocketAddr, server: SocketAddr) -> bool {
    let own = format!(":{:04X}", server.port());
    let other = format!(":{:04X}", client.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote, state) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        // Established.
        local.ends_with(&own) && remote.ends_with(&other) && state == "01"
    })
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answers_is_given_up() {
    let app = TestApp::spawn_with(|settings| settings.stalled_ms = 1_000).await;
    let mut socket = connect(&app).await;
    let (client, server) = (socket.local_addr().unwrap(), socket.peer_addr().unwrap());
    // More than the buffers of both ends hold.
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    socket.write_all(requests.as_bytes()).await.unwrap();
    let mut byte = [0_u8; 1];
    socket.read_exact(&mut byte).await.unwrap();
    assert!(is_held(client, server), "the test sees the connection");
    let begun = Instant::now();
    while is_held(client, server) {
        assert!(begun.elapsed() < Duration::from_secs(20), "the connection is still open");
        // A byte now and then is no progress: the window stays shut.
        socket.read_exact(&mut byte).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.get("/health", None).await.status, 200);
}

/// A client with little room asks for a long answer and takes `bytes` of it every 50 ms; how much it got, and how much there
/// was.
async fn read_slowly(app: &TestApp, bytes: usize) -> (usize, usize) {
    let length = app.get("/openapi.json", None).await.text.len();
    assert!(length > 100_000, "a long answer");
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(app.base.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    socket.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut pace, mut chunk, mut taken) = (tokio::time::interval(Duration::from_millis(50)), vec![0; bytes], 0);
    loop {
        pace.tick().await;
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return (taken, length),
            Ok(read) => taken += read,
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_a_long_answer_a_little_at_a_time_is_given_up() {
    // It takes something twenty times a second: what ends it is not the bound for who takes nothing.
    let app = TestApp::spawn_with(|settings| settings.stalled_ms = 2_000).await;
    let (taken, length) = read_slowly(&app, 200).await;
    assert!(taken < length / 2, "{taken} of {length} bytes");
    assert_eq!(app.get("/health", None).await.status, 200);
}

#[tokio::test]
async fn a_client_that_is_slow_and_not_too_slow_gets_its_whole_answer() {
    let app = TestApp::spawn_with(|settings| settings.stalled_ms = 5_000).await;
    let (taken, length) = read_slowly(&app, 4_096).await;
    assert!(taken > length, "{taken} of {length} bytes and a head");
}

#[tokio::test]
async fn silent_sockets_hold_nobody_up_and_are_closed() {
    let app = TestApp::spawn_with(|settings| settings.request_timeout_ms = 1_500).await;
    let mut silent = Vec::new();
    raise_descriptors();
    for number in 0..2_000 {
        let mut socket = connect(&app).await;
        if number % 2 == 0 {
            socket.write_all(b"GET /health HTTP/1.1\r\nHo").await.unwrap();
        }
        silent.push(socket);
    }
    let begun = Instant::now();
    assert_eq!(app.get("/health", None).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for mut socket in silent {
        let mut rest = Vec::new();
        // Closed by the server, with or without a word.
        let closed = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "a silent socket is still open");
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let app = TestApp::spawn_with(|settings| settings.body_timeout_ms = 300).await;
    let mut socket = connect(&app).await;
    let head =
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(closed.is_ok(), "the connection is still open: {answer}");
    assert_eq!(statuses(&answer), ["400"], "{answer}");
}

#[tokio::test]
async fn listed_origins_may_and_others_may_not() {
    let app = TestApp::spawn_with(|settings| settings.cors_origins = vec!["https://console.example".to_owned()]).await;
    let member = app.member("ada@example.com").await;
    let preflight = async |origin: &'static str| {
        app.request("OPTIONS", "/api/v1/targets", None, |request| {
            request
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,content-type,idempotency-key,if-range,range")
        })
        .await
    };
    let listed = preflight("https://console.example").await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://console.example"));
    assert_eq!(listed.header("access-control-allow-credentials"), Some("true"));
    for origin in ["https://evil.example", "https://console.example.evil.example", "http://console.example", "null"] {
        let refused = preflight(origin).await;
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        let answer = app
            .request("GET", "/api/v1/targets", Some(&member.token), |request| request.header("origin", origin))
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    let answer = app
        .request("GET", "/api/v1/targets", Some(&member.token), |request| {
            request.header("origin", "https://console.example")
        })
        .await;
    assert_eq!(answer.status, 200);
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["x-ratelimit-remaining", "content-range", "content-disposition", "accept-ranges", "allow"] {
        assert!(exposed.split(',').any(|one| one.trim() == name), "{name}: {exposed}");
    }
    assert!(answer.header("vary").unwrap().to_lowercase().contains("origin"));

    let closed = TestApp::spawn().await;
    let none = closed
        .request("OPTIONS", "/api/v1/targets", None, |request| request.header("origin", "https://a.example"))
        .await;
    assert_eq!((none.status, none.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn a_key_in_a_query_or_a_cookie_opens_nothing() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["targets:read"]).await;
    for name in ["access_token", "token", "api_key", "key"] {
        for secret in [&member.token, &key] {
            let answer = app.get(&format!("/api/v1/targets?{name}={secret}"), None).await;
            assert_eq!(answer.status, 401, "{name}");
            let cookie = format!("{name}={secret}");
            let answer = app.request("GET", "/api/v1/targets", None, |request| request.header("cookie", cookie)).await;
            assert_eq!(answer.status, 401, "{name}");
        }
    }
    let both =
        app.request("GET", "/api/v1/targets", Some(&member.token), |request| request.header("x-api-key", &key)).await;
    assert_eq!(both.status, 401, "two credentials are none");
    let made = app.post("/api/v1/targets", Some(&member.token), &json!({"target": "example.com"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
}
