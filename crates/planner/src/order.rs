//! What a scan is asked for, in a form that can be kept and planned again and again.

use picket_domain::{NewScan, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Asker, Earlier, PlanRefused, Planner};

/// A request for a scan, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanOrder {
    /// The target as the client wrote it.
    pub target: String,
    /// The plan.
    pub plan: Plan,
    /// The tool, when the plan is one tool.
    pub tool: Option<String>,
    /// The tool's parameters, or the plan's options.
    pub request: Value,
    /// Ways in which the asker wants to hear of the end.
    #[serde(default)]
    pub notify: Vec<String>,
}

impl Planner {
    /// Plans what was ordered, as if it were asked now.
    ///
    /// # Errors
    /// As for the request itself.
    pub async fn plan_order(&self, asker: &Asker, order: &ScanOrder) -> Result<NewScan, PlanRefused> {
        let ScanOrder { target, plan, tool, request, notify } = order;
        self.plan_again(asker, Earlier { target, plan: *plan, tool: tool.as_deref(), request, notify }).await
    }
}
