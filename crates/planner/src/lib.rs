//! From what a client asks for to a scan that can be stored: the target is parsed, resolved and judged, the tool's
//! parameters become tasks, and large targets are cut into shards. Decides nothing that `picket-domain` and
//! `picket-scanners` can decide, and must never run inside a transaction, since it asks DNS.
//!
//! The order is fixed: form of the target, its size against the subscription, its addresses, the judgement over every one
//! of them, then the tasks. An address that was not judged here is in no task.
//!
//! Whoever makes scans plans here: the gateway for a request, the steward for what is due. It must never store anything.

mod again;
mod compare;
mod discovery;
mod estimate;
mod grow;
mod options;
mod order;
mod page;
mod proof;
mod refused;
mod rehearsal;
mod scope;
mod shards;
#[cfg(test)]
mod tests;
mod wanted;

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use picket_domain::{
    AllowList, DenyList, Dialect, Gap, Grounds, LaterTasks, Needs, NewScan, NewTask, OrganizationId, Plan, PlanGap,
    ScanId, ScanLimits, Shard, Subscription, Target, TaskId,
};
use picket_outbound::Resolver;
use picket_scanners::{Asked, DISCOVERY, FanOut, ScanSpec, TaskShape, Tool};
use serde_json::Value;

use self::options::{INCLUDE_SUBDOMAIN, Run};
pub use self::{
    again::{Earlier, LeftOver, what_is_missing},
    compare::without,
    discovery::{Names, NotSearched, grow_names},
    estimate::{Durations, Estimate},
    grow::grow,
    options::ScanOptions,
    order::ScanOrder,
    proof::{Looked, NotProven, Prover},
    refused::PlanRefused,
    rehearsal::Rehearsal,
    scope::Scope,
    wanted::{BuiltIn, Wanted},
};

/// Turns requests into scans.
pub struct Planner {
    resolver: Resolver,
    /// Addresses that the operator has set; these names are not asked of DNS.
    pins: BTreeMap<String, IpAddr>,
    allow_list: AllowList,
    /// What is never scanned, whatever allows it.
    deny_list: DenyList,
    /// Whether the simulator is offered beside the catalogue.
    is_simulating: bool,
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The owner of the scan.
    pub organization_id: OrganizationId,
    /// What the owner may have.
    pub subscription: Subscription,
    /// A user's or an API key's id.
    pub requested_by: String,
    /// Why the owner may scan the target, and what never, as of `now`: loaded for the target that is asked for.
    pub grounds: Grounds,
    /// The trace of the request.
    pub traceparent: Option<String>,
    /// The moment of the request.
    pub now: Timestamp,
}

/// A scan with one tool (v1).
#[derive(Debug, Clone, Copy)]
pub struct ToolRequest<'a> {
    /// The target as the client wrote it.
    pub target: &'a str,
    /// The tool's slug as the client wrote it.
    pub tool: &'a str,
    /// The tool's parameters; `None` means its defaults.
    pub parameters: Option<&'a Value>,
    /// Ways in which the asker wants to hear of the end.
    pub notify: &'a [String],
}

impl Planner {
    /// A planner that takes addresses from the operator's `pins`, then from `resolver`, and allows what the operator's
    /// list covers.
    #[must_use]
    pub fn new(pins: &BTreeMap<String, IpAddr>, resolver: Resolver, allow_list: AllowList) -> Self {
        let pins = pins.iter().map(|(name, at)| (name.trim_end_matches('.').to_ascii_lowercase(), *at)).collect();
        Self { resolver, pins, allow_list, deny_list: DenyList::default(), is_simulating: false }
    }

    /// The same, which denies what the operator's other list covers.
    #[must_use]
    pub fn denying(self, deny_list: DenyList) -> Self {
        Self { deny_list, ..self }
    }

    /// Whether the operator denies what a task would look at; a worker asks before it begins.
    #[must_use]
    pub fn denies(&self, shard: &Shard) -> bool {
        self.deny_list.covers_shard(shard)
    }

    /// The same, which offers the simulator where the operator says so.
    #[must_use]
    pub fn simulating(self, is_simulating: bool) -> Self {
        Self { is_simulating, ..self }
    }

    /// What was asked of a tool, checked.
    fn spec(&self, tool: &str, parameters: Option<&Value>) -> Result<ScanSpec, PlanRefused> {
        Ok(ScanSpec::offered(Asked { tool, parameters }, self.is_simulating)?)
    }

