//! Invariant 5: nothing of one organization appears in anything another one sees. The list of tables comes from the
//! catalogue, so that a new table cannot be forgotten.

use picket_domain::{Severity, Subscription};
use picket_store::scans;
use picket_testkit::seed;

use crate::scenario::{Scenario, now, observation};

/// Tables without rows of customers; every other one must be locked to its tenant.
const WITHOUT_TENANT: &[&str] = &[
    "email_tokens",
    "identities",
    "mfa_backup_codes",
    "oauth_states",
    "refinery_schema_history",
    "role_heartbeats",
    "users",
    "workers",
];

async fn tables(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_table_of_customers_is_locked_to_its_tenant() {
    let scenario = Scenario::new().await;
    let client = scenario.database.connect().await;
    let open = tables(
        &client,
        "SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity
                  AND EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)) ORDER BY 1",
    )
    .await;
    assert_eq!(open, WITHOUT_TENANT);
}

#[tokio::test]
async fn without_a_tenant_every_table_is_empty() {
    let scenario = Scenario::new().await;
    let (_, _, task) = scenario.running().await;
    let found = [observation(80, Severity::High)];
    let run = picket_store::tasks::RunRecord::default();
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            picket_store::tasks::complete(tx, &task, &found, &run, now()).await
        })
        .await
        .unwrap();
    let client = scenario.database.connect().await;
    let locked = tables(
        &client,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relforcerowsecurity",
    )
    .await;
    let mut filled = 0;
    for table in locked {
        let all: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        client.batch_execute("SET ROLE picket_tenant").await.unwrap();
        let seen: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        client.batch_execute("RESET ROLE").await.unwrap();
        assert_eq!(seen, 0, "{table}");
        filled += i64::from(all > 0);
    }
    assert!(filled >= 6, "the test looks at tables that have rows");
}

#[tokio::test]
async fn the_application_role_owns_nothing() {
    let scenario = Scenario::new().await;
    let sql =
        "SELECT count(*) FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE r.rolname LIKE 'picket%'";
    assert_eq!(scenario.row(sql, &[]).await.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn another_organizations_scan_is_not_found() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    let stranger = seed::organization(&scenario.database, Subscription::Trial).await;
    let find =
        async |tenant| scenario.db.run("test", tenant, async |tx| scans::read::find(tx, scan.id).await).await.unwrap();
    assert!(find(scenario.organization).await.is_some());
    assert!(find(stranger).await.is_none());

    let refused = scenario.db.run("test", stranger, async |tx| scans::create(tx, &scan, now()).await).await;
    assert!(refused.is_err(), "a row of another organization cannot be written");
}
