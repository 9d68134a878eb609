//! The findings of an organization over all its scans, worst first and the last seen first among them. Reads only; a page
//! begins behind the last finding of the page before, so that what is found meanwhile moves nothing.

use jiff::Timestamp;
use picket_domain::{FindingId, Fingerprint, ScanId, Severity};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::{
        gate::fingerprint,
        read::{SightedFinding, finding},
    },
    statements::statements,
};

statements! {
    // As in the audit log: the filters that are not asked for must fall out of the plan.
    PLAN = "-- findings.list.plan
SELECT set_config('plan_cache_mode', 'force_custom_plan', true) AS mode";

    // What else is shown of a finding is looked up for the page alone. Neither EXISTS nor IN: behind an OR they become
    // hashes, of everybody's sightings even, beside which no index of findings is used (EXPLAIN ANALYZE, Postgres 15).
    LIST = "-- findings.list
SELECT f.id, f.fingerprint, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, f.description, f.remediation,
       f.severity, f.cvss, f.confidence, f.cwe, f.refs, f.first_scan_id, f.first_seen_at, f.last_scan_id, f.last_seen_at,
       coalesce(s.evidence, '') AS evidence, coalesce(s.sources, '{}') AS sources,
       (SELECT x.target FROM scans AS x WHERE x.id = f.last_scan_id) AS target
FROM (
  SELECT *
  FROM findings AS f
  WHERE f.organization_id = picket_organization() AND f.gravity BETWEEN $1 AND $2
    AND ($3::text IS NULL OR f.cve = $3) AND ($4::text IS NULL OR f.rule = $4) AND ($5::text IS NULL OR f.host = $5)
    AND ($6::text IS NULL OR f.last_scan_id = ANY(ARRAY(
      SELECT t.id FROM scans AS t WHERE t.organization_id = picket_organization() AND t.target = $6)))
    AND ($7::text IS NULL OR $7 = ANY(coalesce((
      SELECT g.sources FROM sightings AS g WHERE g.scan_id = f.last_scan_id AND g.finding_id = f.id), '{}')))
    AND ($8::uuid IS NULL OR f.id = ANY(ARRAY(SELECT g.finding_id FROM sightings AS g WHERE g.scan_id = $8)))
    AND ($9::integer IS NULL OR (f.gravity, f.last_seen_at, f.id) < ($9, $10::timestamptz, $11::uuid))
  ORDER BY f.gravity DESC, f.last_seen_at DESC, f.id DESC
  LIMIT $12
) AS f
LEFT JOIN sightings AS s ON s.scan_id = f.last_scan_id AND s.finding_id = f.id
ORDER BY f.gravity DESC, f.last_seen_at DESC, f.id DESC";
}

/// Which findings; what is `None` does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FindingFilter {
    /// No worse than this.
    pub worst: Option<Severity>,
    /// At least as bad as this.
    pub least: Option<Severity>,
    /// Of this CVE.
    pub cve: Option<String>,
    /// Of this rule.
    pub rule: Option<String>,
    /// At this address or host name.
    pub host: Option<String>,
    /// Last seen by a scan of this target.
    pub target: Option<String>,
    /// Seen by this tool in the scan that saw it last.
    pub tool: Option<String>,
    /// Seen in this scan.
    pub scan: Option<ScanId>,
    /// Behind this place.
    pub behind: Option<FindingPlace>,
}

/// Where a finding stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingPlace {
    /// How bad it is.
    pub severity: Severity,
    /// When it was seen last; of the precision that the database keeps, a microsecond.
    pub last_seen_at: Timestamp,
    /// Which one it is.
    pub id: FindingId,
}

/// A finding as its organization knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedFinding {
    /// With the evidence and the tools of the scan that saw it last.
    pub finding: SightedFinding,
    /// Under which it is known across scans.
    pub fingerprint: Fingerprint,
    /// The target of the scan that saw it last.
    pub target: Option<String>,
    /// The scan that saw it first; it may be deleted by now.
    pub first_scan_id: ScanId,
    /// When that was.
    pub first_seen_at: Timestamp,
    /// The scan that saw it last.
    pub last_scan_id: ScanId,
    /// When that was.
    pub last_seen_at: Timestamp,
}

