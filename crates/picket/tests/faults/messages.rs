//! Invariant 2: messages are hints. Redelivered and forged ones change nothing.

use picket_domain::{EventBody, EventId, NewTask, OrganizationId, Pool, ScanId, Subscription, TaskId, TaskQueued};
use picket_kit::Clock;
use picket_queue::{Envelope, Message, topology::Queue};
use picket_scanners::Tool;
use picket_testkit::seed;
use serde_json::{Value, json};

use crate::{
    process::eventually,
    service::Service,
    stage::{LONG, Stage},
};

const KEY: &str = "task.queued.net";

impl Stage {
    async fn send(&self, body: &[u8]) {
        let message = Message { routing_key: KEY, id: "forged", body };
        self.broker.publisher().publish(&[message]).await.pop().unwrap().unwrap();
    }

    async fn tell(&self, organization_id: OrganizationId, task: TaskQueued) {
        let (id, body) = (EventId::mint(Clock::system().now()), EventBody::TaskQueued(task));
        let envelope = Envelope { version: 1, id, organization_id, body, traceparent: None };
        self.send(&envelope.encode().unwrap()).await;
    }

    /// The message of a new scan that is admitted; nobody has sent it.
    async fn admitted(&self, service: &Service) -> (picket_domain::NewScan, TaskQueued) {
        let scan = self.scan(service).await;
        eventually("admission", LONG, async || (self.admit().await == 1).then_some(())).await;
        (scan, self.messages().await.pop().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redelivered_and_forged_messages_change_nothing() {
    let (stage, service) = (Stage::new().await, Service::quick());
    let other = seed::organization(&stage.database, Subscription::Trial).await;
    // One slot: messages are taken in their order. No steward: what is sent is sent from here.
    let _worker = stage.start_worker(213_000, &[("PICKET_WORKER__SLOTS", "1")]);
    let (scan, message) = stage.admitted(&service).await;
    let now = Clock::system().now();

    for garbage in [b"".as_slice(), b"\xff\xfe\x00", b"{}", b"[]", b"{\"version\":1}"] {
        stage.send(garbage).await;
    }
    stage.tell(stage.organization, TaskQueued { task_id: TaskId::mint(now), ..message.clone() }).await;
    stage.tell(stage.organization, TaskQueued { scan_id: ScanId::mint(now), ..message.clone() }).await;
    for attempt in [-1, message.attempt + 1, i32::MAX] {
        stage.tell(stage.organization, TaskQueued { attempt, ..message.clone() }).await;
    }
    stage.tell(other, message.clone()).await;
    stage.tell(OrganizationId::mint(now), message.clone()).await;
    // The true one comes last, then once more while it runs, and once more after its end.
    stage.tell(stage.organization, message.clone()).await;
    stage.tell(stage.organization, message.clone()).await;
    stage.await_state(&scan, "completed").await;
    stage.tell(stage.organization, message).await;

    let (next, message) = stage.admitted(&service).await;
    stage.tell(stage.organization, message).await;
    stage.await_state(&next, "completed").await;
    stage.assert_completed_once(&scan, 1).await;
    stage.assert_completed_once(&next, 1).await;
    let row = stage.row("SELECT count(*) FROM scans WHERE organization_id <> $1", &[&stage.organization.uuid()]).await;
    assert_eq!(row.get::<_, i64>(0), 0);
    // What nobody can read is put aside for people; what is only untrue is dropped.
    let mut dead = stage.broker.consumer(Queue::Dead);
    for _ in 0..5 {
        tokio::time::timeout(LONG, dead.take()).await.expect("a dead letter").ack().await.unwrap();
    }
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), dead.take()).await;
    assert!(more.is_err(), "only the garbage");
}

/// A23: a row that somebody forged and announced by hand. Each is refused by the worker, as it would be at the API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_forged_tasks_fail_as_invalid_and_never_run() {
    let (stage, service) = (Stage::new().await, Service::quick());
    let _worker = stage.start_worker(213_100, &[("PICKET_WORKER__SLOTS", "1")]);
    let pinned = r#"jsonb_set(shard, '{hosts}', '[{"name": "-oN/scratch/x", "address": "127.0.0.1"}]')"#;
    for forged in [
        r#"params = '{"scan_type": "-sV --script=/etc/passwd"}'"#,
        r#"params = '{"scan_type": "-sV\n-iL/etc/passwd"}'"#,
        r#"params = '{"ports": "1-3 -oN x"}'"#,
        r#"params = '{"scripts": ["../x"]}'"#,
        r#"params = '{"env": {"NMAPDIR": "/tmp"}}'"#,
        r#"params = '{"scan_type": "-sV -O"}'"#,
        r#"params = '{"scan_type": "-sV -sC -O 10.0.0.1"}'"#,
        r#"params = '{"scan_type": "-iR 100"}'"#,
        r#"params = '{"timing": "-T4 -oN x"}'"#,
        r#"params = '{"script_args": "newtargets"}'"#,
        r#"params = '["-sV"]'"#,
        r#"params = '"-sV"'"#,
        r#"shard = jsonb_set(shard, '{target}', '"-iL/etc/passwd"')"#,
        r#"shard = jsonb_set(shard, '{addresses}', '[]')"#,
        &format!("shard = {pinned}"),
    ] {
        let (scan, message) = stage.admitted(&service).await;
        stage.execute(&format!("UPDATE tasks SET {forged} WHERE state = 'queued'")).await;
        stage.tell(stage.organization, message).await;
        stage.await_state(&scan, "failed").await;
        let sql = "SELECT gap, exit_code, output_bytes FROM tasks WHERE scan_id = $1";
        let row = stage.row(sql, &[&scan.id.uuid()]).await;
        assert_eq!(row.get::<_, Option<String>>(0).as_deref(), Some("invalid_parameters"), "{forged}");
        let ran = (row.get::<_, Option<i32>>(1), row.get::<_, Option<i64>>(2).unwrap_or_default());
        assert_eq!(ran, (None, 0), "{forged}");
        let sql = "SELECT count(*) FROM audit_log WHERE entry LIKE '%\"scan.refused\"%' AND entry LIKE '%' || $1 || '%'
                      AND entry NOT LIKE '%passwd%' AND entry NOT LIKE '%-oN%' AND entry NOT LIKE '%NMAPDIR%'";
        let row = stage.row(sql, &[&scan.id.to_string()]).await;
        assert_eq!(row.get::<_, i64>(0), 1, "{forged}: one row, without what was forged");
    }
    let (scan, message) = stage.admitted(&service).await;
    stage.execute("UPDATE tasks SET tool = 'nmap;id' WHERE state = 'queued'").await;
    stage.tell(stage.organization, message).await;
    stage.await_state(&scan, "failed").await;
    let row = stage.row("SELECT gap FROM tasks WHERE scan_id = $1", &[&scan.id.uuid()]).await;
    assert_eq!(row.get::<_, &str>(0), "tool_unavailable");
}

