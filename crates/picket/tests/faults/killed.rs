//! F1 to F5: each role killed at each of its places, one after the other, until a run ends clean.

use picket_faults::PLACES;
use serde_json::json;

use crate::{
    checker::{self, Owed},
    platform::Platform,
    process::eventually,
    service::Service,
    stage::LONG,
};

/// The places of a crate.
fn places(of: &str) -> Vec<&'static str> {
    let found: Vec<_> = PLACES.iter().copied().filter(|place| place.starts_with(of)).collect();
    assert!(found.len() > 1, "{of}: {found:?}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_a_gateway_that_is_killed_at_each_step_of_a_create_loses_nothing_it_answered() {
    let platform = Platform::new("F1").await;
    let _sound = platform.sound();
    for place in places("gateway::") {
        let (mut role, base) = platform.gateway(&format!("{place}=1*return(kill)")).await;
        let answered = platform.create(&base, Some(place), &json!({"findings": 2})).await;
        assert_eq!(answered, None, "{place}: it died before it answered");
        platform.death(&mut role).await;
        // The client tries again under the same key; until its lease ends the first try counts as under way.
        platform.stage.execute("UPDATE idempotency_keys SET lease_until = now() WHERE lease_until IS NOT NULL").await;
        let (_clean, base) = platform.gateway("").await;
        assert_eq!(platform.create(&base, Some(place), &json!({"findings": 2})).await, Some(201), "{place}");
    }
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_a_steward_that_is_killed_at_each_step_loses_no_task_and_no_event() {
    let platform = Platform::new("F2").await;
    let _others = ["worker", "dispatcher"].map(|role| platform.start(role, ""));
    for place in places("steward::").into_iter().chain(["queue::before_confirm"]) {
        let mut role = platform.start("steward", &format!("{place}=1*return(kill)"));
        platform.scan(&json!({"tasks": 2, "findings": 2})).await;
        platform.death(&mut role).await;
        assert!(role.log().contains(place), "{place}");
    }
    let _clean = platform.start("steward", "");
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_a_worker_that_is_killed_at_each_step_of_a_task_is_followed_by_one_that_completes_it_once() {
    let platform = Platform::new("F3").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    for place in places("worker::") {
        let mut role =
            platform.start_with("worker", &format!("{place}=1*return(kill)"), &[("PICKET_WORKER__SLOTS", "1")]);
        platform.scan(&json!({"findings": 3, "sleep_ms": 20})).await;
        platform.death(&mut role).await;
        assert!(role.log().contains(place), "{place}: {}", role.log());
    }
    let _clean = platform.start("worker", "");
    platform.verdict().await;
    let row = platform.stage.row("SELECT count(*) FILTER (WHERE failures > 0), count(*) FROM tasks", &[]).await;
    println!("F3: {} of {} tasks lost a worker", row.get::<_, i64>(0), row.get::<_, i64>(1));
}

/// Stopped first and killed then, so that whatever the tool is about to do it does while nobody watches it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_a_worker_that_is_killed_with_a_real_tool_in_hand_leaves_nothing_of_it() {
    let platform = Platform::new("F3, a real tool").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let mut scans = Vec::new();
    for (place, service) in [("worker::after_start", Service::silent()), ("worker::mid_output", Service::quick())] {
        let one = [("PICKET_WORKER__SLOTS", "1")];
        let mut role = platform.real_worker(&format!("{place}=1*return(stop)"), &one);
        let scan = platform.stage.scan(&service).await;
        checker::accept(&platform.stage.database, scan.id, Owed::default()).await;
        eventually(place, LONG, async || role.is_stopped().then_some(())).await;
        if place == "worker::after_start" {
            eventually("the tool runs", LONG, async || (!role.tools().is_empty()).then_some(())).await;
        }
        platform.kill(&mut role);
        service.speak();
        scans.push((scan, service));
    }
    let _clean = platform.real_worker("", &[]);
    for (scan, _service) in &scans {
        platform.stage.await_state(scan, "completed").await;
    }
    // Which of them the second worker had in hand is not said: the first may have come back to it.
    let row = platform.stage.row("SELECT sum(failures) FROM tasks", &[]).await;
    assert_eq!(row.get::<_, i64>(0), 2, "each kill cost one attempt");
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_a_dispatcher_that_is_killed_at_each_step_delivers_every_event_under_one_id() {
    let platform = Platform::new("F4").await;
    let _others = ["steward", "worker"].map(|role| platform.start(role, ""));
    for (place, answer) in places("dispatcher::").into_iter().zip([500, 429, 200, 200]) {
        platform.sink.answer(answer);
        let mut role = platform.start("dispatcher", &format!("{place}=1*return(kill)"));
        platform.scan(&json!({"findings": 1})).await;
        platform.death(&mut role).await;
        assert!(role.log().contains(place), "{place}");
    }
    let _clean = platform.start("dispatcher", "");
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_renderers_that_are_killed_and_stewards_that_are_two_leave_each_report_and_task_done_once() {
    let platform = Platform::new("F5").await;
    // Two at once, which compete for every round.
    let _others = ["steward", "steward", "worker", "dispatcher"].map(|role| platform.start(role, ""));
    let (_gateway, base) = platform.gateway("").await;
    let scan = platform.scan(&json!({"tasks": 8, "findings": 2})).await;
    let ask = json!({"scan_ids": [scan.id.to_string()], "format": "json"});
    for place in places("renderer::") {
        let mut role = platform.start("renderer", &format!("{place}=1*return(kill)"));
        let (status, answer) = platform.post(&base, "/api/v1/reports/generate", None, &ask).await.unwrap();
        assert_eq!(status, 202, "{answer}");
        let report = answer["id"].as_str().or_else(|| answer["report_id"].as_str());
        platform.audited("report.requested", report.expect("the id of a report")).await;
        platform.death(&mut role).await;
        assert!(role.log().contains(place), "{place}");
    }
    let _clean = platform.start("renderer", "");
    platform.verdict().await;
    let done = "SELECT count(*) FROM reports WHERE state = 'done'";
    let look = async || (platform.stage.row(done, &[]).await.get::<_, i64>(0) == 3).then_some(());
    eventually("every report", LONG, look).await;
}