impl ListedFinding {
    /// Where it stands in the list.
    #[must_use]
    pub const fn place(&self) -> FindingPlace {
        FindingPlace { severity: self.finding.severity, last_seen_at: self.last_seen_at, id: self.finding.id }
    }
}

/// The column `gravity` of a severity.
fn gravity(severity: Severity) -> i32 {
    match severity {
        Severity::Unknown => 1,
        Severity::Info => 2,
        Severity::Low => 3,
        Severity::Medium => 4,
        Severity::High => 5,
        Severity::Critical => 6,
    }
}

/// At most `limit` findings of the tenant.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.findings.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, filter: &FindingFilter, limit: i64) -> Result<Vec<ListedFinding>, StoreError> {
    tx.execute(PLAN, &[]).await?;
    let FindingFilter { worst, least, cve, rule, host, target, tool, scan, behind } = filter;
    let least = gravity(least.unwrap_or(Severity::Unknown));
    let worst = gravity(worst.unwrap_or(Severity::Critical));
    let scan = scan.map(ScanId::uuid);
    let place = (
        behind.map(|place| gravity(place.severity)),
        behind.map(|place| place.last_seen_at),
        behind.map(|place| place.id.uuid()),
    );
    let rows = tx
        .query(LIST, &[&least, &worst, cve, rule, host, target, tool, &scan, &place.0, &place.1, &place.2, &limit])
        .await?;
    Ok(rows.iter().map(listed).collect::<Result<_, _>>()?)
}

fn listed(row: &Row) -> Result<ListedFinding, Inconsistent> {
    let columns = Columns::new("findings", row);
    Ok(ListedFinding {
        finding: finding(row)?,
        fingerprint: fingerprint(&columns)?,
        target: columns.get("target")?,
        first_scan_id: ScanId::from_uuid(columns.get("first_scan_id")?),
        first_seen_at: columns.get("first_seen_at")?,
        last_scan_id: ScanId::from_uuid(columns.get("last_scan_id")?),
        last_seen_at: columns.get("last_seen_at")?,
    })
}

#[cfg(test)]
mod tests {
    use picket_domain::{OrganizationId, Subscription};
    use picket_testkit::{Database, seed};
    use tokio_postgres::{Client, types::ToSql};

    use super::*;

    /// Rows of two organizations: so many scans, each with so many findings of its own.
    const SCANS: i32 = 100;
    const FINDINGS: i32 = 300;

