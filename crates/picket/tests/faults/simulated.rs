//! Tasks of the simulator: each parameter ends as a tool that behaves so would, in a real worker.

use picket_domain::{NewScan, NewTask, OrganizationId, TaskId};
use picket_kit::Clock;
use picket_scanners::{Asked, ScanSpec};
use picket_testkit::seed;
use serde_json::{Value, json};

use crate::{
    checker,
    process::{Role, eventually},
    stage::{LONG, Stage},
};

/// A worker that serves the simulator alone, and gives each task two seconds.
const SIMULATOR: [(&str, &str); 4] = [
    ("PICKET_WORKER__SIMULATOR", "true"),
    ("PICKET_WORKER__POOLS", "[simulate]"),
    ("PICKET_WORKER__SLOTS", "4"),
    ("PICKET_WORKER__WALL_SECONDS", "2"),
];

impl Stage {
    /// A worker of the simulator.
    pub(crate) fn start_simulator(&self, first_uid: u32, settings: &[(&'static str, &str)]) -> Role {
        self.start_worker(first_uid, &[SIMULATOR.as_slice(), settings].concat())
    }

    /// A stored scan with the simulator.
    pub(crate) async fn simulate(&self, params: &Value) -> NewScan {
        self.simulate_for(self.organization, params).await
    }

    /// The same of another organization.
    pub(crate) async fn simulate_for(&self, organization: OrganizationId, params: &Value) -> NewScan {
        let spec = ScanSpec::offered(Asked { tool: "simulate", parameters: Some(params) }, true).unwrap();
        let mut scan = seed::scan(organization, 1);
        let mut shard = scan.tasks.remove(0).shard;
        scan.target = format!("{}.example.com", checker::word_of(organization));
        shard.target.clone_from(&scan.target);
        let now = Clock::system().now();
        let task = |shape: &picket_scanners::TaskShape| NewTask {
            id: TaskId::mint(now),
            tool: spec.tool().slug(),
            needs: shape.needs,
            params: shape.params.clone(),
            shard: shard.clone(),
            opens: Vec::new(),
        };
        let tasks = spec.shapes().iter().map(task).collect();
        let scan = NewScan { tool: Some(spec.tool().slug()), tasks, ..scan };
        self.store(&scan).await;
        scan
    }

    /// Waits until the scan is over; its state, and how many of its tasks are done, their gaps, its findings.
    async fn ended(&self, scan: &NewScan) -> (String, i64, String, i64) {
        let sql = "SELECT s.state,
                          (SELECT count(*) FROM tasks WHERE scan_id = s.id AND state = 'done'),
                          (SELECT coalesce(string_agg(DISTINCT gap, ','), '') FROM tasks WHERE scan_id = s.id),
                          (SELECT count(DISTINCT finding_id) FROM sightings WHERE scan_id = s.id)
                   FROM scans AS s WHERE s.id = $1 AND s.ended_at IS NOT NULL";
        let (row, _) = eventually("the end", LONG, async || self.rows(sql, &[&scan.id.uuid()]).await.pop()).await;
        (row.get(0), row.get(1), row.get(2), row.get(3))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_simulated_task_ends_as_a_tool_that_behaves_so() {
    let stage = Stage::new().await;
    let _steward = stage.start("steward", &[]);
    let _worker = stage.start_simulator(219_000, &[]);
    let cases = [
        (json!({}), "completed", 1, "", 0),
        (json!({"sleep_ms": 100, "findings": 3, "flood": 1_000}), "completed", 1, "", 3),
        (json!({"tasks": 20, "findings": 1}), "completed", 20, "", 1),
        (json!({"hang": true}), "failed", 0, "timed_out", 0),
        (json!({"hang": true, "findings": 2}), "completed", 1, "timed_out", 2),
        (json!({"flood": 17 << 20, "findings": 1}), "completed", 1, "output_truncated", 1),
        (json!({"fail": 3}), "failed", 0, "tool_failed", 0),
        (json!({"fail": 3, "findings": 1}), "completed", 1, "tool_failed", 1),
        (json!({"crash": 11}), "failed", 0, "tool_failed", 0),
    ];
    let mut scans = Vec::new();
    for (params, ..) in &cases {
        scans.push(stage.simulate(params).await);
    }
    for (scan, (params, state, done, gap, findings)) in scans.iter().zip(cases) {
        let (ended, tasks, gaps, seen) = stage.ended(scan).await;
        assert_eq!((ended.as_str(), tasks, gaps.as_str(), seen), (state, done, gap, findings), "{params}");
    }
    let failed = stage.row("SELECT count(*) FROM tasks WHERE exit_code = 3 AND failures = 3", &[]).await;
    assert_eq!(failed.get::<_, i64>(0), 1, "tried three times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_scan_that_is_stopped_ends_within_a_heartbeat_and_frees_its_slot() {
    let stage = Stage::new().await;
    let _steward = stage.start("steward", &[]);
    let one = [("PICKET_WORKER__SLOTS", "1"), ("PICKET_WORKER__WALL_SECONDS", "3000")];
    let _worker = stage.start_simulator(219_100, &one);
    let scan = stage.simulate(&json!({"hang": true, "findings": 2})).await;
    stage.await_state(&scan, "running").await;

    stage.stop(&scan).await;
    // There is one slot, and its wall clock is nearly an hour away.
    let next = stage.simulate(&json!({})).await;
    stage.await_state(&next, "completed").await;
    let (state, done, gap, kept) = stage.ended(&scan).await;
    assert_eq!((state.as_str(), done, gap.as_str(), kept), ("cancelled", 0, "cancelled", 2), "what it found is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_operators_setting_no_task_of_the_simulator_is_run() {
    let stage = Stage::new().await;
    let _steward = stage.start("steward", &[]);
    let mut refused = stage.start_worker(219_200, &[("PICKET_WORKER__POOLS", "[simulate]")]);
    assert_eq!(eventually("the refusal", LONG, async || refused.exit_code()).await.0, 78);

    let _worker = stage.start_worker(219_300, &[("PICKET_WORKER__SLOTS", "1")]);
    let forged = stage.simulate(&json!({"findings": 1})).await;
    assert_eq!(stage.state(&forged).await, "created");
    // Nobody hears its pool. Whoever can write rows sends it to one that is served.
    stage.execute("UPDATE tasks SET pool = 'net'").await;
    let (state, done, gap, seen) = stage.ended(&forged).await;
    assert_eq!((state.as_str(), done, gap.as_str(), seen), ("failed", 0, "tool_unavailable", 0));
}