/// Forged parameters of a tool: for each one that it has a value that fits none, one that it does not have, and no object.
fn forged(tool: &dyn Tool) -> Vec<Value> {
    let values = [
        json!("--script=/etc/passwd"),
        json!("-sV\n-iL/etc/passwd"),
        json!(["$(id)"]),
        json!(-1),
        json!(1e300),
        json!({"$ne": null}),
        json!("../../etc/passwd"),
    ];
    let schema = tool.params_schema();
    let names = schema["properties"].as_object().expect("a tool tells of its parameters").keys();
    let mut all: Vec<_> = names.zip(values.iter().cycle()).map(|(name, value)| json!({ name: value })).collect();
    all.extend([json!({"env": {"LD_PRELOAD": "/tmp/x"}}), json!(["-oN"]), json!("-oN")]);
    all
}

impl Stage {
    /// A scan with a queued task for each of these parameters of that tool, all written by hand, and their messages.
    async fn forge(&self, tool: &dyn Tool, forged: &[Value]) -> (picket_domain::NewScan, Vec<TaskQueued>) {
        let mut scan = seed::scan(self.organization, 1);
        let task = scan.tasks.remove(0);
        let mint = || TaskId::mint(Clock::system().now());
        scan.tasks = forged.iter().map(|_| NewTask { id: mint(), ..task.clone() }).collect();
        self.store(&scan).await;
        let database = self.database.connect().await;
        let change = "UPDATE tasks SET state = 'queued', queued_at = now(), tool = $2, params = $3 WHERE id = $1";
        let mut messages = Vec::new();
        for (task, params) in scan.tasks.iter().zip(forged) {
            database.execute(change, &[&task.id.uuid(), &tool.slug(), params]).await.unwrap();
            messages.push(TaskQueued { task_id: task.id, scan_id: scan.id, pool: Pool::Net, attempt: 0 });
        }
        (scan, messages)
    }
}

/// A23 for every tool of the catalogue, those that are not installed here among them: a worker looks at the row before
/// anything else, so that no process is started. A tool that is added is tested without a line here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_forged_tasks_of_every_tool_fail_as_invalid_and_never_run() {
    let stage = Stage::new().await;
    let _worker = stage.start_worker(213_200, &[("PICKET_WORKER__SLOTS", "1")]);
    for tool in picket_scanners::ALL {
        let forged = forged(*tool);
        let (scan, messages) = stage.forge(*tool, &forged).await;
        for message in messages {
            stage.tell(stage.organization, message).await;
        }
        stage.await_state(&scan, "failed").await;
        let sql = "SELECT count(*) FROM tasks WHERE scan_id = $1 AND tool = $2 AND state = 'failed' AND attempt = 1
                      AND gap = 'invalid_parameters' AND exit_code IS NULL AND coalesce(output_bytes, 0) = 0 AND tool_hash IS NULL";
        let row = stage.row(sql, &[&scan.id.uuid(), &tool.slug()]).await;
        assert_eq!(row.get::<_, i64>(0), i64::try_from(forged.len()).unwrap(), "{}: {forged:?}", tool.slug());
        let sql = "SELECT count(*) FROM audit_log WHERE entry LIKE '%passwd%' OR entry LIKE '%LD_PRELOAD%'";
        assert_eq!(stage.row(sql, &[]).await.get::<_, i64>(0), 0, "{}: what was forged is not repeated", tool.slug());
    }
}
