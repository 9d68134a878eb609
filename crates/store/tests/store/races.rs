//! Everything that may happen to a scan against everything else, two at a time, in real parallel transactions: whoever wins, the scan ends once and nothing of it is left over (`docs/control.md`).

use picket_domain::{
    AuditAction, AuditEntry, ClaimedTask, Exclusion, Grown, NewScan, NewTask, PinnedHost, Subscription, TargetPattern,
    TaskId, TaskQueued,
};
use picket_store::{
    StoreError,
    halts::{self, Halt, HaltBy, HaltScope},
    tasks::{self, HandBack, RunRecord, admission, authority, lease},
};
use picket_testkit::seed;

use crate::{
    control::ask,
    scenario::{Scenario, now},
};

/// What may happen; each is what one transaction of the product does, or a few.
const ACTS: [&str; 14] = [
    "stop",
    "pause",
    "resume",
    "delete",
    "complete",
    "grow",
    "fail",
    "hand back",
    "redelivery",
    "rescue",
    "admit",
    "renew",
    "halt",
    "exclude",
];

/// A name that the scan has found below its target.
const NAME: &str = "mail.example.com";

struct Race {
    scan: NewScan,
    /// Of what was admitted: the first is claimed.
    messages: Vec<TaskQueued>,
    task: ClaimedTask,
}

/// A scan of four tasks, one of them of a name that was found; one runs, two are admitted, one is ready.
async fn race(scenario: &Scenario) -> Race {
    let mut scan = seed::scan(scenario.organization, 4);
    scan.target = "example.com".to_owned();
    for task in &mut scan.tasks {
        task.shard.target.clone_from(&scan.target);
        task.opens = vec!["web_scan".to_owned()];
    }
    let address = "192.0.2.7".parse().unwrap();
    let found = &mut scan.tasks[1].shard;
    (found.target, found.addresses) = (NAME.to_owned(), vec![address]);
    found.hosts = vec![PinnedHost { name: NAME.to_owned(), address }];
    scenario.store(&scan).await.unwrap();
    assert_eq!(scenario.admit().await, 4);
    let messages = scenario.messages().await;
    let held = format!("UPDATE tasks SET state = 'ready', queued_at = NULL WHERE id = '{}'", scan.tasks[3].id.uuid());
    assert_eq!(scenario.execute(&held).await, 1);
    let first = messages.iter().find(|message| message.task_id == scan.tasks[0].id).unwrap();
    let task = scenario.claim(first).await.unwrap();
    Race { scan, messages, task }
}

fn by(scenario: &Scenario) -> HaltBy {
    let entry = AuditEntry {
        at: now(),
        actor: "usr_operator".to_owned(),
        action: AuditAction::ScanningHalted,
        object: None,
        address: None,
        request_id: None,
        before: None,
        after: None,
    };
    HaltBy { organization_id: scenario.organization, entry }
}

async fn act(scenario: &Scenario, race: &Race, what: &str) {
    let (db, scan) = (&scenario.db, &race.scan);
    match what {
        "stop" | "pause" | "resume" | "delete" => {
            ask(scenario, scan, what).await;
        }
        "redelivery" => {
            for message in &race.messages {
                scenario.claim(message).await;
            }
        }
        "rescue" => {
            let lost = "UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'running'";
            scenario.execute(lost).await;
            db.operate("test", async |tx| admission::rescue(tx, 0.0).await).await.unwrap();
        }
        "admit" => {
            scenario.admit().await;
        }
        "renew" => {
            let (by, held) = (scenario.claimant(), [race.task.fence]);
            db.operate("test", async |tx| lease::renew(tx, by, &held).await).await.unwrap();
        }
        "halt" => halt(scenario).await,
        "exclude" => {
            let (tenant, name) = (scenario.organization, Exclusion::parse(NAME).unwrap());
            let stop = db.run("test", tenant, async |tx| authority::stop_excluded(tx, tenant, &name, now()).await);
            stop.await.unwrap();
        }
        // Only what the fence or the state refuses may be refused: no deadlock, no violation.
        other => {
            let ended = end(scenario, race, other).await;
            assert!(matches!(ended, Ok(()) | Err(StoreError::Stale { .. })), "{ended:?}");
        }
    }
}

