//! Invariant 5: nothing of one organization appears in anything another one sees. The list of tables comes from the
//! catalogue, so that a new table cannot be forgotten.

use picket_domain::Subscription;
use picket_store::scans;
use picket_testkit::seed;
use tokio_postgres::{Client, error::SqlState};

use crate::scenario::{Scenario, now};

/// Tables without rows of customers; every other one must be locked to its tenant.
const WITHOUT_TENANT: &[&str] = &[
    "dead_letters",
    "email_tokens",
    "identities",
    "kill_switches",
    "mfa_backup_codes",
    "oauth_states",
    "pool_clocks",
    "refinery_schema_history",
    "rights_changes",
    "role_heartbeats",
    "tool_durations",
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

/// Two organizations, each with a row in every table of customers.
struct Filled {
    _scenario: Scenario,
    client: Client,
    own: String,
    foreign: String,
}

/// A table of customers: its name, the column of its tenant, and the columns that an INSERT may name.
struct Locked {
    name: String,
    tenant: &'static str,
    columns: String,
}

impl Filled {
    async fn new() -> Self {
        let scenario = Scenario::new().await;
        let client = scenario.database.connect().await;
        let [own, foreign] = [1, 2].map(|number: u128| uuid::Uuid::from_u128(number).to_string());
        for organization in [&own, &foreign] {
            client.batch_execute(&include_str!("tenancy/fill.sql").replace("{org}", organization)).await.unwrap();
        }
        Self { _scenario: scenario, client, own, foreign }
    }

    /// Every table that is locked to its tenant, by the catalogue.
    async fn locked(&self) -> Vec<Locked> {
        let sql = "SELECT c.relname::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                   FROM pg_class AS c
                   JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                        AND a.attgenerated = '' AND a.attidentity = ''
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relforcerowsecurity
                   GROUP BY c.relname ORDER BY 1";
        let rows = self.client.query(sql, &[]).await.unwrap();
        let tables = rows.iter().map(|row| {
            let name: String = row.get(0);
            let tenant = if name == "organizations" { "id" } else { "organization_id" };
            Locked { name, tenant, columns: row.get(1) }
        });
        tables.collect()
    }

    /// The number of rows that a query of the owner counts.
    async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// What a statement of the application's role comes to, as this tenant or as none; it is rolled back. The number of rows
    /// that it returns or changes, or the SQLSTATE that refuses it.
    async fn attempt(&self, tenant: Option<&str>, sql: &str) -> Result<u64, SqlState> {
        self.client.batch_execute("BEGIN; SET LOCAL ROLE picket_tenant").await.unwrap();
        if let Some(tenant) = tenant {
            self.client.batch_execute(&format!("SET LOCAL picket.organization = '{tenant}'")).await.unwrap();
        }
        let done = self.client.execute(sql, &[]).await;
        self.client.batch_execute("ROLLBACK").await.unwrap();
        done.map_err(|error| error.code().unwrap().clone())
    }
}

impl Locked {
    /// Copies a row of this organization, read by the owner before, under the same ids.
    async fn copy(&self, filled: &Filled, organization: &str) -> String {
        let Self { name, tenant, columns } = self;
        let sql = format!(
            "SELECT quote_literal(to_jsonb(t)::text) FROM {name} AS t WHERE {tenant} = '{organization}' LIMIT 1"
        );
        let row: String = filled.client.query_one(&sql, &[]).await.unwrap().get(0);
        format!(
            "INSERT INTO {name} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{name}, {row}::jsonb)"
        )
    }
}

#[tokio::test]
async fn without_a_tenant_every_table_is_empty() {
    let filled = Filled::new().await;
    let locked = filled.locked().await;
    assert!(locked.len() >= 20, "the catalogue knows {} tables", locked.len());
    for table in &locked {
        let name = &table.name;
        for organization in [&filled.own, &filled.foreign] {
            let sql = format!("SELECT count(*) FROM {name} WHERE {} = '{organization}'", table.tenant);
            assert!(filled.count(&sql).await > 0, "{name} has no row of {organization}: add one to fill.sql");
        }
        assert_eq!(filled.attempt(None, &format!("SELECT * FROM {name}")).await, Ok(0), "{name}");
        let insert = table.copy(&filled, &filled.own).await;
        assert_eq!(filled.attempt(None, &insert).await, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{name}");
        // The same statement of the tenant is refused for the row alone, which is there already.
        assert_eq!(filled.attempt(Some(&filled.own), &insert).await, Err(SqlState::UNIQUE_VIOLATION), "{name}");
    }
}

#[tokio::test]
async fn a_tenant_reads_changes_and_removes_no_row_of_another() {
    let filled = Filled::new().await;
    let (own, foreign) = (filled.own.as_str(), filled.foreign.as_str());
    for table in filled.locked().await {
        let Locked { name, tenant, .. } = &table;
        let attempt = async |sql: String| filled.attempt(Some(own), &sql).await;
        let visible = attempt(format!("SELECT * FROM {name}")).await.unwrap();
        let mine = filled.count(&format!("SELECT count(*) FROM {name} WHERE {tenant} = '{own}'")).await;
        assert_eq!(i64::try_from(visible), Ok(mine), "{name} shows another's rows");
        for sql in [
            format!("UPDATE {name} SET {tenant} = {tenant} WHERE {tenant} = '{foreign}'"),
            format!("DELETE FROM {name} WHERE {tenant} = '{foreign}'"),
        ] {
            let touched = attempt(sql.clone()).await;
            // Nobody changes the audit log, whoever's it is.
            let is_closed = name == "audit_log" && touched == Err(SqlState::INSUFFICIENT_PRIVILEGE);
            assert!(touched == Ok(0) || is_closed, "{sql}: {touched:?}");
        }
        // Neither may a row be given to another, nor made in its name.
        let given = attempt(format!("UPDATE {name} SET {tenant} = '{foreign}'")).await;
        assert_eq!(given, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{name}");
        let made = attempt(table.copy(&filled, foreign).await).await;
        assert_eq!(made, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{name}");
    }
}

#[tokio::test]
async fn tables_without_a_tenant_are_closed_to_the_application() {
    let filled = Filled::new().await;
    for table in WITHOUT_TENANT {
        let refused = Err(SqlState::INSUFFICIENT_PRIVILEGE);
        // Which worker can do what is nobody's secret; `scans` asks it.
        if *table != "workers" {
            let read = filled.attempt(Some(&filled.own), &format!("SELECT * FROM {table}")).await;
            assert_eq!(read, refused, "{table}");
        }
        for sql in [format!("DELETE FROM {table}"), format!("INSERT INTO {table} DEFAULT VALUES")] {
            assert_eq!(filled.attempt(Some(&filled.own), &sql).await, refused, "{sql}");
        }
    }
    // Nor can it take the locks off.
    for sql in ["ALTER TABLE scans DISABLE ROW LEVEL SECURITY", "TRUNCATE scans CASCADE", "DROP TABLE scans"] {
        let done = filled.attempt(Some(&filled.own), sql).await;
        assert_eq!(done, Err(SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
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

#[tokio::test]
async fn a_look_at_a_scan_shows_the_tenants_own_and_leaves_no_tenant_behind() {
    let filled = Filled::new().await;
    let Filled { client, own, foreign, .. } = &filled;
    let scan = |of: &str| format!("(SELECT id FROM scans WHERE organization_id = '{of}' LIMIT 1)");
    let ids = client.query_one(&format!("SELECT {}::text, {}::text", scan(own), scan(foreign)), &[]).await.unwrap();
    let (its_own, the_others): (String, String) = (ids.get(0), ids.get(1));
    let seen = async |id: &str| {
        let sql = format!("SELECT FROM picket_scan_overview('{own}', '{id}', NULL)");
        client.execute(&sql, &[]).await.map_err(|error| error.code().unwrap().clone())
    };
    client.batch_execute("SET ROLE picket_tenant").await.unwrap();
    assert_eq!(seen(&its_own).await, Ok(1));
    assert_eq!(filled.count("SELECT count(*) FROM scans").await, 0, "the tenant went with the statement");
    let left = client.query_one("SELECT current_setting('picket.organization', true)", &[]).await.unwrap();
    assert_eq!(left.get::<_, Option<&str>>(0).unwrap_or_default(), "");
    assert_eq!(seen(&the_others).await, Ok(0), "another's scan does not exist");
    client.batch_execute("SET ROLE picket_operator").await.unwrap();
    assert_eq!(seen(&its_own).await, Err(SqlState::INSUFFICIENT_PRIVILEGE), "the policies of a tenant are its guard");
}
