//! Switches and exclusions at names that a scan has found below its target.

use picket_domain::{NewScan, Subscription};
use picket_store::{
    halts::HaltScope,
    tasks::{self, admission},
};
use picket_testkit::seed;

use crate::{
    closed::pattern,
    scenario::{Scenario, now},
};

/// A scan of `example.com` with a task of its own, and one of each of these names below it that it has found.
async fn with_names(scenario: &Scenario, names: &[(&str, &str)]) -> NewScan {
    let mut scan = seed::scan(scenario.organization, 1 + names.len());
    scan.target = "example.com".to_owned();
    let (own, found) = scan.tasks.split_first_mut().unwrap();
    (own.shard.target, own.shard.addresses) = (scan.target.clone(), vec!["192.0.2.1".parse().unwrap()]);
    for (task, (name, address)) in found.iter_mut().zip(names) {
        let address = address.parse().unwrap();
        (task.shard.target, task.shard.addresses) = ((*name).to_owned(), vec![address]);
        task.shard.hosts = vec![picket_domain::PinnedHost { name: (*name).to_owned(), address }];
    }
    scenario.store(&scan).await.unwrap();
    scan
}

/// The targets of what was stopped, and why.
async fn stopped(scenario: &Scenario) -> Vec<(String, String)> {
    let sql = "SELECT shard ->> 'target', gap FROM tasks WHERE state = 'cancelled' ORDER BY 1";
    let rows = scenario.database.connect().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_switch_or_an_exclusion_at_a_found_name_stops_its_tasks_and_the_scan_goes_on() {
    let names =
        [("mail.example.com", "192.0.2.7"), ("shop.example.com", "192.0.2.8"), ("a.shop.example.com", "192.0.2.9")];
    for (text, covered) in [
        ("mail.example.com", &["mail.example.com"][..]),
        ("*.shop.example.com", &["a.shop.example.com"]),
        ("192.0.2.8/31", &["a.shop.example.com", "shop.example.com"]),
        ("*.example.com", &["a.shop.example.com", "mail.example.com", "shop.example.com"]),
    ] {
        let scenario = Scenario::new().await;
        scenario.set_plan(Subscription::Enterprise).await;
        let scan = with_names(&scenario, &names).await;
        assert_eq!(scenario.admit().await, 4);
        let own = scan.tasks[0].id;
        let message = scenario.messages().await.into_iter().find(|message| message.task_id == own).unwrap();
        let held = scenario.claim(&message).await.unwrap();
        assert!(scenario.halt(HaltScope { organization_id: None, pattern: pattern(text) }).await.unwrap());
        assert_eq!((scenario.stop_covered().await, scenario.stop_covered().await), (1, 0), "{text}");
        let expected: Vec<_> = covered.iter().map(|name| ((*name).to_owned(), "target_forbidden".to_owned())).collect();
        assert_eq!(stopped(&scenario).await, expected, "{text}");
        assert_eq!(scenario.state(&scan).await, "running");
        let told = "SELECT count(*) FROM audit_log WHERE action = 'tasks.halted' AND entry LIKE '%an incident%'";
        assert_eq!(scenario.number(told).await, 1);
        let end = async |tx: &picket_store::Tx<'_>| {
            tasks::complete(tx, &held, &[], &tasks::RunRecord::default(), now()).await
        };
        scenario.db.run("test", scenario.organization, end).await.unwrap();
        // The rest ends like any other; what the switch covers is nowhere in the way.
        let lose = "UPDATE tasks SET state = 'running', attempt = 3, failures = 2, worker_id = gen_random_uuid(),
                                     started_at = now(), lease_until = now() - interval '1 minute'
                    WHERE state = 'queued'";
        scenario.execute(lose).await;
        for lost in scenario.db.operate("test", async |tx| admission::hopeless(tx).await).await.unwrap() {
            scenario.db.operate("test", async |tx| admission::give_up(tx, lost, now()).await).await.unwrap();
        }
        assert_eq!(scenario.state(&scan).await, "completed", "{text}");
    }
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let scan = with_names(&scenario, &names).await;
    let exclusion = picket_domain::Exclusion::parse("mail.example.com").unwrap();
    let exclude = async |tx: &picket_store::Tx<'_>| {
        tasks::authority::stop_excluded(tx, scenario.organization, &exclusion, now()).await
    };
    assert_eq!(scenario.db.run("test", scenario.organization, exclude).await.unwrap(), 1);
    assert_eq!(stopped(&scenario).await, [("mail.example.com".to_owned(), "target_excluded".to_owned())]);
    assert_eq!(scenario.state(&scan).await, "created");
}

#[tokio::test]
async fn a_switch_at_a_scans_own_target_stops_all_of_it() {
    for text in ["example.com", "192.0.2.1"] {
        let scenario = Scenario::new().await;
        scenario.set_plan(Subscription::Enterprise).await;
        let scan = with_names(&scenario, &[("mail.example.com", "192.0.2.7")]).await;
        assert!(scenario.halt(HaltScope { organization_id: None, pattern: pattern(text) }).await.unwrap());
        assert_eq!(scenario.stop_covered().await, 1);
        assert_eq!(scenario.state(&scan).await, "cancelled");
    }
}
