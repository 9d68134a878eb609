//! Both ends of a stream: a client that reads events, and what a worker does to the database.

use std::time::Duration;

use picket_domain::{
    ClaimedTask, Confidence, Fence, Location, Observation, OrganizationId, OutputLine, Protocol, ScanId, Severity,
    Shard, TaskId,
};
use picket_store::{
    Db, DbSettings, StoreError, output,
    tasks::{self, RunRecord},
};
use serde_json::Value;

use crate::harness::TestApp;

/// How long a test waits for an event that does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client's end.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: String,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Stream {
    /// Asks, and returns whatever comes.
    pub(crate) async fn ask(app: &TestApp, path: &str, token: &str, last: Option<&str>) -> reqwest::Response {
        let mut request = app.client.get(format!("{}{path}", app.base)).bearer_auth(token);
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn open(app: &TestApp, path: &str, token: &str, last: Option<&str>) -> Self {
        let response = Self::ask(app, path, token, last).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("text/event-stream"), "{}", response.status());
        assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (heard, rest) = (parse(block), rest.to_owned());
                self.text = rest;
                if heard.is_some() {
                    return heard;
                }
            }
            let part = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("nothing comes");
            self.text.push_str(std::str::from_utf8(&part.ok()??).unwrap());
        }
    }

    /// The next line, whatever progress is told before.
    pub(crate) async fn line(&mut self) -> Heard {
        loop {
            let heard = self.next().await.expect("a line");
            if heard.event == "line" {
                return heard;
            }
        }
    }

    /// Everything until the end.
    pub(crate) async fn rest(mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Some(heard) = self.next().await {
            all.push(heard);
        }
        all
    }
}

/// Comments and times to wait are no events.
fn parse(block: &str) -> Option<Heard> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    let event = field("event")?.to_owned();
    let data = serde_json::from_str(field("data").unwrap()).unwrap();
    Some(Heard { id: field("id").map(str::to_owned), event, data })
}

/// What a worker does with one task, as far as the database sees it.
pub(crate) struct Worker {
    pub(crate) db: Db,
    pub(crate) task: ClaimedTask,
    clock: picket_kit::Clock,
}

impl Worker {
    /// Begins every task of a scan.
    pub(crate) async fn begin(app: &TestApp, scan: &str) -> Vec<Self> {
        let scan_id: ScanId = scan.parse().unwrap();
        let client = app.database.connect().await;
        let id = scan_id.uuid();
        let started = "UPDATE scans SET state = 'running', started_at = now() WHERE id = $1";
        client.execute(started, &[&id]).await.unwrap();
        let queued = "UPDATE tasks SET state = 'queued', queued_at = now() WHERE scan_id = $1";
        client.execute(queued, &[&id]).await.unwrap();
        let taken = "UPDATE tasks SET state = 'running', attempt = 1, worker_id = gen_random_uuid(),
                                      lease_until = now() + interval '1 hour', started_at = now()
                     WHERE scan_id = $1 RETURNING id, organization_id, tool";
        let rows = client.query(taken, &[&id]).await.unwrap();
        let settings = DbSettings { url: app.database.url(), max_connections: 4, wait: PATIENCE };
        let db = Db::new(&settings).unwrap();
        let workers = rows.iter().map(|row| {
            let task = ClaimedTask {
                fence: Fence { task_id: TaskId::from_uuid(row.get(0)), attempt: 1 },
                organization_id: OrganizationId::from_uuid(row.get(1)),
                scan_id,
                tool: row.get(2),
                params: Value::Null,
                shard: Shard { target: "example.com".to_owned(), addresses: Vec::new(), hosts: Vec::new() },
                opens: Vec::new(),
                limits: picket_domain::RunLimits::default(),
                failures: 0,
                traceparent: None,
            };
            Self { db: db.clone(), task, clock: app.clock.clone() }
        });
        workers.collect()
    }

    /// Tells of observations; false when the claim does not hold any more.
    pub(crate) async fn try_to_tell(&self, titles: &[&str]) -> bool {
        let lines: Vec<OutputLine> = titles.iter().map(|title| OutputLine::observation(&observation(title))).collect();
        let (task, now) = (&self.task, self.clock.now());
        let told = self.db.run("test", task.organization_id, async |tx| output::tell(tx, task, &lines, now).await);
        told.await.unwrap()
    }

    pub(crate) async fn tell(&self, titles: &[&str]) {
        assert!(self.try_to_tell(titles).await);
    }

    /// Ends the task, with its last line in the same transaction.
    pub(crate) async fn complete(&self) {
        let (task, now) = (&self.task, self.clock.now());
        let ended = [OutputLine::Ended { observations: 0, gap: None, again: false }];
        self.db
            .run("test", task.organization_id, async |tx| {
                tasks::complete(tx, task, &[], &RunRecord::default(), now).await?;
                output::append(tx, task, &ended, now).await?;
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
    }
}

fn observation(title: &str) -> Observation {
    Observation {
        rule: "test.rule".to_owned(),
        title: title.to_owned(),
        severity: Severity::High,
        cve: None,
        cvss: None,
        location: Location { host: "127.0.0.1".to_owned(), port: Some(80), protocol: Some(Protocol::Tcp), url: None },
        subject: String::new(),
        description: String::new(),
        evidence: String::new(),
        remediation: String::new(),
        service: None,
        confidence: Confidence::default(),
        cwe: None,
        references: Vec::new(),
    }
}
