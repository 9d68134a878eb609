//! Given-up tasks of scans that have ended: each such scan is repeated as far as they go, judged, resolved and planned anew,
//! as `rerun` of what failed does. Must never open a scan that has ended, nor repeat what its owner stopped.

use std::{collections::HashSet, net::IpAddr};

use jiff::{SignedDuration, Timestamp};
use picket_domain::{NewScan, OrganizationId, Pool, ScanId, Shard, TaskId};
use picket_planner::{Asker, Earlier, LeftOver, what_is_missing};
use picket_scanners::DISCOVERY;
use picket_store::{
    Tx,
    platform::repeat::{self, Lost, Repetition},
    scans::{
        grow::{self, Relies},
        read::{self, ScanRecord},
    },
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{App, Problem, RequestContext};

/// Scans of one replay: each is planned, which may ask name servers.
const MOST_SCANS: u8 = 100;
/// How long one replay goes on to the next scan: whoever asked waits, and may ask again.
const LONGEST: SignedDuration = SignedDuration::from_secs(20);
/// Who asks for what an operator repeats, in the words of the audit log.
const OPERATOR: &str = "operator";

/// A scan that repeats what was given up of another one.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) struct RepeatedView {
    /// The scan that has ended.
    #[schema(value_type = String)]
    scan_id: ScanId,
    /// The scan that does what was given up.
    #[schema(value_type = String)]
    repeated_as: ScanId,
    /// Tasks of the first that it repeats.
    pub(super) tasks: usize,
}

/// A scan that could not be repeated now.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) struct RefusedView {
    #[schema(value_type = String)]
    scan_id: ScanId,
    /// The code of the problem that its owner would meet.
    #[schema(example = "target_not_authorized")]
    code: &'static str,
}

/// Scans that have ended, with what is left to repeat of them: the first of them, or those behind one.
pub(super) async fn ended(
    app: &App,
    (pool, since): (Pool, Timestamp),
    behind: Option<ScanId>,
) -> Result<Vec<(OrganizationId, ScanId)>, Problem> {
    let find = async |tx: &Tx<'_>| {
        Ok::<_, Problem>(repeat::ended_scans(tx, pool, since, behind, i64::from(MOST_SCANS)).await?)
    };
    app.db.operate("find_given_up_of_ended", find).await
}

/// Repeats what was given up of each of them, each in a transaction of its own. One that is refused keeps no other one waiting:
/// as long as few are repeated and there is time, those behind them are looked at.
pub(super) async fn repeat_all(
    app: &App,
    context: &RequestContext,
    (pool, since): (Pool, Timestamp),
    mut ended: Vec<(OrganizationId, ScanId)>,
) -> Result<(Vec<RepeatedView>, Vec<RefusedView>), Problem> {
    let (mut repeated, mut refused) = (Vec::new(), Vec::new());
    let until = app.clock.now().saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
    while let Some((_, last)) = ended.last().copied() {
        for (organization, scan) in ended {
            if repeated.len() >= usize::from(MOST_SCANS) || app.clock.now() > until {
                return Ok((repeated, refused));
            }
            match repeat_one(app, context, (organization, scan), (pool, since)).await {
                Ok(one) => repeated.extend(one),
                Err(problem) => {
                    tracing::warn!(scan.id = %scan, error = picket_domain::cause(&problem), "a scan was not repeated");
                    refused.push(RefusedView { scan_id: scan, code: problem.code().name() });
                }
            }
        }
        ended = self::ended(app, (pool, since), Some(last)).await?;
    }
    Ok((repeated, refused))
}

/// The scan that repeats what was given up; nothing when somebody else was first, or took the scan away.
async fn repeat_one(
    app: &App,
    context: &RequestContext,
    (organization, scan): (OrganizationId, ScanId),
    (pool, since): (Pool, Timestamp),
) -> Result<Option<RepeatedView>, Problem> {
    let load = async |tx: &Tx<'_>| {
        let (record, relies) = (read::find(tx, scan).await?, grow::relies(tx, scan).await?);
        Ok::<_, Problem>((record.zip(relies), repeat::lost(tx, scan, pool, since).await?))
    };
    let (Some((record, relies)), lost) = app.db.read("find_scan_to_repeat", organization, load).await? else {
        return Ok(None);
    };
    let Relies { subscription, requested_by, authority: _ } = relies;
    let (now, grounds) = app.grounds_seen(organization, OPERATOR, &record.target).await?;
    let traceparent = Some(context.traceparent());
    // For whoever asked for the scan, under what holds for that organization now.
    let asker = Asker { organization_id: organization, subscription, requested_by, grounds, traceparent, now };
    let planned = app.planner.plan_again(&asker, earlier(&record)).await?;
    let new = of_lost(planned, &record.target, &lost, now);
    if new.task_count() == 0 {
        return Err(Problem::NotFound("task"));
    }
    let tasks: Vec<TaskId> = lost.iter().map(|one| one.id).collect();
    let repetition = Repetition { base: scan, tasks: &tasks, pool, new: &new };
    let store = async |tx: &Tx<'_>| Ok::<_, Problem>(repeat::repeat(tx, repetition, now).await?);
    let is_stored = app.db.run("repeat_given_up", organization, store).await?;
    Ok(is_stored.then_some(RepeatedView { scan_id: scan, repeated_as: new.id, tasks: tasks.len() }))
}

fn earlier(record: &ScanRecord) -> Earlier<'_> {
    let ScanRecord { target, dialect, plan, tool, request, notify, .. } = record;
    Earlier { target, dialect: *dialect, plan: *plan, tool: tool.as_deref(), request, notify }
}

/// The plan with those tasks alone. Of a name that was found below the target, the search that found it is done again.
fn of_lost(planned: NewScan, target: &str, lost: &[Lost], now: Timestamp) -> NewScan {
    let is_search = lost.iter().any(|one| one.task.shard.target != target);
    // A wide network is a great many addresses on both sides.
    let wanted: HashSet<(&str, String, &str, IpAddr)> = lost
        .iter()
        .flat_map(|one| {
            let (task, params) = (&one.task, one.task.params.to_string());
            let of = move |address: &IpAddr| (task.tool.as_str(), params.clone(), task.shard.target.as_str(), *address);
            task.shard.addresses.iter().map(of)
        })
        .collect();
    let is_examined = |tool: &str, params: &Value, shard: &Shard| {
        let params = params.to_string();
        let is_wanted = |address: &IpAddr| wanted.contains(&(tool, params.clone(), shard.target.as_str(), *address));
        !(shard.addresses.iter().any(is_wanted) || is_search && tool == DISCOVERY.slug())
    };
    let left_over: Vec<LeftOver> = lost
        .iter()
        .map(|one| one.task.clone())
        .map(|task| LeftOver {
            tool: task.tool,
            params: task.params,
            target: task.shard.target,
            addresses: task.shard.addresses,
            opens: task.opens,
        })
        .collect();
    what_is_missing(planned, is_examined, &left_over, now)
}
