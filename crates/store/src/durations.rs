//! How long runs of each tool take: medians that are measured now and then, so that a request reads a few rows. Over all
//! organizations. Where one has made nearly all runs of a tool, its median is mostly that one's.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// The newest complete runs of a tool that its median is made of.
const RUNS: i64 = 200;
/// Fewer say nothing.
const FEWEST: i64 = 20;

statements! {
    // The two moments are of two clocks; a run that seems to end before it began is none to learn from.
    MEASURE = "-- durations.measure
INSERT INTO tool_durations AS known (tool, runs, median_ms, measured_at)
SELECT t.tool, count(*), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY r.ms))::bigint, $2
FROM unnest($1::text[]) AS t (tool)
CROSS JOIN LATERAL (
  SELECT extract(epoch FROM ended_at - started_at)::float8 * 1000 AS ms
  FROM tasks
  WHERE tool = t.tool AND state = 'done' AND gap IS NULL AND ended_at >= started_at AND pool <> 'import'
  ORDER BY ended_at DESC
  LIMIT $3
) AS r
GROUP BY t.tool
HAVING count(*) >= $4
ON CONFLICT (tool) DO UPDATE
SET runs = excluded.runs, median_ms = excluded.median_ms, measured_at = excluded.measured_at";

    ALL = "-- durations.all
SELECT tool, median_ms
FROM tool_durations";
}

/// Measures the newest runs of these tools; a tool with too few of them stays as it was. Returns how many were measured.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.durations.measure", skip_all, err(level = "debug"))]
pub async fn measure(tx: &Tx<'_>, tools: &[&str], now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(MEASURE, &[&tools, &now, &RUNS, &FEWEST]).await
}

/// The median of each tool that was measured.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn all(tx: &Tx<'_>) -> Result<Vec<(String, Duration)>, StoreError> {
    let read = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("tool_durations", row);
        let median: i64 = columns.get("median_ms")?;
        Ok((columns.get("tool")?, Duration::from_millis(u64::try_from(median).unwrap_or_default())))
    };
    Ok(tx.query(ALL, &[]).await?.iter().map(read).collect::<Result<_, _>>()?)
}
