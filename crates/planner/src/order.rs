//! What a scan is asked for, in a form that can be kept and planned again and again.

use picket_domain::{Dialect, NewScan};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Asker, PlanRefused, Planner, Wanted};

/// A request for a scan, as it is kept. What a profile wanted is kept, not the profile: a later version of it changes
/// nothing here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanOrder {
    /// The target as the client wrote it.
    pub target: String,
    /// Ways in which the asker wants to hear of the end.
    #[serde(default)]
    pub notify: Vec<String>,
    /// Under which version it was asked.
    pub dialect: Dialect,
    /// What is to be done, as [`Wanted::to_json`] writes it.
    pub wanted: Value,
}

impl Planner {
    /// Plans what was ordered, as if it were asked now.
    ///
    /// # Errors
    /// As for the request itself; when what was kept cannot be read.
    pub async fn plan_order(&self, asker: &Asker, order: &ScanOrder) -> Result<NewScan, PlanRefused> {
        let ScanOrder { target, notify, dialect, wanted } = order;
        let unreadable =
            || PlanRefused::field("wanted", "unreadable", "expected a request that was kept by this version");
        let wanted = Wanted::from_json(wanted).ok_or_else(unreadable)?;
        self.plan(asker, (target, notify), &wanted, *dialect).await
    }
}
