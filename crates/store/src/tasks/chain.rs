//! What a scan and the scans that it repeats in part have looked at, taken together: where several of them have a task for the
//! same, the latest says how it stands. Reads only; nothing here locks.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use picket_domain::{ScanId, Shard};
use serde_json::Value;
use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// Repetitions of repetitions that are followed; of an older one nothing is known.
const LONGEST: i32 = 100;

statements! {
    // The latest scan first. A scan that repeats another one as a whole stands for itself.
    TASKS = "-- tasks.chain.tasks
WITH RECURSIVE chain AS (
  SELECT s.id, s.rerun_of, s.is_partial, 0 AS place
  FROM scans AS s
  WHERE s.id = $1
  UNION ALL
  SELECT s.id, s.rerun_of, s.is_partial, c.place + 1
  FROM chain AS c
  JOIN scans AS s ON s.id = c.rerun_of
  WHERE c.is_partial AND c.place < $2
)
SELECT c.place, c.is_partial OR t.grown_from IS NOT NULL AS is_own, t.tool, t.params, t.shard, t.opens,
       t.state = 'done' AND t.gap IS NULL AS is_complete
FROM chain AS c
JOIN tasks AS t ON t.scan_id = c.id
ORDER BY c.place, t.id";
}

/// (tool, parameters, address).
type Look = (String, String, IpAddr);

/// What was looked at in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined(HashSet<Look>);

impl Examined {
    /// Whether every address of the shard was looked at in full by that tool with these canonical parameters.
    #[must_use]
    pub fn covers(&self, tool: &str, params: &Value, shard: &Shard) -> bool {
        let params = params.to_string();
        shard.addresses.iter().all(|address| self.0.contains(&(tool.to_owned(), params.clone(), *address)))
    }
}

/// A task that a new plan does not have by itself and that did not look at everything: one that grew from another one's result,
/// or one of a scan that repeated a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Unexamined {
    /// The tool's slug.
    pub tool: String,
    /// Canonical parameters.
    pub params: Value,
    /// What it should have examined.
    pub shard: Shard,
    /// What is planned from its result.
    pub opens: Vec<String>,
}

/// How a scan stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// What was looked at in full.
    pub examined: Examined,
    /// What was not, beside what a new plan has by itself.
    pub unexamined: Vec<Unexamined>,
}

/// How a scan stands, with the scans that it repeats in part.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.standing", skip_all, fields(scan.id = %scan), err(level = "debug"))]
pub async fn standing(tx: &Tx<'_>, scan: ScanId) -> Result<Standing, StoreError> {
    let (mut known, mut standing) = (HashMap::new(), Standing::default());
    for row in tx.query(TASKS, &[&scan.uuid(), &LONGEST]).await? {
        add(&mut standing, &mut known, &row)?;
    }
    Ok(standing)
}

/// Adds a task; `known` is of which scan the word about each look is. Within one scan a look that was complete once is.
fn add(standing: &mut Standing, known: &mut HashMap<Look, i32>, row: &Row) -> Result<(), Inconsistent> {
    let columns = Columns::new("tasks", row);
    let (place, is_own, is_complete): (i32, bool, bool) =
        (columns.get("place")?, columns.get("is_own")?, columns.get("is_complete")?);
    let (tool, params, mut shard): (String, Value, Shard) =
        (columns.get("tool")?, columns.json("params")?, columns.json("shard")?);
    let text = params.to_string();
    shard.addresses.retain(|address| {
        let look = (tool.clone(), text.clone(), *address);
        let is_said = *known.entry(look.clone()).or_insert(place) == place;
        if is_said && is_complete {
            standing.examined.0.insert(look);
        }
        is_said
    });
    if is_own && !is_complete && !shard.addresses.is_empty() {
        standing.unexamined.push(Unexamined { tool, params, shard, opens: columns.get("opens")? });
    }
    Ok(())
}
