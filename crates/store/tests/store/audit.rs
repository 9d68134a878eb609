//! The audit log against who can change the database itself: whatever is edited, removed, moved or cut off is named.

use std::time::Duration;

use jiff::Timestamp;
use picket_domain::{
    AuditAction, AuditEntry, AuditHash, AuditPoint, BreakReason, Broken, ChainWalk, OrganizationId, Subscription,
};
use picket_store::{
    Db, DbSettings, StoreError,
    audit::{
        self,
        read::{self, AuditFilter, AuditSpan, Verification},
    },
};
use picket_testkit::{Database, seed};
use serde_json::json;

struct Log {
    database: Database,
    db: Db,
    organization: OrganizationId,
}

fn entry(object: &str) -> AuditEntry {
    AuditEntry {
        at: "2026-01-15T14:30:00.123456789Z".parse().unwrap(),
        actor: "operator".to_owned(),
        action: AuditAction::ScanCreated,
        object: Some(object.to_owned()),
        address: Some("192.0.2.1".to_owned()),
        request_id: None,
        before: None,
        after: Some(json!({ "name": object })),
    }
}

impl Log {
    /// An organization with so many rows.
    async fn of(rows: usize) -> Self {
        let database = Database::new().await;
        let settings = DbSettings { url: database.url(), max_connections: 16, wait: Duration::from_secs(30) };
        let organization = seed::organization(&database, Subscription::Trial).await;
        let log = Self { db: Db::new(&settings).unwrap(), database, organization };
        for row in 1..=rows {
            log.record(&entry(&row.to_string())).await.unwrap();
        }
        log
    }

    async fn record(&self, entry: &AuditEntry) -> Result<i64, StoreError> {
        self.db.run("test", self.organization, async |tx| audit::record(tx, self.organization, entry).await).await
    }

    async fn check(&self, span: AuditSpan) -> Verification {
        let organization = self.organization;
        self.db.run("test", organization, async |tx| read::verify(tx, organization, span).await).await.unwrap().unwrap()
    }

    async fn broken(&self) -> Option<Broken> {
        self.check(AuditSpan { from: 1, to: None, most: 1_000 }).await.broken
    }

    async fn list(&self, filter: AuditFilter) -> Vec<i64> {
        let organization = self.organization;
        let rows = self.db.run("test", organization, async |tx| read::list(tx, organization, &filter, 100).await).await;
        rows.unwrap().into_iter().map(|row| row.sequence).collect()
    }

    /// Does what only a superuser who means it can do.
    async fn tamper(&self, sql: &str) {
        let client = self.database.connect().await;
        client.batch_execute(&format!("SET session_replication_role = replica; {sql}")).await.unwrap();
    }
}

const fn at(sequence: i64, why: BreakReason) -> Option<Broken> {
    Some(Broken { sequence, why })
}

#[tokio::test]
async fn the_database_chains_as_the_domain_does() {
    let log = Log::of(0).await;
    let mut point = AuditPoint::start(log.organization);
    let long = "x".repeat(100_000);
    for object in ["", "scan_1", "\"quoted\" \\ back", "naïve 你好 🦀", "a\u{301}", "\r\n\t\u{1b}[31m", "'; --", &long]
    {
        let entry = entry(object);
        let sequence = log.record(&entry).await.unwrap();
        let hash = picket_domain::audit::chain(&point.hash.0, sequence, &entry.text().unwrap());
        point = AuditPoint { sequence, hash: AuditHash(hash) };
        let organization = log.organization;
        let head = log.db.run("test", organization, async |tx| read::head(tx, organization).await).await.unwrap();
        assert_eq!(head.unwrap().point, point, "{object:.20}");
    }
    assert_eq!(log.broken().await, None);
}

