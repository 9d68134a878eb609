//! Grounds beside each other: ranges of the operator, several at once, and what passive tools need.

use super::*;

#[tokio::test]
async fn a_range_that_the_operator_closes_takes_its_scans_with_it() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let range: ipnet::IpNet = "10.1.0.0/16".parse().unwrap();
    let set = async |organization: OrganizationId, is_open| {
        let work = async |tx: &picket_store::Tx<'_>| ranges::set(tx, organization, range, is_open, now()).await;
        scenario.db.operate("test", work).await.unwrap()
    };
    let own = scenario.organization;
    assert_eq!(set(OrganizationId::mint(now()), true).await, Administered::Unknown);
    assert_eq!((set(own, true).await, set(own, true).await), (Administered::Changed, Administered::Unchanged));
    assert_eq!(scenario.grounds("10.1.2.3", now()).await.ranges, [range]);
    let (scan, messages) = scenario.relying(Authority { ranges: vec![range], ..Authority::of(Basis::Ranges) }, 2).await;
    assert!(scenario.claim_at(&messages[0], now()).await);
    assert_eq!(set(own, false).await, Administered::Changed);
    assert_eq!(scenario.tasks(&scan).await, ["failed target_not_authorized", "running"]);
    let audited: i64 = scenario.row("SELECT count(*) FROM audit_log", &[]).await.get(0);
    assert_eq!(audited, 2);
}

#[tokio::test]
async fn a_scan_goes_on_while_one_of_its_grounds_stands() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let target = scenario.target("example.com").await;
    let (proof, _) = scenario.proof(target).await;
    let written = scenario.write(target, now() + days(3)).await;
    let also = vec![Basis::Authorization(written)];
    let (scan, messages) = scenario.relying(Authority { also, ..Authority::of(Basis::Proof(proof)) }, 3).await;
    assert!(scenario.claim_at(&messages[0], now()).await);
    let work = async |tx: &picket_store::Tx<'_>| {
        quota::lock(tx, scenario.organization).await?;
        proofs::withdraw(tx, target).await?;
        authority::end_fallen(tx, scenario.organization, now()).await
    };
    assert_eq!(scenario.db.run("test", scenario.organization, work).await.unwrap(), 0);
    assert!(scenario.claim_at(&messages[1], now()).await);
    assert!(!scenario.claim_at(&messages[2], now() + days(3)).await);
    assert_eq!(scenario.tasks(&scan).await, ["failed target_not_authorized", "running", "running"]);
}

#[tokio::test]
async fn a_ground_that_cannot_be_read_any_more_allows_nothing_and_hides_no_other() {
    let scenario = Scenario::new().await;
    let target = scenario.target("example.com").await;
    let (proof, _) = scenario.proof(target).await;
    let other = scenario.target("suffix.net").await;
    let (unreadable, _) = scenario.proof(other).await;
    // A later list of public suffixes has it.
    let sql = "UPDATE targets SET value = 'com' WHERE value = 'suffix.net'";
    scenario.database.connect().await.execute(sql, &[]).await.unwrap();
    let bases: Vec<Basis> = scenario.grounds("example.com", now()).await.grounds.iter().map(|one| one.basis).collect();
    assert_eq!(bases, [Basis::Proof(proof)]);
    let later = now() + days(8);
    let due = scenario.db.operate("test", async |tx| proofs::due(tx, later, 10).await).await.unwrap();
    let found = |id| due.iter().find(|one| one.id == id).unwrap().target.is_some();
    assert_eq!((found(proof), found(unreadable)), (true, false));
}

#[tokio::test]
async fn under_a_scan_that_only_looks_nothing_else_begins() {
    let scenario = Scenario::new().await;
    let scan = seed::scan(scenario.organization, 2);
    let authority = Authority::of(Basis::Passive).for_tasks(&scan.tasks);
    assert_eq!(authority.only.len(), 1, "both tasks are the same run");
    let (_, messages) = scenario.relying(authority, 2).await;
    assert!(scenario.claim_at(&messages[0], now()).await);
    // Somebody else wrote into the row.
    let forge = "UPDATE tasks SET params = params || '{\"scripts\": [\"http-title\"]}' WHERE state = 'queued'";
    scenario.database.connect().await.batch_execute(forge).await.unwrap();
    assert!(!scenario.claim_at(&messages[1], now()).await);
    let sql = "SELECT count(*) FROM tasks WHERE state = 'failed' AND gap = 'target_not_authorized'";
    let row = scenario.database.connect().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    // One without a list allows nothing.
    let scan = NewScan { authority: Authority::of(Basis::Passive), ..seed::scan(scenario.organization, 1) };
    scenario.store(&scan).await.unwrap();
    assert_eq!(scenario.admit().await, 0);
    assert_eq!(scenario.tasks(&scan).await, ["failed target_not_authorized"]);
}
