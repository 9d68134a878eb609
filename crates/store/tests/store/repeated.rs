//! What a scan and those that it repeats in part have looked at, where names were found below the target.

use picket_domain::{NewScan, NewTask, ScanId, Shard, Subscription, TaskId};
use picket_store::{
    scans::control::link,
    tasks::chain::{Standing, standing},
};
use serde_json::json;

use crate::scenario::{Scenario, now};

const TARGET: &str = "example.com";
const NAME: &str = "www.example.com";
const SHARED: &str = "192.0.2.7";
const OWN: &str = "192.0.2.8";
const SEARCH: &str = "subdomains";

/// A tool, what it looked at, where, and whether in full.
type Seen = (&'static str, &'static str, &'static str, bool);

fn shard(target: &str, address: &str) -> Shard {
    Shard { target: target.to_owned(), addresses: vec![address.parse().unwrap()], hosts: Vec::new() }
}

/// A scan that has ended so; it repeats the failed part of `of`. All but the search has grown.
async fn ended(scenario: &Scenario, of: Option<ScanId>, seen: &[Seen]) -> ScanId {
    let mut scan = NewScan { target: TARGET.to_owned(), ..picket_testkit::seed::scan(scenario.organization, 1) };
    let template = scan.tasks.remove(0);
    let task = |(tool, target, address, _): &Seen| NewTask {
        id: TaskId::mint(now()),
        tool,
        params: json!({"port": 443}),
        shard: shard(target, address),
        ..template.clone()
    };
    scan.tasks = seen.iter().map(task).collect();
    scenario.store(&scan).await.unwrap();
    if let Some(of) = of {
        let linked = scenario.db.run("test", scenario.organization, async |tx| link(tx, scan.id, of, true).await);
        linked.await.unwrap();
    }
    for (task, (.., is_complete)) in scan.tasks.iter().zip(seen) {
        let end = if *is_complete { "state = 'done'" } else { "state = 'failed', gap = 'timed_out'" };
        for change in [
            "state = 'queued', queued_at = now()",
            "state = 'running', attempt = 1, lease_until = now(), worker_id = gen_random_uuid()",
            &format!("{end}, lease_until = NULL, ended_at = now()"),
            &format!("grown_from = CASE WHEN tool = '{SEARCH}' THEN NULL ELSE id END"),
        ] {
            scenario.execute(&format!("UPDATE tasks SET {change} WHERE id = '{}'", task.id.uuid())).await;
        }
    }
    scan.id
}

async fn stands(scenario: &Scenario, scan: ScanId) -> Standing {
    let read = scenario.db.read("test", scenario.organization, async |tx| standing(tx, scan, SEARCH).await);
    read.await.unwrap()
}

/// Whether the search counts as done, and what is left over.
fn left(standing: &Standing) -> (bool, Vec<(&str, &str)>) {
    let is_searched = standing.examined.covers(SEARCH, &json!({"port": 443}), &shard(TARGET, SHARED));
    let left = standing.unexamined.iter().map(|one| (one.tool.as_str(), one.shard.target.as_str())).collect();
    (is_searched, left)
}

async fn enterprise() -> Scenario {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    scenario
}

#[tokio::test]
async fn names_at_one_address_are_told_apart() {
    let scenario = enterprise().await;
    let search = (SEARCH, TARGET, SHARED, true);
    let of = async |target: bool, name: bool| {
        let seen = [search, ("sslscan", TARGET, SHARED, target), ("sslscan", NAME, SHARED, name)];
        let id = ended(&scenario, None, &seen).await;
        stands(&scenario, id).await
    };
    let both = of(true, true).await;
    assert_eq!(left(&both), (true, vec![]));
    for target in [TARGET, NAME] {
        assert!(both.examined.covers("sslscan", &json!({"port": 443}), &shard(target, SHARED)), "{target}");
    }
    assert!(!both.examined.covers("sslscan", &json!({"port": 443}), &shard("shop.example.com", SHARED)));
    // What is left of a name is the search's to do again; what is left of the target is not hidden by a name.
    assert_eq!(left(&of(true, false).await), (false, vec![]));
    assert_eq!(left(&of(false, true).await), (true, vec![("sslscan", TARGET)]));
    assert_eq!(left(&of(false, false).await), (false, vec![("sslscan", TARGET)]));
}

#[tokio::test]
async fn a_name_at_an_address_of_its_own_is_not_forgotten() {
    let scenario = enterprise().await;
    let base = ended(&scenario, None, &[(SEARCH, TARGET, SHARED, true), ("sslscan", NAME, OWN, false)]).await;
    assert_eq!(left(&stands(&scenario, base).await), (false, vec![]));
    // A search that failed says nothing of the names.
    let failed = ended(&scenario, Some(base), &[(SEARCH, TARGET, SHARED, false)]).await;
    assert!(!left(&stands(&scenario, failed).await).0);
    // One that ended says which there are.
    let gone = ended(&scenario, Some(failed), &[(SEARCH, TARGET, SHARED, true)]).await;
    assert_eq!(left(&stands(&scenario, gone).await), (true, vec![]));
    let again = [(SEARCH, TARGET, SHARED, true), ("sslscan", NAME, OWN, true)];
    let again = ended(&scenario, Some(base), &again).await;
    assert_eq!(left(&stands(&scenario, again).await), (true, vec![]));
}

#[tokio::test]
async fn a_later_look_at_the_target_does_not_hide_what_a_name_was_left_without() {
    let scenario = enterprise().await;
    let seen = [
        (SEARCH, TARGET, SHARED, true),
        ("sslscan", TARGET, SHARED, false),
        ("sslscan", NAME, SHARED, false),
        ("testssl", TARGET, SHARED, true),
    ];
    let base = ended(&scenario, None, &seen).await;
    let later = ended(&scenario, Some(base), &[("sslscan", TARGET, SHARED, true)]).await;
    let standing = stands(&scenario, later).await;
    assert_eq!(left(&standing), (false, vec![]));
    assert!(standing.examined.covers("testssl", &json!({"port": 443}), &shard(TARGET, SHARED)));
    // Nor the other way round.
    let name = [(SEARCH, TARGET, SHARED, true), ("sslscan", NAME, SHARED, true)];
    let later = ended(&scenario, Some(base), &name).await;
    assert_eq!(left(&stands(&scenario, later).await), (true, vec![("sslscan", TARGET)]));
}

#[tokio::test]
async fn the_latest_word_counts_and_of_an_older_scan_than_those_that_are_followed_nothing() {
    let scenario = enterprise().await;
    let mut last = ended(&scenario, None, &[("testssl", TARGET, SHARED, true)]).await;
    for place in 0..16 {
        last = ended(&scenario, Some(last), &[("sslscan", TARGET, SHARED, place == 15)]).await;
    }
    let covers =
        |standing: &Standing, tool: &str| standing.examined.covers(tool, &json!({"port": 443}), &shard(TARGET, SHARED));
    let standing = stands(&scenario, last).await;
    assert!(covers(&standing, "testssl") && covers(&standing, "sslscan") && standing.unexamined.is_empty());
    last = ended(&scenario, Some(last), &[("sslscan", TARGET, SHARED, false)]).await;
    let standing = stands(&scenario, last).await;
    assert_eq!((covers(&standing, "testssl"), left(&standing).1), (false, vec![("sslscan", TARGET)]));
}
