//! A scan once more. Nothing of the first one's plan is taken over but what was asked: the target is judged, resolved and
//! planned anew, so that whatever was forbidden in the meantime stays out.

use picket_domain::{NewScan, NewTask, Plan};
use serde_json::Value;

use super::{Asker, PlanRefused, Planner, ScanOptions, ToolRequest};

/// What an earlier scan was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// Its target.
    pub target: &'a str,
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
    /// Plans what was asked earlier, as if it were asked now.
    ///
    /// # Errors
    /// As for the request itself.
    pub async fn plan_again(&self, asker: &Asker, earlier: Earlier<'_>) -> Result<NewScan, PlanRefused> {
        let Earlier { target, plan, tool, request, notify } = earlier;
        match tool {
            Some(tool) => self.plan_tool(asker, ToolRequest { target, tool, parameters: Some(request), notify }).await,
            None => {
                let planned = self.plan_options(asker, target, plan, ScanOptions::from_json(request)).await?;
                Ok(NewScan { notify: notify.to_vec(), ..planned })
            }
        }
    }
}

/// The scan with those tasks alone that look at something which was not looked at in full. An address that the target did
/// not have before is such a thing. `probes` stays that of the whole: an upper bound.
#[must_use]
pub fn what_is_missing(planned: NewScan, is_examined: impl Fn(&NewTask) -> bool) -> NewScan {
    NewScan { tasks: planned.tasks.into_iter().filter(|task| !is_examined(task)).collect(), ..planned }
}
