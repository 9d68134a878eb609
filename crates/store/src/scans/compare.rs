//! What became of the findings between two scans of one organization; without a base, everything is new. Reads only; the
//! judgement is a function of the database (`V2__scans.sql`), so that only a page of it leaves the database.

use picket_domain::{FindingId, ScanId};
use tokio_postgres::Row;

use super::read::{ScanRecord, SightedFinding, finding};
use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    COUNT = "-- scans.compare.count
SELECT outcome, count(*) AS found
FROM picket_scan_comparison($1, $2)
GROUP BY outcome";

    // Ids are made in the order of time. What another scan did not look at is no base: everything else would be new beside it.
    PREVIOUS = "-- scans.compare.previous
SELECT id
FROM scans
WHERE organization_id = picket_organization() AND target = $2 AND id < $1 AND state IN ('completed', 'cancelled')
  AND NOT is_partial
ORDER BY id DESC
LIMIT 1";

    // Without what it saw: that belongs to one scan, and this is about two.
    LIST = "-- scans.compare.list
SELECT f.id, f.rule, f.title, f.cve, f.host, f.port, f.protocol, f.url, '' AS description, '' AS remediation, c.severity,
       f.cvss, f.confidence, f.cwe, f.refs, '' AS evidence, ARRAY[]::text[] AS sources, c.outcome
FROM picket_scan_comparison($1, $2) AS c
JOIN findings AS f ON f.id = c.finding_id
WHERE ($3::text IS NULL OR c.outcome = $3) AND ($4::uuid IS NULL OR f.id > $4)
ORDER BY f.id
LIMIT $5";
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What became of a finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Outcome {
            $($(#[$doc])* $variant,)*
        }

        impl Outcome {
            /// Every outcome.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire and in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The outcome of that name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|outcome| outcome.name() == name)
            }
        }
    };
}

outcomes! {
    /// The base did not have it, and nothing says that it was there before.
    New = "new";
    /// The base had it; the later scan looked in full and does not.
    Fixed = "fixed";
    /// Both have it.
    Unchanged = "unchanged";
    /// A scan before the base had it, the base looked in full and did not, and now it is back.
    Reopened = "reopened";
    /// The base had it; the later scan did not look there in the same way, or not to the end.
    NotExamined = "not_examined";
}

/// Which part of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// This outcome alone.
    pub outcome: Option<Outcome>,
    /// Behind this finding.
    pub behind: Option<FindingId>,
    /// At most so many.
    pub limit: i64,
}

/// The last scan of the same target that was asked for before `later` and left something.
///
/// # Errors
/// When the database refuses.
pub async fn previous(tx: &Tx<'_>, later: &ScanRecord) -> Result<Option<ScanId>, StoreError> {
    let row = tx.query_opt(PREVIOUS, &[&later.scan.id.uuid(), &later.target]).await?;
    Ok(row.as_ref().map(|row| Columns::new("scans", row).get("id").map(ScanId::from_uuid)).transpose()?)
}

/// How many findings came to each outcome; one without findings is missing.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn counts(tx: &Tx<'_>, base: Option<ScanId>, later: ScanId) -> Result<Vec<(Outcome, u64)>, StoreError> {
    let count = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("findings", row);
        let found: i64 = columns.get("found")?;
        Ok((columns.named("outcome", Outcome::find)?, u64::try_from(found).unwrap_or_default()))
    };
    let rows = tx.query(COUNT, &[&base.map(ScanId::uuid), &later.uuid()]).await?;
    Ok(rows.iter().map(count).collect::<Result<_, _>>()?)
}

/// Findings of either scan by their ids, each with what became of it; without description and evidence.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(
    tx: &Tx<'_>,
    base: Option<ScanId>,
    later: ScanId,
    slice: Slice,
) -> Result<Vec<(Outcome, SightedFinding)>, StoreError> {
    let (outcome, behind) = (slice.outcome.map(Outcome::name), slice.behind.map(FindingId::uuid));
    let rows = tx.query(LIST, &[&base.map(ScanId::uuid), &later.uuid(), &outcome, &behind, &slice.limit]).await?;
    let read = |row: &Row| Ok((Columns::new("findings", row).named("outcome", Outcome::find)?, finding(row)?));
    Ok(rows.iter().map(read).collect::<Result<_, Inconsistent>>()?)
}
