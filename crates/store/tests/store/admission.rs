//! What admission holds to besides the limit of each organization: few tasks at one host, and of one tool.

use std::{collections::BTreeMap, net::IpAddr};

use picket_domain::{AdmissionLimits, NewScan, OrganizationId, Subscription};
use picket_testkit::seed;

use crate::scenario::Scenario;

/// A scan of one task for each of the addresses, all of one tool.
fn scan(organization: OrganizationId, tool: &'static str, addresses: &[&str]) -> NewScan {
    let mut scan = seed::scan(organization, addresses.len());
    for (task, address) in scan.tasks.iter_mut().zip(addresses) {
        task.tool = tool;
        task.shard.addresses = vec![address.parse::<IpAddr>().unwrap()];
    }
    scan
}

/// The addresses of what is in flight, with their tools.
async fn in_flight(scenario: &Scenario) -> Vec<(String, String)> {
    let client = scenario.database.connect().await;
    let rows =
        client.query("SELECT host, tool FROM tasks WHERE state = 'queued' ORDER BY host, tool", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn forty_tasks_of_a_full_host_hide_nothing_behind_them() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.store(&scan(scenario.organization, "nmap", &["127.0.0.1"; 60])).await.unwrap();
    scenario.store(&scan(scenario.organization, "nmap", &["127.0.0.2"; 3])).await.unwrap();
    let limits = AdmissionLimits { per_host: 2, ..AdmissionLimits::none() };
    while scenario.admit_under(&limits).await > 0 {}
    let hosts: Vec<_> = in_flight(&scenario).await.into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"]);
}

#[tokio::test]
async fn a_host_bears_no_more_for_being_scanned_by_two_organizations_and_neither_keeps_it() {
    let scenario = Scenario::new().await;
    let other = seed::organization(&scenario.database, Subscription::Trial).await;
    // One with ten thousand tasks there and a large weight; one that came later with a few.
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.execute(&format!("UPDATE organizations SET plan = 'trial' WHERE id = '{}'", other.uuid())).await;
    scenario.store(&scan(scenario.organization, "nmap", &["127.0.0.1"; 60])).await.unwrap();
    let limits = AdmissionLimits { per_host: 4, ..AdmissionLimits::none() };
    assert_eq!(scenario.admit_under(&limits).await, 4);
    scenario.store(&scan(other, "nmap", &["127.0.0.1"; 2])).await.unwrap();
    assert_eq!(scenario.admit_under(&limits).await, 0, "the host is full, whoever asks");
    let end = "UPDATE tasks SET state = 'ready', queued_at = NULL, ready_at = 'infinity' WHERE id = (
                 SELECT id FROM tasks WHERE state = 'queued' AND organization_id = $1 LIMIT 1)";
    let client = scenario.database.connect().await;
    for (turn, (mine, theirs)) in [(3_i64, 1_i64), (2, 2)].into_iter().enumerate() {
        assert_eq!(client.execute(end, &[&scenario.organization.uuid()]).await.unwrap(), 1);
        assert_eq!(scenario.admit_under(&limits).await, 1, "turn {turn}");
        let count = async |organization: OrganizationId| {
            let sql = "SELECT count(*) FROM tasks WHERE state = 'queued' AND organization_id = $1";
            client.query_one(sql, &[&organization.uuid()]).await.unwrap().get::<_, i64>(0)
        };
        assert_eq!((count(scenario.organization).await, count(other).await), (mine, theirs), "turn {turn}");
    }
}

#[tokio::test]
async fn a_tool_at_its_limit_waits_and_others_go() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.store(&scan(scenario.organization, "wapiti", &["127.0.0.1"; 50])).await.unwrap();
    scenario.store(&scan(scenario.organization, "nmap", &["127.0.0.2"; 2])).await.unwrap();
    let limits = AdmissionLimits { per_tool: BTreeMap::from([("wapiti".to_owned(), 3)]), ..AdmissionLimits::none() };
    while scenario.admit_under(&limits).await > 0 {}
    let tools: Vec<_> = in_flight(&scenario).await.into_iter().map(|(_, tool)| tool).collect();
    assert_eq!(tools, ["wapiti", "wapiti", "wapiti", "nmap", "nmap"]);
}

#[tokio::test]
async fn a_task_of_many_addresses_is_of_no_one_host() {
    let scenario = Scenario::new().await;
    let mut wide = scan(scenario.organization, "nmap", &["127.0.0.1"; 2]);
    for task in &mut wide.tasks {
        task.shard.addresses.push("127.0.0.2".parse().unwrap());
    }
    scenario.store(&wide).await.unwrap();
    let limits = AdmissionLimits { per_host: 0, ..AdmissionLimits::none() };
    assert_eq!(scenario.admit_under(&limits).await, 2);
}
