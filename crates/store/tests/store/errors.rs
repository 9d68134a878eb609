//! What counts as an outage, of which a client is told to come again, and what as our own fault.

use std::time::Duration;

use picket_store::{Db, DbSettings, StoreError};

use crate::scenario::Scenario;

#[tokio::test]
async fn a_lost_race_is_an_outage_and_a_fault_of_ours_is_none() {
    let scenario = Scenario::new().await;
    let client = scenario.database.connect().await;
    for (state, expected) in [
        ("40001", true),
        ("40P01", true),
        ("40002", false),
        ("53300", true),
        ("57P01", true),
        ("08006", true),
        ("58030", true),
        ("23514", false),
        ("42501", false),
        ("22P02", false),
    ] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'test' USING ERRCODE = '{state}'; END $$");
        let error = StoreError::from(client.batch_execute(&raise).await.unwrap_err());
        assert_eq!(error.is_outage(), expected, "{state}: {error:?}");
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_no_outage() {
    let scenario = Scenario::new().await;
    let client = scenario.database.connect().await;
    let row = client.query_one("SELECT 1::bigint AS one", &[]).await.unwrap();
    let faults = [
        client.query_one("SELECT $1::bigint", &[&"text"]).await.unwrap_err(),
        client.query_one("SELECT $1::text", &[]).await.unwrap_err(),
        client.query_one("SELECT 1 WHERE false", &[]).await.unwrap_err(),
        row.try_get::<_, String>("one").unwrap_err(),
        row.try_get::<_, i64>("two").unwrap_err(),
        client.batch_execute("SELECT '\0'").await.unwrap_err(),
    ];
    for error in faults {
        let error = StoreError::from(error);
        assert!(!error.is_outage(), "{error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_cannot_be_made_is_an_outage() {
    let scenario = Scenario::new().await;
    let client = scenario.database.connect().await;
    let ended = client.query_one("SELECT pg_terminate_backend(pg_backend_pid())", &[]).await.unwrap_err();
    assert!(StoreError::from(ended).is_outage());
    let closed = client.query_one("SELECT 1", &[]).await.unwrap_err();
    assert!(StoreError::from(closed).is_outage());

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://nobody@{nobody}/nothing");
    let refused = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.err().unwrap();
    assert!(StoreError::from(refused).is_outage());
    let db = Db::new(&DbSettings { url, max_connections: 1, wait: Duration::from_secs(5) }).unwrap();
    assert!(db.ping().await.unwrap_err().is_outage());
}
