//! The ends of runs: what was found, what is planned from it, the last lines and the raw output, and the end of the scan with
//! its last task, all in one transaction behind each run's fence. Several runs may share the transaction, also of several
//! tenants; each sees its own tenant's rows alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use picket_domain::{ClaimedTask, Fence, Gap, Growing, Grown, Observation, OutputLine};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::RunRecord;
use crate::{
    Inconsistent, Notice, StoreError, Tx, artifacts::Kept, findings, output::MOST_LINES, row::Columns, scans,
    statements::statements,
};

statements! {
    END = "-- tasks.ends.end
SELECT place, is_told, is_going_on
FROM picket_end_runs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

    // Of the faults suite alone: the fence of whoever has the task now.
    ANY_FENCE = "-- tasks.ends.any_fence
SELECT attempt FROM tasks WHERE id = $1";
}

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work.
    Done,
    /// It left no result, and is not tried again.
    Failed,
}

/// The end of one run.
#[derive(Debug, Clone)]
pub struct RunEnd<'a> {
    /// The task, as it was claimed.
    pub task: &'a ClaimedTask,
    /// What it comes to.
    pub outcome: Outcome,
    /// For the record.
    pub run: &'a RunRecord,
    /// What was found; nothing where it failed.
    pub observations: &'a [Observation],
    /// The last lines of the live output.
    pub lines: Vec<OutputLine>,
    /// The raw output, if there is one.
    pub kept: Option<&'a Kept>,
}

impl<'a> RunEnd<'a> {
    /// An end with nothing beside it.
    #[must_use]
    pub const fn new(task: &'a ClaimedTask, outcome: Outcome, run: &'a RunRecord) -> Self {
        Self { task, outcome, run, observations: &[], lines: Vec::new(), kept: None }
    }

    /// Whether nothing is found in it and nothing planned from it: such an end locks its scan and its task, and nothing else.
    #[must_use]
    pub const fn is_bare(&self) -> bool {
        self.observations.is_empty() && (self.task.opens.is_empty() || matches!(self.outcome, Outcome::Failed))
    }
}

/// A run that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whether its raw output, if there is one, is named by its row.
    pub is_told: bool,
}

/// Stores what a run found and ends its task, and the scan with it when it was the last.
///
/// # Errors
/// [`StoreError::Stale`] when the fence is another attempt's by now: nothing is stored then.
pub async fn complete(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    observations: &[Observation],
    run: &RunRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    let end = RunEnd { observations, ..RunEnd::new(task, Outcome::Done, run) };
    end_run(tx, end, now, |_| Grown::default()).await.map(drop)
}

/// Ends a task without a result, and the scan with it when it was the last.
///
/// # Errors
/// As [`complete`].
pub async fn fail(tx: &Tx<'_>, task: &ClaimedTask, run: &RunRecord, now: Timestamp) -> Result<(), StoreError> {
    end_run(tx, RunEnd::new(task, Outcome::Failed, run), now, |_| Grown::default()).await.map(drop)
}

/// Ends a run in a transaction of its tenant, and stores what is planned from its result behind the scan's lock: the scan does
/// not end in between, a second claim of the task plans nothing, and two tasks that end at once count each other's.
/// `next` is asked for a task alone that opens something.
///
/// # Errors
/// As [`complete`].
#[tracing::instrument(name = "db.tasks.end", skip_all, fields(task.id = %end.task.fence.task_id), err(level = "debug"))]
pub async fn end_run(
    tx: &Tx<'_>,
    end: RunEnd<'_>,
    now: Timestamp,
    next: impl Fn(&Growing) -> Grown,
) -> Result<Ended, StoreError> {
    let ends = [end];
    let [end] = &ends;
    let held = end_all(tx, &ends, now).await?;
    let held = held.first().and_then(Option::as_ref).ok_or(StoreError::Stale { expected: 1, actual: 0 })?;
    follow(tx, end, next, now).await?;
    if !held.is_going_on {
        scans::end_if_over(tx, end.task.scan_id, now).await?;
    }
    Ok(Ended { is_told: held.is_told })
}

