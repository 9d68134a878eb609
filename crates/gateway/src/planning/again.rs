//! A scan once more. Nothing of the first one's plan is taken over but what was asked: the target is judged, resolved and
//! planned anew, so that whatever was forbidden in the meantime stays out.

use picket_domain::NewScan;
use picket_store::{scans::read::ScanRecord, tasks::read::Examined};

use super::{Asker, Planner, ScanOptions, ToolRequest};
use crate::Problem;

impl Planner {
    /// Plans what `record` was asked for, as if it were asked now.
    pub(crate) async fn plan_again(&self, asker: &Asker, record: &ScanRecord) -> Result<NewScan, Problem> {
        let ScanRecord { target, request, notify, .. } = record;
        match &record.tool {
            Some(tool) => self.plan_tool(asker, ToolRequest { target, tool, parameters: Some(request), notify }).await,
            None => {
                let options = ScanOptions::from_json(request);
                let planned = self.plan_options(asker, target, record.plan, options).await?;
                Ok(NewScan { notify: notify.clone(), ..planned })
            }
        }
    }
}

/// The scan with those tasks alone that look at something which was not looked at in full. An address that the target did
/// not have before is such a thing. `probes` stays that of the whole: an upper bound.
pub(crate) fn what_is_missing(planned: NewScan, examined: &Examined) -> NewScan {
    let is_missing = |task: &picket_domain::NewTask| !examined.covers(task.tool, &task.params, &task.shard);
    NewScan { tasks: planned.tasks.into_iter().filter(is_missing).collect(), ..planned }
}
