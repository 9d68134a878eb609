//! The life of a scan behind the gateway, step by step: what steward and worker do, without broker and sandbox.

use jiff::SignedDuration;
use picket_domain::{EventBody, Location, Observation, Pool, Protocol, SandboxLevel, Severity, TaskQueued, WorkerId};
use picket_steward::{Admission, StewardSettings};
use picket_store::{
    events,
    tasks::{self, RunRecord, lease, lease::Claimant},
    workers::{self, WorkerBeat},
};

use crate::stack::Stack;

/// A worker that serves plain connections and can run a scan to its end.
pub(crate) struct Life<'a> {
    stack: &'a Stack,
    worker: WorkerId,
}

impl<'a> Life<'a> {
    /// A worker that is alive.
    pub(crate) async fn begin(stack: &'a Stack) -> Self {
        let worker = WorkerId::mint(stack.clock.now());
        let beat = WorkerBeat {
            id: worker,
            pools: vec![Pool::Net],
            level: SandboxLevel::L2,
            tools: vec!["nmap".to_owned()],
            slots: 64,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: picket_store::workers::WorkerProof::default(),
        };
        stack.db.operate("test.beat", async |tx| workers::beat(tx, &beat).await).await.expect("a heartbeat");
        Self { stack, worker }
    }

    /// Admits what the worker can do and gives up what it cannot.
    pub(crate) async fn admit(&self) -> Vec<TaskQueued> {
        let settings = StewardSettings { capability_wait_seconds: 0.0, ..StewardSettings::default() };
        let admission = Admission::new(self.stack.db.clone(), self.stack.clock.clone(), settings);
        admission.admit().await.expect("an admission");
        admission.give_up_unserved().await.expect("an admission");
        self.messages().await
    }

    /// What the relay would bring to workers.
    async fn messages(&self) -> Vec<TaskQueued> {
        let outgoing = self.stack.db.operate("test.relay", async |tx| events::claim(tx, 1_000).await).await;
        let queued = |body| if let EventBody::TaskQueued(task) = body { Some(task) } else { None };
        outgoing.expect("events").into_iter().filter_map(|one| queued(one.event.body)).collect()
    }

    /// Runs every task that can be run: all begin `took` ago and end now, and the first one finds `observations`.
    pub(crate) async fn run(&self, observations: &[Observation], took: SignedDuration) {
        let end = self.stack.clock.now();
        let claimant = Claimant { worker_id: self.worker, level: SandboxLevel::L2, lease_seconds: 30.0 };
        let mut found = observations;
        for message in self.admit().await {
            let (from, seen) = (end - took, std::mem::take(&mut found));
            let db = &self.stack.db;
            let claim = db.operate("test.claim", async |tx| lease::claim(tx, &message, claimant, from).await);
            let task = claim.await.expect("a claim").expect("a fresh message");
            let complete =
                async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &task, seen, &RunRecord::default(), end).await;
            db.run("test.run", task.organization_id, complete).await.expect("a run");
        }
    }

    /// Begins every task that can be run, and ends none.
    pub(crate) async fn start(&self) {
        let at = self.stack.clock.now();
        let claimant = Claimant { worker_id: self.worker, level: SandboxLevel::L2, lease_seconds: 30.0 };
        for message in self.admit().await {
            let claim = self.stack.db.operate("test.claim", async |tx| lease::claim(tx, &message, claimant, at).await);
            assert!(claim.await.expect("a claim").is_some());
        }
    }
}

/// Findings of these severities: critical, high, medium, low, info. The first is the one that the references print.
pub(crate) fn observations(counts: [usize; 5]) -> Vec<Observation> {
    let severities = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    let each = severities.into_iter().zip(counts).flat_map(|(severity, count)| std::iter::repeat_n(severity, count));
    let mut all: Vec<Observation> = (1_u16..).zip(each).map(|(port, severity)| observation(port, severity)).collect();
    if let Some(first) = all.first_mut() {
        first.title = "Apache Request Smuggling".to_owned();
        first.cve = Some("CVE-2023-25690".to_owned());
        first.cvss = Some(9.8);
        first.evidence = "HTTP/1.1 smuggling...".to_owned();
        first.remediation = "Upgrade Apache to 2.4.58+".to_owned();
        first.location.url = Some("https://example.com/login".to_owned());
    }
    all
}

fn observation(port: u16, severity: Severity) -> Observation {
    Observation {
        rule: "test.weakness".to_owned(),
        title: format!("Weakness at {port}"),
        severity,
        cve: None,
        cvss: None,
        location: Location { host: "127.0.0.1".to_owned(), port: Some(port), protocol: Some(Protocol::Tcp), url: None },
        subject: String::new(),
        description: "what it means".to_owned(),
        evidence: "what was seen".to_owned(),
        remediation: "what to do".to_owned(),
        service: None,
        confidence: picket_domain::Confidence::default(),
        cwe: None,
        references: Vec::new(),
    }
}