#[tokio::test]
async fn changes_at_the_same_time_make_one_unbroken_chain() {
    let log = std::sync::Arc::new(Log::of(0).await);
    let changes = (0..20).map(|number| {
        let log = log.clone();
        tokio::spawn(async move { log.record(&entry(&number.to_string())).await.unwrap() })
    });
    let mut sequences = futures_util::future::try_join_all(changes).await.unwrap();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
    let found = log.check(AuditSpan { from: 1, to: None, most: 1_000 }).await;
    assert_eq!((found.broken, found.checked, found.head.sequence), (None, 20, 20));
}

#[tokio::test]
async fn whatever_is_changed_behind_our_back_is_named() {
    const OTHER: &str = "replace(entry, 'scan.created', 'scan.stopped')";
    let cases = [
        (format!("UPDATE audit_log SET entry = {OTHER} WHERE sequence = 7"), at(7, BreakReason::Altered)),
        ("UPDATE audit_log SET at = at + interval '1 second' WHERE sequence = 7".into(), at(7, BreakReason::TimeAltered)),
        ("UPDATE audit_log SET hash = sha256('x') WHERE sequence = 7".into(), at(7, BreakReason::Altered)),
        ("DELETE FROM audit_log WHERE sequence = 7".into(), at(7, BreakReason::Missing)),
        ("DELETE FROM audit_log WHERE sequence = 1".into(), at(1, BreakReason::Missing)),
        (
            "UPDATE audit_log SET sequence = 99 WHERE sequence = 7; UPDATE audit_log SET sequence = 7 WHERE sequence = 8;
             UPDATE audit_log SET sequence = 8 WHERE sequence = 99"
                .into(),
            at(7, BreakReason::Altered),
        ),
        ("DELETE FROM audit_log WHERE sequence > 17".into(), at(18, BreakReason::Missing)),
        ("TRUNCATE audit_log".into(), at(1, BreakReason::Missing)),
        ("UPDATE organization_counters SET audit_sequence = 15".into(), at(16, BreakReason::BeyondHead)),
        ("UPDATE organization_counters SET audit_hash = sha256('x')".into(), at(20, BreakReason::HeadDiffers)),
    ];
    for (sql, expected) in cases {
        let log = Log::of(20).await;
        assert_eq!(log.broken().await, None);
        log.tamper(&sql).await;
        assert_eq!(log.broken().await, expected, "{sql}");
    }
}

#[tokio::test]
async fn who_cuts_the_tail_and_the_counters_too_is_found_by_an_exported_head() {
    let log = Log::of(20).await;
    let organization = log.organization;
    let exported = log.check(AuditSpan { from: 1, to: None, most: 1_000 }).await.head;
    log.tamper(
        "DELETE FROM audit_log WHERE sequence > 17;
         UPDATE organization_counters
         SET audit_sequence = 17, audit_hash = (SELECT hash FROM audit_log WHERE sequence = 17)",
    )
    .await;
    assert_eq!(log.broken().await, None, "nothing inside of the database can tell");
    let row = log.db.run("test", organization, async |tx| read::find(tx, organization, exported.sequence).await).await;
    assert_eq!(row.unwrap(), None);
    let rows =
        log.db.run("test", organization, async |tx| read::rows(tx, organization, 0, 100, 100).await).await.unwrap();
    let mut walk = ChainWalk::begin(organization);
    assert!(rows.iter().all(|row| walk.step(row).is_ok()));
    assert_eq!(walk.end(exported).err(), at(18, BreakReason::Missing));
}

#[tokio::test]
async fn a_long_log_is_checked_piece_by_piece() {
    let log = Log::of(20).await;
    let span = |from, to, most| AuditSpan { from, to, most };
    let first = log.check(span(1, None, 8)).await;
    assert_eq!((first.checked, first.next, first.broken), (8, Some(9), None));
    let second = log.check(span(9, None, 8)).await;
    assert_eq!((second.checked, second.next, second.broken), (8, Some(17), None));
    let third = log.check(span(17, None, 8)).await;
    assert_eq!((third.checked, third.next, third.broken), (4, None, None));
    let exact = log.check(span(1, None, 20)).await;
    assert_eq!((exact.checked, exact.next, exact.broken), (20, None, None));
    let part = log.check(span(3, Some(5), 100)).await;
    assert_eq!((part.checked, part.next, part.broken), (3, None, None));
    let beyond = log.check(span(50, None, 100)).await;
    assert_eq!((beyond.checked, beyond.broken), (0, None));
    log.tamper("DELETE FROM audit_log WHERE sequence IN (8, 20)").await;
    assert_eq!(log.check(span(9, Some(12), 100)).await.broken, at(8, BreakReason::Missing), "what would be believed");
    assert_eq!(log.check(span(10, None, 100)).await.broken, at(20, BreakReason::Missing));
    assert_eq!(log.check(span(1, Some(8), 100)).await.broken, at(8, BreakReason::Missing));
    assert_eq!(log.check(span(1, Some(7), 100)).await.broken, None);
}

