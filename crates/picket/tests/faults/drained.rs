//! F28: workers that are told to stop with more in hand than they may finish, and one that an operator drains.

use std::time::Duration;

use picket_domain::WorkerId;
use picket_testkit::{optional, required};
use serde_json::json;

use crate::{
    checker::{self, Owed},
    leftovers::Group,
    platform::Platform,
    process::{Role, alive, eventually},
    service::Service,
    stage::LONG,
};

/// Far less than any task here takes, and how soon the worker has ended behind it at most.
const DRAIN: (&str, &str) = ("PICKET_WORKER__DRAIN_SECONDS", "1");
const ENDED: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse battery staple";

impl Platform {
    /// A worker of real tools beside the simulator, each run in a control group and with a network of its own where this
    /// machine has both.
    pub(crate) fn real_worker(&self, faults: &str, settings: &[(&'static str, &str)]) -> Role {
        let mut left = self.left.lock().unwrap();
        left.groups = left.groups.take().or_else(Group::new);
        let groups = left.groups.as_ref().map(|groups| groups.path().to_owned());
        drop(left);
        let own = optional("PICKET_TEST_LEVELS").is_some_and(|levels| levels.contains("L1"));
        let slirp = own.then(|| required("PICKET_SLIRP"));
        let mut all = vec![("PICKET_WORKER__POOLS", "[net,simulate]")];
        all.extend(groups.as_deref().map(|groups| ("PICKET_WORKER__CGROUP", groups)));
        all.extend(slirp.as_deref().map(|slirp| ("PICKET_SLIRP", slirp)));
        all.extend(settings);
        self.start_with("worker", faults, &all)
    }

    /// Waits until so many tasks run.
    async fn busy(&self, tasks: i64) {
        let sql = "SELECT count(*) FROM tasks WHERE state = 'running'";
        let busy = async || (self.stage.row(sql, &[]).await.get::<_, i64>(0) == tasks).then_some(());
        eventually("the tasks run", LONG, busy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_a_worker_that_may_not_finish_hands_its_tasks_back_and_leaves_nothing_of_its_tool() {
    let (platform, service) = (Platform::new("F28, hand-back").await, Service::silent());
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let two = [DRAIN, ("PICKET_WORKER__SLOTS", "2")];
    let mut first = platform.real_worker("", &two);
    for _ in 0..2 {
        platform.scan(&json!({"findings": 2, "sleep_ms": 8_000})).await;
    }
    let real = platform.stage.scan(&service).await;
    checker::accept(&platform.stage.database, real.id, Owed::default()).await;
    platform.busy(3).await;
    eventually("the tool runs", LONG, async || (!first.tools().is_empty()).then_some(())).await;
    platform.remember(&first);
    let family = first.descendants();
    first.signal("TERM");
    let (code, after) = eventually("the end of the worker", ENDED, async || first.exit_code()).await;
    assert_eq!(code, 0, "after {after:?}: {}", first.log());
    assert_eq!(alive(&family), [], "it leaves nobody behind");
    // Handed back, each, before anybody could have missed it: nothing is left for the rescuer to find.
    let sql =
        "SELECT count(*) FILTER (WHERE state IN ('ready', 'queued')), count(*) FILTER (WHERE failures > 0) FROM tasks";
    let row = platform.stage.row(sql, &[]).await;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 0), "{}", first.log());
    service.speak();
    let _second = platform.real_worker("", &two);
    platform.verdict().await;
    let sql = "SELECT count(*) FILTER (WHERE attempt = 2 AND failures = 0 AND state = 'done'), count(*) FROM tasks";
    let row = platform.stage.row(sql, &[]).await;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 3), "done by the next one, and no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_a_worker_that_an_operator_drains_finishes_what_it_has_and_lives_on_without_more() {
    let platform = Platform::new("F28, drained by an operator").await;
    let _others = ["steward", "dispatcher"].map(|role| platform.start(role, ""));
    let (_gateway, base) = platform.gateway("").await;
    let token = platform.operator(&base).await;
    let one = [("PICKET_WORKER__SLOTS", "1")];
    let mut first = platform.start_with("worker", "", &one);
    let held = platform.scan(&json!({"findings": 2, "sleep_ms": 6_000})).await;
    platform.runs(1).await;
    let worker = platform.worker_of(held.id.uuid()).await;
    let url = format!("{base}/api/v1/admin/workers/{worker}/drain");
    let drained = reqwest::Client::new().post(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(drained.status(), 202);
    platform.audited("worker.drained", &worker.to_string()).await;
    eventually("the worker hears of it", LONG, async || {
        first.log().contains("an operator wants this worker to take no more").then_some(())
    })
    .await;

    let mut later = vec![platform.scan(&json!({"findings": 1})).await];
    platform.stage.await_state(&held, "completed").await;
    assert_eq!(platform.stage.state(&later[0]).await, "created", "nobody else is there");
    let _second = platform.start_with("worker", "", &one);
    later.push(platform.scan(&json!({"findings": 1})).await);
    for scan in &later {
        platform.stage.await_state(scan, "completed").await;
        assert_ne!(platform.worker_of(scan.id.uuid()).await, worker, "it takes no more");
    }
    assert_eq!(platform.worker_of(held.id.uuid()).await, worker, "what it had it finished");
    let attempts = platform.stage.row("SELECT max(attempt) FROM tasks", &[]).await;
    assert_eq!(attempts.get::<_, i32>(0), 1);
    let beats =
        "SELECT count(*) FROM workers WHERE id = $1 AND draining AND heartbeat_at > now() - interval '10 seconds'";
    assert_eq!(platform.stage.row(beats, &[&worker.uuid()]).await.get::<_, i64>(0), 1, "it is alive and says so");
    assert_eq!(first.exit_code(), None, "{}", first.log());
    platform.verdict().await;
}

impl Platform {
    /// A session of an operator of the platform.
    async fn operator(&self, base: &str) -> String {
        let person = json!({"email": "grace@example.com", "password": PASSWORD, "name": "Grace"});
        let (status, answer) = self.post(base, "/api/v1/auth/register", None, &person).await.unwrap();
        assert_eq!(status, 201, "{answer}");
        self.stage
            .execute("UPDATE users SET platform_role = 'operator', email_verified_at = now() WHERE email = 'grace@example.com'")
            .await;
        let (status, answer) = self.post(base, "/api/v1/auth/login", None, &person_of(&person)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    async fn worker_of(&self, scan: uuid::Uuid) -> WorkerId {
        WorkerId::from_uuid(self.stage.row("SELECT worker_id FROM tasks WHERE scan_id = $1", &[&scan]).await.get(0))
    }
}

fn person_of(person: &serde_json::Value) -> serde_json::Value {
    json!({"email": person["email"], "password": person["password"]})
}
