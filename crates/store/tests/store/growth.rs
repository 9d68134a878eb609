//! Scans that grow: the next tasks are there with the end of the one that found what they look at, once, and the scan ends
//! with the last of them.

use std::sync::atomic::{AtomicU8, Ordering};

use picket_domain::{
    ClaimedTask, Gap, Growing, Grown, NewScan, NewTask, Observation, PlanGap, ScanId, Severity, Subscription, TaskId,
};
use picket_store::{
    StoreError,
    scans::{
        self,
        compare::{self, Slice},
        control, read,
    },
    tasks::{self, Outcome, RunEnd, RunRecord},
};
use serde_json::json;

use crate::scenario::{Scenario, now, observation};

/// Tasks at those ports of the task's own addresses; each opens what `opens` says.
fn at(task: &ClaimedTask, ports: &[u16], opens: &[&str]) -> Grown {
    let mut template = picket_testkit::seed::scan(task.organization_id, 1).tasks.remove(0);
    template.shard = task.shard.clone();
    let of = |port: &u16| NewTask {
        id: TaskId::mint(now()),
        params: json!({"port": port}),
        opens: opens.iter().map(|name| (*name).to_owned()).collect(),
        ..template.clone()
    };
    Grown { tasks: ports.iter().map(of).collect(), probes: 1, ..Grown::default() }
}

/// A scan with so many first tasks, from each of which more may grow.
async fn growing(scenario: &Scenario, tasks: usize) -> NewScan {
    let mut scan = picket_testkit::seed::scan(scenario.organization, tasks);
    scan.tool = None;
    for (place, task) in scan.tasks.iter_mut().enumerate() {
        task.params = json!({ "place": place });
        task.opens = vec!["web_scan".to_owned(), "ssl_scan".to_owned()];
    }
    scenario.store(&scan).await.unwrap();
    scan
}

/// Claims everything that may run now.
async fn claim_all(scenario: &Scenario) -> Vec<ClaimedTask> {
    let mut claimed = Vec::new();
    while scenario.admit().await > 0 {
        for message in scenario.messages().await {
            claimed.extend(scenario.claim(&message).await);
        }
    }
    claimed
}

async fn complete(scenario: &Scenario, task: &ClaimedTask, next: impl Fn(&Growing) -> Grown) -> Result<(), StoreError> {
    let (found, run) = ([observation(80, Severity::Info)], RunRecord::default());
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            let end = RunEnd { observations: &found, ..RunEnd::new(task, Outcome::Done, &run) };
            tasks::end_run(tx, end, now(), |growing| next(growing)).await.map(drop)
        })
        .await
}

async fn progress(scenario: &Scenario, id: ScanId) -> u8 {
    scenario.db.read("test", scenario.organization, async |tx| read::progress(tx, id).await).await.unwrap()
}

async fn count(scenario: &Scenario, what: &str) -> i64 {
    scenario.row(&format!("SELECT count(*) FROM tasks WHERE {what}"), &[]).await.get(0)
}

#[tokio::test]
async fn a_scan_ends_with_its_last_stage_and_its_progress_never_goes_back() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scan = growing(&scenario, 2).await;
    let mut first = claim_all(&scenario).await;
    assert_eq!((first.len(), progress(&scenario, scan.id).await), (2, 0));
    let (one, other) = (first.remove(0), first.remove(0));
    complete(&scenario, &one, |_| at(&one, &[80, 443, 8443], &[])).await.unwrap();
    assert_eq!(progress(&scenario, scan.id).await, 16);
    // Nothing grows from this one, so all of its half is done.
    complete(&scenario, &other, |_| Grown::default()).await.unwrap();
    assert_eq!(progress(&scenario, scan.id).await, 66);
    let mut last = 66;
    for (place, task) in claim_all(&scenario).await.into_iter().enumerate() {
        assert_eq!(scenario.state(&scan).await, "running");
        if place == 0 {
            complete(&scenario, &task, |_| panic!("it opens nothing")).await.unwrap();
        } else {
            complete(&scenario, &task, |_| Grown::default()).await.unwrap();
        }
        let progress = progress(&scenario, scan.id).await;
        assert!(progress > last, "{last} {progress}");
        last = progress;
    }
    assert_eq!((scenario.state(&scan).await.as_str(), last), ("completed", 99));
    let from: i64 = count(&scenario, "grown_from IS NOT NULL").await;
    assert_eq!(from, 3);
}

