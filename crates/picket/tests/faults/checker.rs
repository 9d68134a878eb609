//! The verdict: after every experiment one SQL file is asked what breaks an invariant (`checker.sql`), over the product's
//! rows and over what was written down beside them (`ledger.sql`). It must never repair anything.

use std::{collections::BTreeMap, fmt};

use picket_domain::{OrganizationId, ScanId, Subscription};
use picket_testkit::Database;
use tokio_postgres::Client;

/// What breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    /// Which of the statement's questions found it.
    pub(crate) branch: usize,
    what: String,
    which: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.invariant, self.what, self.which)
    }
}

/// Each question of each invariant: the invariant, the number of the question, its statement.
pub(crate) fn questions() -> Vec<(&'static str, usize, &'static str)> {
    let parts = include_str!("checker.sql").split("\n-- I").skip(1);
    let split = |part: &'static str| {
        let (title, sql) = part.split_once('\n').expect("a line and a statement");
        let invariant = title.split_once(':').expect("I<number>: what").0;
        let (all, _) = sql.rsplit_once(';').expect("a semicolon at the end");
        all.split("\nUNION ALL\n").enumerate().map(move |(branch, sql)| (invariant, branch, sql))
    };
    parts.flat_map(split).collect()
}

/// Begins to write down what happens in this database.
pub(crate) async fn begin(database: &Database) {
    let client = database.connect().await;
    client.batch_execute(include_str!("ledger.sql")).await.unwrap();
    for plan in Subscription::ALL {
        let (tasks, scans) = (i64::from(plan.limits().tasks_in_flight), i64::from(plan.limits().concurrent_scans));
        let sql = "INSERT INTO faults.limits VALUES ($1, $2, $3)";
        client.execute(sql, &[&plan.name(), &tasks, &scans]).await.unwrap();
    }
}

/// What a scan owes that was accepted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Owed {
    /// So many findings, when it completes without a gap.
    pub(crate) findings: Option<i64>,
    /// A gap: its tool ends badly.
    pub(crate) gap: bool,
    /// It was answered by the API.
    pub(crate) by_api: bool,
}

/// Writes down that a scan was accepted.
pub(crate) async fn accept(database: &Database, scan: ScanId, owed: Owed) {
    let wire = owed.by_api.then(|| scan.to_string());
    let sql = "INSERT INTO faults.accepted (scan_id, wire, findings, gap_due) VALUES ($1, $2, $3, $4)";
    database.connect().await.execute(sql, &[&scan.uuid(), &wire, &owed.findings, &owed.gap]).await.unwrap();
}

/// Writes down that something was done of which the audit log must know, once: the action and its object, as the API names
/// both.
pub(crate) async fn audited(database: &Database, action: &str, object: &str) {
    let sql = "INSERT INTO faults.audited VALUES ($1, $2)";
    database.connect().await.execute(sql, &[&action, &object]).await.unwrap();
}

/// The word of an organization, which the targets of its simulated scans have in their names.
pub(crate) fn word_of(organization: OrganizationId) -> String {
    format!("canary-{}", organization.uuid())
}

/// Gives an organization a word that nobody else may ever be shown.
pub(crate) async fn mark(database: &Database, organization: OrganizationId, word: &str) {
    let sql = "INSERT INTO faults.canaries VALUES ($1, $2)";
    database.connect().await.execute(sql, &[&organization.uuid(), &word]).await.unwrap();
}

/// A connection that sees the platform as it is now, whatever goes on: what is told of the world outside after this cannot be
/// older than what the rows say of it.
pub(crate) async fn freeze(database: &Database) -> Client {
    let client = database.connect().await;
    // The snapshot is taken by the first question.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM scans LIMIT 1").await.unwrap();
    client
}

/// Everything that breaks an invariant, on that connection and within its transaction.
pub(crate) async fn ask(client: &Client) -> Vec<Violation> {
    let mut found = Vec::new();
    for (invariant, branch, sql) in questions() {
        let rows = client.query(sql, &[]).await.unwrap_or_else(|error| panic!("I{invariant}.{branch}: {error:?}"));
        found.extend(rows.iter().map(|row| Violation { invariant, branch, what: row.get(0), which: row.get(1) }));
    }
    found
}

/// Demands that every invariant holds.
pub(crate) async fn demand(client: &Client, experiment: &str) {
    let found = ask(client).await;
    let mut counts = BTreeMap::new();
    for violation in &found {
        *counts.entry(violation.invariant).or_insert(0) += 1;
    }
    let some: Vec<_> = found.iter().take(10).map(|violation| format!("\n  I{violation}")).collect();
    assert!(found.is_empty(), "{experiment}: {counts:?}{}", some.concat());
    println!("{experiment}: all {} questions of the checker are answered well", questions().len());
}