/// The same for several runs, also of several tenants, in a transaction that names each ([`crate::Db::run_for_each`]). `None`
/// for one whose fence is another attempt's by now: nothing of it is stored. `next` is told which end it is asked for.
/// Findings are locked per tenant, so of each tenant one end at most may be other than bare ([`RunEnd::is_bare`]).
///
/// # Errors
/// When the database refuses: nothing is stored then.
#[tracing::instrument(name = "db.tasks.end_each", skip_all, fields(runs = ends.len()), err(level = "debug"))]
pub async fn end_each(
    tx: &Tx<'_>,
    ends: &[RunEnd<'_>],
    now: Timestamp,
    next: impl Fn(usize, &Growing) -> Grown,
) -> Result<Vec<Option<Ended>>, StoreError> {
    let held = end_all(tx, ends, now).await?;
    let mut over = BTreeMap::new();
    // Findings of one tenant after the other, in the same order for everybody.
    let mut in_order: Vec<(usize, &RunEnd<'_>)> = ends.iter().enumerate().collect();
    in_order.sort_by_key(|(_, end)| end.task.organization_id);
    for (place, end) in in_order {
        let Some(Some(one)) = held.get(place) else { continue };
        if !end.is_bare() {
            tx.name(end.task.organization_id).await?;
            follow(tx, end, |growing| next(place, growing), now).await?;
        }
        if !one.is_going_on {
            over.insert(end.task.scan_id, end.task.organization_id);
        }
    }
    for (scan, tenant) in over {
        tx.name(tenant).await?;
        scans::end_if_over(tx, scan, now).await?;
    }
    Ok(held.into_iter().map(|one| one.map(|one| Ended { is_told: one.is_told })).collect())
}

/// What comes between the end of a task and the look at its scan: what was found, and what grows.
async fn follow(
    tx: &Tx<'_>,
    end: &RunEnd<'_>,
    next: impl FnOnce(&Growing) -> Grown,
    now: Timestamp,
) -> Result<(), StoreError> {
    findings::record(tx, end.task, end.observations, now).await?;
    if !end.task.opens.is_empty() && matches!(end.outcome, Outcome::Done) {
        scans::grow::grow(tx, end.task, next, now).await?;
    }
    Ok(())
}

/// What the database says of a run that it ended.
struct Held {
    is_told: bool,
    is_going_on: bool,
}

/// Ends those whose fence holds; `None` in the place of each other one.
async fn end_all(tx: &Tx<'_>, ends: &[RunEnd<'_>], now: Timestamp) -> Result<Vec<Option<Held>>, StoreError> {
    let columns = Ends::of(tx, ends).await?;
    let Ends { tenants, scans, tasks, attempts, states, gaps, details, exit_codes, outputs, hashes, said, artifacts } =
        &columns;
    let Artifacts { ids, sizes, digests, cuts, stored, contents } = artifacts;
    let cut = Json(OutputLine::Cut);
    let rows = tx
        .query(
            END,
            &[
                tenants,
                scans,
                tasks,
                attempts,
                states,
                gaps,
                details,
                exit_codes,
                outputs,
                hashes,
                said,
                ids,
                sizes,
                digests,
                cuts,
                stored,
                contents,
                &now,
                &MOST_LINES,
                &cut,
            ],
        )
        .await?;
    tx.notify(Notice::Tasks);
    let held = |row: &Row| -> Result<(i64, Held), Inconsistent> {
        let columns = Columns::new("tasks", row);
        let held = Held { is_told: columns.get("is_told")?, is_going_on: columns.get("is_going_on")? };
        Ok((columns.get("place")?, held))
    };
    let mut by_place: BTreeMap<i64, Held> = rows.iter().map(held).collect::<Result<_, _>>()?;
    Ok((1_i64..).take(ends.len()).map(|place| by_place.remove(&place)).collect())
}

/// Ends, column by column.
#[derive(Default)]
struct Ends<'a> {
    tenants: Vec<Uuid>,
    scans: Vec<Uuid>,
    tasks: Vec<Uuid>,
    attempts: Vec<i32>,
    states: Vec<&'static str>,
    gaps: Vec<Option<&'static str>>,
    details: Vec<Option<&'a str>>,
    exit_codes: Vec<Option<i32>>,
    outputs: Vec<i64>,
    hashes: Vec<Option<&'a str>>,
    said: Vec<Option<Json<&'a [OutputLine]>>>,
    artifacts: Artifacts<'a>,
}

/// Their raw outputs.
#[derive(Default)]
struct Artifacts<'a> {
    ids: Vec<Option<Uuid>>,
    sizes: Vec<Option<i64>>,
    digests: Vec<Option<&'a str>>,
    cuts: Vec<Option<bool>>,
    stored: Vec<Option<i64>>,
    contents: Vec<Option<&'a [u8]>>,
}

impl<'a> Ends<'a> {
    async fn of(tx: &Tx<'_>, ends: &'a [RunEnd<'a>]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for end in ends {
            let Fence { task_id, attempt } = fence_of(tx, end.task).await?;
            all.tenants.push(end.task.organization_id.uuid());
            all.scans.push(end.task.scan_id.uuid());
            all.tasks.push(task_id.uuid());
            all.attempts.push(attempt);
            all.states.push(if matches!(end.outcome, Outcome::Done) { "done" } else { "failed" });
            all.gaps.push(end.run.gap.map(Gap::name));
            all.details.push(end.run.detail.as_deref());
            all.exit_codes.push(end.run.exit_code);
            all.outputs.push(end.run.output_bytes);
            all.hashes.push(end.run.tool_hash.as_deref());
            all.said.push((!end.lines.is_empty()).then_some(Json(end.lines.as_slice())));
            all.artifacts.push(end.kept);
        }
        Ok(all)
    }
}

impl<'a> Artifacts<'a> {
    fn push(&mut self, kept: Option<&'a Kept>) {
        let small = match kept {
            Some(Kept::Small { new, content }) => Some((new, content.as_slice())),
            Some(Kept::Document(_)) | None => None,
        };
        self.ids.push(kept.map(|kept| kept.id().uuid()));
        self.stored.push(kept.and_then(Kept::stored_bytes));
        self.sizes.push(small.map(|(new, _)| new.size_bytes));
        self.digests.push(small.map(|(new, _)| new.sha256.as_str()));
        self.cuts.push(small.map(|(new, _)| new.is_cut));
        self.contents.push(small.map(|(_, content)| content));
    }
}

/// The fence of a claim; in the broken twin of the faults suite, that of whoever has the task now.
async fn fence_of(tx: &Tx<'_>, task: &ClaimedTask) -> Result<Fence, StoreError> {
    if !picket_faults::without("store::fence") {
        return Ok(task.fence);
    }
    tx.name(task.organization_id).await?;
    let row = tx.query_one(ANY_FENCE, &[&task.fence.task_id.uuid()]).await?;
    Ok(Fence { attempt: row.try_get("attempt")?, ..task.fence })
}