#[tokio::test]
async fn a_result_that_comes_often_and_at_once_grows_once() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    for _ in 0..5 {
        let scan = growing(&scenario, 4).await;
        let tasks = claim_all(&scenario).await;
        let ends = tasks.iter().flat_map(|task| {
            let ports = u16::try_from(task.params["place"].as_u64().unwrap()).unwrap() * 10 + 1;
            (0..3).map(move |_| (task, ports))
        });
        let ends = ends.map(|(task, port)| complete(&scenario, task, move |_| at(task, &[port, port + 1], &["ffuf"])));
        let ended = futures_util::future::join_all(ends).await;
        assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 4);
        assert!(ended.into_iter().filter_map(Result::err).all(|error| matches!(error, StoreError::Stale { .. })));
        assert_eq!(count(&scenario, &format!("scan_id = '{}' AND grown_from IS NOT NULL", scan.id.uuid())).await, 8);
        assert_eq!(scenario.state(&scan).await, "running");
        let row = scenario
            .row(
                "SELECT sum(share + reserve), (SELECT probes FROM scans WHERE id = $1) FROM tasks WHERE scan_id = $1",
                &[&scan.id.uuid()],
            )
            .await;
        let (whole, probes): (f64, i64) = (row.get(0), row.get(1));
        assert!((whole - 1.0).abs() < 1e-9, "the parts are the whole: {whole}");
        assert_eq!(probes, 1_000 + 4);
        for task in claim_all(&scenario).await {
            complete(&scenario, &task, |_| Grown::default()).await.unwrap();
        }
        assert_eq!(scenario.state(&scan).await, "completed");
    }
}

#[tokio::test]
async fn tasks_that_end_at_once_share_one_limit() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    growing(&scenario, 8).await;
    let tasks = claim_all(&scenario).await;
    scenario.set_plan(Subscription::Trial).await;
    let left = AtomicU8::new(0);
    // As a planner does: it stops where nothing is left.
    let ends = tasks.iter().map(|task| {
        let left = &left;
        let first = u16::try_from(task.params["place"].as_u64().unwrap()).unwrap() * 100;
        complete(&scenario, task, move |growing| {
            let room = usize::try_from(growing.tasks_left).unwrap().min(50);
            if room < 50 {
                left.fetch_add(1, Ordering::SeqCst);
            }
            let ports: Vec<u16> = (first..).take(room).collect();
            at(task, &ports, &[])
        })
    });
    for ended in futures_util::future::join_all(ends).await {
        ended.unwrap();
    }
    assert_eq!(count(&scenario, "true").await, i64::from(Subscription::Trial.limits().tasks));
    assert_eq!(left.load(Ordering::SeqCst), 5, "3 × 50 and 42 more fit beside the first 8");
}

#[tokio::test]
async fn a_stop_against_the_end_of_a_stage_leaves_nothing_to_do() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    for _ in 0..10 {
        let scan = growing(&scenario, 1).await;
        let task = claim_all(&scenario).await.remove(0);
        let stop = scenario.db.run("test", scenario.organization, async |tx| {
            let locked = scans::lock(tx, scan.id).await?.unwrap();
            let change = locked.scan.cancel(now()).unwrap();
            scans::cancel(tx, change, None, now()).await
        });
        let (ended, stopped) = tokio::join!(complete(&scenario, &task, |_| at(&task, &[80], &[])), stop);
        stopped.unwrap();
        assert_eq!(scenario.state(&scan).await, "cancelled");
        let mine = format!("scan_id = '{}'", scan.id.uuid());
        assert_eq!(count(&scenario, &format!("{mine} AND state IN ('ready', 'queued', 'running')")).await, 0);
        assert_eq!(count(&scenario, &mine).await, if ended.is_ok() { 2 } else { 1 });
    }
}