    /// Plans a scan with one tool.
    ///
    /// # Errors
    /// When the tool or its parameters are not of the catalogue, or the target may not be scanned.
    pub async fn plan_tool(&self, asker: &Asker, request: ToolRequest<'_>) -> Result<NewScan, PlanRefused> {
        let spec = self.spec(request.tool, request.parameters)?;
        let scope = self.authorize(asker, request.target, spec.is_passive()).await?;
        demand_name(&spec, &scope)?;
        let (tasks, later) = tasks(&spec, &scope, asker.now).ok_or_else(too_many_runs)?;
        Ok(NewScan {
            dialect: Dialect::V1,
            plan: Plan::Custom,
            tool: Some(spec.tool().slug()),
            request: request.parameters.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            notify: request.notify.to_vec(),
            authority: scope.authority.clone().for_tasks(&tasks),
            tasks,
            later,
            probes: probes(spec.shapes(), &scope),
            ..blank(asker, &scope)
        })
    }

    /// Plans a scan by plan and options (v2). What has no tool yet becomes a gap of the plan (`docs/contract.md` §23).
    ///
    /// # Errors
    /// When nothing is asked for, or the target may not be scanned.
    pub async fn plan_options(
        &self,
        asker: &Asker,
        target: &str,
        plan: Plan,
        wanted: ScanOptions,
    ) -> Result<NewScan, PlanRefused> {
        if wanted.is_empty() {
            return Err(wanted::nothing_to_do());
        }
        let scope = self.authorize(asker, target, is_passive(wanted, plan)).await?;
        let whole = Whole::of(wanted, plan, &scope, asker.now);
        Ok(NewScan {
            dialect: Dialect::V2,
            plan,
            tool: None,
            request: wanted.to_json(),
            gaps: whole.gaps(wanted, &scope),
            authority: scope.authority.clone().for_tasks(&whole.tasks),
            tasks: whole.tasks,
            later: whole.later,
            probes: whole.probes,
            ..blank(asker, &scope)
        })
    }
}

/// What the runs of a plan come to.
#[derive(Default)]
struct Whole {
    tasks: Vec<NewTask>,
    later: Vec<LaterTasks>,
    probes: u64,
    /// The options that at least one tool does.
    done: Vec<&'static str>,
    /// The tools that cannot, with their option.
    missing: Vec<(&'static str, &'static str, Gap)>,
}

impl Whole {
    /// The first stage of a plan for one target.
    fn of(wanted: ScanOptions, plan: Plan, scope: &Scope, now: Timestamp) -> Self {
        let mut whole = Self::default();
        let opened = wanted.opened_by_ports(plan);
        for run in wanted.runs(plan) {
            if opened.contains(&run.option) {
                whole.wait(&run);
            } else {
                whole.add(&run, scope, now);
            }
        }
        let tasks = whole.tasks.iter_mut().map(|task| (task.tool, &mut task.opens));
        // A search for names is of a name, which is no network.
        let later = whole.later.iter_mut().map(|later| (later.tool.as_str(), &mut later.opens));
        for (_, opens) in tasks.chain(later).filter(|(tool, _)| *tool != DISCOVERY.slug()) {
            *opens = opened.iter().map(|name| (*name).to_owned()).collect();
        }
        whole
    }

    /// What is planned later, from open ports; only a tool that there is not is known to be missing already.
    fn wait(&mut self, run: &Run) {
        match ScanSpec::try_from(Asked { tool: run.tool, parameters: Some(&run.params) }) {
            Ok(_) => self.done.push(run.option),
            Err(_) if self.missing.contains(&(run.option, run.tool, Gap::ToolUnavailable)) => {}
            Err(_) => self.missing.push((run.option, run.tool, Gap::ToolUnavailable)),
        }
    }

    fn add(&mut self, run: &Run, scope: &Scope, now: Timestamp) {
        // Whether our own parameters fit is a test's to say; here it is the same as having no such tool.
        let spec = ScanSpec::try_from(Asked { tool: run.tool, parameters: Some(&run.params) });
        let made = spec.map_err(|_| Gap::ToolUnavailable).and_then(|spec| {
            demand_name(&spec, scope).map_err(|_| Gap::ToolUnavailable)?;
            let tasks = tasks(&spec, scope, now).ok_or(Gap::LimitExceeded)?;
            Ok((tasks, probes(spec.shapes(), scope)))
        });
        match made {
            Ok(((tasks, later), probes)) => {
                self.tasks.extend(tasks);
                self.later.extend(later);
                self.probes = self.probes.saturating_add(probes);
                self.done.push(run.option);
            }
            Err(gap) if self.missing.contains(&(run.option, run.tool, gap)) => {}
            Err(gap) => self.missing.push((run.option, run.tool, gap)),
        }
    }

    /// What nobody looks at: an option without any of its tools by its own name, else each tool that is missing by its.
    fn gaps(&self, wanted: ScanOptions, scope: &Scope) -> Vec<PlanGap> {
        let gap = |tool: &str, gap| PlanGap { tool: tool.to_owned(), target: scope.target.to_string(), gap };
        let mut gaps = Vec::new();
        for option in wanted.names() {
            let missing = self.missing.iter().filter(|(of, ..)| *of == option);
            if self.done.contains(&option) {
                gaps.extend(missing.map(|(_, tool, why)| gap(tool, *why)));
            } else {
                let why = missing.map(|(.., why)| *why).next().unwrap_or(Gap::ToolUnavailable);
                gaps.push(gap(option, why));
            }
        }
        gaps
    }
}