/// The ways in which a worker ends the task that it has.
async fn end(scenario: &Scenario, Race { scan, task, .. }: &Race, how: &str) -> Result<(), StoreError> {
    let run = RunRecord::default();
    let end = async |tx: &picket_store::Tx<'_>| match how {
        "complete" => tasks::complete(tx, task, &[], &run, now()).await,
        "grow" => {
            let next = NewTask {
                id: TaskId::mint(now()),
                params: serde_json::json!({"port": 80}),
                opens: Vec::new(),
                ..scan.tasks[0].clone()
            };
            let grown = Grown { tasks: vec![next], probes: 1, ..Grown::default() };
            let end = tasks::RunEnd::new(task, tasks::Outcome::Done, &run);
            tasks::end_run(tx, end, now(), |_| grown.clone()).await.map(drop)
        }
        "fail" => {
            let run = RunRecord { gap: Some(picket_domain::Gap::ToolFailed), ..run.clone() };
            tasks::fail(tx, task, &run, now()).await
        }
        "hand back" => tasks::hand_back(tx, task.fence, HandBack::Interrupted, &run).await,
        other => panic!("{other}"),
    };
    scenario.db.run("test", scenario.organization, end).await
}

/// An operator stops the name, and lifts it when what it covers has ended.
async fn halt(scenario: &Scenario) {
    let (db, by) = (&scenario.db, by(scenario));
    let scope = HaltScope { organization_id: None, pattern: Some(TargetPattern::parse(NAME).unwrap()) };
    let (created_by, reason) = ("usr_operator".to_owned(), "an incident".to_owned());
    let halt = Halt { scope: scope.clone(), created_at: now(), created_by, reason };
    assert!(db.operate("test", async |tx| halts::throw(tx, &halt, &by).await).await.unwrap());
    for covered in db.operate("test", async |tx| halts::covered(tx, 100).await).await.unwrap() {
        db.operate("test", async |tx| halts::stop(tx, &covered, now()).await).await.unwrap();
    }
    assert!(db.operate("test", async |tx| halts::lift(tx, &scope, &by).await).await.unwrap());
}

/// Lets the scan go on and does its work until it has ended.
async fn drain(scenario: &Scenario, client: &tokio_postgres::Client, scan: &NewScan) {
    let left = "SELECT count(*) FROM tasks WHERE state IN ('ready', 'queued', 'running')";
    for _ in 0..8 {
        ask(scenario, scan, "resume").await;
        let lost = "UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'running'";
        client.execute(lost, &[]).await.unwrap();
        scenario.db.operate("test", async |tx| admission::rescue(tx, 0.0).await).await.unwrap();
        scenario.admit().await;
        for message in scenario.messages().await {
            if let Some(task) = scenario.claim(&message).await {
                let run = RunRecord::default();
                let end = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &task, &[], &run, now()).await;
                scenario.db.run("test", scenario.organization, end).await.unwrap();
            }
        }
        if client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
    }
}

/// Each of these acts against every one that comes behind it, every other pair the other way round.
async fn run_all(firsts: std::ops::Range<usize>) {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let client = scenario.database.connect().await;
    let pairs = firsts.flat_map(|one| (one + 1..ACTS.len()).map(move |other| (one, other)));
    for (one, other) in pairs {
        let (one, other) = if (one + other) % 2 == 0 { (ACTS[one], ACTS[other]) } else { (ACTS[other], ACTS[one]) };
        scenario.beat().await;
        let race = race(&scenario).await;
        tokio::join!(act(&scenario, &race, one), act(&scenario, &race, other));
        drain(&scenario, &client, &race.scan).await;
        let sql = "SELECT (SELECT count(*) FROM tasks
                           WHERE state NOT IN ('done', 'failed', 'cancelled') OR lease_until IS NOT NULL),
                          (SELECT count(*) FROM scans WHERE state NOT IN ('completed', 'failed', 'cancelled')),
                          (SELECT count(*) FROM events
                           WHERE scan_id = $1 AND name IN ('scan.completed', 'scan.failed', 'scan.cancelled'))";
        let row = client.query_one(sql, &[&race.scan.id.uuid()]).await.unwrap();
        let (stuck, open, ends): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!((stuck, open, ends), (0, 0, 1), "{one} × {other}: stuck tasks, open scans, ends of the scan");
    }
}

#[tokio::test]
async fn what_a_client_does_against_everything_else_leaves_one_end() {
    run_all(0..4).await;
}

#[tokio::test]
async fn what_a_worker_does_against_everything_else_leaves_one_end() {
    run_all(4..9).await;
}

#[tokio::test]
async fn what_a_steward_or_an_operator_does_against_everything_else_leaves_one_end() {
    run_all(9..ACTS.len()).await;
}