#[tokio::test]
async fn no_role_of_ours_can_change_or_remove_a_row() {
    let log = Log::of(3).await;
    let client = log.database.connect().await;
    let statements =
        ["UPDATE audit_log SET at = now()", "DELETE FROM audit_log", "TRUNCATE audit_log", "DROP TABLE audit_log"];
    for role in ["picket_tenant", "picket_operator"] {
        for sql in statements {
            let scope = format!("SET LOCAL ROLE {role}; SET LOCAL picket.organization = '{}'", log.organization.uuid());
            let refused = client.batch_execute(&format!("BEGIN; {scope}; {sql}")).await.unwrap_err();
            client.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(refused.code().unwrap().code(), "42501", "{role}: {sql}");
        }
    }
    // The owner, too, unless triggers are switched off on purpose.
    for sql in &statements[..3] {
        assert_eq!(client.batch_execute(sql).await.unwrap_err().code().unwrap().code(), "42501", "{sql}");
    }
    assert_eq!(log.broken().await, None);
}

#[tokio::test]
async fn a_tenant_sees_and_extends_its_own_chain_alone() {
    let log = Log::of(3).await;
    let stranger = seed::organization(&log.database, Subscription::Trial).await;
    let organization = log.organization;
    let refused = log.db.run("test", stranger, async |tx| audit::record(tx, organization, &entry("x")).await).await;
    assert!(refused.is_err());
    let seen = log.db.run("test", stranger, async |tx| read::rows(tx, organization, 0, 100, 100).await).await.unwrap();
    assert_eq!(seen, []);
    let head = log.db.run("test", stranger, async |tx| read::head(tx, organization).await).await.unwrap();
    assert_eq!(head, None);
}

#[tokio::test]
async fn every_filter_narrows_the_list() {
    let log = Log::of(2).await;
    let mut other = entry("3");
    other.actor = "usr_1".to_owned();
    other.action = AuditAction::ScanStopped;
    other.address = None;
    other.at = "2026-01-16T00:00:00Z".parse().unwrap();
    log.record(&other).await.unwrap();
    let none = AuditFilter::default();
    let text = |text: &str| Some(text.to_owned());
    let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    assert_eq!(log.list(none.clone()).await, [3, 2, 1]);
    assert_eq!(log.list(AuditFilter { before: Some(3), ..none.clone() }).await, [2, 1]);
    assert_eq!(log.list(AuditFilter { actor: text("usr_1"), ..none.clone() }).await, [3]);
    assert_eq!(log.list(AuditFilter { action: text("scan.created"), ..none.clone() }).await, [2, 1]);
    assert_eq!(log.list(AuditFilter { object: text("2"), ..none.clone() }).await, [2]);
    assert_eq!(log.list(AuditFilter { address: text("192.0.2.1"), ..none.clone() }).await, [2, 1]);
    assert_eq!(log.list(AuditFilter { from: time("2026-01-16T00:00:00Z"), ..none.clone() }).await, [3]);
    assert_eq!(log.list(AuditFilter { to: time("2026-01-16T00:00:00Z"), ..none.clone() }).await, [2, 1]);
    assert_eq!(log.list(AuditFilter { actor: text("usr_1"), object: text("1"), ..none }).await, [0_i64; 0]);
}
