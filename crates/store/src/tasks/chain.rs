//! What a scan and the scans that it repeats in part have looked at, taken together: where several of them have a task for the
//! same, the latest says how it stands. Reads only; nothing here locks.
//!
//! A name that was found below the target is another thing than the target, though they share an address. What it was left
//! without is looked at again by the search that found it, never as if it were the target's.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use picket_domain::{ScanId, Shard};
use serde_json::Value;
use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// Repetitions of repetitions that are followed. Of an older scan nothing is known, so that what it alone looked at counts as
/// not looked at: the first stage of the plan is done again there, and what grows from it.
const LONGEST: i32 = 16;

statements! {
    // One row for each task, however often it was repeated: the latest scan's, and within a scan one that is complete. A scan
    // that repeats another one as a whole stands for itself.
    TASKS = "-- tasks.chain.tasks
WITH RECURSIVE chain AS (
  SELECT s.id, s.rerun_of, s.is_partial, s.target, 0 AS place
  FROM scans AS s
  WHERE s.id = $1
  UNION ALL
  SELECT s.id, s.rerun_of, s.is_partial, s.target, c.place + 1
  FROM chain AS c
  JOIN scans AS s ON s.id = c.rerun_of
  WHERE c.is_partial AND c.place < $2
)
SELECT DISTINCT ON (t.tool, t.params, t.shard)
       c.place, c.is_partial OR t.grown_from IS NOT NULL AS is_own, t.shard ->> 'target' <> c.target AS is_found,
       t.tool, t.params, t.shard, t.opens, t.state = 'done' AND t.gap IS NULL AS is_complete
FROM chain AS c
JOIN tasks AS t ON t.scan_id = c.id
ORDER BY t.tool, t.params, t.shard, c.place, (t.state = 'done' AND t.gap IS NULL) DESC, t.id";
}

/// (tool, parameters, target, address).
type Look = (String, String, String, IpAddr);

/// What was looked at in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined(HashSet<Look>);

impl Examined {
    /// Whether every address of the shard was looked at in full by that tool with these canonical parameters, for the shard's
    /// target.
    #[must_use]
    pub fn covers(&self, tool: &str, params: &Value, shard: &Shard) -> bool {
        let params = params.to_string();
        let look = |address: &IpAddr| (tool.to_owned(), params.clone(), shard.target.clone(), *address);
        shard.addresses.iter().all(|address| self.0.contains(&look(address)))
    }
}

/// A task that a new plan does not have by itself and that did not look at everything: one that grew from another one's result,
/// or one of a scan that repeated a part. It is of the scan's own target.
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

impl Unexamined {
    /// The columns of a task.
    pub(crate) fn of(columns: &Columns<'_>) -> Result<Self, Inconsistent> {
        Ok(Self {
            tool: columns.get("tool")?,
            params: columns.json("params")?,
            shard: columns.json("shard")?,
            opens: columns.get("opens")?,
        })
    }
}

/// How a scan stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// What was looked at in full.
    pub examined: Examined,
    /// What was not, beside what a new plan has by itself.
    pub unexamined: Vec<Unexamined>,
}

/// How a scan stands, with the scans that it repeats in part. `search` is the slug of the tool that finds names below a target:
/// it counts as not having looked while a name that it found was not looked at in full.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.tasks.standing", skip_all, fields(scan.id = %scan), err(level = "debug"))]
pub async fn standing(tx: &Tx<'_>, scan: ScanId, search: &str) -> Result<Standing, StoreError> {
    let rows = tx.query(TASKS, &[&scan.uuid(), &LONGEST]).await?;
    let mut words = rows.into_iter().map(|row| Word::of(&row)).collect::<Result<Vec<_>, _>>()?;
    words.sort_by_key(|word| (word.place, !word.is_complete));
    let searched = words.iter().find(|word| word.is_complete && !word.is_found && word.task.tool == search);
    if let Some(searched) = searched.map(|word| word.place) {
        // A later search has found the names anew, and some no more.
        words.retain(|word| !word.is_found || word.place <= searched);
    }
    let (mut known, mut standing, mut is_name_left) = (HashMap::new(), Standing::default(), false);
    for word in words {
        is_name_left |= add(&mut standing, &mut known, word);
    }
    if is_name_left {
        standing.examined.0.retain(|(tool, ..)| tool != search);
    }
    Ok(standing)
}

/// What is said of one task.
struct Word {
    /// Of which scan: 0 is the latest.
    place: i32,
    /// Whether a new plan does not have it by itself.
    is_own: bool,
    /// Whether it is of a name that was found.
    is_found: bool,
    is_complete: bool,
    task: Unexamined,
}

impl Word {
    fn of(row: &Row) -> Result<Self, Inconsistent> {
        let columns = Columns::new("tasks", row);
        Ok(Self {
            place: columns.get("place")?,
            is_own: columns.get("is_own")?,
            is_found: columns.get("is_found")?,
            is_complete: columns.get("is_complete")?,
            task: Unexamined::of(&columns)?,
        })
    }
}

/// Adds the latest scan's words first, and of one scan those that are complete; `known` is of which scan the word about each
/// look is. Whether a name that was found was not looked at in full.
fn add(standing: &mut Standing, known: &mut HashMap<Look, i32>, word: Word) -> bool {
    let Word { place, is_own, is_found, is_complete, mut task } = word;
    let (params, examined) = (task.params.to_string(), &mut standing.examined.0);
    task.shard.addresses.retain(|address| {
        let look = (task.tool.clone(), params.clone(), task.shard.target.clone(), *address);
        let is_said = *known.entry(look.clone()).or_insert(place) == place && !examined.contains(&look);
        if is_said && is_complete {
            examined.insert(look);
        }
        is_said
    });
    let is_left = !is_complete && !task.shard.addresses.is_empty();
    if is_left && is_own && !is_found {
        standing.unexamined.push(task);
    }
    is_left && is_found
}
