//! A scan once more. Nothing of the first one's plan is taken over but what was asked: the target is judged, resolved and
//! planned anew, so that whatever was forbidden in the meantime stays out.

use std::{collections::HashMap, net::IpAddr};

use jiff::Timestamp;
use picket_domain::{Dialect, LaterTasks, NewScan, NewTask, Plan, ScanLimits, Shard, TaskId};
use picket_scanners::{Asked, ScanSpec};
use serde_json::Value;

use super::{Asker, PlanRefused, Planner, ScanOptions, Wanted};

/// What an earlier scan was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// Its target.
    pub target: &'a str,
    /// Under which version it was asked.
    pub dialect: Dialect,
    /// Its plan.
    pub plan: Plan,
    /// Its tool, when the plan is one tool.
    pub tool: Option<&'a str>,
    /// What was asked, as it was stored.
    pub request: &'a Value,
    /// Ways in which its asker wanted to hear of the end.
    pub notify: &'a [String],
}

impl Planner {
    /// Plans what was asked earlier, as if it were asked now. The limits of its runs are taken over when it is stored.
    ///
    /// # Errors
    /// As for the request itself.
    pub async fn plan_again(&self, asker: &Asker, earlier: Earlier<'_>) -> Result<NewScan, PlanRefused> {
        let Earlier { target, dialect, plan, tool, request, notify } = earlier;
        let wanted = match tool {
            Some(tool) => {
                let limits = ScanLimits::default();
                Wanted::Tool { tool: tool.to_owned(), parameters: Some(request.clone()), limits }
            }
            None => Wanted::Options { plan, options: ScanOptions::from_json(request), limits: ScanLimits::default() },
        };
        self.plan(asker, (target, notify), &wanted, dialect).await
    }
}

/// A task of a later stage that the earlier scan did not look at in full.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOver {
    /// The tool's slug, as it was stored.
    pub tool: String,
    /// Its parameters, as they were stored.
    pub params: Value,
    /// The target that it was planned for.
    pub target: String,
    /// What it should have examined.
    pub addresses: Vec<IpAddr>,
    /// What would have been planned from its result.
    pub opens: Vec<String>,
}

/// The scan with those tasks alone that look at something which was not looked at in full. An address that the target did
/// not have before is such a thing. What is left over of later stages is done again where the target still has the address:
/// with the address and the names that were judged now. What is left over of another target is not: a name that was found
/// below is looked at again by the search that found it. `probes` is an upper bound.
#[must_use]
pub fn what_is_missing(
    planned: NewScan,
    is_examined: impl Fn(&str, &Value, &Shard) -> bool,
    left_over: &[LeftOver],
    now: Timestamp,
) -> NewScan {
    let mut judged: HashMap<IpAddr, &Shard> = HashMap::new();
    for task in &planned.tasks {
        judged.extend(task.shard.addresses.iter().map(|address| (*address, &task.shard)));
    }
    // What a scan that repeats a part left over may be of the first stage: then the plan has it.
    let is_planned = |new: &NewTask| {
        let has = |task: &NewTask, address: &IpAddr| task.shard.addresses.contains(address);
        let same = |task: &&NewTask| {
            task.tool == new.tool && task.params == new.params && task.shard.target == new.shard.target
        };
        let is_later = |later: &LaterTasks, address| {
            (later.tool.as_str(), &later.params, &later.target) == (new.tool, &new.params, &new.shard.target)
                && later.holds(address)
        };
        let is_had = |address: &IpAddr| {
            planned.tasks.iter().filter(same).any(|task| has(task, address))
                || planned.later.iter().any(|later| is_later(later, *address))
        };
        new.shard.addresses.iter().all(is_had)
    };
    let known = Judged { listed: judged, later: &planned.later };
    let again = left_over.iter().flat_map(|one| repeated(one, &known, now));
    let again = again.filter(|new| !is_planned(new)).collect::<Vec<_>>();
    let probes = planned.probes.saturating_add(u64::try_from(again.len()).unwrap_or(u64::MAX));
    let later = planned.later.iter().flat_map(|later| missing_of(later, &is_examined)).collect();
    let is_left = |task: &NewTask| !is_examined(task.tool, &task.params, &task.shard);
    let tasks = planned.tasks.into_iter().filter(is_left).chain(again).collect();
    NewScan { tasks, later, probes, ..planned }
}

/// The parts of a range that were not looked at in full. One task at a time is looked at, and none is kept.
fn missing_of(later: &LaterTasks, is_examined: impl Fn(&str, &Value, &Shard) -> bool) -> Vec<LaterTasks> {
    let (mut missing, mut rest) = (Vec::<LaterTasks>::new(), Some(later.clone()));
    while let Some(range) = rest {
        let (first, behind) = range.split(1);
        rest = behind;
        let Some(first) = first.filter(|one| !one.shards().all(|shard| is_examined(&one.tool, &one.params, &shard)))
        else {
            continue;
        };
        let apart = match missing.last_mut() {
            Some(last) => last.join(first),
            None => Some(first),
        };
        missing.extend(apart);
    }
    missing
}

/// Addresses that were judged now.
struct Judged<'a> {
    listed: HashMap<IpAddr, &'a Shard>,
    later: &'a [LaterTasks],
}

impl Judged<'_> {
    /// The shard of that address alone, where it is one of the target's.
    fn shard(&self, address: IpAddr, of: &str) -> Option<Shard> {
        if let Some(Shard { target, hosts, .. }) = self.listed.get(&address).filter(|shard| shard.target == of) {
            let hosts = hosts.iter().filter(|host| host.address == address).cloned().collect();
            return Some(Shard { target: target.clone(), addresses: vec![address], hosts });
        }
        let is_later = self.later.iter().any(|later| later.target == of && later.holds(address));
        is_later.then(|| Shard { target: of.to_owned(), addresses: vec![address], hosts: Vec::new() })
    }
}

/// The tasks that a left-over one comes to; none when its tool or its parameters are not of the catalogue any more.
fn repeated(one: &LeftOver, judged: &Judged<'_>, now: Timestamp) -> Vec<NewTask> {
    let Ok(spec) = ScanSpec::try_from(Asked { tool: &one.tool, parameters: Some(&one.params) }) else {
        return Vec::new();
    };
    let shards = one.addresses.iter().filter_map(|address| judged.shard(*address, &one.target));
    let task = |shard: Shard| {
        spec.shapes().iter().map(move |shape| (shape.clone(), shard.clone())).map(|(shape, shard)| NewTask {
            id: TaskId::mint(now),
            tool: spec.tool().slug(),
            needs: shape.needs,
            params: shape.params,
            shard,
            opens: one.opens.clone(),
        })
    };
    shards.flat_map(task).collect()
}
