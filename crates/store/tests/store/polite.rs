//! Limits of runs: those of a scan by tool, and what the owner of a target says of it.

use std::net::IpAddr;

use picket_domain::{
    AdmissionLimits, NewScan, Politeness, RunLimits, ScanLimits, Subscription, Target, TargetId, TaskQueued,
};
use picket_store::{
    profiles,
    targets::{self, NewTarget, TargetWords},
    tasks::lease::{self, Offer},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

/// A scan of that target with one task for each of the addresses.
fn scan(scenario: &Scenario, target: &str, addresses: &[&str]) -> NewScan {
    let mut scan = seed::scan(scenario.organization, addresses.len());
    target.clone_into(&mut scan.target);
    for (task, address) in scan.tasks.iter_mut().zip(addresses) {
        target.clone_into(&mut task.shard.target);
        task.shard.addresses = vec![address.parse::<IpAddr>().unwrap()];
    }
    scan
}

impl Scenario {
    /// Keeps a target that is to be examined so gently.
    async fn gentle(&self, target: &str, max_tasks: Option<u32>, max_rate: Option<u32>) -> TargetId {
        let id = TargetId::mint(now());
        let words = TargetWords { politeness: Politeness { max_tasks, max_rate }, ..TargetWords::default() };
        let new = NewTarget { id, target: Target::parse(target).unwrap(), words, created_at: now() };
        let work = async |tx: &picket_store::Tx<'_>| {
            targets::create(tx, self.organization, &new).await?;
            targets::update(tx, id, &new.words).await?;
            targets::find(tx, id, now()).await
        };
        let kept = self.db.run("test", self.organization, work).await.unwrap().unwrap();
        assert_eq!(kept.words, new.words);
        id
    }

    /// Limits of the claims of everything that is on its way, by tool.
    async fn claimed_limits(&self, messages: &[TaskQueued]) -> Vec<RunLimits> {
        let mut limits = Vec::new();
        for message in messages {
            limits.push(self.claim(message).await.unwrap().limits);
        }
        limits
    }
}

#[tokio::test]
async fn a_gentle_target_gets_few_tasks_at_once_and_hides_nothing_behind_them() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.gentle("example.com", Some(1), None).await;
    scenario.gentle("127.0.0.3", Some(2), None).await;
    scenario.store(&scan(&scenario, "example.com", &["127.0.0.1"; 60])).await.unwrap();
    scenario.store(&scan(&scenario, "shop.example.org", &["127.0.0.2"; 3])).await.unwrap();
    // By its address, whatever name it is scanned under.
    scenario.store(&scan(&scenario, "shop.example.net", &["127.0.0.3"; 3])).await.unwrap();
    let in_flight = async || {
        let sql = "SELECT count(*) FILTER (WHERE host = '127.0.0.1'), count(*) FILTER (WHERE host = '127.0.0.2'),
                          count(*) FILTER (WHERE host = '127.0.0.3')
                   FROM tasks WHERE state IN ('queued', 'running')";
        let row = scenario.row(sql, &[]).await;
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2))
    };
    while scenario.admit_under(&AdmissionLimits { per_host: 3, ..AdmissionLimits::none() }).await > 0 {}
    assert_eq!(in_flight().await, (1, 3, 2));
    // A place that is free again is taken by one, and by one alone.
    scenario
        .execute("UPDATE tasks SET state = 'ready', queued_at = NULL WHERE state = 'queued' AND host = '127.0.0.1'")
        .await;
    scenario
        .execute("UPDATE tasks SET state = 'ready', queued_at = NULL WHERE state = 'queued' AND host = '127.0.0.2'")
        .await;
    while scenario.admit_under(&AdmissionLimits { per_host: 3, ..AdmissionLimits::none() }).await > 0 {}
    assert_eq!(in_flight().await, (1, 3, 2));
}

#[tokio::test]
async fn a_run_has_the_limits_of_its_scan_and_the_rate_of_what_it_looks_at() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let of_nmap = RunLimits { seconds: Some(60), rate: Some(100) };
    let limits: ScanLimits =
        [("nmap".to_owned(), of_nmap), ("ffuf".to_owned(), RunLimits::default())].into_iter().collect();
    let limited = NewScan { limits: limits.clone(), ..scan(&scenario, "example.com", &["127.0.0.1", "127.0.0.2"]) };
    scenario.store(&limited).await.unwrap();
    scenario.store(&scan(&scenario, "example.org", &["127.0.0.4"])).await.unwrap();
    assert_eq!(scenario.admit().await, 3);
    let mut messages = scenario.messages().await;
    messages.sort_by_key(|message| (message.scan_id != limited.id, message.task_id));
    assert_eq!(scenario.claimed_limits(&messages[..1]).await, [of_nmap]);
    // What is said of a target counts from the next claim on; the slower of both.
    let row = scenario.row("SELECT host FROM tasks WHERE id = $1", &[&messages[1].task_id.uuid()]).await;
    scenario.gentle(row.get(0), None, Some(7)).await;
    let offer = Offer { organization_id: scenario.organization, message: messages[1].clone() };
    let by = scenario.claimant();
    let more = async |tx: &picket_store::Tx<'_>| lease::claim_more(tx, std::slice::from_ref(&offer), by).await;
    let more = scenario.db.run("test", scenario.organization, more).await.unwrap();
    assert_eq!(more[0].limits, RunLimits { rate: Some(7), ..of_nmap });
    assert_eq!(scenario.claimed_limits(&messages[2..]).await, [RunLimits::default()]);
    // Whoever repeats it repeats it so.
    let again = scan(&scenario, "example.com", &["127.0.0.1"]);
    scenario.store(&again).await.unwrap();
    let copy = async |tx: &picket_store::Tx<'_>| profiles::copy(tx, again.id, limited.id).await;
    scenario.db.run("test", scenario.organization, copy).await.unwrap();
    let kept = scenario.row("SELECT limits FROM scans WHERE id = $1", &[&again.id.uuid()]).await;
    assert_eq!(kept.get::<_, serde_json::Value>(0), serde_json::to_value(&limits).unwrap());
}