/// Whether a plan does no more than look: each of its runs. One with a port scan never is, so nothing grows of such a plan.
fn is_passive(wanted: ScanOptions, plan: Plan) -> bool {
    let looks = |run: &Run| {
        let spec = ScanSpec::try_from(Asked { tool: run.tool, parameters: Some(&run.params) });
        spec.is_ok_and(|spec| spec.is_passive())
    };
    wanted.runs(plan).iter().all(looks)
}

/// What every new scan has in common.
fn blank(asker: &Asker, scope: &Scope) -> NewScan {
    NewScan {
        id: ScanId::mint(asker.now),
        organization_id: asker.organization_id,
        dialect: Dialect::V1,
        plan: Plan::Custom,
        target: scope.target.to_string(),
        tool: None,
        request: Value::Null,
        notify: Vec::new(),
        gaps: Vec::new(),
        tasks: Vec::new(),
        later: Vec::new(),
        authority: scope.authority.clone(),
        probes: 0,
        limits: ScanLimits::default(),
        requested_by: asker.requested_by.clone(),
        traceparent: asker.traceparent.clone(),
    }
}

/// The tasks of one tool: those that are made at once, and the rest.
type Tasks = (Vec<NewTask>, Vec<LaterTasks>);

/// One task per shape, part of its ports and shard, of a network the first page of them; none at all when the tool would have
/// to run too often.
fn tasks(spec: &ScanSpec, scope: &Scope, now: Timestamp) -> Option<Tasks> {
    let tool = spec.tool();
    if tool.fan_out() == FanOut::OneEach && scope.count() > shards::MOST_RUNS {
        return None;
    }
    let is_search = tool.slug() == DISCOVERY.slug();
    let opens: Vec<String> = is_search.then(|| INCLUDE_SUBDOMAIN.to_owned()).into_iter().collect();
    let task = |(needs, params, shard): (Needs, Value, Shard)| NewTask {
        id: TaskId::mint(now),
        tool: tool.slug(),
        needs,
        params,
        shard,
        opens: opens.clone(),
    };
    let Some(network) = shards::network(scope) else {
        let cut = |shape: &TaskShape| {
            if is_search { vec![(shape.clone(), shards::whole(scope))] } else { shards::cut(scope, tool, shape) }
        };
        let each = |(part, shard): (TaskShape, Shard)| task((part.needs, part.params, shard));
        return Some((spec.shapes().iter().flat_map(|shape| cut(shape).into_iter().map(each)).collect(), Vec::new()));
    };
    let all = spec.shapes().iter().flat_map(|shape| all_of(tool, shape, &scope.target, network)).collect();
    let (page, later) = LaterTasks::page(all);
    let made = |part: &LaterTasks| {
        part.shards().map(|shard| task((part.needs, part.params.clone(), shard))).collect::<Vec<_>>()
    };
    Some((page.iter().flat_map(made).collect(), later))
}

/// Every task of a shape over a network, for each part of its ports, none of them made.
fn all_of(tool: &dyn Tool, shape: &TaskShape, target: &Target, (first, addresses): (IpAddr, u64)) -> Vec<LaterTasks> {
    let (parts, size) = shards::parts(tool, shape);
    let later = |part: TaskShape| LaterTasks {
        tool: tool.slug().to_owned(),
        needs: part.needs,
        params: part.params,
        opens: Vec::new(),
        target: target.to_string(),
        first,
        addresses,
        size,
    };
    parts.into_iter().map(later).collect()
}

/// Refuses to look for names below something that has none.
fn demand_name(spec: &ScanSpec, scope: &Scope) -> Result<(), PlanRefused> {
    if spec.tool().slug() != DISCOVERY.slug() || scope.target.host().is_some() {
        return Ok(());
    }
    Err(PlanRefused::field("target", "not_a_name", "expected a host name, which can have names below it"))
}

/// Hosts × ports of all runs; the store holds it against the plan of the organization.
fn probes(shapes: &[TaskShape], scope: &Scope) -> u64 {
    let addresses = scope.count();
    shapes.iter().map(|shape| addresses.saturating_mul(shape.ports.into())).fold(0, u64::saturating_add)
}

/// A tool that takes one address in each run, and a target of many.
fn too_many_runs() -> PlanRefused {
    let message = format!("expected at most {} addresses for a tool that takes one at a time", shards::MOST_RUNS);
    PlanRefused::field("target", "too_many_addresses", message)
}
