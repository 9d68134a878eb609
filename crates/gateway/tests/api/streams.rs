//! Following a scan while it runs: at which gateway ever, with Redis and without, again after a break, and no longer than one
//! may.

mod client;
mod limits;

use std::{collections::BTreeSet, time::Duration};

use picket_kit::Clock;
use picket_testkit::Namespace;
use serde_json::json;

pub(crate) use self::client::{Stream, Worker};
use crate::{
    harness::{Member, TestApp, dead_redis},
    replicas::Wire,
    scans::allow_example,
};

/// A timer that no test waits for.
const NEVER: u32 = 600_000;

pub(crate) async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(allow_example).await;
    let member = member(&app).await;
    (app, member)
}

pub(crate) async fn member(app: &TestApp) -> Member {
    let member = app.member("alice@example.com").await;
    app.verify("alice@example.com").await;
    member
}

/// A scan of which a worker has begun as many tasks.
pub(crate) async fn running(app: &TestApp, member: &Member, tasks: usize) -> (String, Vec<Worker>) {
    let flags = if tasks == 2 { "-sV -O" } else { "-sV" };
    let body = json!({"target": "example.com", "tool": "nmap", "parameters": {"scan_type": flags, "ports": "80"}});
    let answer = app.post("/api/v1/scans/create", Some(&member.token), &body).await;
    let id = answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned();
    let workers = Worker::begin(app, &id).await;
    assert_eq!(workers.len(), tasks);
    (id, workers)
}

fn output(id: &str) -> String {
    format!("/api/v1/scan/{id}/output")
}

#[tokio::test]
async fn a_stream_at_another_gateway_hears_at_once_what_a_worker_stored_and_ends_with_the_scan() {
    let (app, member) = start().await;
    // Without hints it would hear nothing.
    let other = app.replica(|settings| settings.stream_poll_ms = NEVER);
    let (id, workers) = running(&app, &member, 1).await;
    let mut stream = Stream::open(&other, &output(&id), &member.token, None).await;
    assert_eq!(stream.next().await.unwrap().event, "progress");
    workers[0].tell(&["a\nb\u{1b}[31m", "event: end"]).await;
    // Again and again, among others that mean nothing: until it listens they are lost.
    let (live, scan) = (app.live(), id.clone());
    let hints = tokio::spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            for hint in ["nonsense", "scan_00000000000000000000000001", &scan, &scan] {
                let _maybe_lost = live.hint(hint).await;
            }
        }
    });
    let first = stream.next().await.unwrap();
    assert_eq!((first.id.as_deref(), first.event.as_str()), (Some("1"), "line"));
    assert_eq!((&first.data["kind"], &first.data["title"]), (&json!("observation"), &json!("ab[31m")));
    assert_eq!(first.data["place"], "127.0.0.1:80/tcp");
    assert_eq!(stream.next().await.unwrap().data["title"], "event: end");
    workers[0].complete().await;
    let rest = stream.rest().await;
    hints.abort();
    let events: Vec<_> = rest.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(events, ["line", "progress", "end"]);
    assert_eq!((&rest[0].data["kind"], &rest[0].data["observations"]), (&json!("ended"), &json!(0)));
    assert_eq!((&rest[1].data["percent"], &rest[1].data["tasks_ended"]), (&json!(100), &json!(1)));
    assert_eq!(rest[2].data, json!({"status": "completed"}));
}

#[tokio::test]
async fn without_redis_and_when_it_is_cut_off_lines_arrive_all_the_same() {
    let wire = Wire::new().await;
    let app = TestApp::start(Clock::system(), wire.live(&Namespace::new().prefix), |settings| {
        allow_example(settings);
        settings.stream_poll_ms = 100;
    })
    .await;
    let member = member(&app).await;
    let without = app.replica_at(dead_redis());
    let (id, workers) = running(&app, &member, 1).await;
    let mut cut = Stream::open(&app, &output(&id), &member.token, None).await;
    let mut dead = Stream::open(&without, &output(&id), &member.token, None).await;
    for title in ["before", "after"] {
        workers[0].tell(&[title]).await;
        for stream in [&mut cut, &mut dead] {
            assert_eq!(stream.line().await.data["title"], title);
        }
        wire.is_whole.send_replace(false);
    }
    workers[0].complete().await;
    assert_eq!(cut.rest().await.last().unwrap().event, "end");
    assert_eq!(dead.rest().await.last().unwrap().event, "end");
}

#[tokio::test]
async fn whoever_comes_back_has_every_line_once_while_two_workers_write() {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.stream_poll_ms = 50;
    })
    .await;
    let member = member(&app).await;
    let other = app.replica(|_| {});
    let (id, workers) = running(&app, &member, 2).await;
    let write = async |worker: &Worker| {
        for number in 0..60 {
            let titles = vec!["x"; 1 + number % 4];
            worker.tell(&titles).await;
        }
        worker.complete().await;
    };
    let read = async {
        let (mut seen, mut ids): (Vec<i64>, BTreeSet<_>) = (Vec::new(), BTreeSet::new());
        for turn in 0.. {
            let gateway = if turn % 2 == 0 { &app } else { &other };
            let last = seen.last().map(ToString::to_string);
            let mut stream = Stream::open(gateway, &output(&id), &member.token, last.as_deref()).await;
            let mut in_turn = 0;
            while in_turn < 7 {
                let Some(event) = stream.next().await else { return (seen, ids) };
                if event.event == "line" {
                    seen.push(event.id.unwrap().parse().unwrap());
                    ids.insert(event.data["task"].as_str().unwrap().to_owned());
                    in_turn += 1;
                }
            }
        }
        unreachable!()
    };
    let ((), (), (seen, tasks)) = tokio::join!(write(&workers[0]), write(&workers[1]), read);
    // 60 batches of 1 to 4 lines, and how it ended, of each task.
    let expected: Vec<i64> = (1..=2 * (150 + 1)).collect();
    assert_eq!(seen, expected);
    assert_eq!(tasks.len(), 2);
}

