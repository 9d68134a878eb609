//! Hours in which an organization wants nothing scanned. They are kept as they were read; whether one is open is asked of
//! the domain, by the clocks of its place. Admission asks before it chooses.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{OrganizationId, Pool, TargetPattern, WeeklyHours};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// How far back it is looked whether a window was open.
const LONGEST_LOOK: SignedDuration = SignedDuration::from_hours(24);

statements! {
    LIST = "-- windows.list
SELECT organization_id, name, days, begins, ends, time_zone, tag, pattern, pauses
FROM blackout_windows
WHERE organization_id = picket_organization()
ORDER BY position";

    // Of the organizations that have something to admit.
    WAITED_FOR = "-- windows.waited_for
SELECT organization_id, name, days, begins, ends, time_zone, tag, pattern, network::text AS network, pauses
FROM blackout_windows AS w
WHERE EXISTS (
  SELECT FROM tasks AS t WHERE t.organization_id = w.organization_id AND t.state = 'ready' AND t.pool = $1
)";

    // The same of those that wait for a worker, or run and may be paused.
    ADMITTED = "-- windows.admitted
SELECT organization_id, name, days, begins, ends, time_zone, tag, pattern, network::text AS network, pauses
FROM blackout_windows AS w
WHERE EXISTS (
  SELECT FROM tasks AS t
  WHERE t.organization_id = w.organization_id AND t.state IN ('queued', 'running') AND (w.pauses OR t.state = 'queued')
)";

    // The same of those that wait for admission to any pool.
    READY = "-- windows.ready
SELECT organization_id, name, days, begins, ends, time_zone, tag, pattern, network::text AS network, pauses
FROM blackout_windows AS w
WHERE EXISTS (
  SELECT FROM tasks AS t WHERE t.organization_id = w.organization_id AND t.state = 'ready' AND t.pool = ANY($1)
)";

    // As they are stored, of one organization.
    STORED = "-- windows.stored
SELECT organization_id, name, days, begins, ends, time_zone, tag, pattern, network::text AS network, pauses
FROM blackout_windows
WHERE organization_id = $1";

    // By the clock by which tasks wait.
    LAPSED = "-- windows.lapsed
UPDATE organization_counters
SET windows_lapsed_at = now()
WHERE organization_id = $1";

    CLEAR = "-- windows.clear
DELETE FROM blackout_windows
WHERE organization_id = $1";

    ADD = "-- windows.add
INSERT INTO blackout_windows (organization_id, position, name, days, begins, ends, time_zone, tag, pattern, network,
                              pauses)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::inet, $11)";
}

/// Hours in which nothing is scanned, or nothing that has a tag or fits a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlackoutWindow {
    /// What its owner calls it.
    pub name: String,
    /// `mon` to `sun`.
    pub days: Vec<String>,
    /// `HH:MM`.
    pub begins: String,
    /// `HH:MM`; hours that end before they begin go on into the next day.
    pub ends: String,
    /// The zone whose clocks are meant.
    pub time_zone: String,
    /// Targets with this tag alone.
    pub tag: Option<String>,
    /// What fits this pattern alone.
    pub pattern: Option<TargetPattern>,
    /// Whether what runs when it opens is stopped and begins anew at its end; else it is let finish.
    pub pauses: bool,
}

/// What may not be admitted at a moment. Whoever has neither tag nor pattern is closed as a whole. The pattern is what its
/// row holds: a list of suffixes that has changed since must neither open it nor stop the admission of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Whose; `None` for everybody.
    pub(crate) organization_id: Option<OrganizationId>,
    /// Of targets with this tag alone.
    pub(crate) tag: Option<String>,
    /// Of what fits this pattern alone.
    pub(crate) pattern: Option<String>,
    /// The network that the pattern is, if it is one.
    pub(crate) network: Option<String>,
    /// Whether what runs is stopped, too.
    pub(crate) pauses: bool,
}

/// The tenant's windows, in their order.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.windows.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>) -> Result<Vec<BlackoutWindow>, StoreError> {
    let rows = tx.query(LIST, &[]).await?;
    Ok(rows.iter().map(|row| window(&Columns::new("blackout_windows", row))).collect::<Result<_, _>>()?)
}

