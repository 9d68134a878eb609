//! From what a client asks for to a scan that can be stored: the target is parsed, resolved and judged, the tool's
//! parameters become tasks, and large targets are cut into shards. Decides nothing that `picket-domain` and
//! `picket-scanners` can decide, and must never run inside a transaction, since it asks DNS.
//!
//! The order is fixed: form of the target, its size against the subscription, its addresses, the judgement over every one
//! of them, then the tasks. An address that was not judged here is in no task.

mod estimate;
mod options;
mod scope;
mod shards;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use picket_domain::{
    AllowList, Dialect, Gap, NewScan, NewTask, OrganizationId, Plan, PlanGap, ScanId, Subscription, TaskId,
};
use picket_outbound::Resolver;
use picket_scanners::{ParamsError, TaskShape, Tool};
use serde_json::Value;

pub(crate) use self::{estimate::estimated_duration, options::ScanOptions, scope::Scope};
use crate::{Caller, Problem, RequestContext};

/// Turns requests into scans.
pub struct Planner {
    resolver: Resolver,
    /// Addresses that the operator has set; these names are not asked of DNS.
    pins: BTreeMap<String, IpAddr>,
    allow_list: AllowList,
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// The owner of the scan.
    pub(crate) organization_id: OrganizationId,
    /// What the owner may have.
    pub(crate) subscription: Subscription,
    /// A user's or an API key's id.
    pub(crate) requested_by: String,
    /// The trace of the request.
    pub(crate) traceparent: Option<String>,
    /// The moment of the request.
    pub(crate) now: Timestamp,
}

/// A scan with one tool (v1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToolRequest<'a> {
    /// The target as the client wrote it.
    pub(crate) target: &'a str,
    /// The tool's slug as the client wrote it.
    pub(crate) tool: &'a str,
    /// The tool's parameters; `None` means its defaults.
    pub(crate) parameters: Option<&'a Value>,
    /// Ways in which the asker wants to hear of the end.
    pub(crate) notify: &'a [String],
}

impl Asker {
    /// The one who sent a request.
    pub(crate) fn new(caller: &Caller, context: &RequestContext, now: Timestamp) -> Self {
        Self {
            organization_id: caller.organization_id,
            subscription: caller.subscription,
            requested_by: caller.label(),
            traceparent: Some(context.traceparent()),
            now,
        }
    }
}

impl Planner {
    /// A planner that takes addresses from the operator's `pins`, then from `resolver`, and allows what the operator's
    /// list covers.
    #[must_use]
    pub fn new(pins: &BTreeMap<String, IpAddr>, resolver: Resolver, allow_list: AllowList) -> Self {
        let pins = pins.iter().map(|(name, at)| (name.trim_end_matches('.').to_ascii_lowercase(), *at)).collect();
        Self { resolver, pins, allow_list }
    }

    /// Plans a scan with one tool.
    pub(crate) async fn plan_tool(&self, asker: &Asker, request: ToolRequest<'_>) -> Result<NewScan, Problem> {
        let tool = picket_scanners::find(request.tool).ok_or_else(unknown_tool)?;
        let shapes = tool.shapes(request.parameters).map_err(params_problem)?;
        let scope = self.authorize(request.target, asker.subscription, tool.is_passive()).await?;
        Ok(NewScan {
            dialect: Dialect::V1,
            plan: Plan::Custom,
            tool: Some(tool.slug()),
            request: request.parameters.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            notify: request.notify.to_vec(),
            tasks: tasks(tool, &shapes, &scope, asker.now),
            probes: probes(&shapes, &scope),
            ..blank(asker, &scope)
        })
    }

    /// Plans a scan by plan and options (v2). What has no tool yet becomes a gap of the plan (`docs/contract.md` §23).
    pub(crate) async fn plan_options(
        &self,
        asker: &Asker,
        target: &str,
        plan: Plan,
        wanted: ScanOptions,
    ) -> Result<NewScan, Problem> {
        if wanted.is_empty() {
            return Err(Problem::field("options", "nothing_to_do", "expected at least one option that is true"));
        }
        let scope = self.authorize(target, asker.subscription, false).await?;
        let (mut tasks_of_plan, mut probes_of_plan) = (Vec::new(), 0);
        if let Some((tool, params)) = options::port_scan(plan).filter(|_| wanted.port_scan) {
            let shapes = tool.shapes(Some(&params)).map_err(params_problem)?;
            tasks_of_plan = tasks(tool, &shapes, &scope, asker.now);
            probes_of_plan = probes(&shapes, &scope);
        }
        let gap = |option: &'static str| PlanGap {
            tool: option.to_owned(),
            target: scope.target.to_string(),
            gap: Gap::ToolUnavailable,
        };
        Ok(NewScan {
            dialect: Dialect::V2,
            plan,
            tool: None,
            request: wanted.to_json(),
            gaps: wanted.without_tool().into_iter().map(gap).collect(),
            tasks: tasks_of_plan,
            probes: probes_of_plan,
            ..blank(asker, &scope)
        })
    }
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
        probes: 0,
        requested_by: asker.requested_by.clone(),
        traceparent: asker.traceparent.clone(),
    }
}

/// One task per shape and shard.
fn tasks(tool: &'static dyn Tool, shapes: &[TaskShape], scope: &Scope, now: Timestamp) -> Vec<NewTask> {
    let task = |shape: &TaskShape, shard| NewTask {
        id: TaskId::mint(now),
        tool: tool.slug(),
        needs: shape.needs,
        params: shape.params.clone(),
        shard,
    };
    shapes
        .iter()
        .flat_map(|shape| shards::cut(scope, shape.ports).into_iter().map(move |shard| task(shape, shard)))
        .collect()
}

/// Hosts × ports of all runs; the store holds it against the plan of the organization.
fn probes(shapes: &[TaskShape], scope: &Scope) -> u64 {
    let addresses = u64::try_from(scope.addresses.len()).unwrap_or(u64::MAX);
    shapes.iter().map(|shape| addresses.saturating_mul(shape.ports.into())).fold(0, u64::saturating_add)
}

/// A tool that is not in the catalogue.
fn unknown_tool() -> Problem {
    let known: Vec<_> = picket_scanners::ALL.iter().map(|tool| tool.slug()).collect();
    Problem::field("tool", "unknown_tool", format!("expected one of: {}", known.join(", ")))
}

/// Parameters that do not fit their tool.
fn params_problem(error: ParamsError) -> Problem {
    Problem::field(error.field, error.code, error.message)
}