#[tokio::test]
async fn events_are_a_page_or_a_stream_as_the_client_asks() {
    let (app, member) = start().await;
    let (id, workers) = running(&app, &member, 1).await;
    let path = format!("/api/v1/scan/{id}/events");
    let mut stream = Stream::open(&app, &path, &member.token, None).await;
    let created = stream.next().await.unwrap();
    assert_eq!((created.event.as_str(), &created.data["event"]), ("scan.created", &json!("scan.created")));
    workers[0].complete().await;
    let rest = stream.rest().await;
    let events: Vec<_> = rest.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(events, ["scan.completed", "end"]);
    // Behind what it had, also from the place of a page.
    let last = created.id.as_deref().unwrap();
    for (path, last) in [(path.clone(), Some(last)), (format!("{path}?cursor={last}"), None)] {
        let again = Stream::open(&app, &path, &member.token, last).await.rest().await;
        assert_eq!(again.iter().map(|event| &event.id).collect::<Vec<_>>(), [&rest[0].id, &None]);
    }
    let page = app.get(&path, Some(&member.token)).await.json();
    assert_eq!(page["data"][1]["id"].as_str(), rest[0].id.as_deref());
    let ask = async |path: &str, last: &str| {
        let change = |request: reqwest::RequestBuilder| {
            request.header("accept", "text/event-stream").header("last-event-id", last)
        };
        app.request("GET", path, Some(&member.token), change).await
    };
    ask(&path, "evt_00000000000000000000000001").await.assert_field("Last-Event-ID", "invalid_id");
    ask(&path, "17").await.assert_field("Last-Event-ID", "invalid_id");
    ask(&output(&id), last).await.assert_field("Last-Event-ID", "invalid_id");
    ask(&format!("{path}?limit=3"), "").await.assert_field("limit", "not_allowed");
}

#[tokio::test]
async fn what_a_client_does_to_a_scan_is_heard_at_once_and_a_removed_scan_leaves_no_lines() {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.stream_poll_ms = NEVER;
    })
    .await;
    let member = member(&app).await;
    let (id, workers) = running(&app, &member, 1).await;
    workers[0].tell(&["seen"]).await;
    let mut stream = Stream::open(&app, &output(&id), &member.token, None).await;
    assert_eq!(stream.line().await.data["title"], "seen");
    let stopped = app.post(&format!("/api/v1/scan/{id}/stop"), Some(&member.token), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    assert_eq!(stream.rest().await.last().unwrap().data, json!({"status": "cancelled"}));
    assert!(!workers[0].try_to_tell(&["late"]).await, "the claim is gone");
    assert_eq!(app.delete(&format!("/api/v1/scan/{id}"), Some(&member.token)).await.status, 204);
    let left = "SELECT (SELECT count(*) FROM output_lines) + (SELECT count(*) FROM scan_outputs)";
    assert_eq!(app.database.connect().await.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_stop_ends_every_stream_at_every_gateway_with_redis_and_without() {
    let app = TestApp::spawn_with(|settings| {
        allow_example(settings);
        settings.stream_poll_ms = NEVER;
    })
    .await;
    let member = member(&app).await;
    // One that hears of it through Redis alone, and one that has no Redis and looks by itself.
    let hearing = app.replica(|_| {});
    let deaf = app.beside(dead_redis(), |settings| settings.stream_poll_ms = 200);
    let (id, workers) = running(&app, &member, 1).await;
    workers[0].tell(&["seen"]).await;
    let events = format!("/api/v1/scan/{id}/events");
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    for gateway in [&app, &hearing, &deaf] {
        lines.push(Stream::open(gateway, &output(&id), &member.token, None).await);
        told.push(Stream::open(gateway, &events, &member.token, None).await);
    }
    for stream in &mut lines {
        assert_eq!(stream.line().await.data["title"], "seen");
    }
    for stream in &mut told {
        assert_eq!(stream.next().await.unwrap().event, "scan.created");
    }
    // Until it listens, hints are lost: it does when it hears of what was stored behind its back.
    workers[0].tell(&["heard"]).await;
    let (live, scan) = (app.live(), id.clone());
    let hints = tokio::spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            let _maybe_lost = live.hint(&scan).await;
        }
    });
    for stream in &mut lines {
        assert_eq!(stream.line().await.data["title"], "heard");
    }
    hints.abort();
    let stopped = app.post(&format!("/api/v1/scan/{id}/stop"), Some(&member.token), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    for stream in lines {
        assert_eq!(stream.rest().await.last().unwrap().data, json!({"status": "cancelled"}));
    }
    for stream in told {
        let rest = stream.rest().await;
        let names: Vec<_> = rest.iter().map(|event| event.event.as_str()).collect();
        assert_eq!(names, ["scan.cancelled", "end"]);
    }
}
