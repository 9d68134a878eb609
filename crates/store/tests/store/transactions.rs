//! A transaction is kept as a whole or not at all, and its connection carries nothing into the next one: neither changes
//! nor the tenant.

use std::time::Duration;

use picket_domain::{OrganizationId, Subscription, Target, TargetId};
use picket_store::{
    Db, DbSettings, StoreError, Tx,
    scans::{overview, read},
    targets,
};
use picket_testkit::seed;
use tokio::sync::oneshot;

use crate::scenario::{Scenario, now};

/// One connection, so that each transaction gets the one that the transaction before it had.
fn narrow(scenario: &Scenario) -> Db {
    let settings = DbSettings { url: scenario.database.url(), max_connections: 1, wait: Duration::from_secs(30) };
    Db::new(&settings).unwrap()
}

async fn add(tx: &Tx<'_>, organization: OrganizationId, value: &str) -> Result<(), StoreError> {
    let target: Target = Target::parse(value).unwrap();
    let id = TargetId::mint(now());
    targets::create(
        tx,
        organization,
        &targets::NewTarget { id, target, words: targets::TargetWords::default(), created_at: now() },
    )
    .await
}

/// What the tenant sees on this pool.
async fn seen(db: &Db, organization: OrganizationId) -> u64 {
    let range = picket_store::scans::read::Range { limit: 10, offset: 0 };
    db.run("test", organization, async |tx| targets::list(tx, targets::TargetFilter::default(), range, now()).await)
        .await
        .unwrap()
        .total
}

#[tokio::test]
async fn a_change_whose_transaction_fails_is_not_there_and_the_connection_is_as_new() {
    let scenario = Scenario::new().await;
    let (db, organization) = (narrow(&scenario), scenario.organization);
    let failed = db
        .run("test", organization, async |tx| {
            add(tx, organization, "one.example.com").await?;
            Err::<(), _>(StoreError::Stale { expected: 1, actual: 0 })
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Stale { .. })));
    assert_eq!(seen(&db, organization).await, 0);
    db.run("test", organization, async |tx| add(tx, organization, "one.example.com").await).await.unwrap();
    assert_eq!(seen(&db, organization).await, 1);
    let stranger = seed::organization(&scenario.database, Subscription::Trial).await;
    assert_eq!(seen(&db, stranger).await, 0, "the tenant before is forgotten");
}

#[tokio::test]
async fn a_statement_that_is_refused_spoils_its_transaction_alone() {
    let scenario = Scenario::new().await;
    let (db, organization) = (narrow(&scenario), scenario.organization);
    let twice = db
        .run("test", organization, async |tx| {
            add(tx, organization, "one.example.com").await?;
            add(tx, organization, "one.example.com").await
        })
        .await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "{twice:?}");
    assert_eq!(seen(&db, organization).await, 0);
    db.run("test", organization, async |tx| add(tx, organization, "two.example.com").await).await.unwrap();
    assert_eq!(seen(&db, organization).await, 1);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_rolled_back_and_the_connection_is_used_again() {
    let scenario = Scenario::new().await;
    let (db, organization) = (narrow(&scenario), scenario.organization);
    let (told, changed) = oneshot::channel();
    let work = {
        let db = db.clone();
        tokio::spawn(async move {
            db.run("test", organization, async |tx| {
                add(tx, organization, "one.example.com").await?;
                told.send(()).unwrap();
                std::future::pending::<Result<(), StoreError>>().await
            })
            .await
        })
    };
    changed.await.unwrap();
    // As when a client hangs up in the middle of its request.
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    assert_eq!(seen(&db, organization).await, 0);
    let stranger = seed::organization(&scenario.database, Subscription::Trial).await;
    db.run("test", stranger, async |tx| add(tx, stranger, "two.example.com").await).await.unwrap();
    assert_eq!((seen(&db, organization).await, seen(&db, stranger).await), (0, 1));
}

#[tokio::test]
async fn a_read_sees_its_tenant_alone_and_can_change_nothing() {
    let scenario = Scenario::new().await;
    let (db, organization) = (narrow(&scenario), scenario.organization);
    db.run("test", organization, async |tx| add(tx, organization, "one.example.com").await).await.unwrap();
    let stranger = seed::organization(&scenario.database, Subscription::Trial).await;
    let range = picket_store::scans::read::Range { limit: 10, offset: 0 };
    let read = async |tenant| {
        db.read("test", tenant, async |tx| targets::list(tx, targets::TargetFilter::default(), range, now()).await)
            .await
            .unwrap()
            .total
    };
    assert_eq!((read(organization).await, read(stranger).await, read(organization).await), (1, 0, 1));
    let refused = db.read("test", organization, async |tx| add(tx, organization, "two.example.com").await).await;
    assert!(refused.is_err());
    assert_eq!(read(organization).await, 1);
    // The connection that only read is good for changes again.
    db.run("test", organization, async |tx| add(tx, organization, "two.example.com").await).await.unwrap();
    assert_eq!(read(organization).await, 2);
}

#[tokio::test]
async fn the_role_of_a_connection_is_that_of_its_present_use_whatever_the_one_before_was() {
    let scenario = Scenario::new().await;
    let (db, own) = (narrow(&scenario), scenario.organization);
    let stranger = seed::organization(&scenario.database, Subscription::Trial).await;
    let scan = scenario.create(1).await;
    let key = overview::ScanKey::Id(scan.id);
    let find = async |tx: &Tx<'_>| read::find(tx, scan.id).await.map(|found| found.is_some());
    let view = async |tenant| db.view("test", tenant, async |view| overview::find(view, key).await).await.unwrap();
    for _ in 0..2 {
        assert!(view(own).await.is_some());
        assert!(db.look_up("test", find).await.unwrap(), "the operator sees all");
        assert!(view(stranger).await.is_none());
        assert!(db.operate("test", find).await.unwrap());
        assert!(!db.read("test", stranger, find).await.unwrap());
        assert!(db.look_up("test", find).await.unwrap());
        let failed: Result<(), _> =
            db.run("test", own, async |_| Err(StoreError::Stale { expected: 1, actual: 0 })).await;
        assert!(failed.is_err());
        assert!(!db.run("test", stranger, find).await.unwrap(), "what is rolled back takes no role with it");
        assert!(db.read("test", own, find).await.unwrap());
    }
}
