//! What the database would do for statements that must not read a whole table, asked of one with many rows. Plans are the generic
//! ones, which is what a connection comes to; timings are nobody's business here.

use picket_testkit::Database;
use tokio_postgres::Client;

use super::MODULES;

/// One organization with five thousand ended scans, and twenty thousand each of findings, events and deliveries.
const FILL: &str = include_str!("fill.sql");

/// Tables of which none is read as a whole.
const LARGE: [&str; 7] = ["scans", "tasks", "findings", "sightings", "events", "deliveries", "delivery_attempts"];

const SCANS: &str = "ARRAY[md5('scan1')::uuid, md5('scan2')::uuid]";

/// Statements by their names, with what they are asked for.
const ASKED: [(&str, &str); 12] = [
    ("deliveries.lease.claim", "'16', '4', '30'"),
    ("deliveries.lease.take_back", "'10', '1'"),
    ("retention.due", "now(), ARRAY['trial'], ARRAY[1], NULL, '100'"),
    ("retention.old_scans", "md5('org')::uuid, now() - interval '3 days', '100', '10000'"),
    ("scans.remove.sightings", SCANS),
    ("scans.remove.findings", "ARRAY[md5('scan1')::uuid], ARRAY[md5('finding1')::uuid]"),
    ("scans.remove.last_seen", "ARRAY[md5('scan1')::uuid], ARRAY[md5('finding1')::uuid]"),
    ("scans.remove.tasks", SCANS),
    ("scans.read.findings", "md5('scan1')::uuid, '100', '1000000'"),
    ("scans.read.severities", SCANS),
    ("reports.content.counts", SCANS),
    ("reports.content.findings", "ARRAY[md5('scan1')::uuid, md5('scan2')::uuid], '100', '1000000'"),
];

/// What Postgres itself asks when a row is removed that others refer to.
const REFERRED: [(&str, &str); 4] = [
    ("deliveries", "event_id = md5('event1')::uuid"),
    ("delivery_attempts", "delivery_id = md5('delivery1')::uuid"),
    ("sightings", "organization_id = md5('org')::uuid AND finding_id = md5('finding1')::uuid"),
    ("tasks", "organization_id = md5('org')::uuid AND scan_id = md5('scan1')::uuid"),
];

async fn plan(client: &Client, explained: &str) -> String {
    let rows = client.query(&format!("EXPLAIN {explained}"), &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error:?}\n{explained}"));
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

fn reads_whole(plan: &str) -> bool {
    LARGE.iter().any(|table| plan.lines().any(|line| line.contains(&format!("Seq Scan on {table} "))))
}

#[tokio::test]
async fn claims_reads_and_removals_read_no_large_table_as_a_whole() {
    let database = Database::new().await;
    let client = database.connect().await;
    client.batch_execute(FILL).await.unwrap();
    client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    assert!(reads_whole(&plan(&client, "SELECT FROM sightings WHERE evidence = 'x'").await), "the test sees nothing");
    let mut whole = Vec::new();
    for (place, (name, values)) in ASKED.into_iter().enumerate() {
        let head = format!("-- {name}\n");
        let statement = MODULES.iter().copied().flatten().find(|one| one.starts_with(&head));
        let statement = statement.unwrap_or_else(|| panic!("no statement is called {name}"));
        client.batch_execute(&format!("PREPARE asked{place} AS {statement}")).await.unwrap();
        let plan = plan(&client, &format!("EXECUTE asked{place} ({values})")).await;
        if reads_whole(&plan) {
            whole.push(format!("{name}\n{plan}"));
        }
    }
    for (table, which) in REFERRED {
        let plan = plan(&client, &format!("SELECT 1 FROM ONLY {table} AS x WHERE {which} FOR KEY SHARE OF x")).await;
        if reads_whole(&plan) {
            whole.push(format!("what refers from {table}\n{plan}"));
        }
    }
    assert!(whole.is_empty(), "{}", whole.join("\n\n"));
}
