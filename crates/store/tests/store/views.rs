//! Views go over few connections, many at the same time: each sees its own tenant, and a connection that breaks is replaced.

use std::time::{Duration, Instant};

use picket_domain::{OrganizationId, ScanId, Subscription};
use picket_store::{Db, StoreError, scans, scans::overview};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

/// Processes of the database that answered views.
const ANSWERED: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '-- scans.overview.find%'";

async fn sees(db: &Db, tenant: OrganizationId, scan: ScanId) -> Result<bool, StoreError> {
    let key = overview::ScanKey::Id(scan);
    db.view("test", tenant, async |view| overview::find(view, key).await).await.map(|found| found.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_several_tenants_at_once_see_each_its_own_over_few_connections() {
    let scenario = Scenario::new().await;
    let (db, own, mine) = (scenario.db.clone(), scenario.organization, scenario.create(1).await.id);
    let stranger = seed::organization(&scenario.database, Subscription::Trial).await;
    let new = seed::scan(stranger, 1);
    let theirs = new.id;
    db.run("test", stranger, async |tx| scans::create(tx, &new, now()).await).await.unwrap();
    let mut views = Vec::new();
    for (tenant, scan) in [(own, mine), (own, theirs), (stranger, mine), (stranger, theirs)].repeat(100) {
        let db = db.clone();
        let is_own = (tenant == own) == (scan == mine);
        views.push(tokio::spawn(async move { sees(&db, tenant, scan).await.unwrap() == is_own }));
    }
    for view in views {
        assert!(view.await.unwrap(), "a tenant sees its own scans and no others");
    }
    let client = scenario.database.connect().await;
    let answered: i64 = client.query_one(&format!("SELECT count(*) {ANSWERED}"), &[]).await.unwrap().get(0);
    assert!((1..=2).contains(&answered), "{answered} connections");
}

#[tokio::test]
async fn a_connection_of_views_that_breaks_is_replaced() {
    let scenario = Scenario::new().await;
    let (db, own, scan) = (scenario.db.clone(), scenario.organization, scenario.create(1).await.id);
    assert!(sees(&db, own, scan).await.unwrap());
    let client = scenario.database.connect().await;
    let broken = client.execute(&format!("SELECT pg_terminate_backend(pid) {ANSWERED}"), &[]).await.unwrap();
    assert!(broken > 0);
    let begun = Instant::now();
    // Whoever asks before the end is heard of may be told of it.
    while !sees(&db, own, scan).await.unwrap_or(false) {
        assert!(begun.elapsed() < Duration::from_secs(20), "views do not come back");
    }
}

#[tokio::test]
async fn a_read_that_hangs_ends_and_those_behind_it_go_on() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    let find = async || {
        let view =
            scenario.db.view("test", scenario.organization, async |view| overview::find(view, scan.id.into()).await);
        view.await
    };
    assert!(find().await.unwrap().is_some());
    let mut holder = scenario.database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE scans IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // More than there are lanes, so that some wait behind others.
    let hung = futures_util::future::join_all((0..6).map(|_| find())).await;
    assert!(hung.iter().all(|read| read.as_ref().is_err_and(StoreError::is_outage)), "{hung:?}");
    held.rollback().await.unwrap();
    for found in futures_util::future::join_all((0..6).map(|_| find())).await {
        assert!(found.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_with_its_connection() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    let view = scenario
        .db
        .view("test", scenario.organization, async |_| std::future::pending::<Result<(), StoreError>>().await);
    assert!(matches!(view.await, Err(StoreError::Unanswered)));
    for _ in 0..4 {
        let view =
            scenario.db.view("test", scenario.organization, async |view| overview::find(view, scan.id.into()).await);
        assert!(view.await.unwrap().is_some());
    }
}
