//! What a client asks for under v1, in the form in which it is kept for later.

use picket_domain::Plan;
use picket_planner::ScanOrder;
use serde_json::Value;

use super::{CreateScanV1, NotifyBy};
use crate::{Problem, body::part};

/// Reads the body of a create that stands in `field`.
pub(in crate::routes) fn order(field: &str, body: &Value) -> Result<ScanOrder, Problem> {
    let CreateScanV1 { target, tool, parameters, scan_type: _, notify } = part(field, body)?;
    Ok(ScanOrder {
        target,
        plan: Plan::Custom,
        tool: Some(tool),
        request: parameters.value().cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        notify: notify.first().map(|NotifyBy::Email| "email".to_owned()).into_iter().collect(),
    })
}