#[tokio::test]
async fn what_grows_while_a_scan_is_paused_waits_with_it() {
    let scenario = Scenario::new().await;
    let scan = growing(&scenario, 1).await;
    let task = claim_all(&scenario).await.remove(0);
    let pause = async |is_pause: bool| {
        scenario
            .db
            .run("test", scenario.organization, async |tx| {
                let locked = scans::lock(tx, scan.id).await?.unwrap();
                if is_pause {
                    control::pause(tx, locked.scan.pause().unwrap(), None, now()).await
                } else {
                    control::resume(tx, locked.scan.resume().unwrap(), None, now()).await
                }
            })
            .await
            .unwrap();
    };
    pause(true).await;
    complete(&scenario, &task, |_| at(&task, &[80, 443], &[])).await.unwrap();
    assert_eq!(scenario.state(&scan).await, "paused", "the last running task was not the last one");
    assert_eq!(scenario.admit().await, 0);
    pause(false).await;
    for task in claim_all(&scenario).await {
        complete(&scenario, &task, |_| Grown::default()).await.unwrap();
    }
    assert_eq!(scenario.state(&scan).await, "completed");
}

#[tokio::test]
async fn what_could_not_grow_is_a_gap() {
    let scenario = Scenario::new().await;
    let scan = growing(&scenario, 2).await;
    let tasks = claim_all(&scenario).await;
    let gap = |tool: &str, gap| PlanGap { tool: tool.to_owned(), target: "127.0.0.1".to_owned(), gap };
    complete(&scenario, &tasks[0], |_| Grown {
        gaps: vec![gap("whatweb", Gap::LimitExceeded), gap("whatweb", Gap::LimitExceeded)],
        ..Grown::default()
    })
    .await
    .unwrap();
    let run = RunRecord { gap: Some(Gap::TimedOut), ..RunRecord::default() };
    let fail = scenario.db.run("test", scenario.organization, async |tx| tasks::fail(tx, &tasks[1], &run, now()).await);
    fail.await.unwrap();
    assert_eq!(scenario.state(&scan).await, "completed");
    let found = scenario.db.read("test", scenario.organization, async |tx| read::find(tx, scan.id).await).await;
    let mut gaps = found.unwrap().unwrap().gaps;
    gaps.sort_by(|a, b| a.tool.cmp(&b.tool));
    gaps.dedup();
    let expected = [gap("ssl_scan", Gap::TimedOut), gap("web_scan", Gap::TimedOut), gap("whatweb", Gap::LimitExceeded)];
    assert_eq!(gaps, expected);
}

#[tokio::test]
async fn what_a_scan_has_is_not_planned_again() {
    let scenario = Scenario::new().await;
    let scan = growing(&scenario, 2).await;
    let tasks = claim_all(&scenario).await;
    for task in &tasks {
        complete(&scenario, task, |_| at(task, &[80, 443], &[])).await.unwrap();
    }
    assert_eq!(count(&scenario, "grown_from IS NOT NULL").await, 2);
    // Nor are its probes counted again.
    let probes: i64 = scenario.row("SELECT probes FROM scans", &[]).await.get(0);
    assert_eq!(probes, i64::try_from(scan.probes).unwrap() + 1);
}

/// A scan whose port scan saw these ports open, and, where `grows`, whose TLS scan of port 8443 found something there.
async fn seen(scenario: &Scenario, open: &[u16], grows: bool) -> NewScan {
    let scan = growing(scenario, 1).await;
    let mut task = claim_all(scenario).await.remove(0);
    let at_port = |port: &u16| Observation { rule: "port.open".to_owned(), ..observation(*port, Severity::Info) };
    let (found, run): (Vec<_>, _) = (open.iter().map(at_port).collect(), RunRecord::default());
    let end = scenario.db.run("test", scenario.organization, async |tx| {
        let next = |_: &Growing| if grows { at(&task, &[8443], &[]) } else { Grown::default() };
        let end = RunEnd { observations: &found, ..RunEnd::new(&task, Outcome::Done, &run) };
        tasks::end_run(tx, end, now(), next).await
    });
    end.await.unwrap();
    if grows {
        task = claim_all(scenario).await.remove(0);
        let found = [observation(8443, Severity::High)];
        let end = scenario
            .db
            .run("test", scenario.organization, async |tx| tasks::complete(tx, &task, &found, &run, now()).await);
        end.await.unwrap();
    }
    assert_eq!(scenario.state(&scan).await, "completed");
    scan
}

