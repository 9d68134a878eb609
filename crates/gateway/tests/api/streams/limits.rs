//! Streams that must not be: of others, of whoever lost the right, too many, of a client that does not read, of a gateway
//! that stops.

use std::time::Duration;

use picket_domain::Subscription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use super::{Stream, member, output, running, start};
use crate::{
    harness::{Answer, TestApp},
    scans::allow_example,
};

#[tokio::test]
async fn another_organizations_streams_are_404() {
    let (app, member) = start().await;
    let (id, _workers) = running(&app, &member, 1).await;
    let stranger = app.member("eve@example.com").await;
    for path in [output(&id), format!("/api/v1/scan/{id}/events")] {
        let answer = Stream::ask(&app, &path, &stranger.token, None).await;
        assert_eq!(answer.status().as_u16(), 404, "{path}");
    }
    app.get(&output("scan_00000000000000000000000001"), Some(&member.token)).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_its_key_and_its_permission_while_the_scan_goes_on() {
    let (app, member) = start().await;
    let other = app.replica(|_| {});
    let (id, _workers) = running(&app, &member, 1).await;
    let key = app.api_key(&member.token, &["scans:read"]).await;
    let open = async |token: &str| {
        let mut stream = Stream::open(&other, &output(&id), token, None).await;
        assert_eq!(stream.next().await.unwrap().event, "progress");
        stream
    };
    let by_key = open(&key).await;
    let keys = app.get("/api/v1/api-keys", Some(&member.token)).await.json();
    let path = format!("/api/v1/api-keys/{}", keys["data"][0]["id"].as_str().unwrap());
    assert_eq!(app.delete(&path, Some(&member.token)).await.status, 204);
    assert!(by_key.rest().await.is_empty(), "nothing ended but the key");

    let by_session = open(&app.sign_in("alice@example.com").await).await;
    let by_another = open(&member.token).await;
    let others = app.delete("/api/v1/account/sessions/all", Some(&member.token)).await;
    assert_eq!(others.status, 204, "{}", others.text);
    assert!(by_session.rest().await.is_empty(), "nothing ended but the session");

    let suspend = "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x'";
    app.database.connect().await.execute(suspend, &[]).await.unwrap();
    assert!(by_another.rest().await.is_empty(), "nothing ended but the organization's rights");
}

#[tokio::test]
async fn an_organization_has_as_many_streams_as_its_plan_allows_and_gets_a_place_back() {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.stream_keep_alive_ms = 50;
        settings.streams = Subscription::Trial.limits().streams + 1;
    })
    .await;
    let member = member(&app).await;
    let (id, _workers) = running(&app, &member, 1).await;
    let mut open = Vec::new();
    for _ in 0..Subscription::Trial.limits().streams {
        open.push(Stream::open(&app, &output(&id), &member.token, None).await);
    }
    let refused = app.get(&output(&id), Some(&member.token)).await;
    refused.assert_problem(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    // A look at the headers takes no place.
    let head = app.send("HEAD", &output(&id), Some(&member.token)).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));

    // Another organization has the last place of the gateway, and a third one none.
    let stranger = app.member("eve@example.com").await;
    app.verify("eve@example.com").await;
    let (theirs, _others) = running(&app, &stranger, 1).await;
    let last = Stream::open(&app, &output(&theirs), &stranger.token, None).await;
    app.get(&output(&theirs), Some(&stranger.token)).await.assert_problem(503, "unavailable");

    drop((last, open.pop()));
    let again = async || -> Answer { app.get(&output(&id), Some(&member.token)).await };
    assert_eq!(app.eventually(again, 200).await.status, 200);
}

#[tokio::test]
async fn a_client_that_reads_nothing_costs_its_buffers_and_loses_its_place() {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.streams = 1;
        settings.stalled_ms = 1_000;
        settings.stream_keep_alive_ms = 50;
    })
    .await;
    let member = member(&app).await;
    let (id, workers) = running(&app, &member, 1).await;
    // More than the buffers of the system between them.
    let long = "x".repeat(240);
    for _ in 0..40 {
        workers[0].tell(&vec![long.as_str(); 250]).await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = socket.connect(app.base.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", output(&id), member.token);
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0_u8; 15];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let again = async || -> Answer { app.get(&output(&id), Some(&member.token)).await };
    assert_eq!(app.eventually(again, 200).await.status, 200, "its place is free");
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams() {
    let (app, member) = start().await;
    let (id, _workers) = running(&app, &member, 1).await;
    let stopping = app.replica(|_| {});
    let mut stream = Stream::open(&stopping, &output(&id), &member.token, None).await;
    assert_eq!(stream.next().await.unwrap().event, "progress");
    drop(stopping);
    assert!(stream.rest().await.is_empty());
}

#[tokio::test]
async fn a_token_that_ends_by_itself_ends_its_stream() {
    let clock = picket_kit::Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, allow_example).await;
    let member = member(&app).await;
    let (id, _workers) = running(&app, &member, 1).await;
    let mut stream = Stream::open(&app, &output(&id), &member.token, None).await;
    assert_eq!(stream.next().await.unwrap().event, "progress");
    app.clock.advance(jiff::SignedDuration::from_mins(16));
    assert!(tokio::time::timeout(Duration::from_secs(20), stream.rest()).await.unwrap().is_empty());
    app.get(&output(&id), Some(&member.token)).await.assert_problem(401, "unauthenticated");
}