    const SEED: [&str; 3] = [
        "INSERT INTO scans (id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, requested_by,
                            created_at, started_at, ended_at, state)
         SELECT gen_random_uuid(), o.id, n, 'v1', 'custom', 'host' || n || '.example.com', 'nmap', '{}', '{}', '[]', 'x',
                now(), now(), now(), 'completed'
         FROM organizations AS o, generate_series(1, $1) AS n",
        "INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, ready_at, state,
                            attempt, ended_at)
         SELECT gen_random_uuid(), organization_id, id, 'nmap', 'net', 'L2', '{}',
                '{\"target\": \"192.0.2.1\", \"addresses\": [\"192.0.2.1\"], \"hosts\": []}', now(), now(), 'done', 1, now()
         FROM scans WHERE $1 > 0",
        "WITH found AS (
           INSERT INTO findings (id, organization_id, fingerprint, rule, cve, host, subject, first_scan_id, first_seen_at,
                                 title, severity, description, remediation, last_scan_id, last_seen_at)
           SELECT gen_random_uuid(), t.organization_id, sha256((t.scan_id::text || n)::bytea), 'rule.' || n,
                  'CVE-2024-' || 1000 + n, '192.0.2.' || n % 250, n::text, t.scan_id, now(), 'x',
                  (ARRAY['critical', 'high', 'medium', 'low', 'info'])[1 + n % 5], '', '', t.scan_id,
                  now() - n * interval '1 minute'
           FROM tasks AS t, generate_series(1, $1) AS n
           RETURNING id, organization_id, last_scan_id, last_seen_at, severity
         )
         INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, seen_at, severity, evidence, sources)
         SELECT f.organization_id, f.last_scan_id, f.id, t.id, 1, f.last_seen_at, f.severity, 'open', ARRAY['nmap']
         FROM found AS f JOIN tasks AS t ON t.scan_id = f.last_scan_id",
    ];

    /// How the page of that filter is found, by the tenant and with its values.
    async fn plan(client: &Client, organization: OrganizationId, filter: &FindingFilter) -> String {
        let tenant =
            format!("BEGIN; SET LOCAL ROLE picket_tenant; SET LOCAL picket.organization = '{}'", organization.uuid());
        client.batch_execute(&tenant).await.unwrap();
        let least = gravity(filter.least.unwrap_or(Severity::Unknown));
        let worst = gravity(filter.worst.unwrap_or(Severity::Critical));
        let (scan, behind) = (filter.scan.map(ScanId::uuid), filter.behind);
        let place = (
            behind.map(|one| gravity(one.severity)),
            behind.map(|one| one.last_seen_at),
            behind.map(|one| one.id.uuid()),
        );
        let FindingFilter { cve, rule, host, target, tool, .. } = filter;
        let values: [&(dyn ToSql + Sync); 12] =
            [&least, &worst, cve, rule, host, target, tool, &scan, &place.0, &place.1, &place.2, &51_i64];
        let sql = format!("EXPLAIN {}", LIST.split_once('\n').unwrap().1);
        let rows = client.query(&sql, &values).await.unwrap();
        client.batch_execute("ROLLBACK").await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn at_many_rows_each_filter_is_served_by_an_index() {
        let database = Database::new().await;
        let organization = seed::organization(&database, Subscription::Enterprise).await;
        seed::organization(&database, Subscription::Enterprise).await;
        let client = database.connect().await;
        for (sql, number) in SEED.iter().zip([SCANS, 1, FINDINGS]) {
            client.execute(*sql, &[&number]).await.unwrap();
        }
        client.batch_execute("ANALYZE").await.unwrap();
        let of_it = "SELECT id FROM scans WHERE organization_id = $1 LIMIT 1";
        let scan = client.query_one(of_it, &[&organization.uuid()]).await.unwrap();
        let scan = ScanId::from_uuid(scan.get(0));
        let text = |text: &str| Some(text.to_owned());
        let none = FindingFilter::default;
        let last_seen_at: Timestamp = "2026-01-15T14:30:00Z".parse().unwrap();
        let behind = FindingPlace { severity: Severity::Low, last_seen_at, id: FindingId::mint(last_seen_at) };
        for (filter, index) in [
            (none(), "findings_worst_first"),
            (
                FindingFilter { worst: Some(Severity::Low), least: Some(Severity::Low), ..none() },
                "findings_worst_first",
            ),
            (FindingFilter { behind: Some(behind), ..none() }, "findings_worst_first"),
            (FindingFilter { tool: text("nmap"), ..none() }, "findings_worst_first"),
            (FindingFilter { cve: text("CVE-2024-1010"), ..none() }, "findings_by_cve"),
            (FindingFilter { rule: text("rule.10"), ..none() }, "findings_by_rule"),
            (FindingFilter { host: text("192.0.2.10"), ..none() }, "findings_by_host"),
            (FindingFilter { target: text("host7.example.com"), ..none() }, "scans_by_target"),
            (FindingFilter { scan: Some(scan), ..none() }, "sightings_pkey"),
        ] {
            let plan = plan(&client, organization, &filter).await;
            assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{filter:?}\n{plan}");
            if index == "findings_worst_first" {
                // Nothing but the page is read: the index has the order, and a page behind a place begins there.
                let page = &plan[plan.find("Limit").unwrap()..];
                assert!(!page.contains("Sort"), "{filter:?}\n{plan}");
                let conditions = page.split(index).nth(1).unwrap().lines().nth(1).unwrap();
                assert!(filter.behind.is_none() || conditions.contains("ROW("), "{plan}");
                assert!(conditions.contains("gravity >= ") && conditions.contains("organization_id = "), "{plan}");
            }
        }
    }
}