#[tokio::test]
async fn what_was_behind_a_port_is_fixed_when_the_same_port_scan_finds_the_port_closed() {
    let scenario = Scenario::new().await;
    let base = seen(&scenario, &[22, 8443], true).await;
    let outcome = async |later: &NewScan| {
        let slice = Slice { outcome: None, behind: None, limit: 10 };
        let listed = scenario
            .db
            .read("test", scenario.organization, async |tx| compare::list(tx, Some(base.id), later.id, slice).await);
        let listed = listed.await.unwrap();
        let (outcome, _) = listed.iter().find(|(_, finding)| finding.rule == "test.rule").unwrap();
        outcome.name()
    };
    let open = seen(&scenario, &[22, 8443], false).await;
    assert_eq!(outcome(&open).await, "not_examined", "the port is open and nobody looked behind it");
    let closed = seen(&scenario, &[22], false).await;
    assert_eq!(outcome(&closed).await, "fixed");
    for change in ["gap = 'timed_out'", "gap = NULL, params = '{\"ports\": \"22\"}'"] {
        scenario.execute(&format!("UPDATE tasks SET {change} WHERE scan_id = '{}'", closed.id.uuid())).await;
        assert_eq!(outcome(&closed).await, "not_examined", "{change}");
    }
    // Of a port scan in parts, the part with that port.
    let both = format!("scan_id IN ('{}', '{}') AND grown_from IS NULL", base.id.uuid(), closed.id.uuid());
    for (ports, expected) in [("1-8000", "not_examined"), ("80,8001-16000", "fixed"), ("8443", "fixed")] {
        let change = format!("UPDATE tasks SET gap = NULL, params = '{{\"ports\": \"{ports}\"}}' WHERE {both}");
        scenario.execute(&change).await;
        assert_eq!(outcome(&closed).await, expected, "{ports}");
    }
}

#[tokio::test]
async fn what_grows_at_an_excluded_address_is_left_out_at_once_and_says_so() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scan = growing(&scenario, 1).await;
    let task = claim_all(&scenario).await.remove(0);
    // Nothing stops the task itself: its address is another one.
    scenario
        .execute(
            "INSERT INTO exclusions (id, organization_id, created_at, created_by, kind, value)
             SELECT gen_random_uuid(), id, now(), 'usr_x', 'network', '127.0.0.9' FROM organizations",
        )
        .await;
    let next = |_: &Growing| {
        let mut grown = at(&task, &[80, 443], &["ffuf"]);
        grown.tasks[0].shard.addresses = vec!["127.0.0.9".parse().unwrap()];
        grown
    };
    complete(&scenario, &task, next).await.unwrap();
    assert_eq!(count(&scenario, "state = 'cancelled' AND gap = 'target_excluded' AND attempt = 0").await, 1);
    assert_eq!(count(&scenario, "state = 'ready'").await, 1);
    let lines = scenario.db.read("test", scenario.organization, async |tx| {
        let record = read::find(tx, scan.id).await?.unwrap();
        read::coverage(tx, &record).await
    });
    let told = lines.await.unwrap().into_iter().filter(|line| line.reason == Some(Gap::TargetExcluded)).count();
    assert_eq!(told, 1);
    // Where all of it is excluded, the scan ends with the task that it grew from.
    let only = growing(&scenario, 1).await;
    let last = claim_all(&scenario).await.into_iter().find(|task| task.scan_id == only.id).unwrap();
    let next = |_: &Growing| {
        let mut grown = at(&last, &[80], &[]);
        grown.tasks[0].shard.addresses = vec!["127.0.0.9".parse().unwrap()];
        grown
    };
    complete(&scenario, &last, next).await.unwrap();
    assert_eq!(scenario.state(&only).await, "completed");
}