/// Replaces the tenant's windows by these. Where one was open, what it held has not waited for a worker until now.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.windows.replace", skip_all, err(level = "debug"))]
pub async fn replace(
    tx: &Tx<'_>,
    organization: OrganizationId,
    windows: &[BlackoutWindow],
    now: Timestamp,
) -> Result<(), StoreError> {
    if !are_open(&tx.query(STORED, &[&organization.uuid()]).await?, now)?.is_empty() {
        tx.execute_one(LAPSED, &[&organization.uuid()]).await?;
    }
    tx.execute(CLEAR, &[&organization.uuid()]).await?;
    for (position, window) in (0_i32..).zip(windows) {
        let BlackoutWindow { name, days, begins, ends, time_zone, tag, pattern, pauses } = window;
        let (text, network) = columns(pattern.as_ref());
        let organization = organization.uuid();
        tx.execute_one(
            ADD,
            &[&organization, &position, name, days, begins, ends, time_zone, tag, &text, &network, pauses],
        )
        .await?;
    }
    // What waited for an old window may go.
    tx.notify(crate::Notice::Tasks);
    Ok(())
}

/// The windows that are open at that moment, of organizations with tasks that could be admitted to the pool. One whose hours
/// cannot be read any more (a zone that was renamed) is open until somebody writes it anew, for whom it is alone.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub(crate) async fn open(tx: &Tx<'_>, pool: &str, now: Timestamp) -> Result<Vec<Closed>, StoreError> {
    are_open(&tx.query(WAITED_FOR, &[&pool]).await?, now)
}

/// The same of organizations with tasks that were admitted and are not begun, in any pool, and of those that run under a
/// window that pauses them.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub(crate) async fn open_for_admitted(tx: &Tx<'_>, now: Timestamp) -> Result<Vec<Closed>, StoreError> {
    are_open(&tx.query(ADMITTED, &[]).await?, now)
}

/// The windows that were open at some moment of the time `waited` before `now`, of organizations with tasks that wait for
/// admission. Of more than a day the last one counts.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub(crate) async fn closed_lately(
    tx: &Tx<'_>,
    now: Timestamp,
    waited: SignedDuration,
) -> Result<Vec<Closed>, StoreError> {
    let pools = Pool::ALL.map(Pool::name);
    let rows = tx.query(READY, &[&pools.as_slice()]).await?;
    let since = now.saturating_sub(waited.min(LONGEST_LOOK)).unwrap_or(now);
    closed(&rows, |hours| moments(since, now).any(|moment| hours.cover(moment)))
}

/// Every minute of that time, and both of its ends: windows begin and end with a minute.
fn moments(since: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    let next = |at: &Timestamp| at.checked_add(SignedDuration::from_mins(1)).ok();
    std::iter::successors(Some(since), next).take_while(move |at| *at < until).chain([until])
}

fn are_open(rows: &[Row], now: Timestamp) -> Result<Vec<Closed>, StoreError> {
    closed(rows, |hours| hours.cover(now))
}

fn closed(rows: &[Row], is_so: impl Fn(&WeeklyHours) -> bool) -> Result<Vec<Closed>, StoreError> {
    let mut open = Vec::new();
    for row in rows {
        let of = Columns::new("blackout_windows", row);
        let organization = OrganizationId::from_uuid(of.get::<Uuid>("organization_id")?);
        let days: Vec<String> = of.get("days")?;
        let hours = WeeklyHours::parse(&days, of.get("begins")?, of.get("ends")?, of.get("time_zone")?);
        let is_open = hours.as_ref().map_or(true, &is_so);
        if let Err(error) = hours {
            let error = error.to_string();
            tracing::warn!(tenant.id = %organization, error, "the hours of a blackout window cannot be read, it stays open");
            metrics::counter!("picket_unreadable_rows_total", "table" => "blackout_windows").increment(1);
        }
        if is_open {
            let organization_id = Some(organization);
            open.push(Closed {
                organization_id,
                tag: of.get("tag")?,
                pattern: of.get("pattern")?,
                network: of.get("network")?,
                pauses: of.get("pauses")?,
            });
        }
    }
    Ok(open)
}

/// A pattern as two columns hold it.
pub(crate) fn columns(pattern: Option<&TargetPattern>) -> (Option<String>, Option<String>) {
    let text = pattern.map(|pattern| pattern.text().to_owned());
    (text, pattern.and_then(TargetPattern::network).map(|network| network.to_string()))
}

/// The pattern of a row.
pub(crate) fn pattern(columns: &Columns<'_>) -> Result<Option<TargetPattern>, Inconsistent> {
    columns.named_or_null("pattern", |text| TargetPattern::parse(text).ok())
}

fn window(columns: &Columns<'_>) -> Result<BlackoutWindow, Inconsistent> {
    Ok(BlackoutWindow {
        name: columns.get("name")?,
        days: columns.get("days")?,
        begins: columns.get("begins")?,
        ends: columns.get("ends")?,
        time_zone: columns.get("time_zone")?,
        tag: columns.get("tag")?,
        pattern: pattern(columns)?,
        pauses: columns.get("pauses")?,
    })
}
