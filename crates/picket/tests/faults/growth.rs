//! F33: plans that grow from what a real port scan has found, while workers die and people stop the scan.

use picket_domain::{NewScan, NewTask, Plan, TaskId};
use picket_kit::Clock;
use picket_testkit::seed;
use serde_json::json;

use crate::{
    checker::{self, Owed},
    platform::Platform,
    process::{Role, eventually},
    service::Service,
    stage::LONG,
};

/// Real tools; no level of a network of its own is asked for here.
const REAL: [(&str, &str); 2] = [("PICKET_WORKER__POOLS", "[net,tls,web]"), ("PICKET_WORKER__SLOTS", "1")];
/// Where a worker is with the result, from which the plan grows, in its hands, and where that has just happened.
const STEPS: [&str; 3] = ["worker::after_parse", "worker::before_commit", "worker::after_commit"];

impl Platform {
    /// A stored full plan of one host, at the ports of those services.
    async fn full(&self, services: &[&Service]) -> NewScan {
        let tool = picket_scanners::find("nmap").unwrap();
        let ports: Vec<String> = services.iter().map(|service| service.port.to_string()).collect();
        let params = json!({"scan_type": "-sT -sV", "ports": ports.join(","), "timing": 3});
        let shape = tool.shapes(Some(&params)).unwrap().pop().unwrap();
        let mut scan = seed::scan(self.stage.organization, 1);
        let (shard, id) = (scan.tasks.remove(0).shard, TaskId::mint(Clock::system().now()));
        let opens = ["web_scan", "ssl_scan", "ssh-audit"].map(str::to_owned).to_vec();
        scan.tasks = vec![NewTask { id, tool: "nmap", needs: shape.needs, params: shape.params, shard, opens }];
        (scan.plan, scan.tool) = (Plan::Full, None);
        self.stage.store(&scan).await;
        checker::accept(&self.stage.database, scan.id, Owed::default()).await;
        scan
    }

    fn real(&self, faults: &str) -> Role {
        self.start_with("worker", faults, &REAL)
    }

    /// The tasks that grew in a scan, and how many of those nobody will look at any more.
    async fn grown(&self, scan: &NewScan) -> (i64, i64) {
        let sql = "SELECT count(*), count(*) FILTER (WHERE state = 'cancelled') FROM tasks
                   WHERE scan_id = $1 AND grown_from IS NOT NULL";
        let row = self.stage.row(sql, &[&scan.id.uuid()]).await;
        (row.get(0), row.get(1))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_a_plan_that_grows_while_workers_die_and_messages_come_again_grows_once() {
    let (platform, services) = (Platform::new("F33, growth and kills").await, [Service::quick(), Service::quick()]);
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let mut scans = Vec::new();
    for place in STEPS {
        let mut worker = platform.real(&format!("{place}=1*return(kill)"));
        scans.push(platform.full(&[&services[0], &services[1]]).await);
        platform.death(&mut worker).await;
        assert!(worker.log().contains(place), "{place}: {}", worker.log());
    }
    let _worker = platform.real("");
    for scan in &scans {
        platform.stage.await_state(scan, "completed").await;
        assert_eq!(platform.grown(scan).await.0, 2, "one for each service");
    }
    let messages = platform.messages(platform.stage.organization).await;
    platform.publish(&messages).await;
    platform.verdict().await;
    for scan in &scans {
        assert_eq!(platform.grown(scan).await.0, 2, "and none from what came again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_a_scan_that_is_stopped_while_its_plan_grows_leaves_no_task_behind() {
    let (platform, service) = (Platform::new("F33, growth and stops").await, Service::quick());
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    for place in STEPS {
        let worker = platform.real(&format!("{place}=1*return(stop)"));
        let scan = platform.full(&[&service]).await;
        eventually(place, LONG, async || worker.is_stopped().then_some(())).await;
        let stopped = platform.cancel_under(&worker, &scan).await;
        assert!(stopped, "{place}: the scan goes on with what grows from this task");
        let next = platform.scan_next(&service).await;
        platform.stage.await_state(&next, "completed").await;
        assert_eq!(platform.stage.state(&scan).await, "cancelled");
        let (grown, cancelled) = platform.grown(&scan).await;
        assert_eq!(grown, cancelled, "{place}: what grew before the stop was stopped with it");
        assert_eq!(grown, i64::from(place == "worker::after_commit"), "{place}");
    }
    platform.verdict().await;
}

impl Platform {
    /// A scan behind the one that was stopped.
    async fn scan_next(&self, service: &Service) -> NewScan {
        let next = self.stage.scan(service).await;
        checker::accept(&self.stage.database, next.id, Owed::default()).await;
        next
    }
}
